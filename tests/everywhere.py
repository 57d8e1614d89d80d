"""One digest everywhere: runs `duel verify` on every backend and number of threads, as a debug build, on emulated CPUs and on
another system, and the example without a standard library on the same CPUs, and as WebAssembly.

    python3 tests/everywhere.py            prints the table, exits with 1 unless every row has the published digests
    python3 tests/everywhere.py --short    what takes a few minutes: no standard library is built, two CPUs and two numbers of
                                           threads are left out, whole programs in emulators run the portable backend only, and
                                           an unoptimised one those that have fma
    python3 tests/everywhere.py armv7 …    only rows whose program has such a word in its name

What this machine cannot run is a row too, with the reason. The emulated rows take qemu-user, for aarch64 a Rust compiler that
has its standard library, and for the others one with its source. On Debian 12, with bookworm-backports among its sources (for
s390x QEMU must be 8.1 or newer: tests/emulators/mdebr.c):

    dpkg --add-architecture arm64 && apt-get update
    apt-get install -t bookworm-backports qemu-user
    apt-get install gcc-aarch64-linux-gnu rustc-web libstd-rust-web-dev:arm64 cargo-web rust-web-src \\
        gcc-{riscv64,powerpc64le,i686,s390x}-linux-gnu gcc-arm-linux-gnueabihf gcc-mingw-w64-x86-64 wine64 wine nodejs

That compiler is /usr/bin/rustc, or what AARCH64_RUSTC names. Takes about an hour on two cores.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

root = Path(__file__).resolve().parent.parent
THREADS = [1, 3, 64] if "--short" in sys.argv[1:] else [1, 2, 3, 8, 64]
LISTS = ["small nets", "real shape, 3 steps", "real shape, 300 steps"]
FIRST = "the first small net"
RUSTC = os.environ.get("AARCH64_RUSTC", "/usr/bin/rustc")


# What no number goes through is built without optimising it; but where it is the program that people get.
QUICKLY = [f"--config=profile.release.package.{package}.opt-level={level}"
           for package, level in [('"*"', 0), ("miniz_oxide", 3), ("rayon-core", 3), ("safe_arch", 3), ("sha2", 3), ("wide", 3)]]


WINDOWS = Lock()


class NotRun(Exception):
    pass


def build(name, *arguments, cargo="cargo", manifest="Cargo.toml", binary="duel", **environment):
    """Builds the program, in a folder of its own if it has a name, and returns its path."""
    target = root / "target" / name
    # A standard library that is built, too, is optimised.
    quickly = name and not any(argument.startswith("-Zbuild-std") for argument in arguments)
    command = [cargo, "build", "--locked", "--quiet", "--manifest-path", manifest, "--bin", binary,
               "--target-dir", str(target), *arguments, *(QUICKLY if quickly else [])]
    done = subprocess.run(command, cwd=root, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name or 'release'} does not build:\n{done.stderr}")
    triple = arguments[arguments.index("--target") + 1] if "--target" in arguments else ""
    return str(target / triple / ("release" if "--release" in arguments else "debug") / binary)


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
    qemu, gcc = tool("qemu-aarch64"), tool("aarch64-linux-gnu-gcc")
    target = "aarch64-unknown-linux-gnu"
    found = subprocess.run([RUSTC, "--print", "target-libdir", "--target", target], capture_output=True, text=True) \
        if shutil.which(RUSTC) else None
    if not found or not Path(found.stdout.strip()).is_dir():
        raise NotRun(f"no Rust compiler with the standard library of {target}")
    # Statically linked: with the dynamic loader, threads hang under some versions of qemu.
    program = build("aarch64", "--release", "--target", target, RUSTC=RUSTC, **{linker(target): gcc},
                    RUSTFLAGS="-C target-feature=+crt-static")
    return [qemu, program]


def linker(triple):
    """Names the linker of a target to cargo."""
    return f"CARGO_TARGET_{triple.upper().replace('-', '_')}_LINKER"


def from_source():
    """The environment in which cargo builds the standard library from its source."""
    for name in ["/usr/bin/cargo", "/usr/bin/rustc"]:
        tool(name)
    if not Path("/usr/lib/rustlib/src/rust/library/core").is_dir():
        raise NotRun("the source of the standard library is not installed")
    return {"RUSTC_BOOTSTRAP": "1", "RUSTC": "/usr/bin/rustc"}


def emulator(name, gcc):
    """What runs a program of this CPU, once it is known to do its arithmetic."""
    qemu = tool(name)
    if name == "qemu-s390x":
        probe = root / "target" / "mdebr"
        probe.parent.mkdir(exist_ok=True)
        source = str(root / "tests" / "emulators" / "mdebr.c")
        subprocess.run([gcc, "-static", source, "-o", str(probe)], check=True)
        product = subprocess.run([qemu, str(probe)], capture_output=True, text=True).stdout.strip()
        if product != "15":
            raise NotRun(f"this {name} makes {product} of 3 times 5 (tests/emulators/mdebr.c)")
    return qemu


def whole(qemu, triple, gcc, features=""):
    """The program, with a standard library built for it."""
    def make():
        environment, linked = from_source(), tool(gcc)
        runs = emulator(qemu, gcc)
        return [runs, build(triple, "--release", "--target", triple, "-Zbuild-std=std,panic_abort", cargo="/usr/bin/cargo",
                            **environment, **{linker(triple): linked},
                            RUSTFLAGS="-C target-feature=" + ",".join(filter(None, ["+crt-static", features])))]
    return make


def windows():
    wine, triple, gcc = tool("wine"), "x86_64-pc-windows-gnu", "x86_64-w64-mingw32-gcc"
    environment = {**from_source(), linker(triple): tool(gcc)}
    # Two rows have this program; its library and Wine's folder are made once.
    with WINDOWS:
        program = build(triple, "--release", "--target", triple, "-Zbuild-std=std,panic_abort", cargo="/usr/bin/cargo", **environment)
        library = Path(program).with_name("bcryptprimitives.dll")
        source = str(root / "tests" / "emulators" / "bcryptprimitives.c")
        subprocess.run([gcc, "-shared", source, "-o", str(library), "-ladvapi32"], check=True)
        os.environ["WINEPREFIX"], os.environ["WINEDEBUG"] = str(root / "target" / "wine"), "-all"
        if subprocess.run([wine, program + ".exe", "--version"], capture_output=True).returncode:
            raise NotRun("wine does not start a program here")
    return [wine, program + ".exe"]


def without_std(qemu, triple, gcc, features=""):
    """The example without a standard library, with `core` built for it."""
    def make():
        environment, linked = from_source(), tool(gcc)
        runs = emulator(qemu, gcc)
        program = build("no-std-" + triple, "--release", "--target", triple, "-Zbuild-std=core", cargo="/usr/bin/cargo",
                        manifest="examples/no_std/Cargo.toml", binary="duel-no-std",
                        **environment, **{linker(triple): linked},
                        RUSTFLAGS=f"-C target-feature={features}" if features else "")
        return [runs, "-L", "/usr/" + gcc.removesuffix("-gcc"), program]
    return make


def wasm():
    """The same as WebAssembly with vectors of 128 bits."""
    environment, node, triple = from_source(), tool("node"), "wasm32-unknown-unknown"
    sysroot = Path(subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip())
    linkers = list(sysroot.glob("lib/rustlib/*/bin/rust-lld"))
    if not linkers:
        raise NotRun("this Rust compiler comes without rust-lld")
    flags = f"-C target-feature=+simd128 -C linker={linkers[0]} -C link-arg=--export=main -C link-arg=--no-entry"
    program = build("no-std-" + triple, "--release", "--target", triple, "-Zbuild-std=core", cargo="/usr/bin/cargo",
                    manifest="examples/no_std/Cargo.toml", binary="duel-no-std", RUSTFLAGS=flags, **environment)
    return [node, str(root / "tests" / "emulators" / "run.mjs"), program + ".wasm"]


# Emulator, target, linker, and instructions beside the target's own. The first three also with --short.
CPUS = {
    "riscv64": ("qemu-riscv64", "riscv64gc-unknown-linux-gnu", "riscv64-linux-gnu-gcc"),
    "s390x, big-endian": ("qemu-s390x", "s390x-unknown-linux-gnu", "s390x-linux-gnu-gcc"),
    "armv7 with vfp4": ("qemu-arm", "armv7-unknown-linux-gnueabihf", "arm-linux-gnueabihf-gcc", "+vfp4"),
    "powerpc64le": ("qemu-ppc64le", "powerpc64le-unknown-linux-gnu", "powerpc64le-linux-gnu-gcc"),
    "i686": ("qemu-i386", "i686-unknown-linux-gnu", "i686-linux-gnu-gcc"),
}

# What runs it, its backends, numbers of threads, and whether without the network of the default size.
ROWS = [
    ("release", native, ["avx2", "avx512"], THREADS, False),
    ("release", native, ["wide", "reference"], [1, 3], False),
    ("release, +fma", fused, ["wide"], THREADS, False),
    ("debug, opt-level 0", debug, ["avx2", "avx512"], [2], True),
    ("x86-64 without AVX, emulated", old_x86, ["avx2", "wide"], [2], True),
    ("aarch64, emulated", aarch64, ["wide"], [2], True),
]
LONG_ROWS = [
    ("debug, opt-level 0", debug, ["wide", "reference"], [2], True),
    ("x86-64 without AVX, emulated", old_x86, ["reference"], [2], True),
    ("aarch64, emulated", aarch64, ["reference"], [2], True),
    *((f"{cpu}, emulated", whole(*how), ["wide", "reference"], [2], True) for cpu, how in CPUS.items()),
    ("Windows, by wine", windows, ["avx2"], [2], False),
    ("Windows, by wine", windows, ["wide"], [2], True),
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


def first_small_net(command):
    """Of each backend, the digest of the first small network; on this CPU's backends only."""
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.findall(r"(\w+): (sha256:\w+) \(published: (sha256:\w+)\)", done.stdout)
    if done.returncode or not found or any(digest != published for _, digest, published in found):
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return [(isa, digest) for isa, digest, _ in found]


def row(program, isa, threads, cells):
    for name, cell in cells.items():
        digests.setdefault(name, set()).update({cell} if cell.startswith("sha256:") else {})
    texts = [cell[7:15] if cell.startswith("sha256:") else cell for cell in cells.values()]
    print(f"| {program} | {isa} | {threads} | {' | '.join(texts)} |", flush=True)


short = "--short" in sys.argv[1:]
words = [word for word in sys.argv[1:] if word != "--short"]
digests = {}


def wanted(program):
    return not words or any(word in program for word in words)


def rows_of(program, make, isas, counts, quick):
    rows = []
    for isa in isas:
        for threads in counts:
            try:
                cells = verify(make(), isa, threads, quick)
            except NotRun as reason:
                cells = dict.fromkeys(LISTS, "") | {LISTS[0]: f"not run: {reason}"}
            rows.append((program, isa, threads, cells))
    return rows


def rows_without_std(cpu, make):
    try:
        return [(cpu, isa, 1, {FIRST: digest}) for isa, digest in first_small_net(make())]
    except NotRun as reason:
        return [(cpu, "", 1, {FIRST: f"not run: {reason}"})]


without = {"wasm32 with simd128, by node": wasm}
without |= {f"{cpu}, emulated": without_std(*how) for cpu, how in list(CPUS.items())[:3 if short else None]}
# Two at a time: much of what they do is on one core.
with ThreadPoolExecutor(2) as pool:
    programs = [how for how in ROWS + ([] if short else LONG_ROWS) if wanted(how[0])]
    first = [pool.submit(rows_of, *how) for how in programs]
    second = [pool.submit(rows_without_std, cpu, make) for cpu, make in without.items() if wanted(cpu)]
    print(f"| program | backend | threads | {' | '.join(LISTS)} |\n|---|---|---:|---|---|---|", flush=True)
    for rows in first:
        for cells in rows.result():
            row(*cells)
    print(f"\n| without a standard library | backend | threads | {FIRST} |\n|---|---|---:|---|", flush=True)
    for rows in second:
        for cells in rows.result():
            row(*cells)
print()
for name, found in digests.items():
    print(f"{name}: {' '.join(sorted(found))}")
# A machine may lack all compilers and emulators for the second table, but not what runs the program.
sys.exit(any(len(found) > 1 for found in digests.values()) or not words and not all(digests[name] for name in LISTS))
