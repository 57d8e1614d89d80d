//! The `duel` program and a small data set for it.
#![allow(dead_code)] // each test takes what it needs

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// `duel` with `arguments` in `dir`.
pub fn duel(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duel"));
    command.args(arguments).current_dir(dir).env_remove("DUEL_ISA").env_remove("DUEL_THREADS");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `duel` to its end.
pub fn run(dir: &Path, arguments: &[&str]) -> Output {
    duel(dir, arguments).output().unwrap()
}

/// Asserts success and returns stdout.
pub fn done(output: Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Asserts exit code `code` and one line on stderr that holds every word of `words`.
pub fn refused(output: Output, code: i32, words: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(words.iter().all(|word| last.contains(word)), "{words:?} in {stderr}");
    assert!(!stderr.contains("panicked"));
}

/// The digest that stdout ends with.
pub fn digest(stdout: &str) -> String {
    stdout.lines().last().unwrap().strip_prefix("State digest: ").unwrap().to_string()
}

/// The log without its timing.
pub fn log(folder: &Path) -> String {
    let lines = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    lines.lines().map(|line| line.split(",\"timing\"").next().unwrap().to_string() + "\n").collect()
}

/// A folder `data` of 90 images of 3×3.
pub fn small_data(dir: &Path) {
    fs::create_dir_all(dir.join("data")).unwrap();
    let mut bytes: Vec<u8> = [0x803, 90, 3, 3u32].iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend((0..810).map(|i| if i % 4 == 0 { (i * 37 % 256) as u8 } else { 0 }));
    fs::write(dir.join("data/train-images-idx3-ubyte"), bytes).unwrap();
}

/// A network that takes milliseconds to train.
pub const SMALL: [&str; 10] = [
    "--batch-size",
    "7",
    "--validation",
    "3",
    "--latent-size",
    "5",
    "--generator-hidden",
    "21",
    "--discriminator-hidden",
    "33",
];

/// `duel train` with that network.
pub fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["train"], &SMALL[..], more].concat()
}

/// Sends a signal by the shell's own `kill`; the child may have ended already.
pub fn signal(child: &Child, name: &str) {
    Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).output().unwrap();
}
