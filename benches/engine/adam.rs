//! Adam's update of a large layer, 200,704 parameters, on one thread, with its gradient in memory.

use criterion::{BenchmarkId, Criterion, Throughput};
use duel::Isa;
use duel::kernels::adam::AdamStep;
use duel::kernels::reference::AdamRates;
use duel::kernels::tiles::{Mat, MatMut};

use super::{fast_backends, values};

fn update(isa: Isa, p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], rates: AdamRates) -> bool {
    let [p, m, v] = [p, m, v].map(|x| MatMut::new(x, 784, 256, 256));
    isa.run(AdamStep { p, m, v, g: Mat::new(g, 784, 256, 256), rates })
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adam");
    let rates = AdamRates::new(2e-4, 0.9, 0.999, 1e-8, 1_000);
    let n = 784 * 256;
    let g: Vec<f32> = values(n, 5).iter().map(|g| 1e-3 * g).collect();
    let start = || (values(n, 6), vec![0.0; n], vec![0.0; n]);
    let (mut p, mut m, mut v) = start();
    assert!(update(Isa::Reference, &mut p, &mut m, &mut v, &g, rates));
    let expected = (p, m, v);
    group.throughput(Throughput::Elements(n as u64));
    for isa in fast_backends() {
        let (mut p, mut m, mut v) = start();
        let run = |p: &mut [f32], m: &mut [f32], v: &mut [f32]| update(isa, p, m, v, &g, rates);
        assert!(run(&mut p, &mut m, &mut v));
        assert!((&p, &m, &v) == (&expected.0, &expected.1, &expected.2), "adam on {}", isa.name());
        group.bench_function(BenchmarkId::new("update", isa.name()), |bencher| {
            bencher.iter(|| run(&mut p, &mut m, &mut v));
        });
    }
    group.finish();
}
