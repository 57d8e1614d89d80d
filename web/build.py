"""Builds the page: the engine as WebAssembly, a trained generator, and a small training with the digests of the command line.

    python3 web/build.py RUN|STATE.safetensors [--out web/dist]

The generator is that of a run's newest checkpoint (its average, if it has one); a conditional one, such as of
`duel train --preset labelled`, has a button per class. Then web/dist/index.html is opened as a file, or any server of files has
it: `python3 -m http.server --directory web/dist`.

It takes a Rust compiler with the target wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`), or Debian's, with
its source (`apt-get install cargo-web rustc-web rust-web-src`) beside any other, whose linker is taken.
"""

import argparse
import base64
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

web = Path(__file__).resolve().parent
root = web.parent
TARGET = "wasm32-unknown-unknown"

# The training: digits of half the size, so that a phone has enough.
DIGITS, SIDE = 4_000, 14
STEPS, DIGEST_EVERY = 4_000, 500
SETTINGS = {
    "labels": "true", "latent-size": "32", "generator-hidden": "64", "discriminator-hidden": "64", "batch-size": "32",
    "learning-rate": "0.001", "beta1": "0.5", "average": "0.99", "validation": "0", "seed": "42",
}


def print_of_rustc(what, *arguments, rustc="rustc"):
    done = subprocess.run([rustc, "--print", what, *arguments], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def build_wasm(features=""):
    """Builds the engine and returns the file."""
    folder = Path("target") / features
    command = ["cargo", "build", "--locked", "--quiet", "--release", "--target", TARGET, "--target-dir", str(folder), "--features", features]
    environment = dict(os.environ)
    if not print_of_rustc("target-libdir", "--target", TARGET).is_dir():
        linkers = list(print_of_rustc("sysroot").glob("lib/rustlib/*/bin/rust-lld"))
        if not linkers or not Path("/usr/lib/rustlib/src/rust/library/std").is_dir():
            sys.exit(f"{TARGET} cannot be built here: rustup target add {TARGET}")
        command = ["/usr/bin/cargo", *command[1:], "-Zbuild-std=std,panic_abort"]
        environment |= {"RUSTC_BOOTSTRAP": "1", "RUSTC": "/usr/bin/rustc",
                        "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER": str(linkers[0])}
    # In this folder, whose .cargo/config.toml asks for vectors.
    subprocess.run(command, cwd=web, env=environment, check=True)
    return web / folder / TARGET / "release" / "duel_web.wasm"


def checkpoint(run):
    """The checkpoint that is meant, or the newest of a run."""
    states = sorted(run.glob("checkpoints/*.safetensors")) if run.is_dir() else [run]
    if not states or not states[-1].is_file():
        sys.exit(f"{run}: no checkpoint")
    return states[-1]


def generator(state):
    """A checkpoint with nothing but the generator."""
    data = state.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    tensors, out = {}, b""
    for layer in ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]:
        name = f"generator.{layer}"
        entry = header.get(f"{name}.average", header[name])
        begin, end = entry["data_offsets"]
        tensors[name] = entry | {"data_offsets": [len(out), len(out) + end - begin]}
        out += data[8 + length + begin:8 + length + end]
    # What it says of all of the state is no longer true.
    lines = [line for line in header["__metadata__"]["checkpoint"].splitlines() if "digest" not in line]
    text = json.dumps({"__metadata__": {"checkpoint": "\n".join(lines)}} | tensors).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + out


def write_digits(folder):
    """The first digits of MNIST with a pixel for each four, as a data set of its own."""
    images, labels = [gzip.decompress((root / "data" / f"train-{kind}-ubyte.gz").read_bytes())
                      for kind in ["images-idx3", "labels-idx1"]]
    size = struct.unpack(">IIII", images[:16])[2]
    assert size == 2 * SIDE
    small = bytearray()
    for start in range(16, 16 + DIGITS * size * size, 2 * size):
        upper, lower = images[start:start + size], images[start + size:start + 2 * size]
        small += bytes((upper[x] + upper[x + 1] + lower[x] + lower[x + 1] + 2) // 4 for x in range(0, size, 2))
    for name, header, content in [
        ("train-images-idx3-ubyte.gz", struct.pack(">IIII", 2051, DIGITS, SIDE, SIDE), bytes(small)),
        ("train-labels-idx1-ubyte.gz", struct.pack(">II", 2049, DIGITS), labels[8:8 + DIGITS]),
    ]:
        (folder / name).write_bytes(gzip.compress(header + content, mtime=0))


def task(digits):
    """What is trained, and what the command line comes to."""
    flags = [f"--{name}={value}" for name, value in SETTINGS.items()]
    every = [str(step) for step in range(DIGEST_EVERY, STEPS + 1, DIGEST_EVERY)]
    flags += ["--steps", str(STEPS), "--digest-at", ",".join(every)]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        subprocess.run(["cargo", "run", "--locked", "--quiet", "--release", "--", "train", *flags, "--data", str(digits),
                        "--out", str(run)], cwd=root, check=True, capture_output=True)
        events = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        digests = {event["step"]: event["digest"] for event in events if "digest" in event}
    command = " ".join(["duel train --data digits", *flags])
    return {"steps": STEPS, "settings": list(SETTINGS.items()), "digests": digests, "command": command,
            "data": [f"digits/train-{kind}-ubyte.gz" for kind in ["images-idx3", "labels-idx1"]]}


def build(run, out):
    """Builds the page from a run, or a checkpoint, into a folder."""
    state, wasm = generator(checkpoint(run)), build_wasm()
    (out / "digits").mkdir(parents=True, exist_ok=True)
    for name in ["index.html", "duel.js"]:
        shutil.copyfile(web / name, out / name)
    shutil.copyfile(wasm, out / "duel.wasm")
    (out / "generator.safetensors").write_bytes(state)
    write_digits(out / "digits")
    training = task(out / "digits")
    (out / "training.json").write_text(json.dumps(training, indent=1))
    # For a page that was opened as a file, which may read no other file but a script.
    names = ["duel.wasm", "generator.safetensors", "training.json", *training["data"]]
    files = {name: base64.b64encode((out / name).read_bytes()).decode() for name in names}
    (out / "files.js").write_text(f"window.duelFiles = {json.dumps(files)};\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Builds the page.")
    parser.add_argument("run", type=Path, help="a run's folder, or a checkpoint")
    parser.add_argument("--out", type=Path, default=web / "dist")
    arguments = parser.parse_args()
    build(arguments.run, arguments.out)
    for file in sorted(arguments.out.rglob("*")):
        if file.is_file():
            print(f"{file.stat().st_size:>9,} bytes  {file.relative_to(arguments.out)}")
    print(f"open {arguments.out / 'index.html'}")
