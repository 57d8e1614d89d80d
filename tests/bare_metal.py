"""The engine on two microcontrollers, in QEMU: what they print must be what this machine prints, and the published digest.

    python3 tests/bare_metal.py STATE.safetensors    a state of the default sizes, such as of runs/NAME/checkpoints

Prints the text, and of each board the sizes of what lies in flash and in RAM, and the stack. Takes qemu-system-arm,
qemu-system-riscv32, and a Rust compiler for these targets: one with their `core` (`rustup target add thumbv7em-none-eabihf
riscv32imafc-unknown-none-elf`), or Debian's, which builds it (rustc-web, cargo-web, rust-web-src, lld, qemu-system-arm,
qemu-system-misc).
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

root = Path(__file__).resolve().parent.parent
example = root / "examples" / "bare_metal"
BOARDS = {
    "Cortex-M4F (mps2-an386)": "thumbv7em-none-eabihf",
    "RISC-V (virt, 32 bits)": "riscv32imafc-unknown-none-elf",
}


def output(*command, **environment):
    done = subprocess.run(command, cwd=example, env={**os.environ, **environment}, capture_output=True, text=True, timeout=900)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def toolchain(target):
    """Cargo, its options and its environment for a target."""
    here = subprocess.run(["rustc", "--print", "target-libdir", "--target", target], capture_output=True, text=True)
    if here.returncode == 0 and Path(here.stdout.strip()).is_dir():
        return ["cargo"], [], {}
    linker = f"CARGO_TARGET_{target.upper().replace('-', '_')}_LINKER"
    return ["/usr/bin/cargo"], ["-Zbuild-std=core"], \
        {"RUSTC": "/usr/bin/rustc", "RUSTC_BOOTSTRAP": "1", linker: "ld.lld"}


def sections(program):
    """Name and bytes of the sections that are loaded or reserved."""
    elf = Path(program).read_bytes()
    assert elf[:6] == b"\x7fELF\x01\x01", "a little-endian ELF of 32 bits"
    number = lambda at, size: int.from_bytes(elf[at:at + size], "little")
    table, count, names = number(32, 4), number(48, 2), number(50, 2)
    field = lambda n, word: number(table + 40 * n + 4 * word, 4)
    for n in range(count):
        if field(n, 2) & 2:
            name = field(names, 4) + field(n, 0)
            yield elf[name:elf.index(b"\0", name)].decode(), field(n, 5)


with tempfile.TemporaryDirectory() as folder:
    weights = str(Path(folder) / "weights.f32")
    output("cargo", "run", "--locked", "--release", "--quiet", "--manifest-path", str(root / "Cargo.toml"), "--example",
           "generator_weights", "--", str(Path(sys.argv[1]).resolve()), weights)
    expected = output("cargo", "run", "--locked", "--release", "--quiet", DUEL_WEIGHTS=weights)
    print(expected)
    rows = []
    for board, target in BOARDS.items():
        cargo, options, environment = toolchain(target)
        arguments = ["--locked", "--release", "--quiet", "--target", target, *options]
        text = output(*cargo, "run", *arguments, DUEL_WEIGHTS=weights, **environment)
        text, stack = re.fullmatch(r"(.*)stack: (\d+) bytes\n", text.replace("\r", ""), re.DOTALL).groups()
        if text != expected:
            sys.exit(f"{board} prints something else:\n{text}")
        sizes = dict(sections(example / "target" / target / "release" / "duel-bare-metal"))
        flash = sizes[".text"] + sizes[".rodata"] + sizes[".data"]
        rows.append(f"| {board} | {sizes['.text']:,} | {sizes['.rodata']:,} | {flash:,} | {sizes['.bss']:,} | {int(stack):,} |")
print("| board | .text | .rodata | flash | .bss | stack |\n|---|---:|---:|---:|---:|---:|", *rows, sep="\n")
