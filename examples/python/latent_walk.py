"""Trains on MNIST, then walks through the space of noise: each row goes from one sample's noise to the next one's.

    pip install ./python matplotlib
    python examples/python/latent_walk.py [STEPS] [OUT.png]
"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import duel

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
out = sys.argv[2] if len(sys.argv) > 2 else "latent_walk.png"

losses = []
trainer = duel.train("data", seed=42, steps=steps, callback=lambda stats: losses.append(stats) and None)
print(f"{trainer.steps_done} steps: {trainer.digest()}")

rows, columns = 6, 12
ends = duel.noise(rows + 1, seed=42)
weights = np.linspace(0, 1, columns, endpoint=False, dtype=np.float32)[:, None]
z = np.concatenate([(1 - weights) * a + weights * b for a, b in zip(ends, ends[1:])])
digits = trainer.generate(z).reshape(rows, columns, 28, 28)

figure, (above, below) = plt.subplots(2, 1, figsize=(9, 8), height_ratios=[1, 2.6], layout="constrained")
step = [stats.step for stats in losses]
for name, values in (
    ("generator", [stats.generator_loss for stats in losses]),
    ("discriminator", [stats.discriminator_loss for stats in losses]),
):
    window = max(1, steps // 200)
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    above.plot(step[window - 1 :], smooth, label=name)
above.set(xlabel="step", ylabel="loss", title=f"seed 42, {steps} steps")
above.legend()
below.imshow(255 - digits.transpose(0, 2, 1, 3).reshape(rows * 28, columns * 28), cmap="gray", vmin=0, vmax=255)
below.axis("off")
figure.savefig(out, dpi=110)
print(out)
