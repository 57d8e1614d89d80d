//! Reading MNIST from `data/`, hashing it on the way, in bytes of pixels per second; and hashing alone.

use criterion::{Criterion, Throughput};
use duel::{Digest, golden};

use super::mnist;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(60_000 * 784));
    let data = mnist();
    assert_eq!(data.digest(), golden::MNIST);
    let pixels: Vec<u8> = (0..60_000).flat_map(|i| data.images().image(i).iter().copied()).collect();
    group.bench_function("mnist_gz", |bencher| bencher.iter(mnist));
    group.bench_function("sha256", |bencher| bencher.iter(|| Digest::of(&pixels)));
    group.finish();
}
