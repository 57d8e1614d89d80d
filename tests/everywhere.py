"""One digest everywhere: runs `duel verify` on every backend and number of threads, as a debug build, and on emulated CPUs.

    python3 tests/everywhere.py            prints the table, exits with 1 unless every row has the published digests

What this machine cannot run is a row too, with the reason. The emulated rows take qemu-user, and for aarch64 a Rust
compiler that has its standard library, with gcc as the linker. On Debian 12:

    dpkg --add-architecture arm64 && apt-get update
    apt-get install qemu-user gcc-aarch64-linux-gnu rustc-web libstd-rust-web-dev:arm64

That compiler is /usr/bin/rustc, or what AARCH64_RUSTC names. Takes about ten minutes on two cores.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
THREADS = [1, 2, 3, 8, 64]
LISTS = ["small nets", "real shape, 3 steps", "real shape, 300 steps"]


class NotRun(Exception):
    pass


def build(name, *arguments, **environment):
    """Builds the program, in a folder of its own if it has a name, and returns its path."""
    target = root / "target" / name
    command = ["cargo", "build", "--locked", "--quiet", "--bin", "duel", "--target-dir", str(target), *arguments]
    done = subprocess.run(command, cwd=root, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name or 'release'} does not build:\n{done.stderr}")
    triple = arguments[arguments.index("--target") + 1] if "--target" in arguments else ""
    return str(target / triple / ("release" if "--release" in arguments else "debug") / "duel")


def tool(name):
    if not shutil.which(name):
        raise NotRun(f"{name} is not installed")
    return name


def native():
    return [build("", "--release")]


def fused():
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists() or not {"fma", "avx2"} <= set(cpu.read_text().split()):
        raise NotRun("this CPU has no AVX2 with FMA")
    return [build("fused", "--release", RUSTFLAGS="-C target-feature=+avx2,+fma")]


def debug():
    return [build("unoptimised", CARGO_PROFILE_DEV_OPT_LEVEL="0")]


def old_x86():
    qemu, target = tool("qemu-x86_64"), "x86_64-unknown-linux-gnu"
    flags = "-C target-feature=+crt-static"
    return [qemu, "-cpu", "Nehalem", build("static", "--release", "--target", target, RUSTFLAGS=flags)]


def aarch64():
    qemu, linker = tool("qemu-aarch64"), tool("aarch64-linux-gnu-gcc")
    rustc, target = os.environ.get("AARCH64_RUSTC", "/usr/bin/rustc"), "aarch64-unknown-linux-gnu"
    found = subprocess.run([rustc, "--print", "target-libdir", "--target", target], capture_output=True, text=True) \
        if shutil.which(rustc) else None
    if not found or not Path(found.stdout.strip()).is_dir():
        raise NotRun(f"no Rust compiler with the standard library of {target}")
    # Statically linked: with the dynamic loader, threads hang under some versions of qemu.
    program = build("aarch64", "--release", "--target", target, RUSTC=rustc,
                    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=linker,
                    RUSTFLAGS="-C target-feature=+crt-static")
    return [qemu, program]


# What runs it, its backends, numbers of threads, and whether without the network of the default size.
ROWS = [
    ("release", native, ["avx2", "avx512"], THREADS, False),
    ("release", native, ["wide", "reference"], [1, 3], False),
    ("release, +fma", fused, ["wide"], THREADS, False),
    ("debug, opt-level 0", debug, ["avx2", "avx512", "wide", "reference"], [2], True),
    ("x86-64 without AVX, emulated", old_x86, ["avx2", "wide", "reference"], [2], True),
    ("aarch64, emulated", aarch64, ["wide", "reference"], [2], True),
]


def verify(command, isa, threads, quick):
    """For each list its digest, or why it was not run."""
    command = [*command, "verify", "--isa", isa, "--threads", str(threads), *(["--quick"] if quick else [])]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True)
    if done.returncode == 6:
        raise NotRun(done.stderr.strip().splitlines()[-1].removeprefix("error: "))
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    found = {}
    for name in LISTS:
        digest = re.search(rf"{name}: (sha256:\w+) as published", done.stdout)
        reason = re.search(rf"{name}: not run: (.*)", done.stdout) or re.search(r"real shape: not run: (.*)", done.stdout)
        found[name] = digest[1] if digest else f"not run: {reason[1]}"
    return found


digests = {name: set() for name in LISTS}
print(f"| program | backend | threads | {' | '.join(LISTS)} |\n|---|---|---:|---|---|---|", flush=True)
for program, make, isas, counts, quick in ROWS:
    for isa in isas:
        for threads in counts:
            try:
                found = verify(make(), isa, threads, quick)
                cells = [found[name] for name in LISTS]
            except NotRun as reason:
                cells = [f"not run: {reason}", "", ""]
            for name, cell in zip(LISTS, cells):
                digests[name] |= {cell} if cell.startswith("sha256:") else set()
            cells = [cell[7:15] if cell.startswith("sha256:") else cell for cell in cells]
            print(f"| {program} | {isa} | {threads} | {' | '.join(cells)} |", flush=True)
print()
for name, found in digests.items():
    print(f"{name}: {' '.join(sorted(found))}")
sys.exit(any(len(found) != 1 for found in digests.values()))
