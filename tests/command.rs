//! The `duel` program from outside: what it writes, and one line and the right exit code for everything that is wrong.
#![cfg(feature = "cli")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `duel train` with `arguments` in `dir`.
fn train(dir: &Path, arguments: &[&str]) -> Output {
    duel(dir, &[&["train"], arguments].concat())
}

/// Runs `duel` with `arguments` in `dir`.
fn duel(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_duel"))
        .args(arguments)
        .current_dir(dir)
        .env_remove("DUEL_ISA")
        .env_remove("DUEL_THREADS")
        .output()
        .unwrap()
}

/// An IDX image file of `count` images of 3×3, all header words free.
fn idx(magic: u32, count: u32, height: u32, width: u32, pixels: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = [magic, count, height, width].iter().flat_map(|w| w.to_be_bytes()).collect();
    bytes.extend((0..pixels).map(|i| (i * 37 % 256) as u8));
    bytes
}

/// A folder with a plain image file of those bytes.
fn data(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let folder = dir.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("train-images-idx3-ubyte"), bytes).unwrap();
    folder
}

/// Asserts exit code `code`, one line on stderr that holds every word of `words`, no run folder `out`.
fn refused(dir: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let out = dir.join("refused");
    let mut all = vec!["--steps", "2"];
    if !arguments.contains(&"--out") {
        all.extend(["--out", out.to_str().unwrap()]);
    }
    all.extend(arguments);
    let output = train(dir, &all);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{arguments:?}: {text}");
    assert!(words.iter().all(|word| text.contains(word)), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty() && !out.exists(), "{arguments:?} left something");
}

#[test]
fn a_small_run_writes_its_folder_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path(), "data", &idx(0x803, 40, 3, 3, 360));
    let small = ["--batch-size", "8", "--validation", "4", "--latent-size", "3"];
    let run = |extra: &[&str]| train(dir.path(), &[&small[..], extra].concat());

    let output = run(&["--steps", "2001", "--threads", "2"]);
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].starts_with("Step 1: Generator Loss: ") && lines[0].contains(", Discriminator Loss: "));
    assert!(lines[1].starts_with("Step 2000: "));
    assert!(lines[2].starts_with("State digest: sha256:") && lines.len() == 3);
    assert!(stderr.starts_with("data, 36 images · seed 42 · "), "{stderr}");
    assert!(stderr.contains("runs/seed-42/samples/step_00002001.png"), "{stderr}");
    let folder = dir.path().join("runs/seed-42");
    for step in ["step_00002000", "step_00002001"] {
        let file = fs::File::open(folder.join(format!("samples/{step}.png"))).unwrap();
        let reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (18, 18));
    }
    let bytes = fs::read(folder.join("checkpoints/step_00002001.safetensors")).unwrap();
    let state = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(state.len(), 24);
    assert_eq!(state.tensor("generator.hidden.weight").unwrap().shape(), [3, 256]);
    assert_eq!(state.tensor("generator.out.weight.adam_m").unwrap().shape(), [256, 9]);
    assert_eq!(state.tensor("discriminator.out.bias.adam_v").unwrap().shape(), [1]);

    // The default folder is taken now; the next free name is used, and an explicit one refused.
    assert!(run(&["--steps", "0"]).status.success());
    assert!(dir.path().join("runs/seed-42-2/checkpoints/step_00000000.safetensors").exists());
    let output = run(&["--steps", "1", "--out", "runs/seed-42"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--out"));
}

#[test]
fn plain_comes_before_gzip_and_both_give_the_same_bits() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let bytes = idx(0x803, 40, 3, 3, 360);
    data(dir.path(), "plain", &bytes);
    fs::create_dir(dir.path().join("zipped")).unwrap();
    let file = fs::File::create(dir.path().join("zipped/train-images-idx3-ubyte.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap();
    let run = |name: &str| {
        let arguments = ["--data", name, "--batch-size", "8", "--validation", "0", "--steps", "3", "--out"];
        train(dir.path(), &[&arguments[..], &[&format!("out-{name}")]].concat()).stdout
    };
    let zipped = run("zipped");
    assert!(!zipped.is_empty());
    assert_eq!(run("plain"), zipped);
    // With both there, the plain one is read: a broken gzip beside it does no harm.
    fs::write(dir.path().join("plain/train-images-idx3-ubyte.gz"), b"broken").unwrap();
    fs::remove_dir_all(dir.path().join("out-plain")).unwrap();
    assert_eq!(run("plain"), zipped);
}

#[test]
fn bad_data_are_refused_with_3_and_missing_data_with_4() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let good = idx(0x803, 40, 3, 3, 360);
    refused(dir, &["--data", "nowhere"], 4, &["nowhere"]);
    for (name, bytes, words) in [
        ("empty", vec![], "empty"),
        ("magic", idx(0x999, 40, 3, 3, 360), "magic"),
        ("labels", idx(0x801, 40, 3, 3, 360), "labels"),
        ("huge", idx(0x803, u32::MAX, u32::MAX, u32::MAX, 9), "pixels"),
        ("many", idx(0x803, u32::MAX, 256, 256, 9), "pixels"),
        ("short", idx(0x803, 40, 3, 3, 359), "359 of 360"),
        ("long", idx(0x803, 40, 3, 3, 361), "more than"),
        ("none", idx(0x803, 0, 3, 3, 0), "no images"),
    ] {
        data(dir, name, &bytes);
        refused(dir, &["--data", name], 3, &[name, words]);
    }
    data(dir, "good", &good);
    refused(dir, &["--data", "good", "--validation", "0"], 3, &["good", "batch-size"]);
    refused(dir, &["--data", "good", "--validation", "40", "--batch-size", "1"], 3, &["good", "validation"]);

    use std::io::Write;
    fs::create_dir(dir.join("cut")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&good).unwrap();
    let zipped = encoder.finish().unwrap();
    fs::write(dir.join("cut/train-images-idx3-ubyte.gz"), &zipped[..zipped.len() - 6]).unwrap();
    refused(dir, &["--data", "cut"], 3, &["cut", "truncated"]);
    let mut damaged = zipped.clone();
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    fs::write(dir.join("cut/train-images-idx3-ubyte.gz"), &damaged).unwrap();
    refused(dir, &["--data", "cut"], 3, &["cut", "damaged"]);
}

#[test]
fn data_are_called_mnist_only_if_they_are() {
    let dir = tempfile::tempdir().unwrap();
    // As many images of the same size, all black.
    let folder = data(dir.path(), "data", &idx(0x803, 60_000, 28, 28, 0));
    let file = fs::File::options().write(true).open(folder.join("train-images-idx3-ubyte")).unwrap();
    file.set_len(16 + 60_000 * 784).unwrap();
    let said = |data: &str, out: &str| {
        let output = train(dir.path(), &["--data", data, "--steps", "0", "--out", out]);
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said("data", "others").starts_with("data, 55,000 images"));
    let mnist = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    assert!(said(mnist.to_str().unwrap(), "mnist").starts_with("MNIST, 55,000 images"));
}

#[test]
fn bad_settings_are_refused_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    data(dir, "data", &idx(0x803, 40, 3, 3, 360));
    for (flag, value) in [
        ("--batch-size", "0"),
        ("--batch-size", "65537"),
        ("--latent-size", "65537"),
        ("--generator-hidden", "0"),
        ("--discriminator-hidden", "100000"),
        ("--learning-rate", "nan"),
        ("--learning-rate", "inf"),
        ("--learning-rate", "-1"),
        ("--learning-rate", "fast"),
        ("--isa", "mmx"),
        ("--threads", "1000000"),
        ("--threads", "0"),
        ("--steps", "-1"),
        ("--report-every", "0"),
    ] {
        refused(dir, &[flag, value], 2, &[flag]);
    }
    refused(dir, &["--no-such-flag"], 2, &["--no-such-flag"]);
    refused(dir, &["--data", ""], 2, &["--data"]);
    refused(dir, &["--seed", ""], 2, &["--seed", "not \"\""]);
    // A list may be given in parts.
    let steps = ["--digest-at", "1", "--digest-at", "2,3"];
    let small = ["--batch-size", "8", "--validation", "4", "--steps", "3", "--out", "listed"];
    assert!(train(dir, &[&steps[..], &small].concat()).status.success());
    assert!(fs::read_to_string(dir.join("listed/config.toml")).unwrap().contains("digest-at = [1, 2, 3]"));
}

#[test]
fn a_folder_below_a_file_is_refused_with_4() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path(), "data", &idx(0x803, 40, 3, 3, 360));
    fs::write(dir.path().join("file"), b"").unwrap();
    let arguments = ["--batch-size", "8", "--validation", "0", "--out", "file/run"];
    refused(dir.path(), &arguments, 4, &["file/run"]);
}

#[test]
fn divergence_ends_with_5_names_the_step_and_saves_no_state() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path(), "data", &idx(0x803, 40, 3, 3, 360));
    let output = train(
        dir.path(),
        &[
            "--batch-size",
            "8",
            "--validation",
            "0",
            "--learning-rate",
            "1e30",
            "--steps",
            "5",
            "--out",
            "run",
        ],
    );
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("diverged at step 1"), "{text}");
    assert!(fs::read_dir(dir.path().join("run/checkpoints")).unwrap().next().is_none());
    assert!(fs::read_dir(dir.path().join("run/samples")).unwrap().next().is_none());
}

#[test]
fn the_environment_chooses_where_no_flag_does() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path(), "data", &idx(0x803, 40, 3, 3, 360));
    let run = |isa: &str, flags: &[&str]| {
        let fixed = ["train", "--batch-size", "8", "--validation", "0", "--steps", "1"];
        Command::new(env!("CARGO_BIN_EXE_duel"))
            .args(fixed)
            .args(flags)
            .current_dir(dir.path())
            .env("DUEL_ISA", isa)
            .env("DUEL_THREADS", "3")
            .output()
            .unwrap()
    };
    let text = |output: Output| String::from_utf8(output.stderr).unwrap();
    assert!(text(run("wide", &[])).contains("· wide · 1 of 3 threads ·"));
    assert!(
        text(run("wide", &["--isa", "reference", "--threads", "1"])).contains("· reference · 1 thread ·")
    );
    let unknown = run("mmx", &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(unknown).contains("DUEL_ISA"));
}

/// A small run in `run`, trained on 3×3 images.
fn small_run(dir: &Path) {
    data(dir, "data", &idx(0x803, 40, 3, 3, 360));
    let output = train(dir, &["--batch-size", "8", "--validation", "0", "--steps", "30", "--out", "run"]);
    assert!(output.status.success());
}

#[test]
fn samples_come_back_through_the_loader_and_depend_on_seed_and_index_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_run(dir);
    let sample = |arguments: &[&str]| {
        let output = duel(dir, &[&["sample", "run", "--seed", "7"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let many = ["--count", "300", "--out", "set/train-images-idx3-ubyte.gz"];
    let digest = sample(&many);
    assert!(digest.starts_with("Samples digest: sha256:"));
    // The set is data: the loader's bytes are the library's samples, made one by one on another backend.
    let set = duel::Dataset::open(&dir.join("set")).unwrap();
    let images = set.images();
    assert_eq!((images.count(), images.height(), images.width()), (300, 3, 3));
    let state = fs::read(dir.join("run/checkpoints/step_00000030.safetensors")).unwrap();
    let checkpoint = duel::export::safetensors::Checkpoint::decode(&state, "state").unwrap();
    let mut sampler = checkpoint.sampler(false).unwrap();
    sampler.set_isa(duel::Isa::Reference);
    for i in [0, 1, 127, 128, 299] {
        let mut image = [0; 9];
        sampler.sample(&duel::Serial, 7, i, &mut image).unwrap();
        assert_eq!(images.image(i as usize), image, "image {i}");
    }
    // Plain, with other threads: the same bytes.
    let plain = ["--count", "300", "--threads", "3", "--out", "plain/train-images-idx3-ubyte"];
    assert_eq!(sample(&plain), digest);
    let plain = duel::Dataset::open(&dir.join("plain")).unwrap();
    assert_eq!(plain.digest(), set.digest());
    // And a run can be trained on it.
    let arguments =
        ["--data", "set", "--steps", "2", "--batch-size", "8", "--validation", "0", "--out", "again"];
    assert!(train(dir, &arguments).status.success());

    // The canvas of the run's own seed is the one that training drew.
    let output = duel(dir, &["sample", "run/checkpoints/step_00000030.safetensors", "--out", "canvas.png"]);
    assert!(output.status.success());
    let last = fs::read(dir.join("run/samples/step_00000030.png")).unwrap();
    assert_eq!(fs::read(dir.join("canvas.png")).unwrap(), last);
    sample(&["--grid", "5x2", "--count", "7", "--no-invert", "--out", "white.png"]);
    let file = fs::File::open(dir.join("white.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut pixels = vec![1; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    assert_eq!((reader.info().width, reader.info().height), (15, 6));
    assert_eq!(pixels[0..3], images.image(0)[0..3]);
    assert_eq!(pixels[3 * 15 + 6..4 * 15], [0; 9], "the last three places are empty");
}

#[test]
fn bad_samples_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_run(dir);
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = duel(dir, &[&["sample"], arguments].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert_eq!(text.trim_end().lines().count(), 1, "{arguments:?}: {text}");
        assert!(words.iter().all(|word| text.contains(word)), "{arguments:?}: {text}");
        assert!(!dir.join("out.png").exists());
    };
    refused(&["run", "--out", "out.jpg"], 2, &["--out", ".png"]);
    refused(&["run", "--out", "run/manifest.json"], 2, &["--out"]);
    refused(&["run", "--out", "run/samples/step_00000030.png"], 2, &["--out", "exists"]);
    refused(&["run", "--grid", "0x6", "--out", "out.png"], 2, &["--grid"]);
    refused(&["run", "--grid", "six", "--out", "out.png"], 2, &["--grid"]);
    refused(&["run", "--count", "37", "--out", "out.png"], 2, &["--count", "37"]);
    refused(&["run", "--count", "0", "--out", "out.png"], 2, &["--count"]);
    refused(&["nowhere", "--out", "out.png"], 4, &["nowhere"]);
    refused(&["data", "--out", "out.png"], 4, &["data/checkpoints"]);
    refused(&["data/train-images-idx3-ubyte", "--out", "out.png"], 3, &["safetensors"]);
    refused(&["run", "--out", "data/train-images-idx3-ubyte/x.png"], 4, &["train-images-idx3-ubyte"]);
    let state = fs::read(dir.join("run/checkpoints/step_00000030.safetensors")).unwrap();
    for length in [0, 7, 8, 100, state.len() / 2, state.len() - 1] {
        fs::write(dir.join("cut"), &state[..length]).unwrap();
        refused(&["cut", "--out", "out.png"], 3, &["cut"]);
    }
}
