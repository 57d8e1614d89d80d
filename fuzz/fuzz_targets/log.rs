//! A log of any bytes is refused as bad input, or read to entries in ascending order that are read again from the text of their own;
//! a run goes on with it only if it has all that the run wrote, and it is then what that run would have left.

#![no_main]

mod shared;

use std::fs;
use std::sync::LazyLock;

use duel::run::{Plan, log};
use libfuzzer_sys::fuzz_target;

/// Lines at 1, 2, 3, 4 and 6, digests at 3 and 6.
static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let mut plan = Plan::default();
    for (name, text) in [("steps", "6"), ("report-every", "2"), ("checkpoint-every", "3")] {
        plan.set(name, text).unwrap();
    }
    plan
});

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

    let plan = &*PLAN;
    for (step, newest) in [(0, 0), (0, 4), (3, 3), (3, 6), (6, 6)] {
        match log::Writer::open(path.clone(), plan, step, newest) {
            Err(error) => {
                assert!(shared::is_about_input(&error), "{error}");
                assert!(log::lacking(&entries, plan, step).is_some());
            }
            Ok(mut writer) => {
                if step < newest {
                    // Until it is there again.
                    assert_eq!(log::entries(&path).unwrap(), entries);
                    writer.follow(plan, newest);
                    writer.sync().unwrap();
                }
                let kept = log::entries(&path).unwrap();
                let written = |at: &u64| *at <= newest && plan.leaves(*at, false).entry;
                assert!(kept.keys().eq(entries.keys().filter(|at| written(at))));
                assert_eq!(log::lacking(&kept, plan, step), None);
                // Steps that are done again.
                for again in kept.values().filter(|entry| entry.step > step) {
                    writer.write(again).unwrap();
                }
                writer.sync().unwrap();
                assert_eq!(log::entries(&path).unwrap(), kept);
            }
        }
        fs::write(&path, &text).unwrap();
    }
});
