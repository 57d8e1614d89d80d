//! A log of any bytes is refused as bad input, or read to entries in ascending order that are read again from the text of their own.

#![no_main]

mod shared;

use duel::run::log;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = shared::file("metrics.jsonl", bytes);
    let mut rows = 0;
    let see = |_, _| {
        rows += 1;
        Ok(())
    };
    log::read(&path, see).unwrap();
    assert!(rows <= bytes.len());
    let entries = match log::entries(&path) {
        Err(error) => return assert!(shared::is_about_input(&error), "{error}"),
        Ok(entries) => entries,
    };
    let text: String = entries.values().map(|entry| entry.text() + "\n").collect();
    assert_eq!(log::entries(&shared::file("metrics.jsonl", text.as_bytes())).unwrap(), entries);
});
