"""Recomputes fifty steps of a run in float64 NumPy, from the documentation alone, and compares.

    pip install -r examples/parity/requirements.txt
    cargo run --release --example parity -- parity.safetensors
    python examples/parity/parity.py parity.safetensors

or of a run with other settings, such as a conditional one,

    cargo run --release -- train --preset labelled --pack 2 --steps 300 --out run
    cargo run --release --example parity -- parity.safetensors run/checkpoints/step_00000300.safetensors

First each step from the state and the ReLU masks of the file: parameters, moments and averages must agree within 2e-6 relative
(norm of the difference by norm) per tensor, and moments within what f32 may round in the terms of their gradient. Then
all fifty in a row from the first state, without looking at duel's again: how far the two drift apart, at most 1e-3. Exit
status 1 if it is more.
"""

import sys

import numpy as np
from dump import NAMES, OUTPUT_CUT, STEPS, Dump

dump = Dump(sys.argv[1])
LIMIT = 2e-6
TERM_ERROR = 1e-6
LOGIT_ERROR = 1e-7
DRIFT_LIMIT = 1e-3


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def side_by_side(images):
    """Rows of images that are judged at once: column c of image k of a row is its column c·pack + k."""
    return images.reshape(-1, dump.pack, images.shape[1]).transpose(0, 2, 1).reshape(len(images) // dump.pack, -1)


def apart(rows):
    return rows.reshape(len(rows), -1, dump.pack).transpose(0, 2, 1).reshape(len(rows) * dump.pack, -1)


def gradients(k, p, masked):
    """The gradients of step k by parameters p, and how far f32 may be off. `masked`: a hidden unit is on
    where duel's was, else where its value is positive."""
    z, real, classes = (values.astype(np.float64) for values in dump.seen(k))
    real = side_by_side(real)
    masks = {}

    def relu(x, name):
        duel = dump.get(f"mask.{name}.{k}") > 0
        masks[name] = duel if masked else x > 0
        if (masks[name] != duel).any():
            parted.append(dump.first_step + k)
        return masks[name] * x

    batch = len(real)
    # Forward.
    hidden = relu(z @ p["generator.hidden.weight"] + p["generator.hidden.bias"], "generator")
    pre = hidden @ p["generator.out.weight"] + p["generator.out.bias"]
    pixels = np.where(pre <= OUTPUT_CUT, 0, sigmoid(pre))
    fake = side_by_side(np.concatenate([pixels, classes], 1))
    weight, bias = p["discriminator.hidden.weight"], p["discriminator.hidden.bias"]
    h_real = relu(real @ weight + bias, "discriminator_real")
    h_fake = relu(fake @ weight + bias, "discriminator_fake")
    out, out_bias = p["discriminator.out.weight"], p["discriminator.out.bias"]
    l_real, l_fake = h_real @ out + out_bias, h_fake @ out + out_bias
    # Derivatives of the losses by the logits.
    d_real, d_fake, d_gen = -sigmoid(-l_real) / batch, sigmoid(l_fake) / batch, -sigmoid(-l_fake) / batch
    # Backward.
    dh_real = masks["discriminator_real"] * (d_real @ out.T)
    dh_fake = masks["discriminator_fake"] * (d_fake @ out.T)
    d_fake_inputs = apart((masks["discriminator_fake"] * (d_gen @ out.T)) @ weight.T)
    d_pixels = d_fake_inputs[:, :pixels.shape[1]] * pixels * (1 - pixels)
    d_hidden = masks["generator"] * (d_pixels @ p["generator.out.weight"].T)
    # How far a row's derivatives may be off, relative: its logit is off by what its f32 sum of products rounds.
    doubt_real, doubt_fake = (TERM_ERROR + LOGIT_ERROR * (abs(h) @ abs(out)) for h in (h_real, h_fake))
    # Each gradient is a sum over rows, left.T @ right; of a bias, left is 1.
    ones, of_images = np.ones((batch, 1)), np.ones((len(z), 1))
    terms = {
        "generator.hidden.weight": [(z, d_hidden)],
        "generator.hidden.bias": [(of_images, d_hidden)],
        "generator.out.weight": [(hidden, d_pixels)],
        "generator.out.bias": [(of_images, d_pixels)],
        "discriminator.hidden.weight": [(real, dh_real), (fake, dh_fake)],
        "discriminator.hidden.bias": [(ones, dh_real), (ones, dh_fake)],
        "discriminator.out.weight": [(h_real, d_real), (h_fake, d_fake)],
        "discriminator.out.bias": [(ones, d_real), (ones, d_fake)],
    }
    shaped = {name: p[name].shape for name in terms}
    grads = {name: sum(a.T @ b for a, b in pairs).reshape(shaped[name]) for name, pairs in terms.items()}
    errors = {}
    for name, pairs in terms.items():
        doubts = [np.repeat(doubt_fake, dump.pack, 0)] if name.startswith("generator") else [doubt_real, doubt_fake]
        errors[name] = sum(abs(a).T @ (doubt * abs(b)) for doubt, (a, b) in zip(doubts, pairs)).reshape(shaped[name])
    return grads, errors


def update(state, k, t, masked):
    """The state after step t, and how far its moments may be off where the terms of a gradient cancel."""
    state = {name: value.astype(np.float64) for name, value in state.items()}
    grads, errors = gradients(k, state, masked)
    after, slack = {}, {}
    for name, g in grads.items():
        p, m, v = state[name], state[name + ".adam_m"], state[name + ".adam_v"]
        m = m + dump.one_minus_beta1 * (g - m)
        v = v + dump.one_minus_beta2 * (g * g - v)
        p = p - dump.rate(t) * m / (np.sqrt(v) + dump.epsilon)
        after |= {name: p, name + ".adam_m": m, name + ".adam_v": v}
        if name + ".average" in state:
            average = state[name + ".average"]
            after[name + ".average"] = average + dump.one_minus_average * (p - average)
        # A gradient's error is relative to its terms, not to itself: real and generated images nearly cancel in a
        # discriminator that has found its balance.
        slack[name + ".adam_m"] = dump.one_minus_beta1 * np.linalg.norm(errors[name])
        slack[name + ".adam_v"] = 2 * dump.one_minus_beta2 * np.linalg.norm(g * errors[name])
    return after, slack


# Steps in which a hidden value within rounding of 0 is on its other side.
parted = []
worst = {}
failed = False
for k in range(STEPS):
    t = dump.first_step + k
    expected, more = update(dump.state(k), k, t, masked=True)
    got = dump.state(k + 1)
    for name, value in expected.items():
        error = np.linalg.norm(got[name] - value)
        bound = LIMIT * np.linalg.norm(value) + more.get(name, 0.0)
        share = error / bound if bound > 0 else (0.0 if error == 0 else np.inf)
        worst[name] = max(worst.get(name, 0.0), share)
        if not share <= 1:
            failed = True
            print(f"step {t}: {name}: {error:.2e} is more than {bound:.2e}")

for name in NAMES:
    parts = [f"{worst[name + part]:.3f}" for part in dump.parts(name)]
    print(f"{name:29} {' '.join(parts)} of the bound: parameters, first and second moments, average")
failed |= not dump.drift("NumPy, float64", lambda state, k, t: update(state, k, t, masked=False)[0]) < DRIFT_LIMIT
print(f"hidden values on the other side of 0: {f'from step {parted[0]} on' if parted else 'none'}")
print("FAILED" if failed else f"fifty steps from step {dump.first_step} agree")
sys.exit(failed)
