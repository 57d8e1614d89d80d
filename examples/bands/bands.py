"""Prints the mean losses of each window of 10,000 steps, from the lines that `duel train --report-every 10` prints.

    for s in 1 2 3; do cargo run --release -- train --seed $s --report-every 10 > seed-$s.txt; done
    python3 examples/bands/bands.py seed-1.txt seed-2.txt seed-3.txt

The reference bands are those of three seeds of the TensorFlow tutorial's script, every 10th step, step 1 left out. Most
faithful runs lie in them from the fourth window on (docs/bits.md has some of this program's that do not). Exit status 1 if one
does not.
"""

import re
import sys

WINDOW = 10_000
LINE = re.compile(r"Step (\d+): Generator Loss: ([\d.]+), Discriminator Loss: ([\d.]+)")
BANDS = {
    "G": [(3.6, 4.7), (3.4, 4.0), (3.2, 3.7), (2.8, 3.2), (2.65, 2.9), (2.65, 2.95), (2.65, 3.0)],
    "D": [(0.07, 0.16), (0.20, 0.30), (0.25, 0.35), (0.37, 0.47), (0.40, 0.49), (0.40, 0.48), (0.38, 0.48)],
}

windows = len(BANDS["G"])
print("| steps (thousands) | " + " | ".join(f"{10 * w}–{10 * w + 10}" for w in range(windows)) + " |")
print("|---" * (windows + 1) + "|")
outside = False
for name, bands in BANDS.items():
    print(f"| {name}, TensorFlow | " + " | ".join(f"{low}–{high}" for low, high in bands) + " |")
for path in sys.argv[1:]:
    losses = {"G": [[] for _ in range(windows)], "D": [[] for _ in range(windows)]}
    for step, g, d in LINE.findall(open(path).read()):
        if int(step) > 1:
            window = (int(step) - 1) // WINDOW
            losses["G"][window].append(float(g))
            losses["D"][window].append(float(d))
    for name in "GD":
        means = [sum(x) / len(x) for x in losses[name]]
        print(f"| {name}, {path} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
        outside |= any(not low <= mean <= high for mean, (low, high) in list(zip(means, BANDS[name]))[3:])
sys.exit(outside)
