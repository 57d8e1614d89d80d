//! Settings of any text are refused with their line, or come to a plan whose own text comes to the same plan.

#![no_main]

mod shared;

use duel::Error;
use duel::run::{Plan, Settings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = shared::file("config.toml", bytes);
    let plan = match Settings::read(&path).and_then(|settings| Plan::new(&settings)) {
        Err(error) => return assert!(shared::is_about_input(&error), "{error}"),
        Ok(plan) => plan,
    };
    let text = match plan.text() {
        // What only goes wrong together.
        Err(Error::Usage { .. }) => return,
        text => text.unwrap(),
    };
    let again = Settings::read(&shared::file("config.toml", text.as_bytes())).unwrap();
    assert_eq!(Plan::new(&again).unwrap(), plan);
});
