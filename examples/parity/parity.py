"""Recomputes ten steps of a run in float64 NumPy, from the documentation alone, and compares.

    pip install -r examples/parity/requirements.txt
    cargo run --release --example parity -- parity.safetensors
    python examples/parity/parity.py parity.safetensors

Each step starts from the state and the ReLU masks of the file. Parameters and moments must agree within 2e-6
relative (norm of the difference by norm) per tensor. Exit status 1 if one does not.
"""

import json
import struct
import sys

import numpy as np
from safetensors.numpy import load_file

path = sys.argv[1]
dump = {name: value.astype(np.float64) for name, value in load_file(path).items()}
with open(path, "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
first_step = int(header["__metadata__"]["first_step"])

# The settings are f32 numbers, and 1 - beta is their rounded f32 difference.
LR, BETA1, BETA2, EPSILON = (float(np.float32(x)) for x in (2e-4, 0.9, 0.999, 1e-8))
ONE_MINUS_BETA1 = float(np.float32(1) - np.float32(0.9))
ONE_MINUS_BETA2 = float(np.float32(1) - np.float32(0.999))
OUTPUT_CUT = float(np.uint32(0xC18AA123).view(np.float32))
LIMIT = 2e-6


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def gradients(k, p):
    z, real = dump[f"z.{k}"], dump[f"real.{k}"]
    masks = {n: dump[f"mask.{n}.{k}"] for n in ("generator", "discriminator_real", "discriminator_fake")}
    batch = len(z)
    # Forward.
    hidden = masks["generator"] * (z @ p["generator.hidden.weight"] + p["generator.hidden.bias"])
    pre = hidden @ p["generator.out.weight"] + p["generator.out.bias"]
    fake = np.where(pre <= OUTPUT_CUT, 0, sigmoid(pre))
    weight, bias = p["discriminator.hidden.weight"], p["discriminator.hidden.bias"]
    h_real = masks["discriminator_real"] * (real @ weight + bias)
    h_fake = masks["discriminator_fake"] * (fake @ weight + bias)
    out, out_bias = p["discriminator.out.weight"], p["discriminator.out.bias"]
    l_real, l_fake = h_real @ out + out_bias, h_fake @ out + out_bias
    # Derivatives of the losses by the logits.
    d_real, d_fake, d_gen = -sigmoid(-l_real) / batch, sigmoid(l_fake) / batch, -sigmoid(-l_fake) / batch
    # Backward.
    dh_real = masks["discriminator_real"] * (d_real @ out.T)
    dh_fake = masks["discriminator_fake"] * (d_fake @ out.T)
    d_pixels = ((masks["discriminator_fake"] * (d_gen @ out.T)) @ weight.T) * fake * (1 - fake)
    d_hidden = masks["generator"] * (d_pixels @ p["generator.out.weight"].T)
    slack = np.abs(d_real).sum() + np.abs(d_fake).sum()
    return {
        "generator.hidden.weight": z.T @ d_hidden,
        "generator.hidden.bias": d_hidden.sum(0, keepdims=True),
        "generator.out.weight": hidden.T @ d_pixels,
        "generator.out.bias": d_pixels.sum(0, keepdims=True),
        "discriminator.hidden.weight": real.T @ dh_real + fake.T @ dh_fake,
        "discriminator.hidden.bias": (dh_real.sum(0) + dh_fake.sum(0))[None],
        "discriminator.out.weight": h_real.T @ d_real + h_fake.T @ d_fake,
        "discriminator.out.bias": np.array([[d_real.sum() + d_fake.sum()]]),
    }, slack


def distance(got, expected):
    return np.linalg.norm(got - expected)


worst = {}
failed = False
for k in range(10):
    t = first_step + k
    rate = LR * np.sqrt(1 - BETA2**t) / (1 - BETA1**t)
    before = {n[len(f"before.{k}.") :]: v for n, v in dump.items() if n.startswith(f"before.{k}.")}
    grads, slack = gradients(k, before)
    for name, g in grads.items():
        p, m, v = before[name], before[name + ".adam_m"], before[name + ".adam_v"]
        m = m + ONE_MINUS_BETA1 * (g - m)
        v = v + ONE_MINUS_BETA2 * (g * g - v)
        p = p - rate * m / (np.sqrt(v) + EPSILON)
        # A cancelling scalar: its gradient's error is relative to the sum of its terms' magnitudes.
        scalar = name == "discriminator.out.bias"
        more_m = ONE_MINUS_BETA1 * 1e-6 * slack if scalar else 0.0
        more_v = 2 * ONE_MINUS_BETA2 * float(np.abs(g).max()) * 1e-6 * slack if scalar else 0.0
        for suffix, expected, more in (("", p, 0.0), (".adam_m", m, more_m), (".adam_v", v, more_v)):
            got = dump[f"after.{k}.{name}{suffix}"]
            error = distance(got, expected)
            bound = LIMIT * np.linalg.norm(expected) + more
            share = error / bound if bound > 0 else (0.0 if error == 0 else np.inf)
            worst[name + suffix] = max(worst.get(name + suffix, 0.0), share)
            if not share <= 1:
                failed = True
                print(f"step {t}: {name}{suffix}: {error:.2e} is more than {bound:.2e}")

for name, share in worst.items():
    print(f"{name:40} {share:.3f} of the bound")
print("FAILED" if failed else f"ten steps from step {first_step} agree")
sys.exit(failed)
