//! A manifest of any bytes is refused as bad input, or read to what its own text is read to; and so is an evaluation.

#![no_main]

mod shared;

use duel::evaluate::Evaluation;
use duel::run::Folder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = shared::file("manifest.json", bytes);
    let folder = Folder::new(path.parent().unwrap());
    match folder.read_manifest() {
        Err(error) => assert!(shared::is_about_input(&error), "{error}"),
        Ok(manifest) => {
            let text = serde_json::to_string(&manifest.unwrap()).unwrap();
            shared::file("manifest.json", text.as_bytes());
            assert_eq!(serde_json::to_string(&folder.read_manifest().unwrap().unwrap()).unwrap(), text);
        }
    }
    if let Ok(evaluation) = serde_json::from_slice::<Evaluation>(bytes) {
        let text = serde_json::to_string(&evaluation).unwrap();
        let again: Evaluation = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
});
