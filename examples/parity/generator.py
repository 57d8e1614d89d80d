"""Makes a run's samples again in float64 NumPy, from a checkpoint and the documentation alone, and compares.

    pip install -r examples/parity/requirements.txt
    cargo run --release -- train --steps 300 --out run
    cargo run --release -- sample run --seed 7 --count 200 --out samples-ubyte
    python examples/parity/generator.py run/checkpoints/step_00000300.safetensors samples-ubyte 7

Takes the average where there is one, and of a conditional generator image i is of class i mod the number of classes. Prints what
is in the checkpoint. A byte may differ by one grey level. Exit status 1 if one differs by more.
"""

import struct
import sys

import numpy as np
from safetensors import safe_open

checkpoint, samples, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
MASK = (1 << 64) - 1
SAMPLE = 4


def splitmix64(x):
    z = (x + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def rotated(x, k):
    return ((x << k) | (x >> (64 - k))) & MASK


def uniforms(seed, purpose, a, count):
    """`count` draws of stream(seed, purpose, a, 0): xoshiro256++, top 24 bits, in [-1, 1)."""
    h = 0
    for word in (seed, purpose, a, 0):
        h = splitmix64(h ^ word)
    s = [splitmix64((h + 0x9E3779B97F4A7C15 * i) & MASK) for i in range(4)]
    for _ in range(count):
        yield ((rotated((s[0] + s[3]) & MASK, 23) + s[0] & MASK) >> 40) / (1 << 23) - 1
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotated(s[3], 45)


with safe_open(checkpoint, framework="np") as file:
    settings = dict(line.split("=", 1) for line in file.metadata()["checkpoint"].splitlines())
    tensors = {name: file.get_tensor(name) for name in file.keys()}
latent, hidden = int(settings["latent-size"]), int(settings["generator-hidden"])
classes, pack = int(settings.get("classes", 0)), int(settings["pack"])
other, pixels = int(settings["discriminator-hidden"]), int(settings["height"]) * int(settings["width"])
shapes = {
    "generator.hidden.weight": (latent + classes, hidden),
    "generator.hidden.bias": (hidden,),
    "generator.out.weight": (hidden, pixels),
    "generator.out.bias": (pixels,),
    "discriminator.hidden.weight": (pack * (pixels + classes), other),
    "discriminator.hidden.bias": (other,),
    "discriminator.out.weight": (other, 1),
    "discriminator.out.bias": (1,),
}
expected = {name + part: shape for name, shape in shapes.items() for part in ("", ".adam_m", ".adam_v")}
averaged = float(settings["average"]) > 0
expected |= {name + ".average": shape for name, shape in shapes.items() if averaged and name.startswith("generator")}
assert {name: tensor.shape for name, tensor in tensors.items()} == expected, "names and shapes"
assert all(tensor.dtype == np.float32 and np.isfinite(tensor).all() for tensor in tensors.values())
print(f"step {settings['step']}, {len(tensors)} tensors, seed {settings['seed']}, {settings['state_digest']}")

with open(samples, "rb") as file:
    magic, count, height, width = struct.unpack(">4I", file.read(16))
    images = np.frombuffer(file.read(), np.uint8).reshape(count, height * width)
assert magic == 0x803 and height * width == pixels
average = ".average" if averaged else ""
weights = {name: tensors[name + average].astype(np.float64) for name in shapes if name.startswith("generator")}
z = np.array([list(uniforms(seed, SAMPLE, i, latent)) for i in range(count)])
if classes:
    z = np.concatenate([z, np.eye(classes)[np.arange(count) % classes]], 1)
h = np.maximum(z @ weights["generator.hidden.weight"] + weights["generator.hidden.bias"], 0)
y = 1 / (1 + np.exp(-(h @ weights["generator.out.weight"] + weights["generator.out.bias"])))
grey = np.floor(255 * y + 0.5).astype(int)
distance = np.abs(grey - images.astype(int))
print(f"{count} images, {(distance > 0).sum()} of {distance.size} bytes differ, by at most {distance.max()}")
sys.exit(int(distance.max() > 1))
