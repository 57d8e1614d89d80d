//! Instructions of the engine's main work, counted by valgrind: the same on every run, however busy the machine is.
//! On one thread, with AVX2. `python3 benches/instructions.py` runs it and compares with the committed record.

use std::hint::black_box;
use std::path::Path;
use std::sync::LazyLock;

use duel::{Config, Dataset, Digest, Isa, Line, Serial, StepStats, Trainer};
use gungraun::{library_benchmark, library_benchmark_group, main};

static MNIST: LazyLock<Dataset> = LazyLock::new(|| {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    Dataset::open(&data).expect("MNIST lies in data/")
});

type Owned = Trainer<duel::Images<'static>, Box<[Line]>>;

/// A default run before its first step: valgrind takes seconds for one.
fn trainer() -> Owned {
    let mut trainer = Trainer::new(Config::default(), MNIST.images()).expect("the defaults are valid");
    trainer.set_isa(Isa::named("avx2").expect("a CPU with AVX2"));
    trainer
}

#[library_benchmark]
#[bench::mnist(setup = trainer)]
fn step(mut trainer: Owned) -> StepStats {
    black_box(trainer.step(&Serial).expect("one step does not diverge"))
}

fn trainer_and_images() -> (Owned, Vec<u8>) {
    (trainer(), vec![1; 128 * 784])
}

#[library_benchmark]
#[bench::images_128(setup = trainer_and_images)]
fn sample((mut trainer, mut images): (Owned, Vec<u8>)) -> Vec<u8> {
    trainer.sample(&Serial, 1, 0, &mut images).expect("whole images");
    black_box(images)
}

#[library_benchmark]
#[bench::state(setup = trainer)]
fn digest(trainer: Owned) -> Digest {
    black_box(trainer.digest().expect("it has not diverged"))
}

library_benchmark_group!(name = engine; benchmarks = step, sample, digest);
main!(library_benchmark_groups = engine);
