//! A step's stack: at most 64 KiB on any thread, whatever the sizes.

use std::ops::ControlFlow;

use duel::{Config, Images, Isa, Serial, Team, Trainer};

/// The documented bound.
const STACK: usize = 64 << 10;

/// Workers on threads that have no more stack than that, the first of them too.
struct Small(usize);

impl Team for Small {
    fn workers(&self) -> usize {
        self.0
    }
    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        let work = &work;
        std::thread::scope(|scope| {
            for worker in workers {
                small().spawn_scoped(scope, move || work(worker)).unwrap();
            }
        });
    }
}

fn small() -> std::thread::Builder {
    std::thread::Builder::new().stack_size(STACK)
}

/// Trains, samples and digests on threads of exactly that stack: an overflow ends the process.
fn train(config: Config, images: Images<'_>) {
    for name in Isa::NAMES.into_iter().skip(1) {
        let Ok(isa) = Isa::named(name) else {
            println!("{name}: not run: this CPU lacks it");
            continue;
        };
        let mut trainer = Trainer::new(config.clone(), images).unwrap();
        trainer.set_isa(isa);
        let mut sample = vec![0; images.size()];
        std::thread::scope(|scope| {
            let alone = || {
                trainer.step(&Serial).unwrap();
                trainer.sample(&Serial, 1, 0, &mut sample).unwrap();
                trainer.digest().unwrap();
            };
            small().spawn_scoped(scope, alone).unwrap();
        });
        trainer.set_owners(usize::MAX);
        std::thread::scope(|scope| {
            let together = || trainer.run(&Small(16), 2, |_| ControlFlow::Continue(())).unwrap();
            small().spawn_scoped(scope, together).unwrap();
        });
        assert_eq!(trainer.steps_done(), 3);
    }
}

#[test]
fn a_step_takes_at_most_64_kib_of_stack() {
    for (height, width, hidden, batch) in
        [(28, 28, 256, 128), (256, 256, 16, 4), (3, 5, 300, 9), (40, 40, 1_000, 3)]
    {
        let count = usize::max(batch, 10);
        let pixels: Vec<u8> = (0..count * height * width).map(duel::golden::pixel).collect();
        let images = Images::new(&pixels, height, width).unwrap();
        let config = Config {
            generator_hidden: hidden,
            discriminator_hidden: hidden + 1,
            batch_size: batch,
            validation: 0,
            ..Config::default()
        };
        train(config, images);
    }
}
