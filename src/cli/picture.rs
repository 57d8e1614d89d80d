//! A canvas on a terminal: two pixels a character, upper and lower half-block.

use console::Term;

use crate::export::grid::Canvas;

/// The canvas as lines for `term`, shrunk by a whole factor to its width; nothing where it cannot be shown.
pub fn half_blocks(canvas: &Canvas, term: &Term) -> Option<String> {
    if !term.is_term() || !term.features().wants_emoji() && !term.features().colors_supported() {
        return None;
    }
    let (_, columns) = term.size_checked()?;
    let factor = canvas.width.div_ceil((columns as usize).clamp(1, 100));
    let (width, height) = (canvas.width / factor, canvas.height / factor);
    let coloured =
        term.features().colors_supported() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let grey = |x: usize, y: usize| -> u32 {
        if y >= height {
            return 255;
        }
        let rows = y * factor..(y + 1) * factor;
        let sum: u32 = rows
            .flat_map(|y| &canvas.pixels[y * canvas.width + x * factor..][..factor])
            .map(|&pixel| pixel as u32)
            .sum();
        sum / (factor * factor) as u32
    };
    let mut text = String::new();
    for y in (0..height).step_by(2) {
        for x in 0..width {
            let (top, bottom) = (grey(x, y), grey(x, y + 1));
            if coloured {
                // The 24 greys of the 256 colours.
                let (top, bottom) = (232 + top * 23 / 255, 232 + bottom * 23 / 255);
                text.push_str(&format!("\x1b[38;5;{top};48;5;{bottom}m▀"));
            } else {
                text.push(match (top < 128, bottom < 128) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
        }
        text.push_str(if coloured { "\x1b[0m\n" } else { "\n" });
    }
    Some(text)
}
