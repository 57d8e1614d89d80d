//! The elementary functions over 16,384 values in the range that logits and pixels have.

use criterion::{BenchmarkId, Criterion, Throughput};
use duel::Isa;
use duel::kernels::math::{Apply, Function};

use super::values;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("math");
    let x: Vec<f32> = values(1 << 14, 4).iter().map(|x| 30.0 * x).collect();
    let (mut y, mut expected) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    group.throughput(Throughput::Elements(x.len() as u64));
    for function in Function::ALL {
        Isa::Reference.run(Apply { function, x: &x, y: &mut expected });
        for isa in Isa::available().skip(1) {
            isa.run(Apply { function, x: &x, y: &mut y });
            assert_eq!(y, expected, "{function:?} on {}", isa.name());
            group.bench_function(BenchmarkId::new(format!("{function:?}"), isa.name()), |bencher| {
                bencher.iter(|| isa.run(Apply { function, x: &x, y: &mut y }));
            });
        }
    }
    group.finish();
}
