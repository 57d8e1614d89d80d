//! Programs in C and C++ against the static library and the checked-in header: the examples, whose digests are published, and a
//! table of wrong arguments. Without a compiler of C there is nothing to test, and that is an error.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

/// A path of this package.
fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The static library, which cargo builds beside the tests.
fn library() -> PathBuf {
    let tests = env::current_exe().unwrap();
    tests.with_file_name("libduel_capi.a")
}

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn ends_well(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Compiles a program into `folder`.
fn compiled(source: &str, standard: &str, folder: &Path) -> PathBuf {
    let (variable, default) = if standard.starts_with("-std=c++") { ("CXX", "c++") } else { ("CC", "cc") };
    let program = folder.join("program");
    ends_well(
        Command::new(env::var(variable).unwrap_or(default.into()))
            .args([standard, "-O1", "-g"])
            .args(WARNINGS)
            .arg("-I")
            .arg(own("include"))
            .arg(own(source))
            .arg(library())
            .args(["-lpthread", "-lm", "-ldl", "-o"])
            .arg(&program),
    );
    program
}

/// Whether a file is a grey picture of that size, with something in it.
fn is_pgm(file: &Path, side: usize) {
    let bytes = fs::read(file).unwrap();
    let pixels = bytes.strip_prefix(format!("P5\n{side} {side}\n255\n").as_bytes()).unwrap();
    assert_eq!(pixels.len(), side * side);
    assert!(pixels.iter().any(|&pixel| pixel != pixels[0]));
}

#[test]
fn a_program_in_c_comes_to_the_published_digests() {
    let folder = folder("c");
    let (program, picture) = (compiled("examples/train.c", "-std=c99", &folder), folder.join("36.pgm"));
    let said = ends_well(Command::new(&program).arg(&picture));
    assert!(said.contains("sha256:702b9ee2"), "{said}");
    is_pgm(&picture, 168);
    let said = ends_well(Command::new(&program).arg(&picture).arg("1000").arg(own("../data")));
    assert!(said.contains("sha256:8b64b24b"), "{said}");
    is_pgm(&picture, 168);
    let nowhere = Command::new(&program)
        .args([picture.as_os_str(), "3".as_ref(), "/nowhere".as_ref()])
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&nowhere.stderr).starts_with("duel: /nowhere"));
}

#[test]
fn a_program_in_cpp_comes_to_the_published_digest_on_its_own_threads_and_memory() {
    let folder = folder("cpp");
    let (program, picture) =
        (compiled("examples/own_threads.cpp", "-std=c++17", &folder), folder.join("1.pgm"));
    let said = ends_well(Command::new(program).arg(&picture));
    assert!(said.contains("sha256:702b9ee2"), "{said}");
    is_pgm(&picture, 28);
}

#[test]
fn every_wrong_argument_is_a_code_and_a_message() {
    let folder = folder("misuse");
    // POSIX threads are beside C99.
    let program = compiled("tests/misuse.c", "-std=c99", &folder);
    let said = ends_well(Command::new(program).arg(&folder));
    assert!(said.ends_with(" rows, 0 wrong\n"), "{said}");
    println!("{said}");
}

/// `cargo test --manifest-path capi/Cargo.toml -- --ignored`, with valgrind.
#[test]
#[ignore = "needs valgrind, takes a minute"]
fn no_program_has_an_error_in_memory() {
    let check = |program: &Path, arguments: &[&Path]| {
        let flags =
            ["--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"];
        ends_well(Command::new("valgrind").args(flags).arg(program).args(arguments));
    };
    let folder = folder("valgrind");
    check(&compiled("tests/misuse.c", "-std=c99", &folder), &[&folder, "quick".as_ref()]);
    let picture = folder.join("picture.pgm");
    check(&compiled("examples/train.c", "-std=c99", &folder), &[&picture, "2".as_ref()]);
    check(&compiled("examples/own_threads.cpp", "-std=c++17", &folder), &[&picture, "2".as_ref()]);
}
