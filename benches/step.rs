//! The FMA peak and the step side by side, so that a step can be read as a share of the dense roof.
//!
//! `cargo bench --bench step`. A step has 424.1 MFLOP done densely: eight products of 2·128·256·784 and two of
//! 2·128·100·256. Throughput is given in dense FLOP per second, so it compares with the peak of the same backend.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duel::kernels::vector::{Kernel, Vector};
use duel::{Config, Dataset, Isa, Rayon, Trainer, Zeros};

/// Floating-point operations of a step done densely.
const STEP_FLOP: u64 = 8 * 2 * 128 * 256 * 784 + 2 * 2 * 128 * 100 * 256;
/// Independent chains of the peak: enough to hide the latency of two fma units.
const CHAINS: usize = 12;
/// Rounds per iteration of the peak.
const ROUNDS: usize = 1 << 20;

/// Twelve independent fma chains in registers.
struct Peak;

impl Kernel for Peak {
    type Output = f32;
    fn run_on(self, isa: Isa) -> f32 {
        isa.dispatch(self)
    }
    fn reference(self) -> f32 {
        unreachable!("the peak of a backend with hardware fma")
    }
    #[inline(always)]
    fn vector<V: Vector>(self, v: V) -> f32 {
        let (x, y) = (v.splat(black_box(0.999_999_9)), v.splat(black_box(1e-9)));
        let mut chains = [v.splat(1.0); CHAINS];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = v.fma(*chain, x, y);
            }
        }
        let mut out = [0.0; 16];
        chains.iter().for_each(|&chain| v.store(black_box(&mut out), chain));
        out[0]
    }
}

fn fast_backends() -> Vec<Isa> {
    ["avx2", "avx512"].into_iter().filter_map(|name| Isa::named(name).ok()).collect()
}

fn lanes(isa: Isa) -> u64 {
    if isa.name() == "avx512" { 16 } else { 8 }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group.sample_size(20);
    let data = Dataset::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data")).unwrap();
    for isa in fast_backends() {
        for threads in if cores() > 1 { vec![1, cores()] } else { vec![1] } {
            let flop = (2 * CHAINS * ROUNDS) as u64 * lanes(isa) * threads as u64;
            group.throughput(Throughput::Elements(flop));
            group.bench_function(format!("fma_peak/{}/{threads}", isa.name()), |bencher| {
                bencher.iter(|| {
                    std::thread::scope(|scope| {
                        (0..threads).for_each(|_| drop(scope.spawn(|| black_box(isa.run(Peak)))));
                    });
                });
            });
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            group.throughput(Throughput::Elements(STEP_FLOP));
            for (name, zeros) in [("step", Zeros::LeftOut), ("step_with_zeros", Zeros::Kept)] {
                let mut trainer = Trainer::new(Config::default(), data.images()).unwrap();
                trainer.set_isa(isa);
                trainer.set_zeros(zeros);
                group.bench_function(format!("{name}/{}/{threads}", isa.name()), |bencher| {
                    pool.install(|| bencher.iter(|| trainer.step(&Rayon).unwrap()));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
