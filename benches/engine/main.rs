//! Speed of the engine on this CPU. Every bench checks its answer once before it is timed.
//!
//! `cargo bench` runs all groups, `cargo bench -- gemm` one; `benches/table.py` prints the figures as a table.
//!
//! | group | what |
//! |---|---|
//! | `peak` | fused multiply-adds per second with all operands in registers: the roof |
//! | `gemm` | each product of a step at its real shape, with matrixmultiply beside it |
//! | `math` | the elementary functions |
//! | `adam` | the update of a large layer |
//! | `step` | whole steps, by backend and threads; with zero terms kept; saturated and half-dead networks |
//! | `sample` | images from a generator |
//! | `load` | reading MNIST |

mod adam;
mod gemm;
mod load;
mod math;
mod peak;
mod sample;
mod step;

use std::path::Path;

use criterion::{criterion_group, criterion_main};
use duel::kernels::cases::{Case, Operand, Role};
use duel::{Dataset, Isa};

/// The backends whose fma is the hardware's.
fn fast_backends() -> Vec<Isa> {
    Isa::available().filter(|isa| isa.fma_in_hardware()).collect()
}

/// One thread, and all cores.
fn thread_counts() -> Vec<usize> {
    match std::thread::available_parallelism().map_or(1, |n| n.get()) {
        1 => vec![1],
        cores => vec![1, cores],
    }
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn mnist() -> Dataset {
    Dataset::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data")).unwrap()
}

/// Uniform in [−1, 1), the same in every run.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; n];
    duel::rng::Stream::new(seed, duel::rng::Purpose::Sample(0)).fill_uniform(&mut values);
    values
}

/// Uniform in [−1, 1), another set for each role; rows an odd number of cache lines apart, as in the engine's arena.
fn aligned(role: Role, rows: usize, cols: usize) -> Operand {
    let stride = (cols.div_ceil(16) | 1) * 16;
    Operand { data: values(rows * stride, role as u64), offset: 0, rows, cols, stride }
}

/// Runs a case on every backend, each of which must write what the reference writes: the bits.
fn check(case: &mut Case, name: &str) -> Vec<u32> {
    let mut on = |isa: Isa| {
        case.reset();
        case.run(isa);
        case.bits()
    };
    let expected = on(Isa::Reference);
    for isa in Isa::available() {
        assert!(on(isa) == expected, "{name} on {} is not the reference's", isa.name());
    }
    expected
}

criterion_group!(
    benches,
    peak::bench,
    gemm::bench,
    math::bench,
    adam::bench,
    step::bench,
    sample::bench,
    load::bench
);
criterion_main!(benches);
