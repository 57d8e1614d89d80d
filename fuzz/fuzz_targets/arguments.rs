//! Any command line, in any environment, over a run's folder that may be damaged, ends with a code of the table and, where that is not
//! 0, one line on stderr that says why; nothing that it prints is obeyed by a terminal; a usage error changes no file.
//! DUEL names the program, which runs in a folder of its own.

#![no_main]

mod shared;

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};

use libfuzzer_sys::fuzz_target;

static PROGRAM: LazyLock<String> = LazyLock::new(|| std::env::var("DUEL").expect("DUEL names the program"));
static HERE: LazyLock<PathBuf> = LazyLock::new(|| shared::folder().join("here"));
/// A run with its evaluation, for which there are images for tests, and the plan of a sweep.
static RAN: LazyLock<shared::Ran> = LazyLock::new(|| {
    let run = HERE.join("runs/seed-42");
    let header = [0x803u32, 8, 2, 3].map(u32::to_be_bytes);
    shared::file("t10k-images-idx3-ubyte", &[header.as_flattened(), &[99; 8 * 6]].concat());
    let ran = shared::train(&run, &[("labels", "true"), ("average", "0.9"), ("validation", "3")]);
    assert!(Command::new(&*PROGRAM).arg("evaluate").arg(&run).output().unwrap().status.success());
    let small = r#""data":"..","batch-size":"4","generator-hidden":"3","discriminator-hidden":"2","validation":"0","steps":"3""#;
    let member = |seed: u8| format!("{{\"run\":\"{seed}\",\"settings\":{{{small},\"seed\":\"{seed}\"}}}}\n");
    fs::create_dir(HERE.join("sweep")).unwrap();
    fs::write(HERE.join("sweep/plan.jsonl"), member(0) + &member(1)).unwrap();
    let files = shared::files(&HERE).into_iter().map(|path| (path.clone(), fs::read(path).unwrap()));
    shared::Ran { files: files.collect(), ..ran }
});

/// No more bytes in a file than these blocks of 512, and seconds of a core than these: arguments may ask for a lot.
const LIMITED: &str = "ulimit -f 32768; ulimit -S -t 4; exec \"$0\" \"$@\"";
const SIGXCPU: i32 = 24;

/// What the fuzzer takes for reached: it doesn't see into the program, but an answer of another kind is something new.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static ANSWERS: [AtomicU8; 1 << 12] = [const { AtomicU8::new(0) }; 1 << 12];

fn reached(answer: impl Hash) {
    let mut hasher = DefaultHasher::new();
    answer.hash(&mut hasher);
    ANSWERS[hasher.finish() as usize % ANSWERS.len()].store(1, Ordering::Relaxed);
}

fn lay(ran: &shared::Ran, damage: Option<(usize, usize, u8)>) {
    let _ = fs::remove_dir_all(&*HERE);
    for (path, bytes) in &ran.files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    if let Some((file, at, by)) = damage {
        let (path, bytes) = &ran.files[file % ran.files.len()];
        let mut bytes = bytes.clone();
        let length = bytes.len().max(1);
        bytes.resize(length, 0);
        bytes[at % length] ^= by;
        fs::write(path, bytes).unwrap();
    }
}

/// All files but the lock, which says who held it last.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = shared::files(folder).into_iter().filter(|path| !path.ends_with("run.lock"));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// The damage, if its last number is not 0, and the words, a line each; the first ones may be DUEL_ISA and DUEL_THREADS.
type Input<'a> = (u8, u16, u8, &'a [u8]);

fuzz_target!(|input: Input| {
    let (file, at, by, text) = input;
    let mut words: Vec<&[u8]> = text.split(|&byte| byte == b'\n').take(24).collect();
    let mut environment = Vec::new();
    for name in ["DUEL_ISA", "DUEL_THREADS"] {
        let value = words[0].strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        if let (Some(value), true) = (value, words.len() > 1) {
            environment.push((name, OsStr::from_bytes(value)));
            words.remove(0);
        }
    }
    // Those two work for minutes on nothing.
    if text.contains(&0) || words.contains(&&b"verify"[..]) || words.contains(&&b"bench"[..]) {
        return;
    }
    let ran = &*RAN;
    lay(ran, (by > 0).then_some((file as usize, at as usize, by)));
    let before = content(&HERE);
    let done = Command::new("sh")
        .args(["-c", LIMITED, &*PROGRAM])
        .args(words.iter().map(|word| OsStr::from_bytes(word)))
        .current_dir(&*HERE)
        .env_remove("DUEL_ISA")
        .env_remove("DUEL_THREADS")
        .envs(environment)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if done.status.signal() == Some(SIGXCPU) {
        return;
    }
    let (code, stderr) = (done.status.code(), String::from_utf8(done.stderr).unwrap());
    let told = || format!("{:?}: {:?}: {stderr}", text.escape_ascii().to_string(), done.status);
    // A panic ends with none of these.
    assert!(code.is_some_and(|code| (0..=7).contains(&code)), "{}", told());
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    assert!(!stderr.contains(obeyed), "{}", told());
    assert!(!String::from_utf8(done.stdout).unwrap().contains(obeyed), "{}", told());
    let errors = stderr.lines().filter(|line| line.starts_with("error: ")).count();
    // Without a command it says what there is; of 1, what is printed tells.
    let help = code == Some(2) && stderr.contains("Usage: duel");
    let expected = !matches!(code, Some(0 | 1)) && !help;
    assert_eq!(errors, expected as usize, "{}", told());
    if code == Some(2) {
        // What is wrong with a flag may depend on the state.
        let lines = stderr.trim_end().lines().filter(|line| by == 0 || !line.starts_with("passed over"));
        assert!(help || lines.count() == 1, "{}", told());
        assert!(content(&HERE) == before, "{} changed a file", told());
    }
    let kind: String =
        stderr.split(['"', '\'', ',']).next().unwrap().replace(|c: char| c.is_ascii_digit(), "");
    reached((code, kind, words.first()));
});
