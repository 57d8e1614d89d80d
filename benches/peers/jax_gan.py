"""The peer JAX: `CHUNK` steps per call as a `scan` that XLA compiles."""

import os
from functools import partial
from itertools import islice

import numpy as np

import mnist

args = mnist.arguments()
# XLA starts as many threads as the process may use cores.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax.nn import relu, sigmoid, softplus  # noqa: E402


def generate(parameters, z):
    w1, b1, w2, b2 = parameters
    return sigmoid(relu(z @ w1 + b1) @ w2 + b2)


def discriminate(parameters, x):
    w1, b1, w2, b2 = parameters
    return relu(x @ w1 + b1) @ w2 + b2


def adam(time, parameters, first, second, gradients):
    first = [mnist.BETA1 * m + (1 - mnist.BETA1) * g for m, g in zip(first, gradients)]
    second = [mnist.BETA2 * v + (1 - mnist.BETA2) * g * g for v, g in zip(second, gradients)]
    m_rate, v_rate = mnist.LEARNING_RATE / (1 - mnist.BETA1**time), 1 / (1 - mnist.BETA2**time)
    moved = [p - m_rate * m / (jnp.sqrt(v_rate * v) + mnist.EPSILON) for p, m, v in zip(parameters, first, second)]
    return moved, first, second


def mean_softplus(logits):
    return softplus(logits).mean()


def step(images, state, rows):
    time, key, generator, discriminator = state
    time += 1
    key, noise_key = jax.random.split(key)
    x = images[rows]
    z = jax.random.uniform(noise_key, (mnist.BATCH, mnist.NOISE), minval=-1, maxval=1)

    # One forward pass through both networks serves both losses; XLA leaves out the gradients that are not used.
    fake, to_generator = jax.vjp(lambda parameters: generate(parameters, z), generator[0])
    logits, to_discriminator = jax.vjp(discriminate, discriminator[0], fake)
    generator_loss, by_logits = jax.value_and_grad(lambda logits: mean_softplus(-logits))(logits)
    generator_gradients = to_generator(to_discriminator(by_logits)[1])[0]
    fake_loss, by_logits = jax.value_and_grad(mean_softplus)(logits)
    fake_gradients = to_discriminator(by_logits)[0]
    real = jax.value_and_grad(lambda parameters: mean_softplus(-discriminate(parameters, x)))
    real_loss, real_gradients = real(discriminator[0])
    discriminator_gradients = jax.tree.map(jnp.add, real_gradients, fake_gradients)

    generator = adam(time, *generator, generator_gradients)
    discriminator = adam(time, *discriminator, discriminator_gradients)
    return (time, key, generator, discriminator), jnp.stack([generator_loss, real_loss + fake_loss])


@partial(jax.jit, donate_argnums=1)
def chunk(images, state, rows):
    state, losses = jax.lax.scan(lambda state, rows: step(images, state, rows), state, rows)
    return state, losses.sum(0)


def start(inputs, outputs):
    """Parameters and Adam's moments."""
    parameters = [jnp.asarray(p) for p in mnist.parameters(inputs, outputs)]
    return parameters, [jnp.zeros_like(p) for p in parameters], [jnp.zeros_like(p) for p in parameters]


pixels = mnist.images()
batches = mnist.batches(len(pixels))
images = jnp.asarray(pixels)
key = jax.random.key(int(mnist.rng.integers(2**31)))
state = (0, key, start(mnist.NOISE, mnist.PIXELS), start(mnist.PIXELS, 1))


def train(steps):
    global state
    calls = []
    for _ in range(steps // mnist.CHUNK):
        state, losses = chunk(images, state, np.stack(list(islice(batches, mnist.CHUNK))))
        calls.append(losses)
    return sum(np.asarray(losses) for losses in calls)


mnist.measure("JAX", jax.__version__, args, train)
