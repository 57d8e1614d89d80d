//! The elementary functions over 16,384 values in the range that logits and pixels have.

use criterion::{BenchmarkId, Criterion, Throughput};
use duel::Isa;
use duel::kernels::cases::{self, Operand, Role, Shape, Values};

use super::{check, values};

struct Arguments;

impl Values for Arguments {
    fn matrix(&mut self, _: Role, rows: usize, cols: usize) -> Operand {
        Operand::packed(rows, cols, values(rows * cols, 4).iter().map(|x| 30.0 * x).collect())
    }
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("math");
    let shape = Shape { rows: 1, cols: 1 << 14, terms: 0 };
    group.throughput(Throughput::Elements(shape.cols as u64));
    for (name, entry) in [
        ("Exp", "exp"),
        ("Sigmoid", "sigmoid"),
        ("OutputSigmoid", "output sigmoid"),
        ("Softplus", "softplus"),
    ] {
        let mut case = (cases::named(entry).unwrap().make)(shape, 0, &mut Arguments);
        check(&mut case, name);
        for isa in Isa::available().skip(1) {
            group.bench_function(BenchmarkId::new(name, isa.name()), |bencher| {
                bencher.iter(|| case.run(isa));
            });
        }
    }
    group.finish();
}
