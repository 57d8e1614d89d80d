//! Squared distances between 8-bit images: whole numbers, and the same on every machine. Uses `data` and
//! [`kernels`](crate::kernels)' `dots` and `float_mode`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::data::Images;
use crate::error::Error;
use crate::kernels::dots::{MOST_TERMS, dots};
use crate::kernels::float_mode;
use crate::memory;
use crate::run::Observer;

/// Images of the one set that are taken at a time.
const ROWS: usize = 128;
/// Images of the other set that are taken at a time: their values stay in the L2 cache.
const COLUMNS: usize = 256;
/// Bytes of distances that all threads have together at most.
const MOST_BYTES: usize = 64 << 20;

/// Calls `work` for each image of `a`, which is a step to `observer`, with its number and its squared distances to all images of `b`, and returns what `work`
/// returned, in the order of `a`. Images are shared out to the threads of the rayon pool that this is called in; outside a pool
/// the calling thread does it.
///
/// # Errors
/// [`Error::Input`] if the images are not of one size, or `b` has none; [`Error::Environment`] if there is no memory, `observer`
/// gives up, or a thread's floating-point unit is in another mode than the default.
pub fn by_image<R: Send>(
    a: Images<'_>,
    b: Images<'_>,
    observer: &dyn Observer,
    work: impl Fn(usize, &[u32]) -> R + Sync,
) -> Result<Vec<R>, Error> {
    if a.size() != b.size() {
        let problem = format!("expected images of {} pixels, as the others are, not {}", b.size(), a.size());
        return Err(Error::input("images", problem));
    }
    if b.count() == 0 {
        return Err(Error::input("images", "there are none to compare with"));
    }
    let threads = if rayon::current_thread_index().is_some() { rayon::current_num_threads() } else { 1 };
    let rows = (MOST_BYTES / threads / 4 / b.count()).clamp(1, ROWS);
    let blocks = a.count().div_ceil(rows);
    let norms_b: Vec<u32> = (0..b.count()).map(|j| norm(b.image(j))).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(blocks)));
    let thread = || -> Result<(), Error> {
        float_mode::check()?;
        let mut room = Room::new(rows, a.size(), b.count())?;
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks {
                return Ok(());
            }
            if observer.gives_up() {
                return Err(Error::environment("given up"));
            }
            let images = block * rows..(block * rows + rows).min(a.count());
            let (first, count) = (images.start, images.len());
            room.fill(a, images, b, &norms_b);
            let distances = room.distances.chunks_exact(b.count()).take(count);
            let results = distances.enumerate().map(|(i, row)| {
                observer.step();
                work(first + i, row)
            });
            let results: Vec<R> = results.collect();
            done.lock().expect("nothing panics while it is held").push((block, results));
        }
    };
    if threads == 1 {
        thread()?;
    } else {
        (0..threads).into_par_iter().with_max_len(1).try_for_each(|_| thread())?;
    }
    let mut done = done.into_inner().expect("nothing panics while it is held");
    done.sort_unstable_by_key(|(block, _)| *block);
    Ok(done.into_iter().flat_map(|(_, results)| results).collect())
}

/// The squared length of an image.
fn norm(image: &[u8]) -> u32 {
    image.iter().map(|&x| (x as u32).pow(2)).sum()
}

/// What a thread works in.
struct Room {
    size: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    dots: Vec<f32>,
    /// [images of a, all images of b]
    distances: Vec<u32>,
}

impl Room {
    fn new(rows: usize, size: usize, count: usize) -> Result<Room, Error> {
        // Asked for in one piece, so that it is there or not; more than 32 bits count is not.
        let bytes = 4 * (rows as u64 * (size + COLUMNS + count) as u64 + (COLUMNS * size) as u64);
        drop(memory::room(usize::try_from(bytes).unwrap_or(usize::MAX), "distances")?);
        Ok(Room {
            size,
            a: vec![0.0; rows * size],
            b: vec![0.0; COLUMNS * size],
            dots: vec![0.0; rows * COLUMNS],
            distances: vec![0; rows * count],
        })
    }

    /// The distances of some images of `a` to all of `b`.
    fn fill(&mut self, a: Images<'_>, images: std::ops::Range<usize>, b: Images<'_>, norms_b: &[u32]) {
        let (size, rows, count) = (self.size, images.len(), b.count());
        let norms_a: Vec<u32> = images.clone().map(|i| norm(a.image(i))).collect();
        copy(a, images, &mut self.a);
        for (row, norm) in self.distances.chunks_exact_mut(count).zip(&norms_a) {
            row.iter_mut().zip(norms_b).for_each(|(d, norm_b)| *d = norm.wrapping_add(*norm_b));
        }
        for start in (0..count).step_by(COLUMNS) {
            let columns = (count - start).min(COLUMNS);
            copy(b, start..start + columns, &mut self.b);
            for term in (0..size).step_by(MOST_TERMS) {
                let terms = term..(term + MOST_TERMS).min(size);
                let dots_of = &mut self.dots[..rows * columns];
                dots(&self.a[..rows * size], &self.b[..columns * size], size, terms, dots_of);
                for (row, dots) in self.distances.chunks_exact_mut(count).zip(dots_of.chunks_exact(columns)) {
                    // |a − b|² = |a|² + |b|² − 2a·b: below 2³² for images of 2¹⁶ pixels, and so is every sum on the way but for a
                    // wrap that the last term takes back.
                    let row = &mut row[start..start + columns];
                    row.iter_mut().zip(dots).for_each(|(d, &dot)| *d = d.wrapping_sub(2 * dot as u32));
                }
            }
        }
    }
}

fn copy(images: Images<'_>, which: std::ops::Range<usize>, to: &mut [f32]) {
    for (to, i) in to.chunks_exact_mut(images.size()).zip(which) {
        to.iter_mut().zip(images.image(i)).for_each(|(to, &x)| *to = x as f32);
    }
}
