"""Times the same training in TensorFlow, PyTorch, JAX, candle and burn, in turn with duel, and prints a table.

    python3 benches/peers/peers.py [--rounds 3] [--threads N] [--steps 500] [--only NAME,NAME] [--work DIR]

It installs the pinned Python packages (several GB, PyTorch's CUDA libraries among them) into a virtual environment in
the work folder and builds the Rust programs. Then it runs round after round: every program once, as a process of its
own, in an order that every second round reverses. A peer that cannot be installed or built or that fails is "not
run". The exit status is 1 if duel fails or if losses are not those of this GAN, whose training then differs.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from statistics import mean, median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WARMUP = 100
# Mean losses over steps 100 to 600. Every program draws its own random numbers, so the bands are wide.
GENERATOR_BAND = 2.5, 7.0
DISCRIMINATOR_BAND = 0.02, 0.6
# What to install or build, and what to run.
PEERS = {
    "tensorflow": ("tensorflow-cpu", ["tensorflow_gan.py"]),
    "torch": ("torch", ["torch_gan.py"]),
    "torch-compiled": ("torch", ["torch_gan.py", "--compile"]),
    "jax": ("jax", ["jax_gan.py"]),
    "candle": ("cargo", ["candle"]),
    "burn": ("cargo", ["burn"]),
}


class Failed(Exception):
    """In one line, why a command failed."""


def run(*command, **options):
    """A command's standard output."""
    print("$", *command, file=sys.stderr)
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    except OSError as error:
        raise Failed(str(error)) from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")]
        reason = (errors[:1] or lines[-1:] or [f"exit status {done.returncode}"])[0]
        raise Failed(reason.replace("|", "/")[:100])
    return done.stdout


def install(package, work):
    """The pinned package, in the work folder's virtual environment."""
    python = work / "env" / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", work / "env")
    run(python, "-m", "pip", "install", "--quiet", "--constraint", HERE / "requirements.txt", package)


def build(work):
    """The Rust peers, for this CPU as their users would build them."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(work / "rust"), "RUSTFLAGS": "-C target-cpu=native"}
    run("cargo", "build", "--release", "--locked", cwd=HERE / "rust", env=environment)


def time_peer(name, work, args):
    """A peer's line."""
    source, (program, *flags) = PEERS[name]
    if source == "cargo":
        command = [work / "rust" / "release" / program]
    else:
        command = [work / "env" / "bin" / "python", HERE / program, *flags]
    output = run(*command, "--threads", str(args.threads), "--warmup", str(WARMUP), "--steps", str(args.steps))
    line = json.loads(output.splitlines()[-1])
    return line | {"steps_per_s": line["steps"] / line["seconds"]}


def time_duel(args):
    """The same of duel, which states no losses."""
    duel = ROOT / "target" / "release" / "duel"
    numbers = ["--rounds", "1", "--threads", str(args.threads), "--steps", str(args.steps)]
    report = json.loads(run(duel, "bench", "--json", *numbers, cwd=ROOT))
    (one,) = report["rounds"]
    (timed,) = one["timed"]
    version = run(duel, "--version").split()[-1]
    return {"peer": "duel", "version": version, "cores": one["cores"], "line_ns": one["line_ns"]} | timed


def spread(values, digits):
    """The median, with the least and the greatest value."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def row(name, lines, duel):
    """A row of the table; both lists have a line per round."""
    rates = [line["steps_per_s"] for line in lines]
    ratio, losses = "", ["", ""]
    if name != "duel":
        losses = [f"{mean(line[loss] for line in lines):.3f}" for loss in ["generator_loss", "discriminator_loss"]]
        if duel:
            ratio = spread([ours["steps_per_s"] / rate for ours, rate in zip(duel, rates)], 2)
    cells = [lines[0]["peer"], lines[0]["version"], spread(rates, 1), ratio, *losses]
    return f"| {' | '.join(cells)} |"


def unlike(line):
    """What is wrong with a line's losses."""
    bands = {"generator_loss": GENERATOR_BAND, "discriminator_loss": DISCRIMINATOR_BAND}
    for loss, (low, high) in bands.items():
        value = line.get(loss, low)
        if not (math.isfinite(value) and low <= value <= high):
            yield f"{line['peer']}: {loss} {value:.3f} is not in {low}–{high}"


def cpu():
    """The CPU's name."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else platform.machine()


def main():
    names = ["duel", *PEERS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each program [default: all cores]")
    parser.add_argument("--steps", type=int, default=500, help="timed per round, a multiple of 50 [default: 500]")
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=",".join(names))
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "peers", help="[default: target/peers]")
    args = parser.parse_args()
    if unknown := set(args.only) - set(names):
        parser.error(f"no such name: {', '.join(unknown)}")
    names = [name for name in names if name in args.only]
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)

    if "duel" in names:
        run("cargo", "build", "--release", "--locked", cwd=ROOT)
    failed = {}
    for source in {PEERS[name][0]: None for name in names if name != "duel"}:
        try:
            build(work) if source == "cargo" else install(source, work)
        except Failed as reason:
            failed |= {name: reason for name in names if name != "duel" and PEERS[name][0] == source}

    lines = {name: [] for name in names}
    for turn in range(args.rounds):
        for name in names[:: -1 if turn % 2 else 1]:
            if name == "duel":
                lines[name].append(time_duel(args))
            elif name not in failed:
                try:
                    lines[name].append(time_peer(name, work, args))
                except Failed as reason:
                    failed[name] = reason

    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    print(f"{date.today()}, {cpu()}, {args.threads} threads, {system}\n")
    print("| program | version | steps/s | duel/peer | generator loss | discriminator loss |")
    print("|---|---|---|---|---|---|")
    for name in names:
        if name in failed:
            print(f"| {name} | | not run: {failed[name]} | | | |")
        else:
            print(row(name, lines[name], lines.get("duel")))
    if "duel" in names:
        # Virtual cores share a cache at one time and none at another: what a round shows depends on it.
        rounds = [f"{line['cores']} ({'–'.join(f'{ns:.0f}' for ns in line['line_ns'])} ns)" for line in lines["duel"]]
        print(f"\nWhere the cores were in each round, by the time that a cache line took: {', '.join(rounds)}.")
        print(f"duel's share of the roof: {spread([line['share'] for line in lines['duel']], 2)}.")
    problems = [problem for name in names for line in lines[name] for problem in unlike(line)]
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    try:
        main()
    except Failed as reason:
        sys.exit(f"duel: {reason}")
