//! What people look at and take elsewhere: films, walks, reports, sweeps, NumPy's files, runs from given parameters.
#![cfg(feature = "cli")]

mod program;

use std::fs;
use std::path::Path;

use duel::export::grid::Canvas;
use program::{SMALL, digest, done, refused, run, small_data};

/// A run of 30 steps in `run`, with checkpoints every 10.
fn trained(dir: &Path, extra: &[&str]) {
    small_data(dir);
    let flags = ["train", "--steps", "30", "--checkpoint-every", "10", "--out", "run"];
    done(run(dir, &[&flags[..], &SMALL, extra].concat()));
}

/// The frames of an animated PNG: width, height, pixels of each.
fn frames(path: &Path) -> (usize, usize, Vec<Vec<u8>>) {
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap())).read_info().unwrap();
    let count = reader.info().animation_control().map_or(1, |control| control.num_frames);
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let frame = |_| {
        let mut pixels = vec![0; width * height];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    };
    (width, height, (0..count).map(frame).collect())
}

#[test]
fn every_frame_of_a_film_is_the_sample_of_its_step() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir, &[]);
    done(run(dir, &["film", "run", "--steps", "30,0,7,10", "--scale", "1", "--out", "film.png"]));
    let (width, height, film) = frames(&dir.join("film.png"));
    assert_eq!((width, height, film.len()), (18, 18 + 9, 4));
    for (step, frame) in [0, 7, 10, 30].iter().zip(&film) {
        let name = format!("{step}.png");
        done(run(dir, &["sample", &format!("run@{step}"), "--out", &name]));
        let (.., sample) = frames(&dir.join(&name));
        assert_eq!(frame[..18 * 18], sample[0], "step {step}");
    }
    done(run(dir, &["film", "run", "--frames", "5", "--spacing", "even", "--out", "even.png"]));
    assert_eq!(frames(&dir.join("even.png")).2.len(), 5);
    refused(run(dir, &["film", "run", "--out", "film.png"]), 2, &["--out", "exists"]);
    refused(run(dir, &["film", "run", "--out", "film.gif"]), 2, &["--out", "NAME.png"]);
    let beyond = run(dir, &["film", "run", "--steps", "0,31", "--out", "x.png"]);
    assert_eq!(beyond.stderr.split(|byte| *byte == b'\n').count(), 2, "one line");
    refused(beyond, 2, &["run@31", "0 to 30"]);
    refused(run(dir, &["film", "run", "--fps", "0", "--out", "x.png"]), 2, &["--fps", "1 to 1000"]);
    refused(run(dir, &["film", "nowhere", "--out", "x.png"]), 4, &["nowhere"]);
}

#[test]
fn a_walk_begins_and_ends_at_its_samples() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir, &[]);
    for path in ["great-circle", "linear"] {
        let (strip, film) = (format!("{path}.png"), format!("{path}-film.png"));
        let flags = ["interpolate", "run", "--from", "3", "--to", "1", "--frames", "4", "--path", path];
        done(run(dir, &[&flags[..], &["--out", &strip, "--film", &film, "--scale", "1"]].concat()));
        let (width, height, strip) = frames(&dir.join(&strip));
        assert_eq!((width, height), (12, 3));
        let (.., film) = frames(&dir.join(&film));
        assert_eq!(film.len(), 6, "there and back");
        done(run(
            dir,
            &[
                "sample",
                "run",
                "--count",
                "4",
                "--no-invert",
                "--grid",
                "4x1",
                "--out",
                &format!("{path}-4.png"),
            ],
        ));
        let (.., samples) = frames(&dir.join(format!("{path}-4.png")));
        for (place, sample) in [(0, 3), (3, 1)] {
            for y in 0..3 {
                let ours = &strip[0][12 * y + 3 * place..][..3];
                let theirs = &samples[0][12 * y + 3 * sample..][..3];
                assert!(ours.iter().zip(theirs).all(|(a, b)| *a == 255 - b), "{path}: picture {place}");
            }
        }
    }
    refused(
        run(dir, &["interpolate", "run", "--frames", "1", "--out", "x.png"]),
        2,
        &["--frames", "2 to 1000"],
    );
    refused(run(dir, &["interpolate", "run", "--class", "1", "--out", "x.png"]), 2, &["--class", "--labels"]);
    refused(run(dir, &["interpolate", "run"]), 2, &["--out"]);
}

/// NumPy's file of f32 [n, columns].
fn npy(values: &[f32], columns: usize) -> Vec<u8> {
    let shape = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {columns}), }}",
        values.len() / columns
    );
    let header = format!("{shape:<117}\n");
    let data = values.iter().flat_map(|x| x.to_le_bytes());
    b"\x93NUMPY\x01\x00\x76\x00".iter().copied().chain(header.bytes()).chain(data).collect()
}

#[test]
fn noise_of_numpy_makes_the_images_that_its_seed_makes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir, &[]);
    let mut noise = vec![0.0; 5 * 5];
    noise.chunks_mut(5).enumerate().for_each(|(i, z)| duel::rng::sample_noise(9, i as u64, z));
    fs::write(dir.join("z.npy"), npy(&noise, 5)).unwrap();
    let of_noise = done(run(dir, &["sample", "run", "--z", "z.npy", "--out", "z-images.npy"]));
    let of_seed = done(run(dir, &["sample", "run", "--seed", "9", "--count", "5", "--out", "images.npy"]));
    assert_eq!(of_noise, of_seed);
    let images = fs::read(dir.join("images.npy")).unwrap();
    assert_eq!(images, fs::read(dir.join("z-images.npy")).unwrap());
    assert!(
        images.starts_with(b"\x93NUMPY")
            && String::from_utf8_lossy(&images).contains("'shape': (5, 3, 3), }")
    );
    fs::write(dir.join("narrow.npy"), npy(&noise[..6], 3)).unwrap();
    refused(
        run(dir, &["sample", "run", "--z", "narrow.npy", "--out", "x.npy"]),
        3,
        &["narrow.npy", "float32 [n, 5]"],
    );
    fs::write(dir.join("none.npy"), npy(&[], 5)).unwrap();
    refused(run(dir, &["sample", "run", "--z", "none.npy", "--out", "x.npy"]), 2, &["--z", "1 or more"]);
    fs::write(dir.join("nan.npy"), npy(&[0.0, f32::NAN, 0.0, 0.0, 0.0], 5)).unwrap();
    refused(run(dir, &["sample", "run", "--z", "nan.npy", "--out", "x.npy"]), 3, &["nan.npy", "value 1"]);
    refused(run(dir, &["sample", "run", "--z", "z.npy", "--seed", "1", "--out", "x.npy"]), 2, &["--seed"]);
    refused(run(dir, &["sample", "run", "--z", "gone.npy", "--out", "x.npy"]), 4, &["gone.npy"]);
}

/// The checkpoint of step 0 of a run with an average whose parameters were not given.
fn small_average_start(dir: &Path) -> Vec<u8> {
    done(run(dir, &[&["train", "--steps", "0", "--average", "0.5", "--out", "other"], &SMALL[..]].concat()));
    fs::read(dir.join("other/checkpoints/step_00000000.safetensors")).unwrap()
}

#[test]
fn a_run_from_given_parameters_keeps_them_and_is_checked_resumed_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir, &[]);
    let init = "run/checkpoints/step_00000030.safetensors";
    let from_there = |out: &str, more: &[&str]| {
        let flags = [
            "train",
            "--steps",
            "20",
            "--checkpoint-every",
            "5",
            "--keep-last",
            "1",
            "--average",
            "0.5",
            "--init",
            init,
        ];
        run(dir, &[&flags[..], &["--out", out], &SMALL, more].concat())
    };
    let straight = digest(&done(from_there("given", &[])));
    let kept: Vec<_> = fs::read_dir(dir.join("given/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(kept.len(), 2, "the beginning stays: {kept:?}");
    done(run(dir, &["verify", "given", "--all"]));
    assert!(done(run(dir, &["inspect", "given"])).contains("given at step 0"));
    done(run(dir, &["report", "given", "--out", "given.html"]));
    let page = fs::read_to_string(dir.join("given.html")).unwrap();
    let command = "duel train --config given/config.toml --init given/checkpoints/step_00000000.safetensors --out again";
    assert!(page.contains(command));
    done(run(dir, &command.split(' ').skip(1).collect::<Vec<_>>()));
    done(run(dir, &["diff", "given", "again"]));
    let sampled = |what: &str, out: &str| done(run(dir, &["sample", what, "--out", out]));
    assert_eq!(sampled("given@0", "0.png"), sampled("run", "30.png"));
    sampled("given@13", "13.png");
    // Gone on with from its beginning.
    fs::remove_file(dir.join("given/checkpoints/step_00000020.safetensors")).unwrap();
    let again = done(run(dir, &["train", "--resume", "auto", "--out", "given"]));
    assert_eq!(digest(&again), straight);
    // Another one in its place is none of the run's.
    let first = dir.join("given/checkpoints/step_00000000.safetensors");
    let own = fs::read(&first).unwrap();
    let other = small_average_start(dir);
    fs::write(&first, other).unwrap();
    for what in
        [&["sample", "given@3", "--out", "3.png"][..], &["train", "--resume", "auto", "--out", "given"]]
    {
        refused(run(dir, what), 3, &["step 0", "not that one"]);
    }
    fs::write(&first, own).unwrap();
    // Without it, it is not the run that it says it is.
    fs::remove_file(dir.join("given/checkpoints/step_00000000.safetensors")).unwrap();
    refused(run(dir, &["sample", "given@3", "--out", "3.png"]), 3, &["given", "step 0"]);
    refused(run(dir, &["verify", "given"]), 7, &["step 0"]);
    fs::remove_file(dir.join("given/checkpoints/step_00000020.safetensors")).unwrap();
    refused(run(dir, &["train", "--resume", "auto", "--out", "given"]), 3, &["step 0"]);
}

#[test]
fn parameters_that_are_not_the_networks_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir, &[]);
    let init = "run/checkpoints/step_00000030.safetensors";
    fs::write(dir.join("text"), "not one").unwrap();
    refused(
        run(dir, &[&["train", "--init", "text", "--out", "x"], &SMALL[..]].concat()),
        3,
        &["text", "safetensors"],
    );
    refused(run(dir, &[&["train", "--init", "gone", "--out", "x"], &SMALL[..]].concat()), 4, &["gone"]);
    let wider = SMALL.map(|word| if word == "21" { "22" } else { word });
    let wider = run(dir, &[&["train", "--init", init, "--out", "x"], &wider[..]].concat());
    refused(wider, 3, &["generator.hidden.weight", "expected F32 [5, 22]"]);
    assert!(!dir.join("x").exists());
}

#[test]
fn a_sweep_comes_to_the_digests_of_its_runs_however_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    let sweep = |out: &str, more: &[&str]| {
        let flags = ["sweep", "--seeds", "4..6", "--set", "beta1=0.5,0.9", "--steps", "30", "--out", out];
        run(dir, &[&flags[..], &SMALL, more].concat())
    };
    let all = done(sweep("here", &["--jobs", "3"]));
    assert_eq!(all.matches(": done, 30 steps sha256:").count(), 4, "{all}");
    assert!(all.contains("beta1 0.5: 2 runs, median (quartiles): g_loss"), "{all}");
    assert_eq!(done(sweep("here", &[])), all, "there is nothing left to do");
    done(sweep("there", &["--plan-only"]));
    assert_eq!(
        fs::read(dir.join("here/plan.jsonl")).unwrap(),
        fs::read(dir.join("there/plan.jsonl")).unwrap()
    );
    for index in ["2", "0", "3", "1"] {
        let one = done(run(dir, &["sweep", "run", "there/plan.jsonl", "--index", index]));
        assert!(all.contains(one.trim_start_matches("State digest: ").trim()), "{one}");
    }
    assert_eq!(done(run(dir, &["sweep", "collect", "there"])), all);
    let [here, there] = ["here", "there"].map(|out| fs::read(dir.join(out).join("summary.csv")).unwrap());
    assert_eq!(here, there);
    let alone =
        [&["train", "--seed", "5", "--beta1", "0.9", "--steps", "30", "--out", "alone"], &SMALL[..]].concat();
    assert!(all.contains(&digest(&done(run(dir, &alone)))));
    refused(run(dir, &["sweep", "run", "there", "--index", "4"]), 2, &["--index", "0 to 3"]);
    refused(sweep("here", &["--epsilon", "0.1"]), 2, &["--out", "another sweep"]);
    refused(sweep("x", &["--seed", "1"]), 2, &["--set", "seed"]);
    refused(sweep("x", &["--jobs", "0"]), 2, &["--jobs"]);
    refused(run(dir, &["sweep", "--set", "beta1=2", "--out", "x"]), 2, &["beta1"]);
    refused(run(dir, &["sweep", "--seeds", "3..3", "--out", "x"]), 2, &["0..20"]);
    refused(run(dir, &["sweep", "--out", "x"]), 2, &["--seeds"]);
    assert!(!dir.join("x").exists());

    done(run(dir, &["report", "here", "--out", "sweep.html"]));
    let page = fs::read_to_string(dir.join("sweep.html")).unwrap();
    assert!(page.contains("They differ in beta1, seed.") && page.matches("sha256:").count() == 4, "{page}");
}

#[test]
fn a_run_that_diverges_is_a_result_of_a_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    let flags = ["sweep", "--set", "learning-rate=0.001,1e30", "--steps", "30", "--out", "sweep"];
    let all = done(run(dir, &[&flags[..], &SMALL[..]].concat()));
    assert!(
        all.contains("learning-rate-0.001: done") && all.contains("learning-rate-1e30: diverged"),
        "{all}"
    );
    assert_eq!(done(run(dir, &[&flags[..], &SMALL[..]].concat())), all);
}

#[test]
fn a_report_is_one_page_of_what_the_folder_has() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir, &["--report-every", "5"]);
    done(run(dir, &["report", "run", "--out", "report.html"]));
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    for part in [
        "Samples after step 30",
        "Losses",
        "Probabilities",
        "Settings",
        "duel verify run --all",
        "data:image/png;base64,",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Nothing of another place is loaded.
    for part in ["<script", "src=\"http", "href=", "@import", "url("] {
        assert!(!page.contains(part), "{part}");
    }
    // Pictures that are no canvas of such a run, or not of that name, are passed over.
    let before = fs::read(dir.join("report.html")).unwrap();
    let large = Canvas { width: 3_000, height: 3_000, pixels: vec![9; 9_000_000] };
    for name in ["step_00000999.png", "step_00000031.png.bin"] {
        let mut bytes = Vec::new();
        duel::export::png::write(&large, &mut bytes).unwrap();
        fs::write(dir.join("run/samples").join(name), bytes).unwrap();
    }
    done(run(dir, &["report", "run", "--out", "same.html"]));
    let after = fs::read_to_string(dir.join("same.html")).unwrap();
    assert_eq!(after.replace("same.html", "report.html").as_bytes(), before);
    // What is not there is left out.
    for gone in ["samples", "checkpoints"] {
        fs::remove_dir_all(dir.join("run").join(gone)).unwrap();
    }
    fs::remove_file(dir.join("run/manifest.json")).unwrap();
    done(run(dir, &["report", "run", "--out", "less.html"]));
    refused(run(dir, &["report", "run", "--out", "less.html"]), 2, &["exists"]);
    refused(run(dir, &["report", "data", "--out", "x.html"]), 4, &["data", "no run"]);
    refused(run(dir, &["report", "--out", "x.html"]), 2, &["RUN"]);
}

#[test]
fn networks_as_onnx_and_what_shells_and_man_take() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir, &[]);
    done(run(dir, &["export", "run", "--out", "generator.onnx"]));
    done(run(dir, &["export", "run", "--discriminator", "--out", "discriminator.onnx"]));
    let text = String::from_utf8_lossy(&fs::read(dir.join("generator.onnx")).unwrap()).into_owned();
    assert!(
        text.contains("generator.out.weight") && text.contains("Gemm") && !text.contains("discriminator")
    );
    refused(run(dir, &["export", "run", "--discriminator", "--out", "d.c"]), 2, &["--discriminator", "onnx"]);
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(done(run(dir, &["completions", shell])).contains("interpolate"), "{shell}");
    }
    done(run(dir, &["man", "--out", "pages"]));
    assert!(fs::read_to_string(dir.join("pages/duel-train.1")).unwrap().contains("learning"));
}
