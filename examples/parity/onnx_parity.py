"""Runs a run's networks as ONNX, and compares with the engine's images and with float64 NumPy.

    pip install -r examples/parity/requirements.txt
    python examples/parity/onnx_parity.py target/release/duel RUN [IMAGES]

Noise is NumPy's own, images are those of `duel sample --z`. A pixel may be 2e-6 away from float64, and its grey level, 255 of
them, half a level and that from the engine's. Sums of the discriminator are longer: 1e-4 of a logit, 1e-5. Exit status 1 if one is further away.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors import safe_open

program, run = sys.argv[1], sys.argv[2]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
FAR = 2e-6


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def duel(*arguments):
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    duel("export", run, "--out", folder / "state.safetensors")
    duel("export", run, "--out", folder / "generator.onnx")
    duel("export", run, "--discriminator", "--out", folder / "discriminator.onnx")
    with safe_open(folder / "state.safetensors", framework="np") as file:
        settings = dict(line.split("=", 1) for line in file.metadata()["checkpoint"].splitlines())
        averaged = float(settings["average"]) > 0
        of = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}
    latent, classes, pack = int(settings["latent-size"]), int(settings.get("classes", 0)), int(settings["pack"])
    height, width = int(settings["height"]), int(settings["width"])
    z = np.random.default_rng(7).uniform(-1, 1, (count, latent)).astype(np.float32)
    asked = np.arange(count) % max(classes, 1)
    np.save(folder / "z.npy", z)
    duel("sample", run, "--z", folder / "z.npy", "--out", folder / "images.npy")
    ours = np.load(folder / "images.npy")
    models = {name: onnx.load(folder / f"{name}.onnx") for name in ["generator", "discriminator"]}

sessions = {}
for name, model in models.items():
    onnx.checker.check_model(model, full_check=True)
    sessions[name] = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    print(f"{name}: opset {model.opset_import[0].version},",
          *(f"{io.name} {io.type} {io.shape}" for io in [*sessions[name].get_inputs(), *sessions[name].get_outputs()]))
one_hot = np.eye(max(classes, 1))[asked] if classes else np.zeros((count, 0))


def parameter(name):
    return of[name + ".average"] if averaged and name.startswith("generator") else of[name]


def dense(layer, x):
    return x @ parameter(f"{layer}.weight") + parameter(f"{layer}.bias")


given = {"class": asked.astype(np.int64)} if classes else {}
(pixels,) = sessions["generator"].run(None, {"z": z, **given})
assert pixels.shape == (count, 1, height, width), pixels.shape
exact = sigmoid(dense("generator.out", np.maximum(dense("generator.hidden", np.hstack([z, one_hot])), 0)))
from_exact = np.abs(pixels.reshape(count, -1) - exact).max()
levels = np.abs(255 * pixels.reshape(ours.shape).astype(np.float64) - ours).max()

rows = count // pack
images = ours[:rows * pack].reshape(rows, pack, height * width) / np.float32(255)
given = {"class": asked[:rows * pack].reshape(rows, pack).astype(np.int64)} if classes else {}
logit, probability = sessions["discriminator"].run(None, {"pixels": images.reshape(rows, pack, height, width), **given})
x = np.concatenate([images.astype(np.float64), one_hot[:rows * pack].reshape(rows, pack, -1)], axis=2)
x = x.transpose(0, 2, 1).reshape(rows, -1)
exact = dense("discriminator.out", np.maximum(dense("discriminator.hidden", x), 0))
of_logits = (np.abs(logit - exact) / np.maximum(np.abs(exact), 1)).max()
of_probabilities = np.abs(probability - sigmoid(exact)).max()

print(f"{count} images: {from_exact:.1e} from float64, {levels:.5f} levels of grey from the engine's")
print(f"{rows} rows of the discriminator: logits {of_logits:.1e} (of their size), probabilities {of_probabilities:.1e} from float64")
sys.exit(int(from_exact > FAR or levels > 0.5 + 255 * FAR or of_logits > 1e-4 or of_probabilities > 1e-5))
