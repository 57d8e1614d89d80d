//! The plan of a sweep of any bytes is refused as bad input, or each of its lines is the name of a folder and a run that can be.

#![no_main]

mod shared;

use std::path::{Component, Path};

use duel::sweep::{self, Outcome};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let members = match sweep::read_plan(&shared::file("plan.jsonl", bytes)) {
        Err(error) => return assert!(shared::is_about_input(&error), "{error}"),
        Ok(members) => members,
    };
    for member in &members {
        let parts: Vec<Component<'_>> = Path::new(&member.run).components().collect();
        assert!(matches!(parts[..], [Component::Normal(_)]), "{member:?}");
        member.plan().unwrap();
    }
    let text: String = members.iter().map(|member| serde_json::to_string(member).unwrap() + "\n").collect();
    assert_eq!(sweep::read_plan(&shared::file("plan.jsonl", text.as_bytes())).unwrap(), members);

    // What they have come to: nothing yet.
    let outcomes: Vec<Outcome> = members
        .iter()
        .take(8)
        .map(|member| Outcome::read(&shared::folder().join("none"), member, &()).unwrap())
        .collect();
    let table = sweep::summary(&outcomes);
    assert!(table.matches("not begun").count() >= outcomes.len(), "{table}");
    let groups = sweep::groups(&outcomes);
    assert!(groups.len() <= outcomes.len() && groups.iter().all(|group| group.runs == 0));
});
