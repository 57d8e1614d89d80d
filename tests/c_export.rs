//! A generator as a file of C makes the same pixels as the engine, byte for byte, with every compiler and its optimisations.
#![cfg(feature = "cli")]

mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use program::{done, refused, run, small, small_data, text};

/// Writes the samples of a seed to stdout.
const MAIN: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include "generator.c"
int main(int argc, char **argv)
{
    static float z[DUEL_LATENT];
    static unsigned char pixels[DUEL_PIXELS];
    uint64_t i, seed = strtoull(argv[argc - 2], 0, 10), count = strtoull(argv[argc - 1], 0, 10);
    for (i = 0; i < count; i++) {
        duel_noise(seed, i, z);
#if DUEL_CLASSES
        duel_generate(z, (int)(i % DUEL_CLASSES), pixels);
#else
        duel_generate(z, pixels);
#endif
        fwrite(pixels, 1, sizeof pixels, stdout);
    }
    return 0;
}
"#;
const STRICT: [&str; 5] = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"];
const OPTIMISED: [&[&str]; 4] =
    [&["-O0"], &["-O2"], &["-O3", "-march=native", "-ffp-contract=fast"], &["-O3", "-ffp-contract=off"]];

/// Compiles the program with these flags.
fn compiled(dir: &Path, compiler: &str, flags: &[&str]) -> std::process::Output {
    Command::new(compiler)
        .current_dir(dir)
        .args(STRICT)
        .args(flags)
        .args(["main.c", "-o", "main"])
        .output()
        .unwrap()
}

#[test]
fn a_generator_in_c_makes_the_same_pixels_with_every_compiler() {
    let there = |compiler: &&str| Command::new(compiler).arg("--version").output().is_ok();
    let compilers: Vec<&str> = ["gcc", "clang"].into_iter().filter(there).collect();
    if compilers.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "no compiler");
        println!("not run: there is neither gcc nor clang");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_data(dir);
    let labels: Vec<u8> =
        [&[0, 0, 8, 1, 0, 0, 0, 90][..], &(0..90).map(|i| i % 3).collect::<Vec<u8>>()].concat();
    fs::write(dir.join("data/train-labels-idx1-ubyte"), labels).unwrap();
    fs::write(dir.join("main.c"), MAIN).unwrap();
    for (settings, raw) in [
        (&["--learning-rate", "0.05"][..], false),
        (&["--labels", "--average", "0.9"], false),
        (&["--labels", "--average", "0.9"], true),
    ] {
        let _ = fs::remove_dir_all(dir.join("run"));
        done(run(dir, &small(&[settings, &["--steps", "200", "--out", "run"]].concat())));
        for file in ["generator.c", "samples-ubyte", "samples-labels-ubyte"] {
            let _ = fs::remove_file(dir.join(file));
        }
        let raw: &[&str] = if raw { &["--raw"] } else { &[] };
        done(run(dir, &[&["export", "run", "--format", "c", "--out", "generator.c"], raw].concat()));
        let sample = ["sample", "run", "--seed", "11", "--count", "300", "--out", "samples-ubyte"];
        done(run(dir, &[&sample[..], raw].concat()));
        let expected = &fs::read(dir.join("samples-ubyte")).unwrap()[16..];
        assert!(expected.iter().any(|byte| *byte > 0) && expected.iter().any(|byte| *byte < 255));
        for compiler in &compilers {
            for flags in OPTIMISED {
                let built = compiled(dir, compiler, flags);
                assert!(built.status.success(), "{compiler} {flags:?}: {}", text(&built.stderr));
                let made = Command::new(dir.join("main")).args(["11", "300"]).output().unwrap().stdout;
                assert!(made == expected, "{compiler} {flags:?} {settings:?}");
            }
            let refused = compiled(dir, compiler, &["-O2", "-ffast-math"]);
            assert!(!refused.status.success() && text(&refused.stderr).contains("-ffast-math"));
        }
    }
    println!("{compilers:?}");
}

/// Noise that no sum is finite of, and classes that there are none of.
const HOSTILE: &str = r#"
#include "generator.c"
int main(void)
{
    static float z[DUEL_LATENT];
    static unsigned char pixels[DUEL_PIXELS];
    const float values[5] = { 3e38f, -3e38f, 3e38f * 10.0f, (3e38f * 10.0f) * 0.0f, 1e30f };
    int i, j, sum = 0;
    for (i = 0; i < 25; i++) {
        for (j = 0; j < DUEL_LATENT; j++) {
            z[j] = values[j % 2 ? i % 5 : i / 5];
        }
        duel_generate(z, (i - 12) * 100000000, pixels);
        duel_generate(z, DUEL_CLASSES, pixels);
        sum += pixels[i % DUEL_PIXELS];
    }
    return sum == -1;
}
"#;

#[test]
fn whatever_it_is_called_with_its_behaviour_is_defined() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let checked =
        ["-std=gnu99", "-O1", "-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all"];
    let built =
        |file: &str| Command::new("gcc").current_dir(dir).args(checked).args([file, "-o", "main"]).output();
    fs::write(dir.join("empty.c"), "int main(void) { return 0; }").unwrap();
    if !built("empty.c").is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no gcc with UBSan");
        println!("not run: there is no gcc with UBSan");
        return;
    }
    small_data(dir);
    let labels: Vec<u8> = [&[0, 0, 8, 1, 0, 0, 0, 90][..], &[1; 90]].concat();
    fs::write(dir.join("data/train-labels-idx1-ubyte"), labels).unwrap();
    done(run(dir, &small(&["--labels", "--steps", "3", "--out", "run"])));
    done(run(dir, &["export", "run", "--out", "generator.c"]));
    fs::write(dir.join("main.c"), HOSTILE).unwrap();
    let built = built("main.c").unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    let ran = Command::new(dir.join("main")).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
}

#[test]
fn the_name_of_the_file_says_what_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    small_data(dir.path());
    done(run(dir.path(), &small(&["--steps", "1", "--out", "run"])));
    for (out, format) in [("a.txt", None), ("a.c", Some("safetensors")), ("a.safetensors", Some("c"))] {
        let format = format.map_or(vec![], |format| vec!["--format", format]);
        let arguments = [&["export", "run", "--out", out], &format[..]].concat();
        refused(run(dir.path(), &arguments), 2, &["--out", "expected NAME."]);
    }
}
