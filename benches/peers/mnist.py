"""What the Python peers share: the images, the batches, the first weights, the command line and the measuring.

A peer is a program `python X.py --threads N --warmup W --steps S` that trains the GAN from a random start: W steps
untimed, compilation included, then S steps timed. It prints one line of JSON.
"""

import argparse
import gzip
import json
import os
import time
from pathlib import Path

import numpy as np

BATCH, NOISE, HIDDEN, PIXELS = 128, 100, 256, 784
LEARNING_RATE, BETA1, BETA2, EPSILON = 2e-4, 0.9, 0.999, 1e-8
HELD_OUT = 5000
# Peers that compile a loop of steps run this many per call.
CHUNK = 50

rng = np.random.default_rng()


def arguments(*flags):
    """The command line. The number of threads is set for OpenMP too, hence before a framework is imported."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--steps", type=int, default=500)
    for flag in flags:
        parser.add_argument(flag, action="store_true")
    args = parser.parse_args()
    if args.warmup % CHUNK or args.steps % CHUNK:
        parser.error(f"--warmup and --steps are multiples of {CHUNK}")
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    return args


def images():
    """The training images without the held-out ones: f32 [55000, 784] in [0, 1]."""
    file = Path(__file__).resolve().parents[2] / "data" / "train-images-idx3-ubyte.gz"
    pixels = np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=16).reshape(-1, PIXELS)
    return pixels[HELD_OUT:].astype(np.float32) / 255


def batches(count):
    """Indices of images for batch after batch, i32 [128]: epoch after epoch, each shuffled anew."""
    order = np.empty(0, np.int32)
    while True:
        if len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(count).astype(np.int32)])
        yield order[:BATCH]
        order = order[BATCH:]


def parameters(inputs, outputs):
    """The first parameters of a two-layer network, weights [inputs, outputs]: N(0, 1/√(fan_in/2)), biases 0."""
    tensors = []
    for fan_in, fan_out in [(inputs, HIDDEN), (HIDDEN, outputs)]:
        weight = rng.normal(0, (fan_in / 2) ** -0.5, (fan_in, fan_out))
        tensors += [weight.astype(np.float32), np.zeros(fan_out, np.float32)]
    return tensors


def measure(peer, version, args, train):
    """Times `train(steps)`, which returns the sums of both losses as numbers, and prints the line."""
    train(args.warmup)
    start = time.perf_counter()
    generator_loss, discriminator_loss = train(args.steps)
    seconds = time.perf_counter() - start
    line = {
        "peer": peer,
        "version": version,
        "steps": args.steps,
        "seconds": seconds,
        "generator_loss": float(generator_loss) / args.steps,
        "discriminator_loss": float(discriminator_loss) / args.steps,
    }
    print(json.dumps(line))
