"""Runs fuzz targets one after the other, each by one process per core, and says what came of it.

    python3 fuzz/campaign.py [--minutes 30] [--jobs 2] [TARGET …]    # a finding ends it, with its input in fuzz/artifacts
    python3 fuzz/campaign.py --coverage [TARGET …]                   # of the corpus: how much of its readers each target runs
    python3 fuzz/campaign.py --uncovered [TARGET …]                  # and which lines it does not
    python3 fuzz/campaign.py --table                                 # all of fuzz/campaign.jsonl, as a table

Inputs that reach something new are kept in fuzz/corpus, so that it goes on where it stopped. What ran for a minute or longer is a line
of fuzz/campaign.jsonl, which is committed: `minutes` by the clock, `core_minutes` of a core. An input has up to 64 KiB, and whatever asks for more than 512 MiB at
once is a finding. Needs cargo-fuzz with a nightly toolchain, and for coverage LLVM's llvm-profdata and llvm-cov of that toolchain's
version. Exit status 1 after a finding.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

fuzz = Path(__file__).resolve().parent
root = fuzz.parent
HOST = "x86_64-unknown-linux-gnu"
DONE = fuzz / "campaign.jsonl"
# Each target, and the files that it is to reach.
TARGETS = {
    "idx": ["data/idx.rs", "data/dataset.rs"],
    "gzip": ["data/gzip.rs", "data/dataset.rs"],
    "labels": ["data/labels.rs", "data/idx.rs"],
    "npy": ["export/npy.rs"],
    "canvas": ["export/png.rs"],
    "checkpoint": ["export/safetensors.rs", "trainer/state.rs"],
    "parameters": ["export/safetensors.rs"],
    "settings": ["run/plan.rs", "settings.rs", "config.rs"],
    "sweep": ["sweep.rs"],
    "log": ["run/log.rs", "run/entry.rs"],
    # Derived code, which has no lines of its own.
    "manifest": [],
    "folder": ["run/audit.rs", "run/entry.rs", "run/folder.rs", "run/log.rs", "run/recorded.rs", "run/training.rs", "run/unfinished.rs",
               "run/writer.rs"],
    "resume": ["export/safetensors.rs", "trainer/mod.rs", "trainer/owner.rs", "trainer/state.rs"],
    "kernels": ["kernels/adam.rs", "kernels/dense.rs", "kernels/gemm.rs", "kernels/lists.rs", "kernels/math.rs", "kernels/reference.rs"],
    "step_equivalence": ["model/discriminator.rs", "model/generator.rs", "model/layers.rs", "trainer/mod.rs", "trainer/owner.rs"],
    "arguments": ["cli/mod.rs", "cli/machine.rs", "cli/train.rs", "cli/sample.rs", "cli/sweep.rs", "cli/evaluate.rs", "cli/film.rs"],
}


def cargo_fuzz(*arguments):
    subprocess.run(["cargo", "+nightly", "fuzz", *arguments], cwd=root, check=True)


def program(flags=""):
    """The program that the target `arguments` starts, and where it is."""
    folder = root / "target" / ("coverage" if flags else ".")
    environment = {**os.environ, "RUSTFLAGS": flags, "CARGO_TARGET_DIR": str(folder)}
    subprocess.run(["cargo", *(["+nightly"] if flags else []), "build", "--release", "--locked", "--quiet", "--bin", "duel"],
                   cwd=root, env=environment, check=True)
    return str(folder / "release" / "duel")


def inputs(target):
    corpus, seeds = fuzz / "corpus" / target, fuzz / "seeds" / target
    corpus.mkdir(parents=True, exist_ok=True)
    return [str(corpus), *([str(seeds)] if seeds.is_dir() else [])]


def run(target, minutes, jobs):
    cargo_fuzz("build", target)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_odr_violation=0"}
    if target == "arguments":
        environment["DUEL"] = program()
    dictionary, artifacts = fuzz / "dictionaries" / f"{target}.dict", fuzz / "artifacts" / target
    artifacts.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
    command = [str(fuzz / "target" / HOST / "release" / target), *inputs(target), f"-max_total_time={60 * minutes:.0f}",
               "-print_final_stats=1", "-timeout=300", "-rss_limit_mb=4096", "-max_len=65536",
               "-malloc_limit_mb=512", f"-artifact_prefix={artifacts}/",
               *([f"-dict={dictionary}"] if dictionary.exists() else [])]
    before, begun = os.times(), time.monotonic()
    running = [subprocess.Popen(command, env=environment, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, errors="replace") for _ in range(jobs)]
    said = [process.communicate()[1] for process in running]
    after = os.times()
    core = (after.children_user + after.children_system - before.children_user - before.children_system) / 60
    executions = sum(int(n) for text in said for n in re.findall(r"stat::number_of_executed_units: (\d+)", text))
    reached = [re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text) for text in said]
    edges, _, corpus = max((tuple(map(int, found[-1])) for found in reached if found), default=(0, 0, 0))
    row = {"target": target, "date": str(date.today()), "commit": commit, "executions": executions, "core_minutes": round(core, 2),
           "minutes": round((time.monotonic() - begun) / 60, 2), "edges": edges, "inputs": corpus}
    row["finding"] = any(process.returncode for process in running)
    if minutes >= 1:
        with DONE.open("a") as file:
            file.write(json.dumps(row) + "\n")
    print(f"{target}: {executions:,} executions in {core:.1f} minutes of a core, {edges:,} edges, {corpus:,} inputs", flush=True)
    for process, text in zip(running, said):
        if process.returncode:
            print(text[-4000:])
    return not row["finding"]


def llvm():
    sysroot = subprocess.run(["rustc", "+nightly", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    version = subprocess.run(["rustc", "+nightly", "-vV"], capture_output=True, text=True, check=True).stdout
    major = re.search(r"LLVM version: (\d+)", version)[1]
    for folder in [Path(sysroot) / "lib" / "rustlib" / HOST / "bin", Path(f"/usr/lib/llvm-{major}/bin")]:
        if (folder / "llvm-cov").exists():
            return folder
    sys.exit(f"no llvm-cov of LLVM {major}")


def coverage(target, shows_lines):
    tools, profile = llvm(), fuzz / "coverage" / target / "coverage.profdata"
    if target == "arguments":
        binary, raw = program("-Cinstrument-coverage"), fuzz / "coverage" / target / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        cargo_fuzz("build", target)
        subprocess.run([str(fuzz / "target" / HOST / "release" / target), *inputs(target), "-runs=0"], check=True, capture_output=True,
                       env={**os.environ, "DUEL": binary, "LLVM_PROFILE_FILE": f"{raw}/%4m.profraw", "ASAN_OPTIONS": "detect_odr_violation=0"})
        subprocess.run([str(tools / "llvm-profdata"), "merge", "-sparse", *map(str, raw.iterdir()), "-o", str(profile)], check=True)
    else:
        cargo_fuzz("coverage", target, *inputs(target), "--llvm-path", str(tools))
        binary = str(root / "target" / HOST / "coverage" / HOST / "release" / target)
    for name in TARGETS[target]:
        source = str(root / "src" / name)
        report = subprocess.run([str(tools / "llvm-cov"), "export", "-summary-only", f"-instr-profile={profile}", binary, source],
                                capture_output=True, text=True, check=True).stdout
        lines = json.loads(report)["data"][0]["totals"]["lines"]
        print(f"{target}: src/{name}: {lines['covered']} of {lines['count']} lines, {lines['percent']:.1f}%", flush=True)
        if shows_lines:
            text = subprocess.run([str(tools / "llvm-cov"), "show", f"-instr-profile={profile}", binary, source],
                                  capture_output=True, text=True, check=True).stdout
            print("\n".join(line for line in text.splitlines() if re.match(r" *\d+\| +0\|", line)))


def table():
    rows = [json.loads(line) for line in DONE.read_text().splitlines()]
    print("| target | executions | minutes of a core | inputs kept |\n|---|---|---|---|")
    for target in TARGETS:
        own = [row for row in rows if row["target"] == target]
        if own:
            print(f"| `{target}` | {sum(row['executions'] for row in own):,} | {sum(row['core_minutes'] for row in own):.0f} "
                  f"| {own[-1]['inputs']:,} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--uncovered", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []])
    asked = parser.parse_args()
    if asked.table:
        return table()
    for target in asked.targets or TARGETS:
        if asked.coverage or asked.uncovered:
            coverage(target, asked.uncovered)
        elif not run(target, asked.minutes, asked.jobs):
            sys.exit(1)


main()
