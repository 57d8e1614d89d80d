"""Counts the instructions of the engine's main work and compares them with the committed record.

    python3 benches/instructions.py            fails where a count rose by more than 3%
    python3 benches/instructions.py --record   writes benches/instructions.json

Needs valgrind, and gungraun-runner (`cargo install --locked gungraun-runner@0.20.0`). The counts are those of one
compiler: the record names it, and with another one they are printed but not compared.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ALLOWED = 1.03

here = Path(__file__).resolve().parent
record = here / "instructions.json"
rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
command = ["cargo", "bench", "--locked", "--manifest-path", str(here / "instructions" / "Cargo.toml")]
run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
if run.returncode:
    sys.exit(run.stdout)
# `instructions::engine::step mnist:trainer()`, then its events, `Instructions:  123|N/A  (*********)` first.
plain = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout)
found = re.findall(r"instructions::engine::(\w+).*?Instructions:\s+(\d+)", plain, re.DOTALL)
counts = {name: int(count) for name, count in found}
assert set(counts) == {"step", "sample", "digest"}, plain

if "--record" in sys.argv[1:]:
    record.write_text(json.dumps({"rustc": rustc, "instructions": counts}, indent=4) + "\n")
    sys.exit()
recorded = json.loads(record.read_text())
comparable = recorded["rustc"] == rustc
risen = []
for name, count in counts.items():
    ratio = count / recorded["instructions"][name]
    print(f"{name}: {count:,} instructions, {ratio:.3f} of the record")
    if ratio > ALLOWED:
        risen.append(name)
if not comparable:
    print(f"not compared: the record is of {recorded['rustc']}, this is {rustc}")
elif risen:
    sys.exit(f"risen by more than {ALLOWED - 1:.0%}: {', '.join(risen)}")
