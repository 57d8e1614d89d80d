//! Steps of several owners without a test harness, and without a pool, whose own synchronisation a race detector would have
//! to understand: threads that are started and joined. For ThreadSanitizer, which wants a nightly compiler; the standard
//! library need not be rebuilt, because all that it synchronises here are the threads' starts and ends:
//!
//! `RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" cargo +nightly test --no-default-features
//! --features std --target x86_64-unknown-linux-gnu --test races`

use std::ops::ControlFlow;

use duel::{Config, Images, Isa, Team, Trainer};

struct Threads(usize);

impl Team for Threads {
    fn workers(&self) -> usize {
        self.0
    }
    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        let work = &work;
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                workers.iter_mut().map(|worker| scope.spawn(move || work(worker))).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

fn main() {
    let pixels: Vec<u8> = (0..40 * 400).map(duel::golden::pixel).collect();
    let labels: Vec<u8> = (0..40).map(|i| duel::golden::label(i, 5)).collect();
    let images = Images::new(&pixels, 20, 20).unwrap().labelled(&labels).unwrap();
    let plain = Config {
        batch_size: 17,
        validation: 0,
        latent_size: 9,
        generator_hidden: 40,
        discriminator_hidden: 50,
        ..Config::default()
    };
    let all = Config { batch_size: 18, labels: true, pack: 2, average: 0.9, ..plain.clone() };
    for (isa, config) in Isa::available().skip(1).flat_map(|isa| [(isa, &plain), (isa, &all)]) {
        let digest = |owners: usize| {
            let mut trainer = Trainer::new(config.clone(), images).unwrap();
            trainer.set_isa(isa);
            trainer.set_owners(owners);
            let mut sample = vec![0; 7 * 400];
            // In two parts, with a callback that breaks off, an epoch's end, and samples between.
            let mut told = 0;
            trainer
                .run(&Threads(owners), 9, |stats| {
                    told += stats.step;
                    if stats.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .unwrap();
            trainer.sample(&Threads(owners), 1, 0, &mut sample).unwrap();
            trainer.run(&Threads(owners), 5, |_| ControlFlow::Continue(())).unwrap();
            assert_eq!(told, 1 + 2 + 3 + 4);
            (trainer.digests().unwrap(), sample)
        };
        for owners in [2, 3, 8] {
            assert_eq!(digest(owners), digest(1), "{} owners on {}", owners, isa.name());
        }
        println!("{}: 2, 3 and 8 owners as 1", isa.name());
    }
}
