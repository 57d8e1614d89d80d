"""Stops, kills, starves and resumes a run at random, on other numbers of threads and backends, and compares its end with that of a
run that was left alone: state, average, log and canvases.

    python3 tests/soak.py [--minutes 60] [--seed N]

The straight run takes a third of the time and says how many steps it came to; the other one goes there in pieces. The seed of the
pieces is printed: with it they are as long again, though not to the microsecond. Exit status 1 if a session ends with a code that its
end does not explain, or anything differs.
"""

import argparse
import json
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

root = Path(__file__).resolve().parent.parent
NETWORK = ["--data", str(root / "data"), "--labels", "--pack", "2", "--average", "0.99", "--generator-hidden", "64",
           "--discriminator-hidden", "64", "--batch-size", "64"]
SCHEDULE = ["--checkpoint-every", "250", "--report-every", "100", "--keep-last", "3"]
# What may come of each way to end a session; -9 is the kill's own.
ENDS = {"INT": {0, 130}, "TERM": {0, 143}, "HUP": {0, 129}, "KILL": {0, -9}, "full": {0, 4}}


def build():
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=root, check=True)
    return str(root / "target" / "release" / "duel")


def backends(duel):
    names = []
    for name in ["avx512", "avx2"]:
        done = subprocess.run([duel, "train", "--isa", name, "--data", "/nowhere"], capture_output=True)
        names += [name] if done.returncode == 4 else []
    # The portable backend where it has no fma takes too long for more than its short pieces.
    return names or ["wide"]


def prepared(most=None):
    """What a session does before it is the program: it listens to signals, whoever started this script in the background; and its
    files have at most so many bytes, as on a disk that fills."""
    def prepare():
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_DFL)
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    return prepare


def log(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [re.sub(r',"timing".*', "", line) for line in lines]


def steps_of(duel, run):
    manifest = json.loads((run / "manifest.json").read_text())
    return manifest["run"]["steps_done"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    asked = parser.parse_args()
    chance, duel = random.Random(asked.seed), build()
    isas = backends(duel)
    print(f"seed {asked.seed}, {asked.minutes:g} minutes, {', '.join(isas)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        straight, pieces = Path(folder) / "straight", Path(folder) / "pieces"
        alone = subprocess.Popen([duel, "train", *NETWORK, *SCHEDULE, "--steps", "1000000000", "--out", str(straight)],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=prepared())
        time.sleep(60 * asked.minutes / 3)
        alone.send_signal(signal.SIGINT)
        assert alone.wait() == 130
        steps = steps_of(duel, straight)
        # To the end, so that both have its canvas.
        flags = [*NETWORK, *SCHEDULE, "--steps", str(steps)]
        subprocess.run([duel, "train", "--resume", "auto", "--out", str(straight), *flags], check=True, capture_output=True)
        print(f"the straight run: {steps:,} steps", flush=True)

        counts, sessions, begun = dict.fromkeys(ENDS, 0), 0, False
        while True:
            way = chance.choice(list(ENDS))
            command = [duel, "train", *flags, "--out", str(pieces), "--threads", str(chance.choice([1, 2, 3, 5])),
                       "--isa", chance.choice(isas), *(["--resume", "auto"] if begun else [])]
            limit = chance.choice([0, 4_000, 100_000, 1_000_000]) if way == "full" else None
            session = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                       preexec_fn=prepared(limit))
            try:
                session.wait(chance.choice([0.02, 0.2, 2, 20]) * chance.random())
            except subprocess.TimeoutExpired:
                # A starved one ends by itself, or has enough.
                session.send_signal(getattr(signal, "SIGINT" if way == "full" else f"SIG{way}"))
            said = session.communicate()[1]
            sessions, counts[way] = sessions + 1, counts[way] + 1
            allowed = ENDS[way] | ({130} if way == "full" else set())
            # A signal may come before the program listens for it.
            allowed |= {-getattr(signal, f"SIG{way}")} if way in ("INT", "TERM", "HUP") else {-signal.SIGINT}
            if session.returncode not in allowed:
                sys.exit(f"after {sessions} sessions {' '.join(command)} ({way}, {limit}) ended with {session.returncode}:\n{said}")
            begun = (pieces / "config.toml").exists()
            if session.returncode == 0:
                break
        print(f"the other one: {sessions} sessions, ended by "
              + ", ".join(f"{way} {count}" for way, count in counts.items()), flush=True)
        subprocess.run([duel, "diff", str(straight), str(pieces)], check=True)
        assert log(straight) == log(pieces), "the logs differ"
        canvases = [{path.name: path.read_bytes() for path in (run / "samples").iterdir()} for run in (straight, pieces)]
        assert canvases[0] == canvases[1] and canvases[0], "the canvases differ"
        subprocess.run([duel, "verify", str(pieces)], check=True)
        print(f"the same state, log and {len(canvases[0])} canvases after {steps:,} steps")


main()
