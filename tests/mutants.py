"""Mutants of what makes the bits and of what reads files, by cargo-mutants: each small change of the source must fail a test, or stand
in tests/mutants.txt with the reason why none can.

    cargo install --locked cargo-mutants
    python3 tests/mutants.py [GROUP …]      # about an hour

Works in a clone of what is committed, under target/mutants: first with the tests of the files themselves, optimised little; what
lives past these meets the nearest tests of the program, and what lives past those and is not in the list the whole suite. Exit
status 1 if one lives that is not in the list, or the list has one that does not.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

root = Path(__file__).resolve().parent.parent
LIST = root / "tests" / "mutants.txt"
RAYON = ["--no-default-features", "--features", "rayon"]
# The files, the features that they are tested with, and the nearest tests.
GROUPS = {
    "arithmetic": (["rng", "data/batches", "model/loss", "kernels/adam"], RAYON, ["gradients", "kernels", "resume"]),
    "checkpoint": (["export/safetensors"], [], ["checkpoints", "resume"]),
    "idx": (["data/idx"], [], ["cases", "run"]),
    "log": (["run/entry", "run/log"], [], ["run_folder", "sessions", "verify"]),
}
QUICK = {"CARGO_PROFILE_DEV_OPT_LEVEL": "1", "CARGO_PROFILE_DEV_DEBUG": "false", "CARGO_INCREMENTAL": "1"}


def living(clone, group, timeout, cargo, filters=(), environment=QUICK, only=None):
    """The mutants of a group, or some of them, that live past `cargo test CARGO -- FILTERS`; and how many came to which end."""
    if only == []:
        return [], {}
    out = clone / "target" / group
    out.mkdir(parents=True, exist_ok=True)
    which = [f"--file=src/{file}.rs" for file in GROUPS[group][0]]
    if only is not None:
        which.append("--re=" + "|".join(f"^{re.escape(mutant)}$" for mutant in only))
    which += [f"--cargo-arg={argument}" for argument in ["--locked", *cargo]]
    subprocess.run(["cargo", "mutants", "--in-place", f"--timeout={timeout}", "--no-shuffle", "--baseline=skip", f"--output={out}", *which,
                    "--", "--", *filters], cwd=clone, stdout=subprocess.DEVNULL,
                   env={**os.environ, "CARGO_TARGET_DIR": str(clone / "target"), **environment})
    found = {name: (out / "mutants.out" / f"{name}.txt").read_text().splitlines() for name in ["caught", "timeout", "unviable", "missed"]}
    # Mutants without a field are tried whatever is asked for.
    missed = [mutant for mutant in found["missed"] if only is None or mutant in only]
    return missed, {name: len(mutants) for name, mutants in found.items()}


def place(mutant):
    """A mutant without its line and column, which move."""
    return re.sub(r":\d+:\d+: ", ": ", mutant)


def main():
    clone = root / "target" / "mutants"
    if not clone.exists():
        subprocess.run(["git", "clone", "--quiet", str(root), str(clone)], check=True)
    subprocess.run("git checkout --quiet . && git pull --quiet", shell=True, cwd=clone, check=True)
    # A build that was cut off leaves parts that do not link.
    shutil.rmtree(clone / "target" / "debug" / "incremental", ignore_errors=True)
    listed = [line for line in LIST.read_text().splitlines() if line.startswith("src/")]
    wrong = False
    for group in sys.argv[1:] or GROUPS:
        files, features, nearest = GROUPS[group]
        own = Counter(mutant for mutant in listed if any(mutant.startswith(f"src/{file}.rs: ") for file in files))
        modules = [file.split("/")[-1] for file in files]
        live, counts = living(clone, group, 10, [*features, "--lib"], modules)
        print(f"{group}: {sum(counts.values())} mutants, {counts['unviable']} of them do not compile, {len(live)} past the files' tests", flush=True)
        live, _ = living(clone, group, 120, [*features, *(f"--test={test}" for test in nearest)], only=live)
        print(f"    {len(live)} past the nearest tests", flush=True)
        # As often as it is in the list a name may live.
        more = Counter(map(place, live)) - own
        if more:
            unlisted = [mutant for mutant in live if place(mutant) in more]
            past, _ = living(clone, group, 1200, [], environment={}, only=unlisted)
            live = [mutant for mutant in live if mutant in past or mutant not in unlisted]
            print(f"    {len(live)} past all tests", flush=True)
        more, killed = Counter(map(place, live)) - own, own - Counter(map(place, live))
        for mutant in live:
            print(f"    {'LIVES' if place(mutant) in more else 'explained'}: {mutant}")
        for mutant in killed:
            print(f"    killed, but in the list: {mutant}")
        wrong |= bool(more or killed)
    sys.exit(wrong)


main()
