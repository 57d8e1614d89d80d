//! Twelve independent chains of fused multiply-adds in registers: enough to keep two units busy, and nothing else to do.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use duel::Isa;
use duel::kernels::vector::{Kernel, Vector};

use super::{fast_backends, thread_counts};

const CHAINS: usize = 12;
const ROUNDS: usize = 1 << 20;

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
        let (x, y) = (v.splat(black_box(0.5)), v.splat(black_box(1.0)));
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

fn lanes(isa: Isa) -> u64 {
    if isa.name() == "avx512" { 16 } else { 8 }
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("peak");
    for isa in fast_backends() {
        // x ← x/2 + 1 converges to 2.
        assert!((isa.run(Peak) - 2.0).abs() < 1e-6);
        for threads in thread_counts() {
            group
                .throughput(Throughput::Elements((2 * CHAINS * ROUNDS) as u64 * lanes(isa) * threads as u64));
            group.bench_function(format!("fma/{}/{threads}", isa.name()), |bencher| {
                bencher.iter(|| {
                    std::thread::scope(|scope| {
                        (0..threads).for_each(|_| drop(scope.spawn(|| black_box(isa.run(Peak)))));
                    });
                });
            });
        }
    }
    group.finish();
}
