"""Trains the MLP GAN of MNIST on a CPU, with the same bits from a seed everywhere.

>>> import duel
>>> trainer = duel.train("data", steps=300)
>>> trainer.digest()
'sha256:...'
>>> trainer.sample(36).shape
(36, 28, 28)
"""

from ._duel import BITS_VERSION, Generator, Stats, Trainer, __version__, noise, verify
from ._errors import (
    DivergedError,
    Error,
    FileError,
    InputError,
    MachineError,
    MismatchError,
    UsageError,
)

__all__ = [
    "BITS_VERSION",
    "DivergedError",
    "Error",
    "FileError",
    "Generator",
    "InputError",
    "MachineError",
    "MismatchError",
    "Stats",
    "Trainer",
    "UsageError",
    "__version__",
    "noise",
    "train",
    "verify",
]


def train(images, seed=42, steps=70_000, callback=None, *, labels=None, threads=0, isa=None, **settings):
    """Trains a GAN on images, and returns its trainer.

    ``images`` are a file of IDX images or the folder that has one (MNIST's, plain or gzip), or an array of u8 [n, h, w].
    ``labels`` are an array of u8 [n], or True: those beside the file; then the GAN is conditional.

    ``callback`` is told of each step (``Stats``), when its losses are known; the run ends after that step if it returns
    True or raises. ``threads`` are 0 for as many as this process may use. Other settings are those of the program, with
    ``_`` for ``-``: ``batch_size=64, learning_rate=1e-4``, ``preset="labelled"``; note that the first 5,000 images are
    held out unless ``validation`` says otherwise. Neither threads nor ``isa`` change a bit.
    """
    trainer = Trainer(images, labels=labels, threads=threads, isa=isa, seed=seed, **settings)
    trainer.run(steps, callback)
    return trainer
