"""Parameters of one's own, for `duel train --init`: here Glorot's uniform initialisation instead of normal numbers.

    python examples/python/initial.py glorot.safetensors && duel train --init glorot.safetensors --out runs/glorot

PyTorch's and JAX's arrays are written in the same way (`safetensors.torch`, `safetensors.flax`): f32, of these names and shapes; a
weight is [inputs, outputs], PyTorch's `weight.T`. Takes NumPy and safetensors.
"""

import sys

import numpy as np
from safetensors.numpy import save_file

random = np.random.default_rng(1)
tensors = {}
for layer, inputs, outputs in [("generator.hidden", 100, 256), ("generator.out", 256, 784),
                               ("discriminator.hidden", 784, 256), ("discriminator.out", 256, 1)]:
    limit = np.sqrt(6 / (inputs + outputs))
    tensors[f"{layer}.weight"] = random.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
    tensors[f"{layer}.bias"] = np.zeros(outputs, np.float32)
save_file(tensors, sys.argv[1])
