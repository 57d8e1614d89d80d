"""The package against published digests, the interpreter's habits, and bad input."""

import os
import pathlib
import pickle
import signal
import threading

import numpy as np
import pytest

import duel

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
AFTER_100 = "sha256:3c599ea88b57623bec54b34a4f2a6e2bde97fa49cacc71a6a1656349ac417883"
LABELLED_AFTER_1 = "sha256:0ffa35004258d2c8339d5ff35873f5da3aa5d0a218ce79fd81d1954f080ea580"
SMALL = dict(batch_size=8, validation=0, latent_size=5, generator_hidden=7, discriminator_hidden=6)


def images(count=40, side=9):
    return (np.arange(count * side * side, dtype=np.uint64) * 37 % 251).astype(np.uint8).reshape(count, side, side)


@pytest.fixture(scope="module")
def mnist():
    """MNIST, read by NumPy."""
    import gzip

    pixels = np.frombuffer(gzip.open(DATA / "train-images-idx3-ubyte.gz").read(), np.uint8, offset=16)
    labels = np.frombuffer(gzip.open(DATA / "train-labels-idx1-ubyte.gz").read(), np.uint8, offset=8)
    return pixels.reshape(-1, 28, 28), labels


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_the_default_run_has_the_published_digest(threads):
    trainer = duel.train(DATA, steps=100, threads=threads)
    assert trainer.digest() == AFTER_100
    assert trainer.average_digest() is None


def test_so_it_has_from_an_array(mnist):
    pixels, labels = mnist
    trainer = duel.train(pixels, steps=100)
    assert trainer.digest() == AFTER_100
    assert trainer.data_digest == duel.Trainer(str(DATA)).data_digest
    # Whatever its strides.
    part = duel.Trainer(pixels[:5200]).data_digest
    assert duel.Trainer(np.asfortranarray(pixels[:5200])).data_digest == part
    assert duel.Trainer(pixels[:10400].repeat(2, axis=2)[:5200, :, ::2]).data_digest == part
    reversed_twice = np.ascontiguousarray(pixels[:5200, ::-1, ::-1])[:, ::-1, ::-1]
    assert duel.Trainer(reversed_twice).data_digest == part
    by_array = duel.train(pixels, steps=1, labels=labels, preset="labelled")
    by_path = duel.train(DATA, steps=1, preset="labelled")
    assert by_array.digest() == by_path.digest() == LABELLED_AFTER_1
    assert by_array.classes == 10 and by_array.average_digest() == by_path.average_digest() is not None


def test_a_callback_is_told_of_every_step_and_can_stop():
    told = []
    trainer = duel.train(images(), steps=9, callback=told.append, **SMALL)
    assert [stats.step for stats in told] == list(range(1, 10))
    assert all(0 < stats.generator_loss < 10 and 0 < stats.discriminator_loss < 10 for stats in told)
    trainer.run(100, lambda stats: stats.step == 20)
    assert trainer.steps_done == 20
    straight = duel.train(images(), steps=20, **SMALL)
    assert trainer.digest() == straight.digest()


def test_an_exception_in_a_callback_ends_the_run_and_the_trainer_goes_on():
    def fails(stats):
        if stats.step == 5:
            raise KeyError("mine")

    trainer = duel.Trainer(images(), **SMALL)
    with pytest.raises(KeyError, match="mine"):
        trainer.run(100, fails)
    assert trainer.steps_done == 5
    with pytest.raises(RuntimeError, match="[Bb]orrowed"):
        trainer.run(1, lambda stats: trainer.step())
    trainer.run(20 - trainer.steps_done)
    assert trainer.digest() == duel.train(images(), steps=20, **SMALL).digest()
    with pytest.raises(TypeError):
        trainer.run(1, lambda stats: "yes")


def test_ctrl_c_ends_the_run_and_the_trainer_goes_on():
    def interrupts(stats):
        if stats.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    trainer = duel.Trainer(images(), **SMALL)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(1_000_000_000, interrupts)
    done = trainer.steps_done
    assert 3 <= done < 1_000_000_000
    trainer.run(1)
    assert trainer.digest() == duel.train(images(), steps=done + 1, **SMALL).digest()


def test_other_threads_go_on_while_it_trains():
    trainer, began, stop = duel.Trainer(DATA, threads=2), threading.Event(), threading.Event()

    def told(stats):
        began.set()
        return stop.is_set()

    # It would never end if this thread, which stops it, had to wait for it.
    training = threading.Thread(target=trainer.run, args=(1_000_000_000, told))
    training.start()
    began.wait()
    with pytest.raises(RuntimeError, match="[Bb]orrowed"):
        trainer.digest()
    stop.set()
    training.join()
    assert 0 < trainer.steps_done < 1_000_000_000


def test_two_trainers_at_once():
    digests = []
    threads = [
        threading.Thread(target=lambda: digests.append(duel.train(DATA, steps=100, threads=2).digest())) for _ in range(2)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert digests == [AFTER_100] * 2


def test_samples_are_a_function_of_weights_seed_and_index():
    trainer = duel.train(images(), steps=30, **SMALL)
    all_of_them = trainer.sample(300, seed=7)
    assert all_of_them.shape == (300, 9, 9) and all_of_them.dtype == np.uint8 and all_of_them.flags.owndata
    assert (trainer.sample(10, seed=7, first=200) == all_of_them[200:210]).all()
    assert (trainer.sample(3) == trainer.sample(3, seed=42)).all()
    assert trainer.sample(0).shape == (0, 9, 9)
    z = duel.noise(300, 5, seed=7)
    assert z.dtype == np.float32 and (z >= -1).all() and (z < 1).all()
    assert (trainer.generate(z) == all_of_them).all()


def test_a_state_goes_on_to_the_same_bits(tmp_path):
    straight = duel.train(images(), steps=30, average=0.9, **SMALL)
    first = duel.train(images(), steps=11, average=0.9, **SMALL)
    second = duel.Trainer(images(), average=0.9, **SMALL)
    second.load_state(first.state())
    third = duel.Trainer(images(), average=0.9, **SMALL)
    first.save(tmp_path / "state.safetensors")
    third.load(tmp_path / "state.safetensors")
    for trainer in second, third:
        trainer.run(19)
        assert trainer.digest() == straight.digest() and trainer.average_digest() == straight.average_digest()
    other = duel.Trainer(images(), average=0.9, seed=1, **SMALL)
    with pytest.raises(duel.InputError, match="seed"):
        other.load(tmp_path / "state.safetensors")
    with pytest.raises(duel.InputError):
        other.load_state(b"no state")
    generator = duel.Generator(tmp_path / "state.safetensors")
    assert (generator.latent, generator.classes, generator.step) == (5, 0, 11)
    assert (generator.sample(9) == first.sample(9)).all()
    assert (generator.generate(duel.noise(9, 5)) == first.sample(9)).all()
    raw = duel.Generator(tmp_path / "state.safetensors", raw=True)
    assert (raw.sample(9) != first.sample(9)).any()
    first.export_c(tmp_path / "generator.c")
    assert "duel_generate" in (tmp_path / "generator.c").read_text()


def test_tensors_are_those_of_the_state():
    trainer = duel.train(images(), steps=3, labels=np.arange(40, dtype=np.uint8) % 3, average=0.5, **SMALL)
    tensors = trainer.tensors()
    assert tensors["generator.hidden.weight"].shape == (8, 7)
    assert tensors["generator.out.weight"].shape == (7, 81)
    assert tensors["discriminator.out.bias"].shape == (1,)
    assert len(tensors) == 8 * 3 + 4
    state = trainer.state()
    assert int.from_bytes(state[:8], "little") == 3
    flat = np.concatenate([tensor.ravel() for tensor in tensors.values()])
    assert flat.astype("<f4").tobytes() == state[8:]


def test_settings_are_those_of_the_program():
    trainer = duel.Trainer(images(), learning_rate=1e-4, seed=7, **SMALL)
    assert trainer.settings["learning_rate"] == "0.0001" and trainer.settings["seed"] == "7"
    assert trainer.settings["labels"] == "false" and trainer.settings["batch_size"] == "8"


@pytest.mark.parametrize(
    "wrong, kind, words",
    [
        (lambda: duel.Trainer("/nowhere"), duel.FileError, "/nowhere"),
        (lambda: duel.Trainer("/nowhere"), OSError, "/nowhere"),
        (lambda: duel.Trainer("/dev/null"), duel.InputError, "empty"),
        (lambda: duel.Trainer(images().astype(np.float32)), duel.UsageError, "uint8"),
        (lambda: duel.Trainer(images()[0]), duel.UsageError, "uint8"),
        (lambda: duel.Trainer(None), duel.UsageError, "path"),
        (lambda: duel.Trainer(images()[:0], **SMALL), duel.InputError, "images"),
        (lambda: duel.Trainer(images()), duel.InputError, "images"),
        (lambda: duel.Trainer(images(), speed=1), duel.UsageError, "no such setting"),
        (lambda: duel.Trainer(images(), batch_size=0), ValueError, "batch_size: expected"),
        (lambda: duel.Trainer(images(), beta1=float("nan")), duel.UsageError, "beta1"),
        (lambda: duel.Trainer(images(), preset="huge"), duel.UsageError, "preset"),
        (lambda: duel.Trainer(images(), isa="sse9"), duel.UsageError, "isa: expected"),
        (lambda: duel.Trainer(images(), labels=True, **SMALL), duel.UsageError, "labels"),
        (lambda: duel.Trainer(images(), labels=np.zeros(3, np.uint8), **SMALL), duel.InputError, "labels"),
        (lambda: duel.Trainer(images(), labels=np.zeros(40), **SMALL), duel.UsageError, "labels"),
        (lambda: duel.Trainer(images(), preset="labelled", **SMALL), duel.UsageError, "labels"),
        (lambda: duel.Trainer(images(), **SMALL).sample(3, label=0), duel.UsageError, "class"),
        (lambda: duel.Trainer(images(), **SMALL).sample(2**62), MemoryError, "memory"),
        (lambda: duel.Trainer(images(), **SMALL).sample(-1), OverflowError, "negative"),
        (lambda: duel.noise(0, 2**62), MemoryError, "memory"),
        (lambda: duel.noise(2**62, 0), MemoryError, "memory"),
        (lambda: duel.Trainer(images(), **SMALL).generate(np.zeros((2, 4), np.float32)), duel.UsageError, "z"),
        (lambda: duel.Trainer(images(), **SMALL).generate(np.zeros((2, 5))), TypeError, "z"),
        (lambda: duel.Trainer(images(), **SMALL).generate(np.full((2, 5), np.nan, np.float32)), duel.UsageError, "z"),
        (lambda: duel.Trainer(images(), **SMALL).generate(np.zeros((5, 2), np.float32).T), duel.UsageError, "contiguous"),
        (lambda: duel.Trainer(images(), **SMALL).save("/nowhere/state"), duel.FileError, "/nowhere"),
        (lambda: duel.Generator("/nowhere"), duel.FileError, "/nowhere"),
        (lambda: duel.train(images(), steps=50, learning_rate=1e30, **SMALL), duel.DivergedError, "diverged at step"),
    ],
)
def test_bad_input_is_an_exception_by_kind(wrong, kind, words):
    with pytest.raises(kind, match=words):
        wrong()


def test_an_argument_whose_code_reshapes_another_is_refused():
    z = np.zeros((2, 5), np.float32)

    class Label:
        def __index__(self):
            z.shape = (10,)
            return 0

    with pytest.raises(duel.UsageError, match="z: expected a contiguous array"):
        duel.Trainer(images(), **SMALL).generate(z, Label())


def test_a_run_that_has_diverged_goes_on_from_a_state():
    trainer = duel.Trainer(images(), learning_rate=1e30, **SMALL)
    state = trainer.state()
    for _ in range(2):
        with pytest.raises(duel.DivergedError):
            trainer.run(50)
        with pytest.raises(duel.DivergedError):
            trainer.digest()
        trainer.load_state(state)
        assert trainer.steps_done == 0


def test_this_machine_computes_what_was_published():
    assert duel.verify() is None
    assert duel.verify("reference") is None
    assert duel.BITS_VERSION == 1 and duel.__version__ == "0.1.0"


def test_the_stubs_name_what_there_is():
    stubs = (pathlib.Path(duel.__file__).parent / "__init__.pyi").read_text()
    for name in duel.__all__:
        assert f"class {name}" in stubs or f"def {name}" in stubs or f"{name}:" in stubs, name
        assert getattr(duel, name).__doc__, name
    for kind in duel.Trainer, duel.Generator, duel.Stats:
        for name in vars(kind):
            if not name.startswith("_"):
                assert f"def {name}(" in stubs, name
                assert getattr(kind, name).__doc__, name
    assert pickle.loads(pickle.dumps(duel.InputError("kept"))).args == ("kept",)
