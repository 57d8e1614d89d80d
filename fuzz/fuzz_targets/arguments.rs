//! Any list of arguments, in any environment, ends with a code of the table and, where that is not 0, one line on stderr; a usage error leaves no file.
//! DUEL names the program, which runs in an empty folder.

#![no_main]

mod shared;

use std::process::{Command, Stdio};
use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

static PROGRAM: LazyLock<String> = LazyLock::new(|| std::env::var("DUEL").expect("DUEL names the program"));

/// What a command line is made of. Commands that work for minutes without any file are left out.
const WORDS: &[&str] = &[
    "train",
    "sample",
    "evaluate",
    "diff",
    "inspect",
    "export",
    "film",
    "interpolate",
    "report",
    "sweep",
    "run",
    "collect",
    "completions",
    "man",
    "bash",
    "--out",
    "--data",
    "--steps",
    "--seed",
    "--seeds",
    "0..3",
    "--set",
    "beta1=0.5,0.9",
    "--jobs",
    "--plan-only",
    "--index",
    "--resume",
    "auto",
    "--config",
    "--preset",
    "labelled",
    "--init",
    "--threads",
    "--isa",
    "wide",
    "--labels",
    "--labels=true",
    "--pack",
    "--average",
    "--learning-rate",
    "--batch-size",
    "--latent-size",
    "--digest-at",
    "--count",
    "--grid",
    "6x6",
    "--class",
    "--z",
    "z.npy",
    "--raw",
    "--no-invert",
    "--format",
    "onnx",
    "--discriminator",
    "--frames",
    "--spacing",
    "even",
    "--fps",
    "--scale",
    "--from",
    "--to",
    "--path",
    "linear",
    "--film",
    "--pairs",
    "--real",
    "--json",
    "--help",
    "--version",
    "-h",
    "0",
    "1",
    "2",
    "-1",
    "1e9",
    "nan",
    "18446744073709551615",
    "runs/seed-42",
    "runs/seed-42@7",
    "x.png",
    "x.html",
    "x.onnx",
    "x.c",
    "x-ubyte",
    "x.safetensors",
    "",
    "--",
    "-",
    "data",
];

#[derive(Arbitrary, Debug)]
enum Word {
    Known(u8),
    Any(String),
}

impl Word {
    fn text(&self) -> &str {
        match self {
            Word::Known(n) => WORDS[*n as usize % WORDS.len()],
            Word::Any(text) => text,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    words: Vec<Word>,
    /// DUEL_ISA and DUEL_THREADS.
    environment: [Option<Word>; 2],
}

fuzz_target!(|input: Input| {
    let arguments: Vec<&str> = input.words.iter().take(12).map(Word::text).collect();
    let environment = ["DUEL_ISA", "DUEL_THREADS"].into_iter().zip(&input.environment);
    let environment: Vec<(&str, &str)> =
        environment.filter_map(|(name, word)| Some((name, word.as_ref()?.text()))).collect();
    let mut given = arguments.iter().chain(environment.iter().map(|(_, value)| value));
    if given.any(|word| word.contains('\0') || ["verify", "bench"].contains(word)) {
        return;
    }
    let folder = shared::folder().join("empty");
    std::fs::create_dir_all(&folder).unwrap();
    let done = Command::new(&*PROGRAM)
        .args(&arguments)
        .current_dir(&folder)
        .env_remove("DUEL_ISA")
        .env_remove("DUEL_THREADS")
        .envs(environment)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (code, stderr) = (done.status.code(), String::from_utf8_lossy(&done.stderr));
    assert!(code.is_some_and(|code| (0..=7).contains(&code)), "{arguments:?}: {:?}: {stderr}", done.status);
    assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    // Without a command it says what there is.
    let help = arguments.iter().all(|word| *word == "--");
    if code == Some(2) && !help {
        assert_eq!(stderr.trim_end().lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(std::fs::read_dir(&folder).unwrap().next().is_none(), "{arguments:?} left a file");
    }
    std::fs::remove_dir_all(&folder).unwrap();
});
