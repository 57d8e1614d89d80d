//! What a run recorded can be made again, what was altered is found, and where two runs part is named.
#![cfg(all(feature = "cli", unix))]

mod program;

use std::fs;
use std::path::Path;
use std::time::Duration;

use duel::Digest;
use duel::data::batches::Epoch;
use duel::export::safetensors::Checkpoint;
use program::{digest, done, duel, refused, run, signal, small, small_data, text};

/// A run of 60 steps with a checkpoint every 20 and a digest at every step.
fn recorded(dir: &Path, name: &str, more: &[&str]) {
    let all: Vec<String> = (1..=60).map(|step| step.to_string()).collect();
    let steps = ["--steps", "60", "--checkpoint-every", "20", "--report-every", "7", "--out", name];
    done(run(dir, &small(&[&steps[..], &["--digest-at", &all.join(",")], more].concat())));
}

/// The logged digest of a step.
fn logged(folder: &Path, step: u64) -> String {
    let log = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let line = log.lines().find(|line| line.starts_with(&format!("{{\"step\":{step},"))).unwrap();
    line.split("\"digest\":\"").nth(1).unwrap().split('"').next().unwrap().to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn every_step_of_a_run_can_be_had_saved_or_not() {
    let dir = tempfile::tempdir().unwrap();
    small_data(dir.path());
    recorded(dir.path(), "run", &[]);
    for step in [1, 2, 19, 20, 21, 39, 59, 60] {
        let (from, out) = (format!("run@{step}"), format!("{step}.safetensors"));
        let output = done(run(dir.path(), &["export", &from, "--out", &out, "--threads", "3"]));
        assert_eq!(digest(&output), logged(&dir.path().join("run"), step));
        assert!(done(run(dir.path(), &["inspect", &from])).contains(&digest(&output)));
        let samples = |from: &str, out: &str| {
            done(run(dir.path(), &["sample", from, "--grid", "2x2", "--out", out]));
            fs::read(dir.path().join(out)).unwrap()
        };
        assert_eq!(samples(&from, &format!("{step}a.png")), samples(&out, &format!("{step}b.png")));
    }
    // A replayed state is, byte for byte, the checkpoint that the run wrote.
    let kept = dir.path().join("run/checkpoints/step_00000040.safetensors");
    let bytes = fs::read(&kept).unwrap();
    fs::remove_file(kept).unwrap();
    done(run(dir.path(), &["export", "run@40", "--out", "40.safetensors"]));
    assert_eq!(fs::read(dir.path().join("40.safetensors")).unwrap(), bytes);
    done(run(dir.path(), &["export", "run@0", "--out", "0.safetensors"]));
    refused(run(dir.path(), &["export", "run@61", "--out", "61.safetensors"]), 2, &["run@61", "0 to 60"]);
    refused(run(dir.path(), &["inspect", "gone@7"]), 4, &["gone"]);
    // A checkpoint that holds another step than its name says is passed over.
    let folder = dir.path().join("run/checkpoints");
    fs::copy(folder.join("step_00000060.safetensors"), folder.join("step_00000040.safetensors")).unwrap();
    let output = done(run(dir.path(), &["export", "run@41", "--out", "41.safetensors"]));
    assert_eq!(digest(&output), logged(&dir.path().join("run"), 41));
    fs::write(dir.path().join("data/train-images-idx3-ubyte"), other_data(dir.path(), 0)).unwrap();
    refused(run(dir.path(), &["inspect", "run@7"]), 3, &["data", "digest"]);
}

/// The small data set with one bit of one image inverted.
fn other_data(dir: &Path, image: usize) -> Vec<u8> {
    let mut bytes = fs::read(dir.join("data/train-images-idx3-ubyte")).unwrap();
    bytes[16 + 9 * image + 4] ^= 1;
    bytes
}

/// Runs `verify run --all` on what `alter` made of a copy of the run.
fn caught(dir: &Path, alter: impl FnOnce(&Path), code: i32, words: &[&str]) {
    let altered = dir.join("altered");
    copy(&dir.join("run"), &altered);
    alter(&altered);
    refused(run(dir, &["verify", "altered", "--all", "--threads", "1"]), code, words);
    fs::remove_dir_all(altered).unwrap();
}

/// Replaces text in a file, at its first place.
fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_run_altered_anywhere_is_caught_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    recorded(dir, "run", &[]);
    done(run(dir, &["verify", "run", "--all"]));
    let checkpoint = "checkpoints/step_00000040.safetensors";
    let bits = 8 * fs::read(dir.join("run").join(checkpoint)).unwrap().len();
    for bit in (0..bits).step_by(bits / 40) {
        let flip = |folder: &Path| {
            let mut bytes = fs::read(folder.join(checkpoint)).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(folder.join(checkpoint), bytes).unwrap();
        };
        caught(dir, flip, 7, &["step_00000040.safetensors"]);
    }
    // A whole checkpoint of another step.
    let other = |folder: &Path| {
        fs::copy(folder.join("checkpoints/step_00000020.safetensors"), folder.join(checkpoint)).unwrap();
    };
    caught(dir, other, 7, &["step_00000040.safetensors", "holds step 20"]);

    let manifest = fs::read_to_string(dir.join("run/manifest.json")).unwrap();
    let value = |field: &str| {
        let rest = manifest.split(&format!("\"{field}\": ")).nth(1).unwrap();
        rest.split(['\n', ',']).next().unwrap().to_string()
    };
    for field in ["bits_version", "data_digest", "images", "steps_done", "state_digest"] {
        let is = value(field);
        let to = if is.starts_with('"') { format!("{}0\"", &is[..is.len() - 2]) } else { "50".to_string() };
        let (is, to) = (format!("\"{field}\": {is}"), format!("\"{field}\": {to}"));
        caught(dir, |f| replace(&f.join("manifest.json"), &is, &to), 7, &["manifest.json", field]);
    }
    for (is, to) in [
        ("learning-rate = 0.0002", "learning-rate = 0.0003"),
        ("seed = 42", "seed = 43"),
        ("steps = 60", "steps = 61"),
    ] {
        caught(dir, |f| replace(&f.join("config.toml"), is, to), 7, &["altered: "]);
    }
    caught(
        dir,
        |f| replace(&f.join("config.toml"), "steps = 60", "steps = 59"),
        3,
        &["digest-at", "1 to 59"],
    );
    caught(dir, |f| replace(&f.join("config.toml"), "batch-size = 7", "batch-size = 0"), 3, &["config.toml"]);
    let status = |to: &'static str| move |f: &Path| replace(&f.join("manifest.json"), "\"done\"", to);
    for to in ["\"stopped\"", "\"running\"", "\"diverged\""] {
        caught(dir, status(to), 7, &["manifest.json", "status"]);
    }
    let canvas = "samples/step_00000060.png";
    for byte in [20, 60, 100] {
        let alter = |f: &Path| {
            let mut bytes = fs::read(f.join(canvas)).unwrap();
            let byte = byte.min(bytes.len() - 20);
            bytes[byte] ^= 1;
            fs::write(f.join(canvas), bytes).unwrap();
        };
        caught(dir, alter, 7, &["step_00000060.png"]);
    }
    caught(dir, |f| fs::remove_file(f.join(canvas)).unwrap(), 7, &["step_00000060.png", "missing"]);
}

#[test]
fn a_log_altered_anywhere_is_caught_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    recorded(dir, "run", &[]);
    let log = fs::read_to_string(dir.join("run/metrics.jsonl")).unwrap();
    for line in [1, 20, 33, 60] {
        let text = log.lines().nth(line - 1).unwrap().to_string();
        let at = format!(" {line}");
        for field in ["g_loss", "d_loss", "mean_d_real", "mean_d_fake", "digest"] {
            // The last digit of the value.
            let start = text.find(&format!("\"{field}\":")).unwrap();
            let end = start + text[start..].find([',', '}']).unwrap() - if field == "digest" { 1 } else { 0 };
            let digit = if text.as_bytes()[end - 1] == b'3' { "4" } else { "3" };
            let changed = format!("{}{digit}{}", &text[..end - 1], &text[end..]);
            caught(dir, |f| replace(&f.join("metrics.jsonl"), &text, &changed), 7, &["metrics.jsonl", &at]);
        }
        let removed = |f: &Path| replace(&f.join("metrics.jsonl"), &format!("{text}\n"), "");
        caught(dir, removed, 7, &["metrics.jsonl", &at, "missing"]);
        let twice = |f: &Path| replace(&f.join("metrics.jsonl"), &text, &format!("{text}\n{text}"));
        caught(dir, twice, 7, &["metrics.jsonl", &at]);
    }
    // A line after the end, as right as can be.
    done(run(dir, &small(&["--steps", "63", "--digest-at", "63", "--out", "longer"])));
    let longer = fs::read_to_string(dir.join("longer/metrics.jsonl")).unwrap();
    let more =
        |f: &Path| fs::write(f.join("metrics.jsonl"), log.clone() + longer.lines().last().unwrap() + "\n");
    caught(dir, |f| more(f).unwrap(), 7, &["metrics.jsonl", "beyond"]);
}

#[test]
fn a_forgery_that_agrees_with_itself_is_caught_by_training_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    recorded(dir, "run", &[]);
    let forge = |folder: &Path| {
        let path = folder.join("checkpoints/step_00000060.safetensors");
        let mut checkpoint = Checkpoint::decode(&fs::read(&path).unwrap(), "it").unwrap();
        let digest = checkpoint.digests.state.to_string();
        checkpoint.state[100] ^= 1;
        checkpoint.digests.state = Digest::of(&checkpoint.state);
        let forged = checkpoint.digests.state.to_string();
        fs::write(path, checkpoint.encode().unwrap()).unwrap();
        replace(&folder.join("metrics.jsonl"), &digest, &forged);
        replace(&folder.join("manifest.json"), &digest, &forged);
    };
    caught(dir, forge, 7, &["step 60", "expected"]);
    // Another seed's run under this one's settings.
    done(run(dir, &small(&["--steps", "60", "--seed", "43", "--checkpoint-every", "20", "--out", "other"])));
    let swap = |folder: &Path| {
        for file in ["checkpoints/step_00000020.safetensors", "metrics.jsonl"] {
            fs::copy(dir.join("other").join(file), folder.join(file)).unwrap();
        }
    };
    caught(dir, swap, 7, &["altered"]);
}

#[test]
fn settings_of_the_log_altered_are_caught() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    done(run(
        dir,
        &small(&["--steps", "60", "--checkpoint-every", "20", "--report-every", "7", "--out", "run"]),
    ));
    for (is, to) in [
        ("report-every = 7", "report-every = 8"),
        ("checkpoint-every = 20", "checkpoint-every = 15"),
        ("digest-at = []", "digest-at = [33]"),
    ] {
        caught(dir, |f| replace(&f.join("config.toml"), is, to), 7, &["metrics.jsonl"]);
    }
}

#[test]
fn runs_that_were_stopped_killed_or_thinned_out_verify() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    for (name, more) in [
        ("thinned", &["--keep-last", "1", "--checkpoint-every", "7", "--steps", "50"][..]),
        ("without", &["--checkpoint-every", "0", "--steps", "50"]),
        ("nothing", &["--steps", "0"]),
    ] {
        done(run(dir, &small(&[more, &["--out", name]].concat())));
        let said = done(run(dir, &["verify", name, "--all"]));
        assert!(said.contains("as recorded"), "{said}");
    }
    // Extended: what the first end left is no harm.
    done(run(dir, &["train", "--resume", "auto", "--out", "thinned", "--steps", "60"]));
    done(run(dir, &["verify", "thinned", "--all"]));
    // Stopped, gone on, and stopped again by a kill.
    for (name, signals) in [("stopped", &["INT"][..]), ("killed", &["INT", "KILL"])] {
        let folder = dir.join(name);
        for (n, name_of_signal) in signals.iter().enumerate() {
            let more =
                ["--steps", "1000000", "--checkpoint-every", "500", "--report-every", "100", "--out", name];
            let resume = ["--resume", "auto"];
            let more = [&more[..], if n > 0 { &resume[..] } else { &[] }].concat();
            let kept = || fs::read_dir(folder.join("checkpoints")).map_or(0, Iterator::count);
            let before = kept();
            let mut child = duel(dir, &small(&more)).spawn().unwrap();
            while kept() < before + 2 {
                std::thread::sleep(Duration::from_millis(5));
            }
            if n == 0 {
                refused(run(dir, &["verify", name]), 2, &[name, "is being trained"]);
            }
            signal(&child, name_of_signal);
            child.wait().unwrap();
        }
        let status = if name == "stopped" { "\"stopped\"" } else { "\"running\"" };
        assert!(fs::read_to_string(folder.join("manifest.json")).unwrap().contains(status));
        done(run(dir, &["verify", name]));
        done(run(dir, &["verify", name, "--sample", "2", "--isa", "wide"]));
        refused(run(dir, &["verify", name, "--sample", "0"]), 2, &["--sample"]);
    }
    // A stop that was cut short before its manifest, and a line that was cut off.
    replace(&dir.join("stopped/manifest.json"), "\"stopped\"", "\"running\"");
    let manifest = fs::read_to_string(dir.join("stopped/manifest.json")).unwrap();
    let digest = manifest.split("\"state_digest\": ").nth(1).unwrap().split('\n').next().unwrap();
    replace(&dir.join("stopped/manifest.json"), digest, "null");
    let log = fs::read_to_string(dir.join("stopped/metrics.jsonl")).unwrap();
    fs::write(dir.join("stopped/metrics.jsonl"), log + "{\"step\":1").unwrap();
    done(run(dir, &["verify", "stopped"]));
    // Other data than the run's are bad input, not an altered run.
    fs::create_dir(dir.join("others")).unwrap();
    fs::write(dir.join("others/train-images-idx3-ubyte"), other_data(dir, 0)).unwrap();
    refused(run(dir, &["verify", "thinned", "--data", "others"]), 3, &["others", "digest"]);
}

#[test]
fn a_run_that_diverged_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    let wild = ["--steps", "100", "--learning-rate", "100000", "--out", "run"];
    assert_eq!(run(dir, &small(&wild)).status.code(), Some(5));
    done(run(dir, &["verify", "run", "--all"]));
    let manifest = fs::read_to_string(dir.join("run/manifest.json")).unwrap();
    let steps = manifest.split("\"steps_done\": ").nth(1).unwrap().split(',').next().unwrap();
    let step: u64 = steps.parse().unwrap();
    for other in [step - 1, step + 1] {
        let to = format!("\"steps_done\": {other}");
        let alter = |f: &Path| replace(&f.join("manifest.json"), &format!("\"steps_done\": {step}"), &to);
        caught(dir, alter, 7, &["diverge"]);
    }
}

#[test]
fn a_run_goes_on_with_the_lines_that_its_log_has() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    done(run(
        dir,
        &small(&["--steps", "40", "--checkpoint-every", "20", "--report-every", "10", "--out", "run"]),
    ));
    let resume = |more: &[&str]| {
        let go_on = ["train", "--resume", "auto", "--out", "run", "--steps", "60"];
        run(dir, &[&go_on[..], more].concat())
    };
    for more in [["--report-every", "7"], ["--checkpoint-every", "5"], ["--digest-at", "33"]] {
        refused(resume(&more), 2, &[more[0], "log"]);
    }
    done(resume(&["--report-every", "20", "--digest-at", "47"]));
    done(run(dir, &["verify", "run", "--all"]));
}

#[test]
fn two_runs_part_where_diff_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    let plain = ["--steps", "60", "--checkpoint-every", "20"];
    let train = |more: &[&str]| done(run(dir, &small(&[&plain[..], more].concat())));
    train(&["--out", "a"]);
    train(&["--out", "same", "--threads", "3"]);
    done(run(dir, &["diff", "a", "same"]));
    done(run(dir, &["diff", "a@13", "same@13"]));
    let output = run(dir, &["diff", "a@13", "a@14"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("step: 13 | 14") && text(&output.stdout).contains(" ulp"));

    // One bit of one image: the first step whose batch has it.
    fs::create_dir(dir.join("altered-data")).unwrap();
    let image = 3 + 61;
    fs::write(dir.join("altered-data/train-images-idx3-ubyte"), other_data(dir, image)).unwrap();
    train(&["--out", "b", "--data", "altered-data"]);
    let (mut epoch, mut order, mut batch) = (Epoch::default(), vec![0; 87], vec![0; 7]);
    let met = (1..=60).find(|&step| {
        epoch.batch(step, 42, &mut order, &mut batch);
        batch.contains(&61)
    });
    let output = run(dir, &["diff", "a", "b"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(
        said.contains(&format!("first step after which the states differ: {}\n", met.unwrap())),
        "{said}"
    );
    assert!(
        said.contains("image 64") && said.contains("first tensor that differs: discriminator."),
        "{said}"
    );

    // Other settings are said without a replay: without data.
    train(&["--out", "faster", "--learning-rate", "0.001"]);
    train(&["--out", "both", "--learning-rate", "0.001", "--data", "altered-data"]);
    done(run(dir, &small(&["--steps", "40", "--checkpoint-every", "20", "--out", "shorter"])));
    fs::rename(dir.join("data"), dir.join("moved")).unwrap();
    let output = run(dir, &["diff", "a", "faster"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "learning-rate: 0.0002 | 0.001\n");
    let output = run(dir, &["diff", "a", "shorter"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("end: step 60, sha256:"), "{}", text(&output.stdout));
    let output = run(dir, &["diff", "a", "both"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("learning-rate: 0.0002 | 0.001\ndata: sha256:"));
    // Killed at different places: neither manifest tells.
    for (name, kept) in [("k1", "20"), ("k2", "40")] {
        copy(&dir.join("a"), &dir.join(name));
        let manifest = dir.join(name).join("manifest.json");
        let digest = logged(&dir.join("a"), 60);
        replace(&manifest, &format!("\"{digest}\""), "null");
        replace(&manifest, "\"done\"", "\"running\"");
        for step in ["20", "40", "60"].iter().filter(|step| **step > kept) {
            fs::remove_file(dir.join(name).join(format!("checkpoints/step_000000{step}.safetensors")))
                .unwrap();
        }
    }
    let output = run(dir, &["diff", "k1", "k2"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}

#[test]
fn a_log_that_lies_is_not_a_difference_of_the_runs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    recorded(dir, "run", &[]);
    copy(&dir.join("run"), &dir.join("liar"));
    let true_digest = logged(&dir.join("run"), 33);
    let lie = Digest::of(b"lie").to_string();
    replace(&dir.join("liar/metrics.jsonl"), &true_digest, &lie);
    let output = run(dir, &["diff", "run", "liar"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains(&format!("same state after step 33, {true_digest}")));
}

#[test]
fn this_machine_makes_the_published_bits() {
    let dir = tempfile::tempdir().unwrap();
    let said = done(run(dir.path(), &["verify", "--quick", "--threads", "2"]));
    for isa in duel::Isa::NAMES {
        let rows: Vec<&str> = said.lines().filter(|line| line.starts_with(isa)).collect();
        let run = duel::Isa::named(isa).is_ok();
        assert_eq!(rows.iter().any(|row| row.contains("small nets: sha256:")), run, "{isa}: {rows:?}");
        assert!(rows.iter().any(|row| row.contains("not run: ")), "{isa}: {rows:?}");
    }
    refused(run(dir.path(), &["verify", "--golden"]), 4, &["train-images-idx3-ubyte"]);
    small_data(dir.path());
    refused(run(dir.path(), &["verify", "--golden"]), 3, &["expected MNIST"]);
    refused(run(dir.path(), &["verify", "gone"]), 4, &["gone"]);
}
