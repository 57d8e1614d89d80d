//! Whole training steps, by backend and threads. Throughput is in FLOP of the dense step, so it compares with the peak:
//! 424.1 MFLOP, eight products of 2·128·256·784 and two of 2·128·100·256.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use duel::{Config, Dataset, Isa, Line, Part, Rayon, Serial, Tensor, Trainer, Zeros};
use rayon::ThreadPool;

use super::{fast_backends, mnist, pool, thread_counts};

/// Floating-point operations of a step done densely.
const STEP_FLOP: u64 = 8 * 2 * 128 * 256 * 784 + 2 * 2 * 128 * 100 * 256;

type Owned<'a> = Trainer<duel::Images<'a>, Box<[Line]>>;

/// A network that has trained for 100 steps and then stands still, so that every step does the same work.
fn settled(data: &Dataset, isa: Isa) -> Owned<'_> {
    let mut trainer =
        Trainer::new(Config { learning_rate: 0.0, ..Config::default() }, data.images()).unwrap();
    trainer.set_isa(isa);
    let mut trained = Trainer::new(Config::default(), data.images()).unwrap();
    trained.set_isa(isa);
    (0..100).for_each(|_| assert!(trained.step(&Serial).is_ok()));
    let mut state = Vec::new();
    trained.save(|bytes| state.extend_from_slice(bytes)).unwrap();
    trainer.load(&state).unwrap();
    trainer
}

/// Changes the parameters of a tensor, by way of a state as it is saved.
fn change(trainer: &mut Owned<'_>, tensor: Tensor, change: impl Fn(usize, f32) -> f32) {
    let count = |tensor| trainer.tensor(tensor, Part::Parameter).unwrap().count();
    let before: usize = Tensor::ALL[..tensor as usize].iter().map(|&tensor| count(tensor)).sum();
    let (mut state, values) = (Vec::new(), count(tensor));
    trainer.save(|bytes| state.extend_from_slice(bytes)).unwrap();
    let (words, _) = state[8 + 4 * before..][..4 * values].as_chunks_mut::<4>();
    for (i, word) in words.iter_mut().enumerate() {
        *word = change(i, f32::from_le_bytes(*word)).to_le_bytes();
    }
    trainer.load(&state).unwrap();
}

/// The logits of the last step.
fn logits(trainer: &Owned<'_>) -> Vec<f32> {
    let last = trainer.last_step().unwrap();
    [last.l_r, last.l_f].concat()
}

/// A discriminator that is sure: logits of ±100 and beyond, whose gradients are exactly zero.
fn saturate(trainer: &mut Owned<'_>) {
    trainer.step(&Serial).unwrap();
    let logits_before = logits(trainer);
    let mean = logits_before.iter().map(|l| l.abs()).sum::<f32>() / logits_before.len() as f32;
    for tensor in [Tensor::DiscriminatorOutWeight, Tensor::DiscriminatorOutBias] {
        change(trainer, tensor, |_, w| w * 400.0 / mean);
    }
    trainer.step(&Serial).unwrap();
    let sure = logits(trainer).iter().filter(|l| l.abs() > 100.0).count();
    assert!(sure > 192, "most logits are beyond 100");
}

/// Nine of ten hidden units of both networks never fire.
fn deaden(trainer: &mut Owned<'_>) {
    for tensor in [Tensor::GeneratorHiddenBias, Tensor::DiscriminatorHiddenBias] {
        change(trainer, tensor, |unit, bias| if unit % 10 != 0 { -1_000.0 } else { bias });
    }
    trainer.step(&Serial).unwrap();
    let alive = trainer.last_step().unwrap().r.row(0).iter().filter(|h| **h > 0.0).count();
    assert!(alive <= 26);
}

/// Times so many steps in a pool, entered once.
fn time(trainer: &mut Owned<'_>, pool: &ThreadPool, steps: u64) -> Duration {
    let start = Instant::now();
    pool.install(|| trainer.run(&Rayon, steps, |_| ControlFlow::Continue(()))).unwrap();
    start.elapsed()
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group.sample_size(20);
    group.throughput(Throughput::Elements(STEP_FLOP));
    let data = mnist();
    for isa in fast_backends() {
        for threads in thread_counts() {
            let pool = pool(threads);
            for (name, zeros) in [("train", Zeros::LeftOut), ("train_with_zeros", Zeros::Kept)] {
                let mut trainer = Trainer::new(Config::default(), data.images()).unwrap();
                trainer.set_isa(isa);
                trainer.set_zeros(zeros);
                pool.install(|| trainer.step(&Rayon)).unwrap();
                let published = duel::golden::published(&Config::default(), 1).unwrap().state;
                assert_eq!(trainer.digest().unwrap(), published, "{name} on {}", isa.name());
                group.bench_function(format!("{name}/{}/{threads}", isa.name()), |bencher| {
                    bencher.iter_custom(|steps| time(&mut trainer, &pool, steps));
                });
            }
        }
        type Change = fn(&mut Owned<'_>);
        let states: [(&str, Change); 3] =
            [("healthy", |_| ()), ("saturated", saturate), ("half_dead", deaden)];
        for (name, change) in states {
            let mut trainer = settled(&data, isa);
            change(&mut trainer);
            let pool = pool(1);
            group.bench_function(format!("{name}/{}/1", isa.name()), |bencher| {
                bencher.iter_custom(|steps| time(&mut trainer, &pool, steps));
            });
        }
    }
    group.finish();
}
