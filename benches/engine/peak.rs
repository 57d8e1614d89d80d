//! The roof: fused multiply-adds with all operands in registers.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use duel::kernels::peak::Peak;

use super::{fast_backends, thread_counts};

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("peak");
    let peak = Peak { rounds: 1 << 20 };
    for isa in fast_backends() {
        let flop = isa.run(peak);
        for threads in thread_counts() {
            group.throughput(Throughput::Elements(flop * threads as u64));
            group.bench_function(format!("fma/{}/{threads}", isa.name()), |bencher| {
                bencher.iter(|| {
                    std::thread::scope(|scope| {
                        (0..threads).for_each(|_| drop(scope.spawn(|| black_box(isa.run(peak)))));
                    });
                });
            });
        }
    }
    group.finish();
}
