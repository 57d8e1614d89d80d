//! Images from a generator into memory: 0.4526 MFLOP each, 2·(100·256 + 256·784).

use criterion::{Criterion, Throughput};
use duel::{Config, Isa, Rayon, Trainer};

use super::{fast_backends, mnist, pool, thread_counts};

const IMAGES: usize = 1_280;
const IMAGE_FLOP: usize = 2 * (100 * 256 + 256 * 784);

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sample");
    group.throughput(Throughput::Elements((IMAGES * IMAGE_FLOP) as u64));
    let data = mnist();
    let mut trainer = Trainer::new(Config::default(), data.images()).unwrap();
    let mut expected = vec![0; 3 * 784];
    trainer.set_isa(Isa::Reference);
    trainer.sample(&Rayon, 1, 127, &mut expected).unwrap();
    let mut out = vec![0; IMAGES * 784];
    for isa in fast_backends() {
        trainer.set_isa(isa);
        for threads in thread_counts() {
            let pool = pool(threads);
            pool.install(|| trainer.sample(&Rayon, 1, 0, &mut out)).unwrap();
            assert!(out[127 * 784..130 * 784] == expected, "samples on {}", isa.name());
            group.bench_function(format!("images/{}/{threads}", isa.name()), |bencher| {
                pool.install(|| bencher.iter(|| trainer.sample(&Rayon, 1, 0, &mut out).unwrap()));
            });
        }
    }
    group.finish();
}
