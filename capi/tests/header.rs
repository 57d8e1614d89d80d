//! The checked-in header is what cbindgen makes of the source.
//!
//! `DUEL_BLESS=1 cargo test --manifest-path capi/Cargo.toml --test header` writes it.

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_current() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(package.join("cbindgen.toml")).unwrap();
    let made = cbindgen::Builder::new().with_crate(package).with_config(config).generate().unwrap();
    let mut header = Vec::new();
    made.write(&mut header);
    let file = package.join("include/duel.h");
    if std::env::var_os("DUEL_BLESS").is_some() {
        fs::write(&file, &header).unwrap();
    }
    let checked_in = fs::read(&file).unwrap_or_default();
    assert!(checked_in == header, "capi/include/duel.h is not what cbindgen makes of capi/src");
}
