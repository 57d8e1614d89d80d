//! Adam's update of a large layer, 200,704 parameters, on one thread, with its gradient in memory.

use criterion::{BenchmarkId, Criterion, Throughput};
use duel::kernels::cases::{self, Operand, Role, Shape, Values};

use super::{check, fast_backends, values};

/// A layer before its first steps.
struct Layer;

impl Values for Layer {
    fn matrix(&mut self, role: Role, rows: usize, cols: usize) -> Operand {
        let mut operand = Operand::packed(rows, cols, values(rows * cols, role as u64));
        let scale = match role {
            Role::Parameter => 1.0,
            Role::Gradient => 1e-3,
            _ => 0.0,
        };
        operand.data.iter_mut().for_each(|x| *x *= scale);
        operand
    }
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adam");
    let shape = Shape { rows: 784, cols: 256, terms: 0 };
    let mut case = (cases::named("adam").unwrap().make)(shape, 0, &mut Layer);
    check(&mut case, "adam");
    group.throughput(Throughput::Elements((shape.rows * shape.cols) as u64));
    for isa in fast_backends() {
        case.reset();
        group.bench_function(BenchmarkId::new("update", isa.name()), |bencher| {
            bencher.iter(|| case.run(isa));
        });
    }
    group.finish();
}
