//! The architecture, checked: a file uses only the layers before it, and `unsafe` code lives in `kernels` alone.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers in order; `golden` is data for `cli`.
const LAYERS: [&str; 11] =
    ["error", "config", "parallel", "kernels", "rng", "data", "model", "trainer", "export", "golden", "cli"];
/// The files of `kernels` in order.
const KERNELS: [&str; 13] = [
    "isa",
    "reference",
    "vector",
    "wide",
    "avx2",
    "avx512",
    "tiles",
    "relay",
    "transpose",
    "lists",
    "math",
    "gemm",
    "dense",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 20);
    found
        .iter()
        .map(|path| {
            let name =
                path.strip_prefix(&root).unwrap().with_extension("").display().to_string().replace('\\', "/");
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The names that follow `prefix` in `use` lines: one, or those of a group.
fn used(text: &str, prefix: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut names = Vec::new();
    for line in code.lines().filter(|line| line.trim_start().starts_with("use ")) {
        let Some((_, rest)) = line.split_once(prefix) else { continue };
        let group: Vec<&str> = match rest.strip_prefix('{') {
            Some(group) => group.split(',').collect(),
            None => vec![rest],
        };
        for name in group {
            names.push(name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    names
}

/// Names of the crate's root, by the layer that they come from.
fn layer_of(name: &str) -> Option<usize> {
    let layer = match name {
        // A number that every layer may know.
        "BITS_VERSION" => "error",
        "Config" => "config",
        "Error" => "error",
        "Dataset" | "Images" => "data",
        "Isa" | "Line" => "kernels",
        "Part" | "Phase" | "Tensor" | "TensorView" | "Watch" | "Work" | "Zeros" => "model",
        "Rayon" | "Serial" | "Team" => "parallel",
        "Digest" | "LastStep" | "Sampler" | "StepStats" | "Trainer" => "trainer",
        other => other,
    };
    LAYERS.iter().position(|l| *l == layer)
}

#[test]
fn a_file_uses_only_the_layers_before_it() {
    let mut checked = 0;
    for (name, text) in all_sources() {
        let layer = name.split('/').next().unwrap();
        let Some(own) = LAYERS.iter().position(|l| *l == layer) else { continue };
        for used in used(&text, "crate::") {
            let other = layer_of(&used).unwrap_or_else(|| panic!("{name} uses {used}: which layer is that?"));
            assert!(other <= own, "{name} uses {used} of a later layer");
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} uses were seen");
}

#[test]
fn a_kernel_file_uses_only_those_before_it() {
    let mut checked = 0;
    for (name, text) in all_sources() {
        let Some(file) = name.strip_prefix("kernels/").filter(|file| *file != "mod") else { continue };
        // `adam` and `dense` are last, side by side.
        let own = KERNELS.iter().position(|k| *k == file).unwrap_or(KERNELS.len());
        for used in used(&text, "super::") {
            let other = KERNELS.iter().position(|k| *k == used).unwrap_or_else(|| panic!("{name}: {used}?"));
            assert!(other < own, "{name} uses {used} of a later file");
            checked += 1;
        }
    }
    assert!(checked > 15, "only {checked} uses were seen");
}

#[test]
fn unsafe_code_lives_in_kernels_and_says_why() {
    let mut blocks = 0;
    for (name, text) in all_sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            if !code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe") {
                continue;
            }
            assert!(name.starts_with("kernels/"), "{name}:{} has unsafe code", n + 1);
            if code.contains("unsafe {") || code.contains("unsafe impl") {
                blocks += 1;
                let before = &lines[n.saturating_sub(4)..n];
                let said = before.iter().any(|line| line.contains("SAFETY:"));
                assert!(said, "{name}:{} has no SAFETY sentence", n + 1);
            }
        }
    }
    assert!(blocks > 50, "only {blocks} blocks were seen");
}

#[test]
fn no_file_is_long() {
    for (name, text) in all_sources() {
        assert!(text.lines().count() <= 620, "{name} has {} lines", text.lines().count());
    }
}
