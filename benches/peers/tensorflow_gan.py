"""The peer TensorFlow: `CHUNK` steps per call of a `tf.function`."""

import os
from itertools import islice

import numpy as np

import mnist

args = mnist.arguments()
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import tensorflow as tf  # noqa: E402
from tensorflow.nn import relu, softplus  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(args.threads)
tf.config.threading.set_inter_op_parallelism_threads(args.threads)


def generate(parameters, z):
    w1, b1, w2, b2 = parameters
    return tf.sigmoid(relu(z @ w1 + b1) @ w2 + b2)


def discriminate(parameters, x):
    w1, b1, w2, b2 = parameters
    return relu(x @ w1 + b1) @ w2 + b2


class Network:
    """Parameters and Adam's moments."""

    def __init__(self, inputs, outputs):
        self.parameters = [tf.Variable(p) for p in mnist.parameters(inputs, outputs)]
        self.first = [tf.Variable(tf.zeros_like(p)) for p in self.parameters]
        self.second = [tf.Variable(tf.zeros_like(p)) for p in self.parameters]

    def adam(self, gradients):
        """TensorFlow's Adam, one kernel per tensor where Keras takes many; it adds ε before the correction."""
        settings = {
            "beta1_power": mnist.BETA1**time,
            "beta2_power": mnist.BETA2**time,
            "lr": mnist.LEARNING_RATE,
            "beta1": mnist.BETA1,
            "beta2": mnist.BETA2,
            "epsilon": mnist.EPSILON,
        }
        for p, m, v, gradient in zip(self.parameters, self.first, self.second, gradients):
            tf.raw_ops.ResourceApplyAdam(var=p.handle, m=m.handle, v=v.handle, grad=gradient, **settings)


def step(rows):
    x = tf.gather(images, rows)
    z = tf.random.uniform((mnist.BATCH, mnist.NOISE), -1, 1)

    # One forward pass through both networks serves both losses; gradients that are not used are not computed.
    with tf.GradientTape(persistent=True) as tape:
        logits = discriminate(discriminator.parameters, generate(generator.parameters, z))
        generator_loss = tf.reduce_mean(softplus(-logits))
        real_loss = tf.reduce_mean(softplus(-discriminate(discriminator.parameters, x)))
        discriminator_loss = real_loss + tf.reduce_mean(softplus(logits))
    generator_gradients = tape.gradient(generator_loss, generator.parameters)
    discriminator_gradients = tape.gradient(discriminator_loss, discriminator.parameters)

    time.assign_add(1)
    generator.adam(generator_gradients)
    discriminator.adam(discriminator_gradients)
    return tf.stack([generator_loss, discriminator_loss])


@tf.function(jit_compile=True)
def chunk(rows):
    losses = tf.zeros(2)
    for i in tf.range(mnist.CHUNK):
        losses += step(rows[i])
    return losses


pixels = mnist.images()
batches = mnist.batches(len(pixels))
images = tf.constant(pixels)
time = tf.Variable(0.0)
generator, discriminator = Network(mnist.NOISE, mnist.PIXELS), Network(mnist.PIXELS, 1)


def train(steps):
    calls = [chunk(np.stack(list(islice(batches, mnist.CHUNK)))) for _ in range(steps // mnist.CHUNK)]
    return sum(losses.numpy() for losses in calls)


mnist.measure("TensorFlow", tf.__version__, args, train)
