"""Trains the same fifty steps in PyTorch, in f32 with its own products and autograd, and says how far it drifts from duel.

    pip install -r examples/parity/requirements.txt torch==2.15.0
    cargo run --release --example parity -- parity.safetensors
    python examples/parity/torch_twin.py parity.safetensors

Same start, same batches, same noise; only the order of the sums, the sigmoid and the roundings are PyTorch's. Adam is
written out in TensorFlow's form, because torch.optim.Adam puts epsilon elsewhere. Exit status 1 beyond 1e-3.
"""

import sys

import torch
from dump import NAMES, OUTPUT_CUT, Dump
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

dump = Dump(sys.argv[1])


def step(state, k, t):
    state = {name: torch.as_tensor(value) for name, value in state.items()}
    p = {name: state[name].clone().requires_grad_() for name in NAMES}
    z, real, classes = (torch.as_tensor(values) for values in dump.seen(k))

    def layer(x, name):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    def logits(images):
        # Images that are judged at once stand side by side: column c of image k is column c·pack + k of a row.
        images = images.reshape(-1, dump.pack, images.shape[1]).transpose(1, 2).reshape(len(images) // dump.pack, -1)
        return layer(torch.relu(layer(images, "discriminator.hidden")), "discriminator.out")

    before = layer(torch.relu(layer(z, "generator.hidden")), "generator.out")
    fake = torch.cat([torch.where(before <= OUTPUT_CUT, 0.0, torch.sigmoid(before)), classes], 1)
    on_fake = logits(fake)
    ones = torch.ones_like(on_fake)
    generator_loss = cross_entropy(on_fake, ones)
    # The discriminator's loss does not reach the generator.
    discriminator_loss = cross_entropy(logits(real), ones) + cross_entropy(logits(fake.detach()), torch.zeros_like(ones))
    of = {net: [name for name in NAMES if name.startswith(net)] for net in ("generator", "discriminator")}
    grads = {}
    for net, loss in (("generator", generator_loss), ("discriminator", discriminator_loss)):
        grads |= zip(of[net], torch.autograd.grad(loss, [p[name] for name in of[net]], retain_graph=True))
    after = {}
    with torch.no_grad():
        for name, g in grads.items():
            m, v = state[name + ".adam_m"], state[name + ".adam_v"]
            m = m + dump.one_minus_beta1 * (g - m)
            v = v + dump.one_minus_beta2 * (g * g - v)
            value = p[name] - float(dump.rate(t)) * m / (v.sqrt() + dump.epsilon)
            after |= {name: value, name + ".adam_m": m, name + ".adam_v": v}
            if name + ".average" in state:
                average = state[name + ".average"]
                after[name + ".average"] = average + dump.one_minus_average * (value - average)
    return after


sys.exit(not dump.drift(f"PyTorch {torch.__version__}, float32", step) < 1e-3)
