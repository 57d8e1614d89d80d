//! Reading MNIST from `data/`, in bytes of pixels per second, and hashing it.

use criterion::{Criterion, Throughput};
use duel::{Digest, golden};

use super::mnist;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(60_000 * 784));
    let data = mnist();
    assert_eq!(Digest(data.digest()).to_string(), golden::MNIST);
    group.bench_function("mnist_gz", |bencher| bencher.iter(mnist));
    group.bench_function("sha256", |bencher| bencher.iter(|| data.digest()));
    group.finish();
}
