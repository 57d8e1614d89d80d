//! Training on threads of the host's own, without rayon.
//!
//! `cargo run --release --example own_threads`

use std::ops::ControlFlow;

use duel::{Config, Dataset, Team, Trainer, golden};

/// So many threads: the calling one, and others beside it for as long as a run takes. A host whose threads live longer hands each of
/// them one worker instead, and returns when all are done.
struct Threads(usize);

impl Team for Threads {
    fn workers(&self) -> usize {
        self.0
    }
    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        let work = &work;
        std::thread::scope(|scope| {
            let mut workers = workers.iter_mut();
            let own = workers.next();
            // All at the same time: workers wait for each other.
            for worker in workers {
                scope.spawn(move || work(worker));
            }
            own.into_iter().for_each(work);
        });
    }
}

fn main() -> Result<(), duel::Error> {
    let data = Dataset::open("data".as_ref())?;
    let mut trainer = Trainer::new(Config::default(), data.images())?;
    trainer.run(&Threads(2), 100, |stats| {
        if stats.step == 100 {
            println!("G {:.3} D {:.3}", stats.generator_loss, stats.discriminator_loss);
        }
        ControlFlow::Continue(())
    })?;
    let digest = trainer.digest()?;
    println!("{digest}");
    assert_eq!(
        Some(digest),
        golden::published(&Config::default(), 100).map(|of| of.state),
        "the published bits"
    );
    Ok(())
}
