//! A manifest of any bytes is refused as bad input, or read to what its own text is read to; and so is an evaluation, which is of the
//! digest of its figures and of no more classes than labels have.

#![no_main]

mod shared;

use duel::Digest;
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
    if let Err(error) = Evaluation::read(&shared::file("evaluation.json", bytes)) {
        assert!(shared::is_about_input(&error), "{error}");
    }
    // With the digest of its figures, which no fuzzer comes upon.
    if let Ok(mut evaluation) = serde_json::from_slice::<Evaluation>(bytes) {
        evaluation.report.digest = None;
        let figures = serde_json::to_string(&evaluation.report).unwrap();
        evaluation.report.digest = Some(Digest::of(figures.as_bytes()));
        let text = serde_json::to_string(&evaluation).unwrap();
        match Evaluation::read(&shared::file("evaluation.json", text.as_bytes())) {
            Err(error) => {
                assert!(shared::is_about_input(&error), "{error}");
                let report = &evaluation.report;
                let classes = report.classes.as_ref().map_or(0, Vec::len);
                assert!(classes > 256 || report.copies.closest.len() > 16, "{error}");
            }
            Ok(read) => assert_eq!(read, Some(evaluation)),
        }
    }
});
