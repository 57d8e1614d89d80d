"""What the parity example dumped, for the programs beside this file."""

import numpy as np
from safetensors import safe_open

STEPS = 50
NAMES = [f"{net}.{layer}.{what}" for net in ("generator", "discriminator") for layer in ("hidden", "out")
         for what in ("weight", "bias")]
# The settings are f32 numbers, and 1 - beta is their rounded f32 difference.
LR, BETA1, BETA2, EPSILON = (float(np.float32(x)) for x in (2e-4, 0.9, 0.999, 1e-8))
ONE_MINUS_BETA1 = float(np.float32(1) - np.float32(0.9))
ONE_MINUS_BETA2 = float(np.float32(1) - np.float32(0.999))
OUTPUT_CUT = float(np.uint32(0xC18AA123).view(np.float32))


def rate(t):
    """Adam's step size in step t with both bias corrections, in TensorFlow's form."""
    return LR * np.sqrt(1 - BETA2**t) / (1 - BETA1**t)


class Dump:
    def __init__(self, path):
        self.file = safe_open(path, framework="np")
        self.first_step = int(self.file.metadata()["first_step"])

    def get(self, name):
        return self.file.get_tensor(name)

    def state(self, k):
        """Parameters and moments before step first_step + k; biases have one dimension."""
        return {name + part: self.get(f"state.{k}.{name}{part}") for name in NAMES for part in ("", ".adam_m", ".adam_v")}

    def drift(self, who, step):
        """Steps freely from the first state, `state = step(state, k, t)`, and prints how far the parameters are from
        duel's: the largest ‖difference‖/‖value‖ of the eight tensors. Returns the last one."""
        state, text = self.state(0), []
        for k in range(STEPS):
            state = step(state, k, self.first_step + k)
            if k + 1 in (1, 10, STEPS):
                duel = self.state(k + 1)
                differences = [np.linalg.norm(np.asarray(state[name], np.float64).ravel() - duel[name].ravel())
                               / np.linalg.norm(duel[name].astype(np.float64)) for name in NAMES]
                text.append(f"{max(differences):.1e} ({NAMES[int(np.argmax(differences))]})")
        print(f"drift from duel, {who} | from step {self.first_step - 1:,} | after 1, 10, 50 steps | {' | '.join(text)}")
        return max(differences)
