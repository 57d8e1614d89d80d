"""The peer PyTorch: eager, or with `--compile` losses and gradients compiled by `torch.compile`, which takes a C++
compiler. Adam is its fused kernel either way: compiled it was slower.
"""

import mnist

args = mnist.arguments("--compile")

import torch  # noqa: E402
from torch import addmm, relu, sigmoid  # noqa: E402
from torch.nn.functional import softplus  # noqa: E402

torch.set_num_threads(args.threads)


def generate(parameters, z):
    w1, b1, w2, b2 = parameters
    return sigmoid(addmm(b2, relu(addmm(b1, z, w1)), w2))


def discriminate(parameters, x):
    w1, b1, w2, b2 = parameters
    return addmm(b2, relu(addmm(b1, x, w1)), w2)


def gradients(generator, discriminator, x, z):
    # One forward pass through both networks serves both losses.
    fake = generate(generator, z)
    logits = discriminate(discriminator, fake)
    generator_loss = softplus(-logits).mean()
    discriminator_loss = softplus(-discriminate(discriminator, x)).mean() + softplus(logits).mean()
    generator_gradients = torch.autograd.grad(generator_loss, generator, retain_graph=True)
    discriminator_gradients = torch.autograd.grad(discriminator_loss, discriminator)
    losses = torch.stack([generator_loss.detach(), discriminator_loss.detach()])
    return generator_gradients + discriminator_gradients, losses


if args.compile:
    torch._dynamo.config.trace_autograd_ops = True  # admits `torch.autograd.grad`
    gradients = torch.compile(gradients, fullgraph=True)


def start(inputs, outputs):
    return [torch.from_numpy(p).requires_grad_() for p in mnist.parameters(inputs, outputs)]


pixels = mnist.images()
batches = mnist.batches(len(pixels))
images = torch.from_numpy(pixels)
generator, discriminator = start(mnist.NOISE, mnist.PIXELS), start(mnist.PIXELS, 1)
parameters = generator + discriminator
betas = mnist.BETA1, mnist.BETA2
adam = torch.optim.Adam(parameters, lr=mnist.LEARNING_RATE, betas=betas, eps=mnist.EPSILON, fused=True)


def train(steps):
    sums = torch.zeros(2)
    for _ in range(steps):
        x = images[torch.from_numpy(next(batches))]
        z = torch.empty(mnist.BATCH, mnist.NOISE).uniform_(-1, 1)
        by_parameter, losses = gradients(generator, discriminator, x, z)
        for parameter, gradient in zip(parameters, by_parameter):
            parameter.grad = gradient
        adam.step()
        sums += losses
    return sums


mnist.measure("PyTorch, compiled" if args.compile else "PyTorch, eager", torch.__version__, args, train)
