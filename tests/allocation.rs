//! A step allocates nothing, on any thread: a counting allocator under the whole process says so.
//!
//! One test, because every test of a process shares the allocator.
#![cfg(feature = "rayon")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use duel::{Config, Images, Rayon, Serial, Trainer};

static CALLS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.realloc(p, layout, size) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls to the allocator, of all threads, while `work` runs.
fn calls(work: impl FnOnce()) -> u64 {
    let before = CALLS.load(Ordering::SeqCst);
    work();
    CALLS.load(Ordering::SeqCst) - before
}

#[test]
fn a_step_allocates_nothing_on_any_thread() {
    // The counter counts.
    assert_eq!(calls(|| drop(std::hint::black_box(vec![1u8; 100]))), 2);

    // The default network on batches of 16; 500 images, so that epochs end and are shuffled anew on the way.
    let pixels: Vec<u8> = (0..500 * 784u32).map(|i| if i % 5 == 0 { (i % 251) as u8 } else { 0 }).collect();
    let images = Images::new(&pixels, 28, 28).unwrap();
    let config = Config { batch_size: 16, validation: 0, ..Config::default() };
    let mut digests = Vec::new();

    for threads in [1, 4] {
        let mut trainer = Trainer::new(config.clone(), images).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let counted = pool.install(|| {
            trainer.step(&Rayon).unwrap();
            calls(|| (2..=1_000).for_each(|_| assert!(trainer.step(&Rayon).is_ok())))
        });
        println!("steps 2 to 1,000 in a pool of {threads}: {counted} calls to the allocator");
        assert_eq!(counted, 0, "{threads} threads");
        digests.push(trainer.digest().unwrap());
    }

    // A host calls step from a thread of its own.
    let mut trainer = Trainer::new(config.clone(), images).unwrap();
    let counted = calls(|| (0..1_000).for_each(|_| assert!(trainer.step(&Serial).is_ok())));
    println!("1,000 calls from a host's thread with Serial: {counted} calls to the allocator");
    assert_eq!(counted, 0);
    digests.push(trainer.digest().unwrap());

    // And from a worker of its pool, whose other workers have work of the host's to do.
    let mut trainer = Trainer::new(config, images).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    let host_work = || std::hint::black_box((0..10_000u64).fold(1, |x, n| x ^ (x << 7) ^ n));
    let counted = pool.install(|| {
        // A worker that steals for the first time registers itself with rayon, once.
        rayon::broadcast(|_| ());
        calls(|| {
            (0..1_000).for_each(|_| {
                rayon::join(|| assert!(trainer.step(&Rayon).is_ok()), host_work);
            })
        })
    });
    println!("1,000 calls from a worker of a host's pool: {counted} calls to the allocator");
    assert_eq!(counted, 0);
    digests.push(trainer.digest().unwrap());
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}
