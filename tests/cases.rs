//! The table of faults in cases.txt: what people meet, what the program must say, and its exit code.
//! `cargo test --test cases` runs all of them, `CASE=words cargo test --test cases` those with these words in their name. Those
//! that need a tool which is not there (strace, python3, cc, iconv) are reported as not run; in CI (`CI=true`) that is a failure.
#![cfg(all(feature = "cli", target_os = "linux"))]

mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use program::{SMALL, done, run, small, small_data, text};

/// A row of the table.
struct Case<'a> {
    kind: &'a str,
    name: &'a str,
    script: String,
    code: i32,
    /// What the output has to have.
    lines: Vec<&'a str>,
    /// What it must not have.
    never: Vec<&'a str>,
}

fn parse(table: &str) -> Vec<Case<'_>> {
    let (mut cases, mut kind) = (Vec::<Case<'_>>::new(), "");
    for line in table.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            kind = title;
        } else if let Some(name) = line.strip_prefix("## ") {
            let (script, lines, never) = (String::new(), Vec::new(), Vec::new());
            cases.push(Case { kind, name, script, code: -1, lines, never });
        } else if let Some(case) = cases.last_mut() {
            match line {
                _ if line.starts_with("=> ") => {
                    case.code = line[3..].parse().unwrap_or_else(|_| panic!("{}: {line}", case.name))
                }
                _ if line.starts_with("   + ") => case.lines.push(&line[5..]),
                _ if line.starts_with("   - ") => case.never.push(&line[5..]),
                _ => case.script += &format!("{line}\n"),
            }
        }
    }
    cases
}

/// What every case finds: the small data set, a run of 6 steps on it, and words for its scripts.
fn prepare(bin: &Path, dir: &Path) {
    small_data(dir);
    let settings = ["--steps", "6", "--report-every", "2", "--checkpoint-every", "2", "--out", "run"];
    done(run(dir, &small(&settings)));
    for (name, script) in [
        ("duel", format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_duel"))),
        // A network that takes milliseconds.
        ("small", format!("exec duel train {} \"$@\"", SMALL.join(" "))),
        // Big-endian words: the header of an IDX file.
        ("words", "for w; do printf $(printf '\\\\%03o' $((w >> 24)) $((w >> 16 & 255)) $((w >> 8 & 255)) $((w & 255))); done".into()),
        // The steps in a log, those of the checkpoints, what has come to stand in a file, a log without times.
        ("steps", "grep -o '\"step\": *[0-9]*' $1/metrics.jsonl | grep -o '[0-9]*$' | tr '\\n' ' '; echo".into()),
        ("kept", "ls $1/checkpoints | sed 's/step_0*//; s/.safetensors//; s/^$/0/' | tr '\\n' ' '; echo".into()),
        ("await", "until grep -q \"$1\" \"$2\" 2> /dev/null; do sleep 0.01; done".into()),
        ("untimed", "sed 's/,\"timing.*//' $1/metrics.jsonl".into()),
    ] {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to) } else { fs::copy(from, to).map(drop).unwrap() }
    }
}

/// What is wrong with the program in this case, if anything.
fn wrong(case: &Case<'_>, bin: &Path, pristine: &Path) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    copy(pristine, dir.path());
    let manifest = dir.path().join("run/manifest.json");
    let [here, there] = [dir.path(), pristine].map(|path| path.to_str().unwrap());
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap().replace(there, here)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-c", &case.script])
        .current_dir(dir.path())
        .env("PATH", path)
        .env("DUEL_THREADS", "1")
        .env_remove("DUEL_ISA")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    let code = output.status.code().unwrap_or(-1);
    let mut problems: Vec<String> = Vec::new();
    if code != case.code {
        problems.push(format!("exit {code}, expected {}", case.code));
    }
    problems.extend(
        case.lines.iter().filter(|line| !said.contains(**line)).map(|line| format!("lacks {line:?}")),
    );
    problems
        .extend(case.never.iter().filter(|line| said.contains(**line)).map(|line| format!("says {line:?}")));
    if said.contains("panicked") {
        problems.push("panicked".into());
    }
    let unfinished =
        Command::new("find").args([".", "-name", "*.duel"]).current_dir(dir.path()).output().unwrap();
    if !unfinished.stdout.is_empty() {
        problems.push(format!("left {}", text(&unfinished.stdout).trim()));
    }
    (!problems.is_empty())
        .then(|| format!("{} · {}: {}\n{}{said}", case.kind, case.name, problems.join("; "), case.script))
}

#[test]
fn every_fault_of_the_table_is_met_as_it_says() {
    let cases = parse(include_str!("cases.txt"));
    let wanted = std::env::var("CASE").unwrap_or_default();
    let cases: Vec<&Case<'_>> = cases.iter().filter(|case| case.name.contains(&wanted)).collect();
    assert!(cases.iter().all(|case| case.code >= 0 && !case.lines.is_empty()), "a case expects nothing");
    let (bin, pristine) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    prepare(bin.path(), pristine.path());
    let there = |tool: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
    };
    let lacking: Vec<&str> =
        ["strace", "python3", "cc", "iconv"].into_iter().filter(|tool| !there(tool)).collect();
    assert!(lacking.is_empty() || std::env::var("CI").is_err(), "not there: {lacking:?}");
    let needs = |case: &&&Case<'_>| lacking.iter().find(|tool| case.script.contains(&format!("{tool} ")));
    cases.iter().filter_map(|case| Some((case, needs(&case)?))).for_each(|(case, tool)| {
        println!("{}: not run: no {tool}", case.name);
    });
    let cases: Vec<&Case<'_>> = cases.iter().filter(|case| needs(case).is_none()).copied().collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut problems = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = std::time::Instant::now();
            problems.extend(wrong(case, bin.path(), pristine.path()));
            println!("{:6.2} s {}", start.elapsed().as_secs_f64(), case.name);
        }
        problems
    };
    let problems: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    println!("{} cases", cases.len());
    assert!(problems.is_empty(), "{} of {} cases:\n\n{}", problems.len(), cases.len(), problems.join("\n"));
}
