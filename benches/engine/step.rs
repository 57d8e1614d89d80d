//! Whole training steps, by backend and threads. Throughput is in FLOP of the dense step, so it compares with the peak:
//! 424.1 MFLOP, eight products of 2·128·256·784 and two of 2·128·100·256.

use criterion::{Criterion, Throughput};
use duel::{Config, Dataset, Isa, Line, Rayon, Serial, Trainer, Zeros};

use super::{fast_backends, mnist, pool, thread_counts};

/// Floating-point operations of a step done densely.
const STEP_FLOP: u64 = 8 * 2 * 128 * 256 * 784 + 2 * 2 * 128 * 100 * 256;

type Owned<'a> = Trainer<'a, Box<[Line]>>;

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

/// A discriminator that is sure: logits of ±100 and beyond, whose gradients are exactly zero.
fn saturate(trainer: &mut Owned<'_>) {
    trainer.step(&Serial).unwrap();
    trainer
        .arena(|arena| {
            let rows = &arena.rows;
            let logits = || rows.logits_real.iter().chain(rows.logits_fake.iter());
            let mean = logits().map(|l| l.abs()).sum::<f32>() / logits().count() as f32;
            let factor = 400.0 / mean;
            arena.d_out_weight_t.p.row_mut(0).iter_mut().for_each(|w| *w *= factor);
            arena.d_out_bias.p.row_mut(0)[0] *= factor;
        })
        .unwrap();
    trainer.step(&Serial).unwrap();
    let sure = trainer.arena(|arena| {
        let logits = arena.rows.logits_real.iter().chain(arena.rows.logits_fake.iter());
        logits.filter(|l| l.abs() > 100.0).count()
    });
    assert!(sure.unwrap() > 192, "most logits are beyond 100");
}

/// Nine of ten hidden units of both networks never fire.
fn deaden(trainer: &mut Owned<'_>) {
    trainer
        .arena(|arena| {
            for bias in [&mut arena.g_hidden_bias.p, &mut arena.d_hidden_bias.p] {
                let units = bias.row_mut(0).iter_mut().enumerate();
                units.filter(|(unit, _)| unit % 10 != 0).for_each(|(_, bias)| *bias = -1_000.0);
            }
        })
        .unwrap();
    trainer.step(&Serial).unwrap();
    let alive = trainer.arena(|arena| arena.d_hidden_real.row(0).iter().filter(|h| **h > 0.0).count());
    assert!(alive.unwrap() <= 26);
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
                let published = duel::golden::after(1).unwrap();
                assert_eq!(trainer.digest().unwrap().to_string(), published, "{name} on {}", isa.name());
                group.bench_function(format!("{name}/{}/{threads}", isa.name()), |bencher| {
                    pool.install(|| bencher.iter(|| trainer.step(&Rayon).unwrap()));
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
                pool.install(|| bencher.iter(|| trainer.step(&Rayon).unwrap()));
            });
        }
    }
    group.finish();
}
