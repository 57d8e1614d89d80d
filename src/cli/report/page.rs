//! A page of HTML that needs no other file, and no script.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use duel::Error;
use duel::error::is_hidden;
use duel::export::apng;
use duel::export::grid::Canvas;

/// How the page looks: light or dark as the reader has it, in one column on a phone.
const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#faf9f7;--panel:#fff;--ink:#1d1f24;--quiet:#646872;--line:#dedbd5}\
@media(prefers-color-scheme:dark){:root{--ground:#17181c;--panel:#202227;--ink:#e8e6e1;--quiet:#9a9ea8;--line:#3a3d45}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:78rem;padding:1.5rem 1rem 3rem;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}\
h1{font-size:1.5rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:0 0 .4rem}\
p{margin:.25rem 0 .75rem;overflow-wrap:anywhere}.quiet{color:var(--quiet)}\
main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,34rem),1fr));align-items:start;margin-top:1rem}\
section{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:1rem;min-width:0;overflow-x:auto}\
img{max-width:100%;height:auto;image-rendering:pixelated;border-radius:.25rem;vertical-align:top}\
.pictures{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;max-width:100%}figcaption{color:var(--quiet);font-size:.85rem}\
svg{max-width:100%;height:auto;display:block}\
svg [fill=\"#010101\"]{fill:var(--quiet)}svg [stroke=\"#020202\"]{stroke:var(--line)}\
table{border-collapse:collapse;font-size:.85rem;width:100%}\
th,td{text-align:left;padding:.2rem .75rem .2rem 0;border-top:1px solid var(--line);vertical-align:top}\
th{font-weight:600;color:var(--quiet)}\
td{overflow-wrap:anywhere}td.number{font-variant-numeric:tabular-nums;white-space:nowrap}\
code,pre{font-family:ui-monospace,monospace;font-size:.8rem;overflow-wrap:anywhere}pre{white-space:pre-wrap;margin:0}\
.wide{grid-column:1/-1}";

/// A page as it grows.
#[derive(Debug)]
pub struct Page(String);

impl Page {
    /// With a title, and what stands below it.
    pub fn new(title: &str, below: &str) -> Page {
        let (title, below) = (escaped(title), escaped(below));
        Page(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <h1>{title}</h1>\n<p class=\"quiet\">{below}</p>\n<main>\n"
        ))
    }

    /// A part with a heading, of HTML.
    pub fn section(&mut self, heading: &str, wide: bool, content: &str) {
        let class = if wide { " class=\"wide\"" } else { "" };
        let _ = writeln!(self.0, "<section{class}>\n<h2>{}</h2>\n{content}\n</section>", escaped(heading));
    }

    /// The whole page.
    pub fn finish(self) -> String {
        self.0 + "</main>\n</body>\n</html>\n"
    }
}

/// Text as HTML has it.
pub fn escaped(text: &str) -> String {
    let text = text.replace(|c: char| is_hidden(c) && c != '\n', "\u{FFFD}");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A paragraph of text.
pub fn paragraph(text: &str) -> String {
    format!("<p class=\"quiet\">{}</p>", escaped(text))
}

/// A table of text; cells that are numbers do not break.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = "<table>\n".to_string();
    if !head.is_empty() {
        let cells: String = head.iter().map(|cell| format!("<th>{}</th>", escaped(cell))).collect();
        let _ = writeln!(text, "<thead><tr>{cells}</tr></thead>");
    }
    text += "<tbody>\n";
    for row in rows {
        let number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit()) && cell.len() < 24;
        let class = |cell: &str| if number(cell) { " class=\"number\"" } else { "" };
        let cells: String =
            row.iter().map(|cell| format!("<td{}>{}</td>", class(cell), escaped(cell))).collect();
        let _ = writeln!(text, "<tr>{cells}</tr>");
    }
    text + "</tbody>\n</table>"
}

/// Names in the colours of their curves.
pub fn legend(names: &[(String, String)]) -> String {
    let name = |(name, colour): &(String, String)| {
        format!("<span style=\"color:{colour}\">{}</span>", escaped(name))
    };
    format!("<p>{}</p>", names.iter().map(name).collect::<Vec<_>>().join(" · "))
}

/// A picture, or one that moves, `scale` times as large, within the page.
pub fn picture(frames: &[Canvas], fps: u16, scale: usize, caption: &str) -> Result<String, Error> {
    let mut bytes = Vec::new();
    apng::write(frames.iter().cloned(), fps, 2, &mut bytes)
        .map_err(|error| Error::environment(error.to_string()))?;
    let (data, first) = (STANDARD.encode(bytes), &frames[0]);
    let (width, height) = (first.width * scale, first.height * scale);
    let caption = escaped(caption);
    Ok(format!(
        "<figure><img src=\"data:image/png;base64,{data}\" width=\"{width}\" height=\"{height}\" alt=\"{caption}\">\
         <figcaption>{caption}</figcaption></figure>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_not_html() {
        let mut page = Page::new("a<b> & \"c\"", "x");
        page.section("<i>", true, &table(&["<"], &[vec!["1".to_string(), "<script>".to_string()]]));
        let text = page.finish();
        assert!(!text.contains("<script>") && !text.contains("<i>") && !text.contains("a<b>"), "{text}");
        assert!(text.contains("<td class=\"number\">1</td>"));
    }
}
