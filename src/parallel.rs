//! The seam to threads: [`Join`] runs two pieces of work, perhaps at the same time. Uses nothing else of the crate.
//!
//! Work is cut in halves by its shape, down to a fixed piece, whatever the number of threads. Who runs a piece is
//! free, because no piece reads what another one writes, so the result does not depend on it.

/// Runs two closures, perhaps at the same time, and returns when both are done.
pub trait Join: Sync {
    /// Runs `a` and `b`.
    fn join<A: FnOnce() + Send, B: FnOnce() + Send>(&self, a: A, b: B);
}

/// One after the other, on the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Join for Serial {
    #[inline]
    fn join<A: FnOnce() + Send, B: FnOnce() + Send>(&self, a: A, b: B) {
        a();
        b();
    }
}

/// On the rayon pool whose worker is calling. Enter the pool once per run, with `ThreadPool::install`.
///
/// Outside a pool it works like [`Serial`]: it never starts rayon's global pool behind the host's back.
#[cfg(feature = "rayon")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Rayon;

#[cfg(feature = "rayon")]
impl Join for Rayon {
    #[inline]
    fn join<A: FnOnce() + Send, B: FnOnce() + Send>(&self, a: A, b: B) {
        if rayon::current_thread_index().is_some() {
            rayon::join(a, b);
        } else {
            Serial.join(a, b);
        }
    }
}

/// Something with rows that can be cut in two between them: a matrix, a slice, or a tuple of such with equal rows.
pub trait Divide: Sized + Send {
    /// Number of rows.
    fn rows(&self) -> usize;
    /// The first `at` rows, and the rest.
    fn divide(self, at: usize) -> (Self, Self);
}

impl<T: Send> Divide for &mut [T] {
    fn rows(&self) -> usize {
        self.len()
    }
    fn divide(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

macro_rules! divide_tuple {
    ($($name:ident),+) => {
        impl<$($name: Divide),+> Divide for ($($name,)+) {
            fn rows(&self) -> usize {
                self.0.rows()
            }
            #[allow(non_snake_case)]
            fn divide(self, at: usize) -> (Self, Self) {
                let ($($name,)+) = self;
                $(let $name = $name.divide(at);)+
                (($($name.0,)+), ($($name.1,)+))
            }
        }
    };
}
divide_tuple!(A, B);
divide_tuple!(A, B, C);
divide_tuple!(A, B, C, D);
divide_tuple!(A, B, C, D, E);
divide_tuple!(A, B, C, D, E, F);

/// Calls `work(first_row, block)` for every block of `block_rows` rows of `whole` (the last one may be shorter).
pub fn for_each_block<J: Join, D: Divide>(
    join: &J,
    whole: D,
    block_rows: usize,
    work: &(impl Fn(usize, D) + Sync),
) {
    fn halve<J: Join, D: Divide>(
        join: &J,
        first: usize,
        part: D,
        block: usize,
        work: &(impl Fn(usize, D) + Sync),
    ) {
        let blocks = part.rows().div_ceil(block);
        if blocks <= 1 {
            return work(first, part);
        }
        let at = blocks / 2 * block;
        let (low, high) = part.divide(at);
        join.join(|| halve(join, first, low, block, work), || halve(join, first + at, high, block, work));
    }
    if whole.rows() > 0 {
        halve(join, 0, whole, block_rows.max(1), work);
    }
}
