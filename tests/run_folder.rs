//! A run is a folder that can be stopped anywhere, and goes on to the same digest and the same log.
//!
//! Long forms: `cargo test --release --test run_folder -- --ignored --nocapture`
#![cfg(all(feature = "cli", unix))]

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use duel::Isa;
use program::{SMALL, digest, done, duel, log, refused, run, signal, small, small_data, text};

/// A generator of unpredictable numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// The steps of the checkpoints in a run's folder.
fn steps_kept(folder: &Path) -> Vec<u64> {
    let names = fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten();
    let mut steps: Vec<u64> = names
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix("step_")?.strip_suffix(".safetensors")?.parse().ok()
        })
        .collect();
    steps.sort_unstable();
    steps
}

/// Stops a run of `steps` at `stops` random places, by `kill -9`, SIGINT, SIGTERM and `--steps`, each time with another
/// number of threads and another backend, and compares with the straight run.
fn stop_and_go(dir: &Path, settings: &[&str], isas: &[&str], steps: u64, stops: usize, wait_ms: u64) {
    let arguments = |more: &[&str]| -> Vec<String> {
        [&["train"], settings, more].concat().iter().map(|word| word.to_string()).collect()
    };
    let command = |more: &[&str]| {
        let arguments = arguments(more);
        duel(dir, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let all = steps.to_string();
    let straight = digest(&done(command(&["--steps", &all, "--out", "straight"]).output().unwrap()));
    let folder = dir.join("stopped");
    let mut random = Random(stops as u64);
    let (mut kills, mut reached) = (0, 0);
    for n in 0..stops {
        let (threads, isa) = ((1 + random.below(4)).to_string(), isas[n % isas.len()]);
        let resume = folder.join("config.toml").exists();
        let mut more = vec!["--out", "stopped", "--threads", &threads, "--isa", isa];
        if resume {
            more.extend(["--resume", "auto"]);
        }
        // Not to the end, so that every stop is one.
        let next =
            (reached + 1 + random.below(2 * (steps - reached) / (stops - n) as u64 + 1)).min(steps - 1);
        let next = next.to_string();
        if n % 3 == 0 {
            let output = command(&[&more[..], &["--steps", &next]].concat()).output().unwrap();
            done(output);
        } else {
            let child = command(&[&more[..], &["--steps", &all]].concat()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(random.below(wait_ms)));
            let name = ["KILL", "INT", "KILL", "TERM"][n % 4];
            signal(&child, name);
            let output = child.wait_with_output().unwrap();
            let code = output.status.code();
            kills += usize::from(code.is_none());
            assert!(matches!(code, None | Some(0 | 130 | 143)), "{name}: {}", text(&output.stderr));
        }
        let mut checkpoints = steps_kept(&folder);
        if checkpoints.last() == Some(&steps) {
            // It got to the end before the signal did: lose the newest checkpoints, and go on from an older one.
            let keep = random.below(checkpoints.len() as u64) as usize;
            for step in checkpoints.drain(keep..) {
                fs::remove_file(folder.join(format!("checkpoints/step_{step:08}.safetensors"))).unwrap();
            }
        }
        reached = checkpoints.last().copied().unwrap_or(0);
    }
    let resume = ["--out", "stopped", "--steps", &all, "--resume", "auto"];
    let resumed = digest(&done(command(&resume).output().unwrap()));
    println!("{stops} stops, {kills} of them killed: {resumed}");
    assert_eq!(resumed, straight);
    assert_eq!(log(&folder), log(&dir.join("straight")));
}

/// The fast backends of this CPU.
fn fast() -> Vec<&'static str> {
    ["avx2", "avx512"].into_iter().filter(|name| Isa::named(name).is_ok()).collect()
}

/// All backends of this CPU.
fn every_isa() -> Vec<&'static str> {
    Isa::available().map(Isa::name).collect()
}

const STOPPED: [&str; 4] = ["--report-every", "7", "--checkpoint-every", "25"];

#[test]
fn a_run_stopped_anywhere_goes_on_to_the_same_digest_and_log() {
    let dir = tempfile::tempdir().unwrap();
    small_data(dir.path());
    stop_and_go(dir.path(), &[&SMALL[..], &STOPPED].concat(), &every_isa(), 2_000, 12, 400);
}

#[test]
#[ignore = "200 stops of a small run on every backend: minutes"]
fn a_small_run_stopped_200_times_goes_on_to_the_same_digest_and_log() {
    let dir = tempfile::tempdir().unwrap();
    small_data(dir.path());
    stop_and_go(dir.path(), &[&SMALL[..], &STOPPED].concat(), &every_isa(), 2_000, 200, 400);
}

#[test]
#[ignore = "200 stops of 2,000 steps on MNIST: about 10 minutes on two cores"]
fn a_real_run_stopped_200_times_goes_on_to_the_same_digest_and_log() {
    let dir = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let settings = ["--data", data.to_str().unwrap(), "--report-every", "7", "--checkpoint-every", "10"];
    let isas = if fast().is_empty() { vec!["wide"] } else { fast() };
    stop_and_go(dir.path(), &settings, &isas, 2_000, 200, 2_500);
}

#[test]
fn another_config_data_set_or_version_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    done(run(dir, &small(&["--steps", "20", "--out", "run"])));
    let resume = |more: &[&str]| run(dir, &[&["train", "--resume", "auto", "--out", "run"], more].concat());
    refused(resume(&["--learning-rate", "0.1"]), 3, &["learning-rate", "0.0002", "0.1"]);
    refused(resume(&["--seed", "1"]), 3, &["seed", "42", "1"]);
    refused(resume(&["--latent-size", "6"]), 3, &["latent-size"]);
    refused(resume(&["--steps", "19"]), 2, &["--steps", "20"]);
    fs::create_dir(dir.join("other")).unwrap();
    let mut bytes = fs::read(dir.join("data/train-images-idx3-ubyte")).unwrap();
    bytes[700] ^= 1;
    fs::write(dir.join("other/train-images-idx3-ubyte"), &bytes).unwrap();
    refused(resume(&["--data", "other"]), 3, &["data_digest"]);
    let manifest = fs::read_to_string(dir.join("run/manifest.json")).unwrap();
    fs::write(dir.join("run/manifest.json"), manifest.replace("\"bits_version\": 1", "\"bits_version\": 99"))
        .unwrap();
    refused(resume(&[]), 3, &["bits_version", "99"]);
    fs::write(dir.join("run/manifest.json"), manifest).unwrap();
    // Altered by hand: the settings in the folder and the checkpoint disagree.
    let config = fs::read_to_string(dir.join("run/config.toml")).unwrap();
    fs::write(dir.join("run/config.toml"), config.replace("beta1 = 0.9", "beta1 = 0.5")).unwrap();
    refused(resume(&[]), 3, &["beta1", "0.9", "0.5"]);
    fs::write(dir.join("run/config.toml"), "steps = \"many\"\n").unwrap();
    refused(resume(&[]), 3, &["config.toml", "line 1"]);
    fs::write(dir.join("run/config.toml"), config).unwrap();
    refused(run(dir, &["train", "--resume", "auto", "--out", "nowhere"]), 4, &["nowhere"]);
    refused(run(dir, &["train", "--resume", "nothing.safetensors"]), 4, &["nothing.safetensors"]);

    // More steps extend the run; a bad newest checkpoint is passed over, and says so.
    let straight = digest(&done(run(dir, &small(&["--steps", "50", "--out", "straight"]))));
    assert_eq!(digest(&done(resume(&["--steps", "50"]))), straight);
    let newest = dir.join("run/checkpoints/step_00000050.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let output = resume(&[]);
    assert!(text(&output.stderr).contains("passed over") && text(&output.stderr).contains("step_00000050"));
    assert_eq!(digest(&done(output)), straight);
    // All of them bad: nothing is overwritten.
    fs::create_dir_all(dir.join("bad/checkpoints")).unwrap();
    fs::copy(dir.join("run/config.toml"), dir.join("bad/config.toml")).unwrap();
    fs::write(dir.join("bad/checkpoints/step_00000020.safetensors"), b"damaged").unwrap();
    refused(run(dir, &["train", "--resume", "auto", "--out", "bad"]), 3, &["bad", "none of its checkpoints"]);
    assert_eq!(fs::read(dir.join("bad/checkpoints/step_00000020.safetensors")).unwrap(), b"damaged");
    // A checkpoint by its path.
    let path = "run/checkpoints/step_00000020.safetensors";
    refused(run(dir, &["train", "--resume", path, "--out", "branch"]), 2, &["--out"]);
    // Ended on the way, at a step that is nobody's: what is later stays, and the run is as long as it was.
    done(run(dir, &["train", "--resume", path, "--steps", "33"]));
    assert_eq!(steps_kept(&dir.join("run")), [20, 33, 50]);
    done(run(dir, &["verify", "run", "--all"]));
    assert_eq!(digest(&done(resume(&["--steps", "50"]))), straight);
    assert_eq!(log(&dir.join("run")), log(&dir.join("straight")));
}

#[test]
fn a_checkpoint_under_the_name_of_another_step_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    let train = |out, steps, more: &[&str]| {
        let settings = ["--checkpoint-every", "10", "--steps", steps, "--out", out];
        run(dir, &small(&[&settings, more].concat()))
    };
    let straight = digest(&done(train("straight", "60", &[])));
    done(train("run", "40", &[]));
    let kept = dir.join("run/checkpoints");
    let misnamed = kept.join("step_00000099.safetensors");
    fs::copy(kept.join("step_00000010.safetensors"), &misnamed).unwrap();
    // Of every command that looks for the newest one.
    let exported = run(dir, &["export", "run", "--out", "newest.safetensors"]);
    assert!(text(&exported.stderr).contains("step_00000040"), "{}", text(&exported.stderr));
    refused(run(dir, &["inspect", misnamed.to_str().unwrap()]), 3, &["step_00000099", "holds step 10"]);
    // Outside a run's folder a name is only a name.
    done(run(dir, &["export", "run@15", "--out", "step_1.safetensors"]));
    assert!(done(run(dir, &["inspect", "step_1.safetensors"])).contains("15"));
    let resume = ["train", "--resume", misnamed.to_str().unwrap()];
    refused(run(dir, &resume), 3, &["step_00000099", "holds step 10"]);
    assert_eq!(steps_kept(&dir.join("run")), [10, 20, 30, 40, 99]);
    let output = train("run", "60", &["--resume", "auto"]);
    let said = text(&output.stderr);
    assert!(said.contains("passed over a bad checkpoint") && said.contains("holds step 10"), "{said}");
    assert!(said.contains("from 40 on"), "{said}");
    assert_eq!(digest(&done(output)), straight);
    assert_eq!(steps_kept(&dir.join("run")), [10, 20, 30, 40, 50, 60, 99]);
    assert_eq!(log(&dir.join("run")), log(&dir.join("straight")));
}

#[test]
fn the_settings_of_a_run_repeat_it_and_flags_go_before_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    let more = [
        "--steps",
        "30",
        "--learning-rate",
        "0.00123",
        "--digest-at",
        "3,17",
        "--checkpoint-every",
        "10",
        "--out",
        "a",
    ];
    let first = digest(&done(run(dir, &small(&more))));
    assert_eq!(digest(&done(run(dir, &["train", "--config", "a/config.toml", "--out", "b"]))), first);
    let bytes = |folder: &str, file: &str| fs::read(dir.join(folder).join(file)).unwrap();
    assert_eq!(bytes("a", "config.toml"), bytes("b", "config.toml"));
    assert_eq!(log(&dir.join("a")), log(&dir.join("b")));
    for step in [10, 20, 30] {
        let file = format!("checkpoints/step_{step:08}.safetensors");
        assert_eq!(bytes("a", &file), bytes("b", &file), "two runs' checkpoints are the same bytes");
    }
    let digests = log(&dir.join("a")).lines().filter(|line| line.contains("\"digest\"")).count();
    assert_eq!(digests, 5, "at 3, 10, 17, 20 and 30");
    let manifest = |folder: &str| {
        text(&bytes(folder, "manifest.json")).split("\"sessions\"").next().unwrap().to_string()
    };
    assert_eq!(manifest("a"), manifest("b"));
    assert!(manifest("a").contains(&first));
    // A flag goes before the file; a key that is no setting is refused.
    let other = done(run(dir, &["train", "--config", "a/config.toml", "--seed", "5", "--out", "c"]));
    assert_ne!(digest(&other), first);
    fs::write(dir.join("bad.toml"), "seed = 1\nsped = 2\n").unwrap();
    refused(run(dir, &["train", "--config", "bad.toml", "--out", "d"]), 3, &["bad.toml", "line 2", "sped"]);
    refused(run(dir, &["train", "--config", "none.toml", "--out", "d"]), 4, &["none.toml"]);
    assert!(!dir.join("d").exists());
    // The last two checkpoints only.
    done(run(dir, &["train", "--config", "a/config.toml", "--keep-last", "2", "--out", "e"]));
    let mut kept: Vec<_> =
        fs::read_dir(dir.join("e/checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
    kept.sort();
    assert_eq!(kept, ["step_00000020.safetensors", "step_00000030.safetensors"]);
    let seen = done(run(dir, &["inspect", "a"]));
    assert!(seen.contains(&first) && seen.contains("learning-rate") && seen.contains("0.00123"), "{seen}");
    assert!(
        done(run(dir, &["inspect", "a/checkpoints/step_00000010.safetensors"]))
            .contains("generator.out.weight")
    );
    refused(run(dir, &["inspect", "a/config.toml"]), 3, &["config.toml"]);
    // A terminal obeys nothing that a file says.
    let manifest = fs::read_to_string(dir.join("a/manifest.json")).unwrap();
    let hostile = manifest.replace("\"cpu\": \"", "\"cpu\": \"\\u001b[2J\\ngone ");
    assert_ne!(hostile, manifest);
    fs::write(dir.join("a/manifest.json"), hostile).unwrap();
    let seen = done(run(dir, &["inspect", "a"]));
    assert!(seen.contains("\u{FFFD}[2J\u{FFFD}gone ") && !seen.contains('\u{1b}'), "{seen}");
}

/// A run that takes long, and its folder.
fn long_run(dir: &Path, more: &[&str]) -> (Child, PathBuf) {
    let all = ["--steps", "100000000", "--checkpoint-every", "50", "--keep-last", "3", "--out", "run"];
    let child = duel(dir, &small(&[&all, more].concat())).spawn().unwrap();
    let folder = dir.join("run");
    while steps_kept(&folder).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    (child, folder)
}

#[test]
fn one_run_folder_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    small_data(dir.path());
    let (mut first, _) = long_run(dir.path(), &[]);
    let holder = first.id().to_string();
    let resume = ["train", "--resume", "auto", "--out", "run", "--steps", "100000000"];
    refused(run(dir.path(), &resume), 2, &["run", "process", &holder]);
    first.kill().unwrap();
    first.wait().unwrap();
    // A dead process holds nothing.
    let second = duel(dir.path(), &resume).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    signal(&second, "INT");
    let output = second.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("duel train --resume auto --out run"));
}

#[test]
fn a_signal_saves_and_a_second_one_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    small_data(dir.path());
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (child, folder) = long_run(dir.path(), &[]);
        signal(&child, name);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        done(run(dir.path(), &["inspect", "run"]));
        fs::remove_dir_all(folder).unwrap();
    }
}

/// Kills a run that writes checkpoints all the time, `times` times, at random moments.
fn kill_while_writing(times: u64) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    let all = ["--checkpoint-every", "1", "--keep-last", "2", "--steps", "100000000", "--out", "run"];
    let mut random = Random(times);
    for n in 0..times {
        let resume: &[&str] = if dir.join("run/config.toml").exists() { &["--resume", "auto"] } else { &[] };
        let mut child = duel(dir, &small(&[&all, resume].concat())).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + random.below(150)));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), None, "{}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("passed over"), "kill {n}: {}", text(&output.stderr));
    }
    done(run(dir, &["inspect", "run"]));
    // What was half-written goes at the next start.
    let child = duel(dir, &small(&[&all[..], &["--resume", "auto"]].concat())).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    for folder in ["run", "run/checkpoints", "run/samples"] {
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.ends_with(".part"), "{folder}/{name} is left over");
        }
    }
    println!("{times} kills, always a good newest checkpoint");
}

#[test]
fn killed_while_writing_checkpoints_it_keeps_a_good_one() {
    kill_while_writing(10);
}

#[test]
#[ignore = "200 kills: a minute"]
fn killed_200_times_while_writing_checkpoints_it_keeps_a_good_one() {
    kill_while_writing(200);
}

#[test]
fn a_full_disk_and_a_vanished_or_unwritable_folder_end_with_4() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    let first = digest(&done(run(dir, &small(&["--steps", "20", "--out", "run"]))));
    // The largest file may have 4 KiB (eight blocks of 512): a checkpoint does not fit.
    let limited = format!(
        "ulimit -f 8; trap '' XFSZ; exec {} train --resume auto --out run --steps 40",
        env!("CARGO_BIN_EXE_duel")
    );
    let output = Command::new("sh").args(["-c", &limited]).current_dir(dir).output().unwrap();
    refused(output, 4, &["step_00000040"]);
    assert!(done(run(dir, &["inspect", "run"])).contains(&first), "the checkpoint before is still there");
    assert!(!dir.join("run/checkpoints/step_00000040.safetensors").exists());
    done(run(dir, &["train", "--resume", "auto", "--out", "run", "--steps", "40"]));

    let (child, folder) = {
        fs::remove_dir_all(dir.join("run")).unwrap();
        long_run(dir, &[])
    };
    fs::rename(&folder, dir.join("moved")).unwrap();
    refused(child.wait_with_output().unwrap(), 4, &["run"]);
    done(run(dir, &["inspect", "moved"]));

    // Nobody writes there, not even root.
    if cfg!(target_os = "linux") {
        refused(run(dir, &small(&["--steps", "1", "--out", "/proc/duel"])), 4, &["/proc/duel"]);
    }
}
