//! The public face of the library, item by item, is what tests/public_api.txt lists: nothing appears there, changes or goes
//! without being seen. `DUEL_BLESS=1 cargo test --test public_api -- --ignored` writes the list.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "half a minute; `cargo test --test public_api -- --ignored`"]
fn the_public_items_are_those_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("api");
    // The JSON of rustdoc is not stable yet: the stable toolchain makes it when it is told that this is known.
    let documented = Command::new(env!("CARGO"))
        .current_dir(root)
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["rustdoc", "--quiet", "--locked", "--lib", "--target-dir"])
        .arg(&target)
        .args(["--", "-Zunstable-options", "--output-format", "json"])
        .status();
    assert!(documented.unwrap().success());
    let api = public_api::Builder::from_rustdoc_json(target.join("doc/duel.json"))
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .unwrap();
    let found: String = api.items().map(|item| format!("{item}\n")).collect();
    let file = root.join("tests/public_api.txt");
    if std::env::var_os("DUEL_BLESS").is_some() {
        fs::write(&file, &found).unwrap();
    }
    let listed = fs::read_to_string(&file).unwrap_or_default();
    let only = |a: &str, b: &str, sign: &str| -> String {
        let b: std::collections::HashSet<&str> = b.lines().collect();
        a.lines().filter(|line| !b.contains(line)).map(|line| format!("{sign} {line}\n")).collect()
    };
    let changes = only(&listed, &found, "-") + &only(&found, &listed, "+");
    assert!(listed == found, "the public items are not those of tests/public_api.txt:\n{changes}");
}
