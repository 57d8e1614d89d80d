//! The documents say what is so: their digests are those of `golden`, their links lead somewhere, the README is one page.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use duel::golden::{DEFAULT_RUN, PRESET_RUNS, REAL_SHAPE, SMALL_NETS};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents: name and text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> =
        ["README.md", "CHANGELOG.md", "SECURITY.md", "data/README.md", "fuzz/README.md"]
            .map(PathBuf::from)
            .into();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    files.extend(docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name())));
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(root().join(&file)).unwrap())).collect()
}

/// Steps and digests of the rows of tables that have both, in order.
fn rows(text: &str) -> Vec<(u64, String)> {
    let rows = text.lines().filter_map(|line| {
        let mut cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        cells.retain(|cell| !cell.is_empty());
        let [.., step, digest] = cells[..] else { return None };
        let digest = digest.strip_prefix("`sha256:")?.strip_suffix('`')?;
        Some((step.replace(',', "").parse().ok()?, format!("sha256:{digest}")))
    });
    rows.collect()
}

#[test]
fn tables_of_digests_are_those_of_golden() {
    let of = |name: &str| rows(&fs::read_to_string(root().join(name)).unwrap());
    let text = |(step, digest): &(u64, duel::Digest)| (*step, digest.to_string());
    let run: Vec<_> = DEFAULT_RUN.iter().map(text).collect();
    let presets = || PRESET_RUNS.iter().flat_map(|(_, rows)| rows);
    let states: Vec<_> = presets().map(|&(step, state, _)| text(&(step, state))).collect();
    let first = run.iter().filter(|(step, _)| states.iter().any(|(of, _)| of == step));
    assert_eq!(of("README.md"), first.chain(&states).cloned().collect::<Vec<_>>());
    let cases = SMALL_NETS.iter().chain([&REAL_SHAPE]).flat_map(|case| case.digests);
    let averages = presets().map(|&(step, _, average)| text(&(step, average)));
    let of_cases = SMALL_NETS.iter().filter_map(|case| Some((case.digests.last()?.0, case.average?)));
    let of_cases = of_cases.map(|row| text(&row));
    let all = run.into_iter().chain(states).chain(cases.map(text)).chain(averages).chain(of_cases);
    assert_eq!(of("docs/bits.md"), all.collect::<Vec<_>>());
    // Its table of builds and machines has what `duel verify` says of the small nets.
    let mut list = Sha256::new();
    for case in &SMALL_NETS {
        for (steps, digest) in case.digests {
            list.update(format!("{} {steps} {digest}\n", case.name));
        }
        if let Some(average) = case.average {
            list.update(format!("{} average {average}\n", case.name));
        }
    }
    let list = duel::Digest(list.finalize().into()).to_string();
    let text = fs::read_to_string(root().join("docs/bits.md")).unwrap();
    let column = text.lines().filter(|line| line.starts_with("| release | ")).nth(1).unwrap();
    assert!(column.contains(&format!(" {} ", &list["sha256:".len()..][..8])), "{list}: {column}");
    // No other digest in a document is one that only looks like these.
    for (file, text) in documents() {
        for digest in text.split("sha256:").skip(1).map(|rest| rest.get(..64).unwrap_or_default()) {
            let known = duel::Digest::parse(&format!("sha256:{digest}")).is_none_or(|digest| {
                let golden = fs::read_to_string(root().join("src/golden.rs")).unwrap();
                golden.contains(&digest.to_string())
            });
            assert!(known, "{}: sha256:{digest} is not published", file.display());
        }
    }
}

/// The anchor that a heading has on the usual sites.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().replace(' ', "-")
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let mut links = 0;
    for (file, text) in documents() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let own = root().join(&file);
            let path = if path.is_empty() { own } else { own.parent().unwrap().join(path) };
            assert!(path.exists(), "{}: {target} does not exist", file.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&path).unwrap();
                let mut headings = text.lines().filter_map(|line| line.strip_prefix('#'));
                let found = headings.any(|line| anchor(line.trim_start_matches('#')) == heading);
                assert!(found, "{}: {target}: no such heading", file.display());
            }
            links += 1;
        }
    }
    assert!(links > 40, "only {links} links were seen");
}

#[test]
fn the_readme_is_one_page() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 180, "{lines} lines");
}
