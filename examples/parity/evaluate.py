"""The figures of `duel evaluate`, computed once more by NumPy in float64, and compared.

    duel sample RUN --count 10000 --seed 42 --out samples-ubyte
    duel evaluate RUN --json > evaluation.json
    python3 examples/parity/evaluate.py evaluation.json samples-ubyte data

The folder of data has MNIST's four names, or some of them; 5,000 images are held out, or as many as a fourth argument says. The
classes of a conditional run's samples lie beside them, in samples-labels-ubyte. Needs numpy.
"""
import gzip
import json
import os
import sys

import numpy as np


def read(path, header):
    path = path if os.path.exists(path) else path + ".gz"
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        return np.frombuffer(file.read()[header:], np.uint8)


def squared(a, b):
    """Squared distances, rows of a by rows of b: sums of whole numbers below 2^53."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * (a @ b.T)


def blocks(a, b, work, rows=500):
    return [work(i, squared(a[i:i + rows], b)) for i in range(0, len(a), rows)]


def radii(a, k=5):
    """Column k of the sorted row is the k-th neighbour: column 0 is the image itself."""
    return np.concatenate(blocks(a, a, lambda i, d: np.partition(d, k, axis=1)[:, k]))


def log_likelihood(d, width, pixels):
    e = -d / (2 * width ** 2 * 255 ** 2)
    most = e.max(1)
    return most + np.log(np.exp(e - most[:, None]).mean(1)) - pixels * np.log(width * np.sqrt(2 * np.pi))


def main():
    evaluation, samples_file, folder = sys.argv[1:4]
    held = int(sys.argv[4]) if len(sys.argv) > 4 else 5000
    report = json.load(open(evaluation))["report"]
    samples = read(samples_file, 16)
    pixels = len(samples) // 10_000
    samples = samples.reshape(-1, pixels)
    images = read(f"{folder}/train-images-idx3-ubyte", 16).reshape(-1, pixels)
    real = read(f"{folder}/t10k-images-idx3-ubyte", 16).reshape(-1, pixels)[:10_000]
    train, labels = images[held:], read(f"{folder}/train-labels-idx1-ubyte", 8)[held:]
    n, m, wrong = len(samples), len(real), []

    def compare(name, got, expected, tolerance=0.0):
        ok = bool(np.all(np.abs(np.asarray(got) - np.asarray(expected)) <= tolerance * np.maximum(1, np.abs(expected))))
        print(f"{'same' if ok else 'DIFFERS'}: {name}: {got} | {expected}", flush=True)
        wrong.extend([] if ok else [name])

    widths = [10 ** (i / 9 - 1) for i in range(10)]
    by_width = blocks(images[:min(held, 1000)], samples, lambda i, d: [log_likelihood(d, w, pixels) for w in widths])
    width = widths[int(np.argmax([np.mean(np.concatenate([block[w] for block in by_width])) for w in range(10)]))]
    compare("width of Parzen's windows", report["parzen"]["width"], width, 1e-15)
    of_real, of_samples = radii(real), radii(samples)
    rows = blocks(real, samples, lambda i, d: (
        log_likelihood(d, width, pixels), (d < of_samples[None]).any(1), (d < of_real[i:i + 500, None]).any(1),
        (d < of_real[i:i + 500, None]).sum(0), d.argmin(1)))
    nats = np.concatenate([row[0] for row in rows])
    within = sum(row[3] for row in rows)
    compare("Parzen, nats", report["parzen"]["nats"], nats.mean(), 1e-10)
    compare("Parzen, standard error", report["parzen"]["standard_error"], nats.std() / np.sqrt(m), 1e-10)
    compare("recall", report["recall"], np.concatenate([row[1] for row in rows]).sum() / m)
    compare("coverage", report["coverage"], np.concatenate([row[2] for row in rows]).sum() / m)
    compare("precision", report["precision"], (within > 0).sum() / n)
    compare("density", report["density"], within.sum() / (n * 5))
    nearest = blocks(samples, train, lambda i, d: (d.argmin(1), d.min(1)))
    index, least = (np.concatenate([block[i] for block in nearest]) for i in (0, 1))
    classes = int(labels.max()) + 1
    compare("shares of classes", [c["share"] for c in report["classes"]],
            np.bincount(labels[index], minlength=classes) / n)
    compare("real shares", [c["real_share"] for c in report["classes"]], np.bincount(labels, minlength=classes) / len(labels))

    # Of a conditional run the classes of the samples lie beside them.
    place, name = os.path.split(samples_file)
    labels_file = os.path.join(place, name.replace("images", "labels").replace("idx3", "idx1") if "images" in name
                               else name.replace("-ubyte", "-labels-ubyte", 1))
    if os.path.exists(labels_file):
        asked = read(labels_file, 8)
        truth = read(f"{folder}/t10k-labels-idx1-ubyte", 8)[:m]
        compare("asked-for class", report["agreement"], (labels[index] == asked).sum() / n)
        told = asked[np.concatenate([row[4] for row in rows])]
        compare("trained on samples", report["classifier"]["samples"], (told == truth).sum() / m)
        told = labels[np.concatenate(blocks(real, train[:n], lambda i, d: d.argmin(1)))]
        compare("trained on real images", report["classifier"]["real"], (told == truth).sum() / m)

    def quantiles(d):
        d = np.sort(d)
        return [np.sqrt(d[((len(d) - 1) * q + 50) // 100]) / 255 for q in (0, 5, 25, 50, 75, 95)]

    compare("distances of samples to training images", report["copies"]["samples"], quantiles(least))
    compare("distances of real images", report["copies"]["real"],
            quantiles(np.concatenate(blocks(real, train, lambda i, d: d.min(1)))))
    order = np.argsort(least, kind="stable")[:16]
    compare("closest pairs", report["copies"]["closest"], np.stack([order, index[order]], 1))
    if wrong:
        sys.exit(f"{len(wrong)} figures differ: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
