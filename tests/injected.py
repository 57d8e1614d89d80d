#!/usr/bin/env python3
"""Every system call of a small run that reads or writes its files fails once, or is the last one of the process, in each of the
starts below: it ends with 0 or 4 (or is gone), what is there verifies, and a second start ends on the same bits, with the same log
and nothing left behind.

    python3 tests/injected.py [target/release/duel] [--most N]    N places of each call at most, spread over all of them

Needs strace.
"""
import concurrent.futures
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

CALLS = ["openat", "read", "write", "fsync", "fdatasync", "rename", "mkdir", "ftruncate", "flock", "close", "unlink"]
FAULTS = ["error=EIO", "error=ENOSPC", "error=EINTR", "signal=KILL"]


def but(start, *flags):
    """The start with these flags, in the place of its own."""
    start = list(start)
    for flag, value in zip(flags[::2], flags[1::2]):
        if flag in start:
            start[start.index(flag) + 1] = value
        else:
            start += [flag, value]
    return start


NEW = ["train", "--out", "r", "--batch-size", "7", "--validation", "3", "--latent-size", "5", "--generator-hidden", "21",
         "--discriminator-hidden", "33", "--steps", "4", "--checkpoint-every", "2", "--report-every", "1", "--threads", "1"]
RESUME = ["train", "--resume", "auto", "--out", "r", "--steps", "4", "--threads", "1"]
LESS = ["train", "--resume", "auto", "--out", "r", "--steps", "3", "--report-every", "3", "--checkpoint-every", "0", "--threads", "1"]
BACK = ["train", "--resume", "r@1", "--steps", "5", "--report-every", "3", "--checkpoint-every", "0", "--threads", "1"]
AGAIN = ["train", "--resume", "r@0", "--steps", "4", "--threads", "1"]
DIGESTS = [*AGAIN, "--digest-at", "1,3"]
GIVEN = but(NEW, "--seed", "5", "--init", "given.safetensors")
LAST = but(NEW, "--steps", "2000", "--checkpoint-every", "2000", "--report-every", "1000")
STARTS = {"a new run": NEW, "one that is gone on with": RESUME, "one that is made less": LESS, "one that goes back": BACK,
          "one that goes back to be what it was before it was killed in going on": AGAIN,
          "one that goes back and is to have digests that a killed session has left": DIGESTS,
          "one with given parameters in the place of one that got no further than its settings": GIVEN,
          "one whose last step has a canvas, and that is then to go on": LAST}


def prepare(folder, start):
    """The data, and for a resume a run of half the steps; or a whole one, perhaps killed before its last checkpoint."""
    os.makedirs(f"{folder}/data")
    pixels = bytes(i * 37 % 256 if i % 4 == 0 else 0 for i in range(810))
    with open(f"{folder}/data/train-images-idx3-ubyte", "wb") as file:
        file.write(struct.pack(">IIII", 0x803, 90, 3, 3) + pixels)
    if start is RESUME:
        assert duel(folder, but(NEW, "--steps", "2")).returncode == 0
    if start in (LESS, BACK, GIVEN):
        assert duel(folder, NEW).returncode == 0
    if start is GIVEN:
        os.rename(f"{folder}/r/checkpoints/step_00000004.safetensors", f"{folder}/given.safetensors")
        for left in ["checkpoints", "samples"]:
            shutil.rmtree(f"{folder}/r/{left}")
        for left in ["manifest.json", "metrics.jsonl"]:
            os.remove(f"{folder}/r/{left}")
    if start is AGAIN:
        # Its line of step 4 goes where it is gone on with.
        for before, steps in [(NEW, "4"), (RESUME, "8")]:
            seldom = but(before, "--steps", steps, "--checkpoint-every", "0", "--report-every", "3")
            assert duel(folder, seldom).returncode == 0
    if start is DIGESTS:
        assert duel(folder, [*NEW, "--digest-at", "1,3"]).returncode == 0
        with open(f"{folder}/r/config.toml", "r+") as file:
            text = re.sub("digest-at = .*", "digest-at = []", file.read())
            file.seek(0)
            file.truncate()
            file.write(text)
    if start in (LESS, AGAIN, DIGESTS):
        last = "8" if start is AGAIN else "4"
    if start in (LESS, AGAIN):
        os.remove(f"{folder}/r/checkpoints/step_0000000{last}.safetensors")
        os.remove(f"{folder}/r/samples/step_0000000{last}.png")
    if start in (LESS, AGAIN, DIGESTS):
        with open(f"{folder}/r/manifest.json", "r+") as file:
            manifest = json.load(file)
            manifest["run"].update(status="running", steps_done=0, state_digest=None)
            file.seek(0)
            file.truncate()
            json.dump(manifest, file)


def duel(folder, arguments, strace=()):
    return subprocess.run([*strace, DUEL, *arguments], cwd=folder, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)


def ended(folder, start):
    """Ends what the start has begun."""
    last = duel(folder, start)
    if last.returncode == 2 and "already holds a run" in last.stderr:
        last = duel(folder, but(RESUME, "--steps", start[start.index("--steps") + 1]))
    if start is LAST and last.returncode == 0:
        last = duel(folder, but(RESUME, "--steps", "2001"))
    return last


def outcome(folder, stdout):
    """Digest, log without timing, and the files of a run."""
    with open(f"{folder}/r/metrics.jsonl") as file:
        log = re.sub(r',"timing".*', "", file.read())
    files = sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)
    return re.search(r"State digest: (\S+)", stdout)[1], log, files


def places(folder, start):
    """For each call the numbers of those that touch the folder or a standard stream, as an undisturbed run makes them."""
    trace = f"{folder}/trace"
    strace = ["strace", "-f", "-qq", "-y", "-o", trace, "-e", "trace=" + ",".join(CALLS)]
    done = duel(folder, start, strace)
    assert done.returncode == 0, done.stderr
    count, found = dict.fromkeys(CALLS, 0), {call: [] for call in CALLS}
    for line in open(trace, errors="replace"):
        call = re.match(r"\d+ +(\w+)\((.*)", line)
        if call and call[1] in count:
            count[call[1]] += 1
            arguments = call[2]
            ours = folder in arguments or re.match(r'(AT_FDCWD\S*, )?"(r|data)\b', arguments) or arguments.startswith(("1<", "2<"))
            if ours:
                found[call[1]].append(count[call[1]])
    os.remove(trace)
    # A second start of the folder that the first one has not been disturbed in ends there, too.
    return found, outcome(folder, ended(folder, start).stdout)


def check(start, call, fault, n, expected):
    """What is wrong after this fault, if anything."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder, start)
        inject = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={n}"]
        first = duel(folder, start, inject)
        # Settings that cannot be read may be a run's.
        kept = start is GIVEN and call in ("openat", "read") and "already holds a run" in first.stderr
        if fault != "signal=KILL" and first.returncode not in (0, 4) and not kept:
            return f"exit {first.returncode}: {first.stderr.strip()}"
        if first.returncode == 4 and len(first.stderr.splitlines()) > 2 + ("Stopped by" in first.stderr):
            return f"says more than a line: {first.stderr}"
        left = [name for _, _, names in os.walk(folder) for name in names if name.endswith(".duel")]
        if left and fault != "signal=KILL":
            return f"left {left}"
        # Without these it is no run yet.
        if all(os.path.exists(f"{folder}/r/{file}") for file in ["config.toml", "manifest.json", "metrics.jsonl"]):
            between = duel(folder, ["verify", "r", "--all", "--threads", "1"])
            if between.returncode != 0:
                return f"{first.stderr.strip()} · verify: {between.stderr.strip()}"
        second = ended(folder, start)
        if second.returncode != 0:
            return f"{first.stderr.strip()} · second start: {second.returncode}, {second.stderr.strip()}"
        stop = re.search(r"Stopped by .* after step ([\d,]+)", first.stderr)
        own = stop and f"r/checkpoints/step_{int(stop[1].replace(',', '')):08}.safetensors"
        if own and own not in expected[2]:
            os.remove(f"{folder}/{own}")
        got = outcome(folder, second.stdout)
        for what, is_, wanted in zip(["digest", "log", "files"], got, expected):
            if is_ != wanted:
                return f"{what}: {is_}, expected {wanted}"
        verified = duel(folder, ["verify", "r", "--all", "--threads", "1"])
        if verified.returncode != 0:
            return f"verify: {verified.stderr.strip()}"
    return None


def main():
    arguments = sys.argv[1:]
    most = int(arguments[arguments.index("--most") + 1]) if "--most" in arguments else 10**9
    global DUEL
    named = [a for i, a in enumerate(arguments) if not a.startswith("--") and (i == 0 or arguments[i - 1] != "--most")]
    DUEL = os.path.abspath(named[0] if named else "target/release/duel")
    assert shutil.which("strace"), "expected strace"
    tasks = []
    for name, start in STARTS.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = os.path.realpath(folder)
            prepare(folder, start)
            found, expected = places(folder, start)
        for call, numbers in found.items():
            chosen = numbers[:: max(1, -(-len(numbers) // most))]
            print(f"{name}, {call}: {len(chosen)} of {len(numbers)} places", flush=True)
            tasks += [(name, start, call, fault, n, expected) for n in chosen for fault in FAULTS]
    for call in ["openat", "write", "fsync", "rename", "mkdir", "ftruncate", "flock", "close"]:
        assert any(task[2] == call for task in tasks), f"no run makes a {call}"
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        problems = [f"{name}, {call} number {n}, {fault}: {problem}" for (name, _, call, fault, n, _), problem
                    in zip(tasks, pool.map(lambda task: check(*task[1:]), tasks)) if problem]
    print(*problems, sep="\n")
    print(f"{len(tasks)} faults, {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
