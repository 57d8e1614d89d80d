//! Workers that do not come, that panic, that come one after the other: an error or a panic, never a hang.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use duel::{Config, Error, Images, Line, Rayon, Serial, Team, Trainer};

/// Threads of the host's, as many as it says; what they do with a worker is up to the test.
struct Threads<F>(usize, F);

impl<F: Fn(usize) -> bool + Sync> Team for Threads<F> {
    fn workers(&self) -> usize {
        self.0
    }
    /// Runs those workers that the test wants.
    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        let (work, wanted) = (&work, &self.1);
        std::thread::scope(|scope| {
            for (w, worker) in workers.iter_mut().enumerate().filter(|(w, _)| wanted(*w)) {
                std::thread::Builder::new()
                    .name(format!("worker {w}"))
                    .spawn_scoped(scope, || work(worker))
                    .unwrap();
            }
        });
    }
}

fn trainer(pixels: &[u8]) -> Trainer<Images<'_>, Box<[Line]>> {
    let config = Config { batch_size: 16, validation: 0, ..Config::default() };
    let mut trainer = Trainer::new(config, Images::new(pixels, 20, 20).unwrap()).unwrap();
    trainer.set_owners(usize::MAX);
    trainer
}

fn pixels() -> Vec<u8> {
    (0..40 * 400).map(duel::golden::pixel).collect()
}

fn go_on(_: duel::StepStats) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_hosts_threads_give_the_same_bits() {
    let pixels = pixels();
    let digest = |workers| {
        let mut trainer = trainer(&pixels);
        trainer.run(&Threads(workers, |_| true), 20, go_on).unwrap();
        trainer.digest().unwrap()
    };
    assert_eq!(digest(5), digest(1));
    // More threads than work: the others are not called.
    assert_eq!(digest(100), digest(1));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_worker_in_another_floating_point_mode_is_an_error_and_nothing_has_happened() {
    /// Two threads, of which one flushes subnormal numbers to zero.
    struct Flushing(usize);
    impl Team for Flushing {
        fn workers(&self) -> usize {
            2
        }
        fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
            let work = &work;
            std::thread::scope(|scope| {
                for (w, worker) in workers.iter_mut().enumerate() {
                    scope.spawn(move || {
                        if w == self.0 {
                            let mode: u32 = 0x9F80;
                            // SAFETY: the thread ends after this, and its mode with it.
                            unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode) };
                        }
                        work(worker);
                    });
                }
            });
        }
    }
    let (pixels, mut image) = (pixels(), vec![0; 2 * 400]);
    let mut trainer = trainer(&pixels);
    trainer.step(&Serial).unwrap();
    let before = trainer.digest().unwrap();
    let refused = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(error.exit_code() == 6 && error.to_string().contains("floating-point"), "{error}");
    };
    for flushing in [0, 1] {
        let team = Flushing(flushing);
        refused(trainer.run(&team, 5, |_| panic!("no step is done")));
        assert_eq!((trainer.steps_done(), trainer.digest().unwrap()), (1, before));
        refused(trainer.sample(&team, 1, 0, &mut image));
    }
    trainer.run(&Threads(2, |_| true), 1, go_on).unwrap();
    // Of the thread that calls, when it draws the first weights.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mode: u32 = 0x1F80 | 0x2000;
            // SAFETY: as above.
            unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode) };
            let images = Images::new(&pixels, 20, 20).unwrap();
            refused(
                Trainer::new(Config { validation: 0, batch_size: 16, ..Config::default() }, images).map(drop),
            );
        });
    });
}

#[test]
fn a_worker_that_does_not_come_is_an_error_and_nothing_has_happened() {
    let pixels = pixels();
    let mut trainer = trainer(&pixels);
    trainer.step(&Serial).unwrap();
    let before = trainer.digest().unwrap();
    for missing in [0, 2] {
        let error = trainer.run(&Threads(3, |w| w != missing), 5, go_on).unwrap_err();
        assert!(
            matches!(&error, Error::Environment { .. }) && error.to_string().contains("workers"),
            "{error}"
        );
        assert_eq!((trainer.steps_done(), trainer.digest().unwrap()), (1, before));
    }
    // Nobody at all.
    assert!(trainer.run(&Threads(3, |_| false), 5, go_on).is_err() && trainer.steps_done() == 1);
    // Nor are samples made that are not.
    let mut images = vec![0; 8 * 400];
    for missing in [0, 2, 3] {
        let error =
            trainer.sample(&Threads(3, |w| w != missing && missing < 3), 1, 0, &mut images).unwrap_err();
        assert!(
            matches!(&error, Error::Environment { .. }) && error.to_string().contains("workers"),
            "{error}"
        );
    }
    trainer.sample(&Threads(3, |_| true), 1, 0, &mut images).unwrap();
    // And it can go on.
    trainer.run(&Threads(3, |_| true), 5, go_on).unwrap();
    assert_eq!(trainer.steps_done(), 6);
}

#[test]
fn workers_that_run_one_after_the_other_are_an_error() {
    struct InTurn;
    impl Team for InTurn {
        fn workers(&self) -> usize {
            2
        }
        fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
            workers.iter_mut().for_each(work);
        }
    }
    let pixels = pixels();
    let error = trainer(&pixels).run(&InTurn, 5, go_on).unwrap_err();
    assert!(matches!(error, Error::Environment { .. }), "{error}");
}

#[test]
fn a_pool_that_is_busy_elsewhere_is_an_error() {
    let pixels = pixels();
    let mut trainer = trainer(&pixels);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let free = AtomicBool::new(false);
    // The pool's other thread waits for this run, which needs it.
    let (result, ()) = pool.install(|| {
        rayon::join(
            || {
                std::thread::sleep(std::time::Duration::from_millis(200));
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        std::thread::sleep(std::time::Duration::from_secs(15));
                        free.store(true, Ordering::Relaxed);
                    });
                    trainer.run(&Rayon, 5, go_on)
                })
            },
            || {
                while !free.load(Ordering::Relaxed) {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
            },
        )
    });
    assert!(matches!(result, Err(Error::Environment { .. })), "{result:?}");
    pool.install(|| trainer.run(&Rayon, 5, go_on)).unwrap();
}

#[test]
fn a_panic_ends_all_workers_and_the_state_is_lost_until_one_is_loaded() {
    let pixels = pixels();
    let (mut saved, mut expected) = (Vec::new(), trainer(&pixels));
    expected.run(&Serial, 4, go_on).unwrap();
    expected.save(|bytes| saved.extend_from_slice(bytes)).unwrap();
    expected.run(&Serial, 6, go_on).unwrap();
    for workers in [1, 2, 5] {
        let mut trainer = trainer(&pixels);
        let run = |trainer: &mut Trainer<Images<'_>, Box<[Line]>>| {
            let team = Threads(workers, |_| true);
            trainer.run(&team, 50, |stats| {
                assert!(stats.step < 7, "the host's callback panics");
                ControlFlow::Continue(())
            })
        };
        let caught = catch_unwind(AssertUnwindSafe(|| run(&mut trainer)));
        assert!(caught.is_err(), "{workers} workers: the panic reaches the caller");
        for error in [trainer.step(&Serial).map(drop), trainer.digest().map(drop)] {
            assert!(error.unwrap_err().to_string().contains("panicked"));
        }
        trainer.load(&saved).unwrap();
        trainer.run(&Threads(workers, |_| true), 6, go_on).unwrap();
        assert_eq!(trainer.digest().unwrap(), expected.digest().unwrap());
    }
}

#[test]
fn a_panic_that_the_hosts_threads_keep_to_themselves_is_an_error() {
    struct Keep;
    impl Team for Keep {
        fn workers(&self) -> usize {
            3
        }
        fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
            let work = &work;
            std::thread::scope(|scope| {
                for worker in workers {
                    scope.spawn(move || drop(catch_unwind(AssertUnwindSafe(|| work(worker)))));
                }
            });
        }
    }
    let pixels = pixels();
    let mut trainer = trainer(&pixels);
    let error =
        trainer.run(&Keep, 9, |stats| if stats.step < 5 { ControlFlow::Continue(()) } else { panic!() });
    assert!(error.unwrap_err().to_string().contains("panicked"));
    assert!(trainer.digest().is_err());
}

#[test]
fn divergence_on_any_number_of_workers_is_of_the_same_step() {
    let pixels = pixels();
    let config = Config { batch_size: 16, validation: 0, learning_rate: 9e4, ..Config::default() };
    let ends: Vec<String> = [1, 2, 3, 8]
        .into_iter()
        .map(|workers| {
            let mut trainer = Trainer::new(config.clone(), Images::new(&pixels, 20, 20).unwrap()).unwrap();
            trainer.set_owners(usize::MAX);
            let mut told = 0;
            let error = trainer
                .run(&Threads(workers, |_| true), 1_000, |stats| {
                    told = stats.step;
                    ControlFlow::Continue(())
                })
                .unwrap_err();
            assert!(matches!(error, Error::Diverged { .. }) && trainer.step(&Serial).is_err(), "{error}");
            format!("{error}, told of {told}")
        })
        .collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    println!("{}", ends[0]);
}
