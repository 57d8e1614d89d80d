//! The architecture, checked: whoever reads the files in the order of the maps (the lists of modules in the docs of
//! src/lib.rs and of each folder's mod.rs) needs nothing that comes later, so no two files lean on each other; `unsafe`
//! code lives in `kernels` alone; nothing is long.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Lines of a file, and of a function, at most.
const MOST_LINES: (usize, usize) = (500, 70);

/// A file's name under its folder, without `.rs`, and its text.
type Source = (String, String);

fn sources(folder: &str) -> Vec<Source> {
    fn find(root: &Path, folder: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                find(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().with_extension("");
                let name = name.display().to_string().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    find(&root, &root, &mut found);
    found.sort();
    found
}

/// The library: the program, which is a user of it, left out.
fn library() -> Vec<Source> {
    let mut sources = sources("src");
    sources.retain(|(name, _)| name != "main" && !name.starts_with("cli/"));
    assert!(sources.len() > 30, "only {} files were seen", sources.len());
    sources
}

// The scanner.

/// The source with comments and the insides of literals blanked, line by line as it was.
fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut out, mut i) = (String::new(), 0);
    while i < chars.len() {
        let word_before = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
        let hashes = (i + 1..).take_while(|&j| at(j) == '#').count();
        let end = match at(i) {
            '/' if at(i + 1) == '/' => (i..chars.len()).find(|&j| at(j) == '\n').unwrap_or(chars.len()),
            'r' if !word_before && at(i + 1 + hashes) == '"' => {
                let closes = |j: usize| at(j) == '"' && (1..=hashes).all(|n| at(j + n) == '#');
                (i + 2 + hashes..chars.len()).find(|&j| closes(j)).map_or(chars.len(), |j| j + 1 + hashes)
            }
            '\'' if at(i + 1) != '\\' && at(i + 2) != '\'' => i,
            quote @ ('"' | '\'') => {
                let mut j = i + 1;
                while j < chars.len() && at(j) != quote {
                    j += 1 + (at(j) == '\\') as usize;
                }
                j + 1
            }
            _ => i,
        };
        if end == i {
            out.push(at(i));
            i += 1;
        } else {
            let blanked = &chars[i..end.min(chars.len())];
            out.extend(blanked.iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    out
}

/// Words, `::`, and single characters, each with its line from 0.
fn tokens(code: &str) -> Vec<(&str, usize)> {
    let (mut tokens, mut line, mut rest) = (Vec::new(), 0, code);
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let len = if rest.starts_with("::") { 2 } else { word.max(first.len_utf8()) };
        if !first.is_whitespace() {
            tokens.push((&rest[..len], line));
        }
        line += (first == '\n') as usize;
        rest = &rest[len..];
    }
    tokens
}

/// The paths of the tree that begins at token `i`, `{…}` expanded, each with `prefix` before it. Returns where it ends.
fn tree(tokens: &[(&str, usize)], mut i: usize, prefix: &str, paths: &mut Vec<String>) -> usize {
    let at = |i: usize| tokens.get(i).map_or("", |token| token.0);
    if at(i) != "{" {
        let path = if prefix.is_empty() { at(i).to_string() } else { format!("{prefix}::{}", at(i)) };
        let goes_on = at(i + 1) == "::" && at(i + 2) != "<";
        if !goes_on {
            paths.push(path);
            return i + 1;
        }
        return tree(tokens, i + 2, &path, paths);
    }
    while i < tokens.len() && at(i) != "}" {
        i = tree(tokens, i + 1, prefix, paths);
        // Beyond `as name`.
        while i < tokens.len() && at(i) != "," && at(i) != "}" {
            i += 1;
        }
        if at(i) == "," && at(i + 1) == "}" {
            i += 1;
        }
    }
    i + 1
}

/// Every path from `crate` or `super`, in `use` lines or elsewhere, of what is not a test.
fn paths(source: &str) -> Vec<String> {
    let code = code(source);
    let tokens = tokens(code.split("#[cfg(test)]\nmod tests").next().unwrap());
    let (mut paths, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        let starts =
            matches!(tokens[i].0, "crate" | "super") && tokens.get(i + 1).is_some_and(|t| t.0 == "::");
        i = if starts { tree(&tokens, i, "", &mut paths) } else { i + 1 };
    }
    paths
}

/// What `pub use` lines make of other modules' names: name, and path.
fn re_exports(source: &str) -> HashMap<String, String> {
    let code = code(source);
    let tokens = tokens(&code);
    let mut paths = Vec::new();
    for i in 2..tokens.len() {
        if (tokens[i - 2].0, tokens[i - 1].0) == ("pub", "use") {
            tree(&tokens, i, "", &mut paths);
        }
    }
    let named = paths.into_iter().map(|path| (path.rsplit("::").next().unwrap().to_string(), path));
    named.collect()
}

/// The modules that a file's docs list, in order: items such as ``//! - [`error`]: …``, in lib.rs under `# Architecture`.
fn map(source: &str) -> Vec<String> {
    let text = source.split_once("//! # Architecture").map_or(source, |(_, section)| section);
    let items = text.lines().take_while(|line| line.is_empty() || line.starts_with("//!"));
    let names = items.filter_map(|line| {
        let item = line.strip_prefix("//! - ")?;
        item.trim_start_matches('[').strip_prefix('`')?.split('`').next()
    });
    names.map(str::to_string).collect()
}

// The rules. Each returns what breaks it.

/// The text of a file; empty if there is none.
fn text<'a>(sources: &'a [Source], name: &str) -> &'a str {
    sources.iter().find(|source| source.0 == name).map_or("", |source| &source.1)
}

/// The modules below a file of modules: those of `folder`, or of the crate where it is empty.
fn modules<'a>(sources: &'a [Source], folder: &str) -> Vec<&'a str> {
    let below = sources.iter().filter_map(|(name, _)| {
        let name = if folder.is_empty() { name } else { name.strip_prefix(folder)?.strip_prefix('/')? };
        let name = name.strip_suffix("/mod").unwrap_or(name);
        (!name.contains('/') && name != "lib" && name != "mod").then_some(name)
    });
    below.collect()
}

/// A file that lists modules, and the folder of those modules.
fn maps(sources: &[Source]) -> Vec<(&str, &str)> {
    let folders = sources.iter().filter_map(|(name, _)| Some((name.as_str(), name.strip_suffix("/mod")?)));
    [("lib", "")].into_iter().chain(folders).collect()
}

fn outside_the_maps(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (file, folder) in maps(sources) {
        let (listed, found) = (map(text(sources, file)), modules(sources, folder));
        for name in found.iter().filter(|name| !listed.iter().any(|l| l == *name)) {
            problems.push(format!("the map in {file}.rs does not list `{name}`"));
        }
        for name in listed.iter().filter(|name| !found.contains(&name.as_str())) {
            problems.push(format!("the map in {file}.rs lists `{name}`, which does not exist"));
        }
    }
    problems
}

/// Uses of what comes later in a map. A module's own `mod.rs` comes after all its files.
fn upward(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, source) in sources.iter().filter(|(name, _)| name != "lib") {
        let own: Vec<&str> = name.strip_suffix("/mod").unwrap_or(name).split('/').collect();
        for path in paths(source) {
            let parts: Vec<&str> = path.split("::").collect();
            let supers = parts.iter().take_while(|part| **part == "super").count();
            let rest = &parts[supers.max(1)..];
            let base = if supers == 0 { &[][..] } else { &own[..own.len().saturating_sub(supers)] };
            let mut target: Vec<String> = base.iter().chain(rest).map(|part| part.to_string()).collect();
            // The place of both at the first level where they differ.
            let mut level = 0;
            loop {
                let folder = own[..level].join("/");
                let file = if level == 0 { "lib".to_string() } else { format!("{folder}/mod") };
                let map = map(text(sources, &file));
                let name_here = target.get(level).cloned().unwrap_or_default();
                if !map.contains(&name_here)
                    && let Some(from) = re_exports(text(sources, &file)).get(&name_here)
                {
                    // From the crate's root, or from this folder.
                    level = if from.starts_with("crate::") { 0 } else { level };
                    target.truncate(level);
                    target.extend(from.trim_start_matches("crate::").split("::").map(str::to_string));
                }
                let place = |name: Option<&str>| map.iter().position(|m| Some(m.as_str()) == name);
                let (at, used) =
                    (place(own.get(level).copied()), place(target.get(level).map(String::as_str)));
                match (at, used) {
                    (Some(at), Some(used)) if used == at && level + 1 < own.len() => level += 1,
                    (Some(at), Some(used)) if used > at => {
                        problems.push(format!(
                            "{name}.rs uses {path}: `{}` comes later in the map of {file}.rs",
                            target[level]
                        ));
                        break;
                    }
                    // What the crate's root itself defines, all may use; what a mod.rs defines, its files may not.
                    (Some(_), None) if level > 0 => {
                        problems.push(format!("{name}.rs uses {path}: {file}.rs comes after its files"));
                        break;
                    }
                    _ => break,
                }
            }
        }
    }
    problems
}

fn unsafe_outside_kernels(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, source) in sources {
        let (code, lines) = (code(source), source.lines().collect::<Vec<_>>());
        let tokens = tokens(&code);
        for pair in tokens.windows(2).filter(|pair| pair[0].0 == "unsafe") {
            let line = pair[0].1;
            if !name.starts_with("kernels/") {
                problems.push(format!("{name}.rs:{} has unsafe code", line + 1));
            }
            let said = lines[line.saturating_sub(4)..line].iter().any(|line| line.contains("SAFETY:"));
            if matches!(pair[1].0, "{" | "impl") && !said {
                problems.push(format!("{name}.rs:{} has no SAFETY sentence", line + 1));
            }
        }
    }
    problems
}

fn too_long(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, source) in sources {
        let lines = source.lines().count();
        if lines > MOST_LINES.0 {
            problems.push(format!("{name}.rs has {lines} lines"));
        }
        let code = code(source);
        let tokens = tokens(&code);
        for (i, pair) in tokens.windows(2).enumerate() {
            let is_name = pair[1].0.starts_with(|c: char| c.is_alphabetic() || c == '_');
            if pair[0].0 != "fn" || !is_name {
                continue;
            }
            // To the brace that closes the first one, or to the semicolon of a function without a body.
            let (mut depth, mut end) = (0, pair[0].1);
            for &(token, line) in &tokens[i..] {
                depth += matches!(token, "{" | "(" | "[") as i32 - matches!(token, "}" | ")" | "]") as i32;
                end = line;
                if depth == 0 && matches!(token, "}" | ";") {
                    break;
                }
            }
            let lines = end - pair[0].1 + 1;
            if lines > MOST_LINES.1 {
                problems.push(format!("{name}.rs:{}: {} has {lines} lines", pair[0].1 + 1, pair[1].0));
            }
        }
    }
    problems
}

fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn a_file_uses_only_what_comes_before_it() {
    let library = library();
    let seen: usize = library.iter().map(|source| paths(&source.1).len()).sum();
    assert!(seen > 200, "only {seen} paths were seen");
    none(upward(&library));
}

#[test]
fn every_module_is_in_its_map() {
    none(outside_the_maps(&library()));
}

#[test]
fn unsafe_code_lives_in_kernels_and_says_why() {
    let all = sources("src");
    let kernels = all.iter().filter(|source| source.0.starts_with("kernels/"));
    let blocks: usize = kernels.map(|source| code(&source.1).matches("unsafe {").count()).sum();
    assert!(blocks > 40, "only {blocks} blocks were seen");
    none(unsafe_outside_kernels(&all));
}

#[test]
fn no_file_and_no_function_is_long() {
    let in_folder = |folder: &str| {
        let named = sources(folder).into_iter().map(|(name, text)| (format!("{folder}/{name}"), text));
        too_long(&named.collect::<Vec<_>>())
    };
    none(["src", "capi", "tests", "benches", "fuzz", "examples", "web"].map(in_folder).concat());
}

// The checks, checked.

#[test]
fn the_scanner_sees_every_path_and_nothing_else() {
    let of = |source: &str| paths(source);
    assert_eq!(of("use crate::error::Error;"), ["crate::error::Error"]);
    assert_eq!(of("fn f() -> crate::Isa { super::isa::best() }"), ["crate::Isa", "super::isa::best"]);
    assert_eq!(
        of("use crate::{a, b::{c as d, e},\n    f::*,\n};"),
        ["crate::a", "crate::b::c", "crate::b::e", "crate::f::*"]
    );
    assert_eq!(of("use super::super::x; pub(crate) fn f() {}"), ["super::super::x"]);
    assert_eq!(of("x(crate::a::f::<T>(1), 'c', &'a super::B)"), ["crate::a::f", "super::B"]);
    assert!(
        of("// crate::a\n/// [`x`](crate::b)\nlet s = \"crate::c\\\" crate::d\"; r#\"crate::e\"#").is_empty()
    );
    assert!(of("#[cfg(test)]\nmod tests { use super::*; }").is_empty());
    assert_eq!(of("let q = '\"'; crate::a; let r = '\\''; crate::b"), ["crate::a", "crate::b"]);
}

/// A library of two modules and a folder of two files.
fn made_up(changed: &str, text: &str) -> Vec<Source> {
    let files = [
        (
            "lib",
            "//! # Architecture\n//!\n//! - [`error`]: first\n//! - [`kernels`]: then\n//! - [`data`]: last\n\npub use data::Images;",
        ),
        ("error", ""),
        ("kernels/mod", "//! - [`isa`]: first\n//! - `wide`: last\n\npub use isa::Isa;"),
        ("kernels/isa", "use crate::error::Error;"),
        ("kernels/wide", "use super::Isa;\n// SAFETY: of course\nunsafe { x }"),
        ("data", "use crate::kernels::{Isa, wide};"),
    ];
    let mut sources: Vec<Source> = files.map(|(name, text)| (name.into(), text.into())).into();
    sources.retain(|(name, _)| name != changed);
    sources.push((changed.into(), text.into()));
    sources
}

#[test]
fn what_breaks_a_rule_is_named() {
    let fine = made_up("error", "");
    assert_eq!([upward(&fine), outside_the_maps(&fine), unsafe_outside_kernels(&fine)].concat(), [""; 0]);
    let broken = |file, text| upward(&made_up(file, text));
    let inline = "fn f() { crate::data::parse() }";
    let later = "error.rs uses crate::data::parse: `data` comes later in the map of lib.rs";
    assert_eq!(broken("error", inline), [later]);
    let re_exported = "error.rs uses crate::Images: `data` comes later in the map of lib.rs";
    assert_eq!(broken("error", "fn f(x: crate::Images) {}"), [re_exported]);
    let above = "kernels/isa.rs uses super::super::data::x: `data` comes later in the map of lib.rs";
    assert_eq!(broken("kernels/isa", "use super::super::data::x;"), [above]);
    let circle = "kernels/isa.rs uses super::wide::FUSED: `wide` comes later in the map of kernels/mod.rs";
    assert_eq!(broken("kernels/isa", "fn f() { super::wide::FUSED }"), [circle]);
    let own_mod = "kernels/isa.rs uses super::Item: kernels/mod.rs comes after its files";
    assert_eq!(broken("kernels/isa", "use super::Item;"), [own_mod]);
    let outside = unsafe_outside_kernels(&made_up("data", "\nfn f() { unsafe fn g() {} }"));
    assert_eq!(outside, ["data.rs:2 has unsafe code"]);
    let unsaid = unsafe_outside_kernels(&made_up("kernels/isa", "unsafe { x }"));
    assert_eq!(unsaid, ["kernels/isa.rs:1 has no SAFETY sentence"]);
    assert_eq!(outside_the_maps(&made_up("rng", "")), ["the map in lib.rs does not list `rng`"]);
    let gone = outside_the_maps(&made_up("kernels/mod", "//! - `isa`\n//! - `wide`\n//! - `neon`"));
    assert_eq!(gone, ["the map in kernels/mod.rs lists `neon`, which does not exist"]);
    let long = format!("fn f() {{\n{}}}\n", "    x;\n".repeat(70));
    assert_eq!(too_long(&[("a".into(), long)]), ["a.rs:1: f has 72 lines"]);
}
