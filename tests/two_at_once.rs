//! Two trainers at the same time on threads that are not the engine's: one in a task of a host's rayon pool, one on the
//! host's own threads. Each comes to the published digest, every time; a callback that stops one of them leaves it usable.

use std::ops::ControlFlow;
use std::sync::Arc;

use duel::{Config, Dataset, Digest, Rayon, Team, Trainer, golden};

/// How often.
const TIMES: usize = 100;

/// Threads of the host's, for as long as a run takes.
struct Threads(usize);

impl Team for Threads {
    fn workers(&self) -> usize {
        self.0
    }
    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        let work = &work;
        std::thread::scope(|scope| {
            for worker in workers {
                scope.spawn(move || work(worker));
            }
        });
    }
}

fn published(step: u64) -> Digest {
    golden::published(&Config::default(), step).expect("it is published").state
}

/// Ten steps of the default run, stopped once on the way.
fn ten_steps(data: &Arc<Dataset>, team: &impl Team) -> Digest {
    let mut trainer = Trainer::new(Config::default(), Arc::clone(data)).unwrap();
    let stop = |stats: duel::StepStats| {
        if stats.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    trainer.run(team, 10, stop).unwrap();
    assert_eq!(trainer.steps_done(), 4);
    trainer.run(team, 6, |_| ControlFlow::Continue(())).unwrap();
    trainer.digest().unwrap()
}

#[test]
fn two_trainers_on_two_foreign_pools_give_the_published_bits_every_time() {
    let data = Arc::new(Dataset::open("data".as_ref()).unwrap());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for time in 0..TIMES {
                assert_eq!(
                    ten_steps(&data, &Threads(3)),
                    published(10),
                    "on the host's threads, time {time}"
                );
            }
        });
        for time in 0..TIMES {
            // In a task among others of the host's, which end.
            let (digest, sum) = pool.install(|| {
                rayon::join(
                    || ten_steps(&data, &Rayon),
                    || (0..1_000u64).map(std::hint::black_box).sum::<u64>(),
                )
            });
            assert_eq!((digest, sum), (published(10), 499_500), "in the pool, time {time}");
        }
    });
}
