"""Kernels, gradients, steps, states and teams under AddressSanitizer, MemorySanitizer and ThreadSanitizer, and the whole suite with a
standard library that asserts what it may assume (cargo careful).

    cargo install --locked cargo-careful
    python3 tests/sanitizers.py         # half an hour, much of it compiling

MemorySanitizer and ThreadSanitizer see only what was compiled for them: a standard library as it is installed makes them report the
test harness. So that one is built from source, by a compiler that has it (Debian: rustc-web, cargo-web, rust-web-src, lld), with the
sanitizer's own part of the nightly toolchain; so is the one that asserts. Where that is missing it says so, and `tests/races.rs`, which
needs none of it, is what is left. Exit status 1 if anything was found or could not run.
"""

import os
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
SOURCE = Path("/usr/lib/rustlib/src/rust/library")
COMPILER = {"RUSTC_BOOTSTRAP": "1", "RUSTC": "/usr/bin/rustc", "RUSTDOC": "/usr/bin/rustdoc", "CARGO": "/usr/bin/cargo"}
TEAMS = ["team"]


def tests(cargo, folder, environment, features, names, *more):
    print(f"== {folder}, {features}: {', '.join(names)}", flush=True)
    command = [*cargo, "test", "--locked", "--no-fail-fast", "--no-default-features", f"--features={features}", f"--target={TARGET}",
               f"--target-dir=target/{folder}", *(f"--test={name}" for name in names), *more]
    return subprocess.run(command, cwd=root, env={**os.environ, **environment}).returncode == 0


def main():
    flags = "-Cunsafe-allow-abi-mismatch=sanitizer -Zsanitizer=address"
    fine = tests(["cargo", "+nightly"], "asan", {"RUSTFLAGS": flags}, "rayon",
                 ["gradients", "kernels", "resume", "stack", *TEAMS], "--lib")
    sysroot = subprocess.run(["rustc", "+nightly", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    for sanitizer, suites in [
        ("memory", [("std", ["gradients", "kernels", "resume"], ["--lib"])]),
        ("thread", [("std", ["gradients", "kernels", "races", "resume"], []), ("rayon", TEAMS, [])]),
    ]:
        runtime = next(Path(sysroot).glob(f"lib/rustlib/{TARGET}/lib/librustc*_rt.{sanitizer[0]}san.a"), None)
        if runtime is None or not SOURCE.is_dir():
            sys.exit(f"{sanitizer}: not run: no source of the standard library, or no runtime of the sanitizer")
        arguments = ["-fuse-ld=lld", "-Wl,--whole-archive", runtime, "-Wl,--no-whole-archive", "-lm", "-lpthread", "-lrt", "-ldl",
                     "-lresolv", "-lc"]
        flags = [f"-Zsanitizer={sanitizer}", "-Zexternal-clangrt", *(f"-Clink-arg={argument}" for argument in arguments)]
        environment = {"RUSTFLAGS": " ".join(flags), **COMPILER}
        for features, names, more in suites:
            fine &= tests(["/usr/bin/cargo"], sanitizer, environment, features, names, "-Zbuild-std", *more)
    print("== careful, the whole suite", flush=True)
    command = ["cargo", "careful", "test", "--locked", "--no-fail-fast", "--target-dir=target/careful"]
    environment = {**os.environ, **COMPILER, "RUST_LIB_SRC": str(SOURCE)}
    fine &= subprocess.run(command, cwd=root, env=environment).returncode == 0
    sys.exit(not fine)


main()
