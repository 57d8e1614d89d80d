"""Prints the figures of the last `cargo bench` as a table: the median, and throughput where the bench states one.

    cargo bench
    python3 benches/table.py [GROUP ...]
"""

import json
import platform
import sys
from datetime import date
from pathlib import Path

root = Path(__file__).resolve().parent.parent / "target" / "criterion"
rows = []
for file in sorted(root.glob("**/new/benchmark.json")):
    bench = json.loads(file.read_text())
    median = json.loads(file.with_name("estimates.json").read_text())["median"]
    group, name = bench["full_id"].split("/", 1)
    if sys.argv[1:] and group not in sys.argv[1:]:
        continue
    seconds = median["point_estimate"] * 1e-9
    spread = median["confidence_interval"]
    spread = (spread["upper_bound"] - spread["lower_bound"]) / median["point_estimate"] / 2
    rate = ""
    for unit, amount in (bench["throughput"] or {}).items():
        billions = amount / seconds * 1e-9
        what = {"peak": "GFLOP/s", "gemm": "GFLOP/s", "step": "GFLOP/s", "sample": "GFLOP/s"}.get(group)
        rate = f"{billions:.3g} {what}" if what else f"{1e3 * billions:.3g} M{unit.lower()}/s"
    time = f"{seconds * 1e3:.3f} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.2f} µs"
    rows.append(f"| {group} | {name} | {time} ± {spread:.1%} | {rate} |")

cpu = platform.processor() or platform.machine()
for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
    if line.startswith("model name"):
        cpu = line.split(":", 1)[1].strip()
print(f"{date.today()}, {cpu}\n")
print("| group | bench | time | throughput |\n|---|---|---|---|")
print("\n".join(rows))
