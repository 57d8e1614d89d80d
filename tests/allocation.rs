//! A step allocates nothing, on any thread: a counting allocator under the whole process says so.
//!
//! One test, because every test of a process shares the allocator.
#![cfg(feature = "rayon")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use std::ops::ControlFlow;

use duel::{Config, Images, Rayon, Serial, Trainer};

static CALLS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether the calls of this thread count: those of the test's own and of the pool's that trains, not of threads that are still
    /// ending, nor of the harness, which prints now and then.
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if COUNTS.try_with(Cell::get).unwrap_or(false) {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

/// A pool whose threads' calls count.
fn pool(threads: usize) -> rayon::ThreadPool {
    let start = |_| COUNTS.set(true);
    let end = |_| COUNTS.set(false);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .start_handler(start)
        .exit_handler(end)
        .build()
        .unwrap()
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller's.
        unsafe { System.realloc(p, layout, size) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        count();
        // SAFETY: as the caller's.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls to the allocator, of the threads that count, while `work` runs.
fn calls(work: impl FnOnce()) -> u64 {
    let before = CALLS.load(Ordering::SeqCst);
    work();
    CALLS.load(Ordering::SeqCst) - before
}

#[test]
fn a_step_allocates_nothing_on_any_thread() {
    // The counter counts.
    COUNTS.set(true);
    assert_eq!(calls(|| drop(std::hint::black_box(vec![1u8; 100]))), 2);

    // The default network on batches of 16; 500 images, so that epochs end and are shuffled anew on the way.
    let pixels: Vec<u8> = (0..500 * 784u32).map(|i| if i % 5 == 0 { (i % 251) as u8 } else { 0 }).collect();
    let labels: Vec<u8> = (0..500).map(|i| (i % 10) as u8).collect();
    let images = Images::new(&pixels, 28, 28).unwrap().labelled(&labels).unwrap();
    let plain = Config { batch_size: 16, validation: 0, ..Config::default() };
    let all = Config { labels: true, pack: 2, average: 0.999, ..plain.clone() };
    [plain, all].into_iter().for_each(|config| allocates_nothing(&config, images));
}

fn allocates_nothing(config: &Config, images: Images<'_>) {
    let mut digests = Vec::new();

    for threads in [1, 2, 4] {
        let mut trainer = Trainer::new(config.clone(), images).unwrap();
        trainer.set_owners(threads);
        let pool = pool(threads);
        // Between the first step and the last one, on all threads: to enter the pool allocates, once per run.
        let (mut first, mut last) = (None, 0);
        let run = |_| {
            last = CALLS.load(Ordering::SeqCst);
            first.get_or_insert(last);
            ControlFlow::Continue(())
        };
        pool.install(|| trainer.run(&Rayon, 1_000, run)).unwrap();
        let counted = last - first.unwrap();
        println!("steps 1 to 1,000 in a pool of {threads}: {counted} calls to the allocator");
        assert_eq!(counted, 0, "{threads} threads");
        digests.push(trainer.digest().unwrap());
    }

    // A host calls step from a thread of its own.
    let mut trainer = Trainer::new(config.clone(), images).unwrap();
    let counted = calls(|| (0..1_000).for_each(|_| assert!(trainer.step(&Serial).is_ok())));
    println!("1,000 calls from a host's thread with Serial: {counted} calls to the allocator");
    assert_eq!(counted, 0);
    digests.push(trainer.digest().unwrap());

    // However long a run is, to enter a team costs the same. The least of several times: which worker first takes a job from
    // another one, and registers itself with rayon's queues then, is chance.
    let entered = [10, 200].map(|steps| {
        let mut trainer = Trainer::new(config.clone(), images).unwrap();
        trainer.set_owners(2);
        let pool = pool(2);
        let mut run = || trainer.run(&Rayon, steps, |_| ControlFlow::Continue(())).unwrap();
        (0..10).map(|_| pool.install(|| calls(&mut run))).min()
    });
    println!("calls to the allocator when a pool of 2 is entered: {entered:?}");
    assert_eq!(entered[0], entered[1]);
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}
