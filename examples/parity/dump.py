"""What the parity example dumped, for the programs beside this file."""

import numpy as np
from safetensors import safe_open

STEPS = 50
NAMES = [f"{net}.{layer}.{what}" for net in ("generator", "discriminator") for layer in ("hidden", "out")
         for what in ("weight", "bias")]
OUTPUT_CUT = float(np.uint32(0xC18AA123).view(np.float32))


class Dump:
    def __init__(self, path):
        self.file = safe_open(path, framework="np")
        settings = self.file.metadata()
        self.first_step = int(settings["first_step"])
        self.pack, self.labels = int(settings["pack"]), settings["labels"] == "true"
        # The settings are f32 numbers, and 1 - beta is their rounded f32 difference.
        names = "learning-rate", "beta1", "beta2", "epsilon", "average"
        values = [np.float32(settings[name]) for name in names]
        self.lr, self.beta1, self.beta2, self.epsilon, self.average = map(float, values)
        self.one_minus_beta1, self.one_minus_beta2, self.one_minus_average = (
            float(np.float32(1) - values[i]) for i in (1, 2, 4))
        self.classes = self.get("z.0").shape[1] - int(settings["latent-size"])

    def rate(self, t):
        """Adam's step size in step t with both bias corrections, in TensorFlow's form."""
        return self.lr * np.sqrt(1 - self.beta2**t) / (1 - self.beta1**t)

    def seen(self, k):
        """Noise and real images of step k with the columns of their classes, if they have any, and those of the generated images."""
        z, real = self.get(f"z.{k}"), self.get(f"real.{k}")
        if self.labels:
            real = np.concatenate([real, np.eye(self.classes, dtype=np.float32)[self.get(f"label.{k}").astype(int)]], 1)
        return z, real, z[:, z.shape[1] - self.classes:]

    def parts(self, name):
        """The ends of a tensor's names."""
        averaged = self.average > 0 and name.startswith("generator")
        return ("", ".adam_m", ".adam_v") + ((".average",) if averaged else ())

    def get(self, name):
        return self.file.get_tensor(name)

    def state(self, k):
        """Parameters, moments and averages before step first_step + k; biases have one dimension."""
        return {name + part: self.get(f"state.{k}.{name}{part}") for name in NAMES for part in self.parts(name)}

    def drift(self, who, step):
        """Steps freely from the first state, `state = step(state, k, t)`, and prints how far the parameters, and the averages,
        are from duel's: the largest ‖difference‖/‖value‖ of their tensors. Returns the last one."""
        state, text = self.state(0), []
        names = [name + part for name in NAMES for part in self.parts(name) if "adam" not in part]
        for k in range(STEPS):
            state = step(state, k, self.first_step + k)
            if k + 1 in (1, 10, STEPS):
                duel = self.state(k + 1)
                differences = [np.linalg.norm(np.asarray(state[name], np.float64).ravel() - duel[name].ravel())
                               / np.linalg.norm(duel[name].astype(np.float64)) for name in names]
                text.append(f"{max(differences):.1e} ({names[int(np.argmax(differences))]})")
        print(f"drift from duel, {who} | from step {self.first_step - 1:,} | after 1, 10, 50 steps | {' | '.join(text)}")
        return max(differences)
