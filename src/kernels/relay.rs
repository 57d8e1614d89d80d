//! Matrices that go from worker to worker: written block by block of rows by one after the other, then read by all. Uses
//! `tiles` and [`parallel`](crate::parallel).
//!
//! ```text
//! round n of a relay with workers 0..T:
//!     the first writer    waits until every reader has read round n−1
//!     writer w, block b   waits until writer w−1 has written block b in round n; writes it; says so
//!     a reader            waits until the last writer has written every block in round n; reads; says so
//! ```
//!
//! Each worker has a [`Seat`]. A seat counts its rounds itself, and there is one per worker: that is the whole proof that
//! nobody writes what somebody else writes or reads. No worker is ever given a block twice in a round, or too early,
//! whatever it does; one that leaves out a round stops the others, no more.
//!
//! Each of these words has a cache line of its own, which only the one who says it writes.

use core::sync::atomic::{AtomicU32, Ordering};

use super::tiles::{Line, Mat, MatMut};
use crate::parallel::{Meeting, Stopped};

/// The round that a worker has finished: of a block, or of its reading.
#[derive(Debug)]
#[repr(C, align(64))]
struct Flag(AtomicU32, [u32; 15]);

impl Flag {
    fn is(&self, round: u32) -> bool {
        self.0.load(Ordering::Acquire) == round
    }
    /// Everything that this worker did before becomes visible to who sees the round.
    fn set(&self, round: u32) {
        self.0.store(round, Ordering::Release);
    }
}

/// The lines that the flags of a relay take: `blocks` and one more for each worker; more than there can be where the number of
/// them overflows, because workers would share them otherwise.
pub const fn flag_lines(workers: usize, blocks: usize) -> usize {
    workers.saturating_mul(blocks.saturating_add(1))
}

/// A matrix that goes from worker to worker.
#[derive(Debug)]
pub struct Relay<'a, T = f32> {
    /// Only ever touched in turn.
    matrix: MatMut<'a, T>,
    flags: &'a [Flag],
    meeting: &'a Meeting,
    workers: usize,
    blocks: usize,
    first_writer: usize,
    first_reader: usize,
}

impl<'a, T: bytemuck::Pod + Send + Sync> Relay<'a, T> {
    /// A relay of `matrix` in `blocks` blocks of rows (each of an even number of rows, but for the last ones, which may be empty) for `workers`
    /// workers, the first of whom to write is `first_writer` and to read `first_reader`; the others follow in order.
    ///
    /// # Panics
    /// If there are fewer than [`flag_lines`] of `flags`, or nobody writes, or nobody reads.
    pub fn new(
        matrix: MatMut<'a, T>,
        flags: &'a mut [Line],
        (workers, blocks): (usize, usize),
        first_writer: usize,
        first_reader: usize,
        meeting: &'a Meeting,
    ) -> Self {
        let flags = &mut flags[..flag_lines(workers, blocks)];
        flags.fill(Line::filled(0.0));
        assert!(first_writer < workers && first_reader < workers && blocks > 0);
        // SAFETY: the lines are exclusively borrowed for 'a, hold zeros, and have the size and alignment of flags.
        let flags = unsafe { core::slice::from_raw_parts(flags.as_mut_ptr().cast::<Flag>(), flags.len()) };
        Relay { matrix, flags, meeting, workers, blocks, first_writer, first_reader }
    }
}

impl<T> Relay<'_, T> {
    fn flag(&self, worker: usize, block: usize) -> &Flag {
        &self.flags[worker * (self.blocks + 1) + block]
    }
    fn read_flag(&self, worker: usize) -> &Flag {
        self.flag(worker, self.blocks)
    }
    fn block_rows(&self) -> usize {
        self.matrix.rows().div_ceil(self.blocks).next_multiple_of(2)
    }
}

/// The seats of a relay, one for each worker, in order.
#[derive(Debug)]
pub struct Seats<'a, T = f32> {
    relay: &'a Relay<'a, T>,
    seated: usize,
}

impl<'a, T> Seats<'a, T> {
    /// All seats; a relay gives them out once.
    pub fn of(relay: &'a mut Relay<'a, T>) -> Self {
        Seats { relay, seated: 0 }
    }
    /// The next worker's seat.
    ///
    /// # Panics
    /// If every worker has one.
    pub fn seat(&mut self) -> Seat<'a, T> {
        assert!(self.seated < self.relay.workers);
        self.seated += 1;
        Seat { relay: self.relay, worker: self.seated - 1, block: 0, written: 0, read: 0 }
    }
}

/// A worker's part in a relay.
#[derive(Debug)]
pub struct Seat<'a, T = f32> {
    relay: &'a Relay<'a, T>,
    worker: usize,
    /// The block that this worker writes next.
    block: usize,
    /// Rounds that this worker has written.
    written: u32,
    /// Rounds that this worker has read.
    read: u32,
}

/// A block of rows, and what has become of it in this round.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Its first row.
    pub row: usize,
    /// Its number of rows.
    pub rows: usize,
    /// Whether nobody has written it yet.
    pub first: bool,
    /// Whether nobody will write it after this.
    pub last: bool,
}

impl<T> Seat<'_, T> {
    /// The next round of this worker's writing: `write` gets every block when it is this worker's turn. Nothing happens
    /// if this worker is not one that writes.
    pub fn write(&mut self, mut write: impl FnMut(Turn, MatMut<'_, T>)) -> Result<(), Stopped> {
        let (relay, worker) = (self.relay, self.worker);
        if worker < relay.first_writer {
            return Ok(());
        }
        let (first, last) = (worker == relay.first_writer, worker + 1 == relay.workers);
        let round = self.written.wrapping_add(1);
        // From where it stopped, if it was stopped in the middle of the round: no block is written twice.
        for block in self.block..relay.blocks {
            let row = (block * relay.block_rows()).min(relay.matrix.rows());
            let rows = relay.block_rows().min(relay.matrix.rows() - row);
            if !first {
                relay.meeting.wait(|| relay.flag(worker - 1, block).is(round))?;
            } else if block == 0 {
                for reader in relay.first_reader..relay.workers {
                    relay.meeting.wait(|| relay.read_flag(reader).is(self.written))?;
                }
            }
            // SAFETY: this is the one writer whose turn it is on these rows, and no reader is at them; who comes next waits
            // for the flag.
            let mut matrix = unsafe { relay.matrix.alias() };
            if rows > 0 {
                write(Turn { row, rows, first, last }, matrix.sub_rows_mut(row, rows));
            }
            self.block = block + 1;
            relay.flag(worker, block).set(round);
        }
        (self.block, self.written) = (0, round);
        Ok(())
    }

    /// Waits for the next round to be written, and gives access to all of it until what is returned is dropped.
    ///
    /// # Panics
    /// If this worker is not one that reads.
    pub fn read(&mut self) -> Result<Reading<'_, T>, Stopped> {
        let relay = self.relay;
        assert!(self.worker >= relay.first_reader);
        let round = self.read.wrapping_add(1);
        for block in 0..relay.blocks {
            relay.meeting.wait(|| relay.flag(relay.workers - 1, block).is(round))?;
        }
        self.read = round;
        Ok(Reading { matrix: relay.matrix.view(), flag: relay.read_flag(self.worker), round })
    }
}

/// A round of a relay, while it is read.
#[derive(Debug)]
pub struct Reading<'s, T = f32> {
    matrix: Mat<'s, T>,
    flag: &'s Flag,
    round: u32,
}

impl<T> Reading<'_, T> {
    /// What was written.
    pub fn view(&self) -> Mat<'_, T> {
        self.matrix
    }
}

impl<T> Drop for Reading<'_, T> {
    fn drop(&mut self) {
        self.flag.set(self.round);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::vec::Vec;

    use super::*;

    /// A relay's seats over fresh memory, in rows of one value.
    fn with_seats<R>(
        (workers, blocks): (usize, usize),
        (first_writer, first_reader): (usize, usize),
        meeting: &Meeting,
        test: impl FnOnce(Vec<Seat<'_, u32>>) -> R,
    ) -> R {
        let mut values = std::vec![0u32; 10];
        let mut flags = std::vec![Line::filled(f32::NAN); flag_lines(workers, blocks)];
        let matrix = MatMut::new(&mut values, 10, 1, 1);
        let mut relay =
            Relay::new(matrix, &mut flags, (workers, blocks), first_writer, first_reader, meeting);
        let mut seats = Seats::of(&mut relay);
        test((0..workers).map(|_| seats.seat()).collect())
    }

    #[test]
    #[should_panic]
    fn more_flags_than_can_be_counted_are_not_there() {
        let (mut values, mut flags) = ([0u32; 4], [Line::filled(0.0); 4]);
        let matrix = MatMut::new(&mut values, 2, 2, 2);
        let workers = (1 << (usize::BITS - 1)) + 2;
        Relay::new(matrix, &mut flags, (workers, 1), 0, 1, &Meeting::new(workers));
    }

    /// A meeting at which a worker has failed: whoever would have to wait is stopped instead.
    fn over() -> Meeting {
        let meeting = Meeting::new(1);
        drop(meeting.join(true));
        meeting
    }

    #[test]
    fn nobody_is_given_a_block_before_it_is_written_or_twice_or_while_it_is_read() {
        with_seats((2, 3), (0, 0), &over(), |mut seats| {
            let [first, last] = &mut seats[..] else { unreachable!() };
            for _ in 0..3 {
                assert!(last.write(|_, _| panic!("too early")).is_err());
                assert!(first.read().is_err() && last.read().is_err());
                assert!(first.write(|_, _| ()).is_ok());
                assert!(first.write(|_, _| panic!("twice")).is_err());
                assert!(first.read().is_err() && last.read().is_err());
                assert!(last.write(|_, _| ()).is_ok());
                assert!(last.write(|_, _| panic!("twice")).is_err());
                let reading = last.read().unwrap();
                drop(first.read().unwrap());
                assert!(first.write(|_, _| panic!("while it is read")).is_err());
                drop(reading);
                assert!(first.read().is_err() && last.read().is_err());
            }
        });
        // A writer that is stopped in the middle of a round goes on from there.
        with_seats((2, 3), (0, 0), &over(), |mut seats| {
            let [first, last] = &mut seats[..] else { unreachable!() };
            let mut rows = Vec::new();
            let stopped = catch_unwind(AssertUnwindSafe(|| {
                first.write(|turn, _| {
                    rows.push(turn.row);
                    assert!(rows.len() < 2, "stopped");
                })
            }));
            assert!(stopped.is_err() && last.write(|_, _| ()).is_err());
            assert!(first.write(|turn, _| rows.push(turn.row)).is_ok());
            assert_eq!(rows, [0, 4, 4, 8]);
            assert!(last.write(|turn, _| assert!(turn.row > 0, "twice")).is_ok());
        });
        // From the last one to all, and from all to the last one.
        with_seats((3, 1), (2, 0), &over(), |mut seats| {
            for seat in &mut seats[..2] {
                assert!(seat.write(|_, _| panic!("does not write")).is_ok());
            }
            assert!(seats[2].write(|_, _| ()).is_ok());
            assert!(seats.iter_mut().all(|seat| seat.read().is_ok()));
        });
        with_seats((3, 2), (0, 2), &over(), |mut seats| {
            assert!(seats.iter_mut().all(|seat| seat.write(|_, _| ()).is_ok()));
            assert!(seats[2].read().is_ok() && seats[0].write(|_, _| ()).is_ok());
        });
    }

    #[test]
    fn a_chain_is_as_if_one_worker_had_made_it() {
        for (workers, blocks) in [(1, 1), (2, 4), (3, 5), (7, 3)] {
            let meeting = Meeting::new(workers);
            with_seats((workers, blocks), (0, 0), &meeting, |seats| {
                std::thread::scope(|scope| {
                    for (w, mut seat) in seats.into_iter().enumerate() {
                        scope.spawn(move || {
                            let mut expected = [0u32; 10];
                            for round in 0..200 {
                                seat.write(|turn, mut block| {
                                    assert_eq!((turn.first, turn.last), (w == 0, w + 1 == workers));
                                    for i in 0..turn.rows {
                                        let value = &mut block.row_mut(i)[0];
                                        // A chain does not commute.
                                        *value = if turn.first { round } else { *value };
                                        *value =
                                            value.wrapping_mul(31).wrapping_add((w + turn.row + i) as u32);
                                    }
                                })
                                .unwrap();
                                for (row, value) in expected.iter_mut().enumerate() {
                                    *value = (0..workers).fold(round, |value, w| {
                                        value.wrapping_mul(31).wrapping_add((w + row) as u32)
                                    });
                                }
                                let reading = seat.read().unwrap();
                                let got: Vec<u32> = (0..10).map(|i| reading.view().row(i)[0]).collect();
                                assert_eq!(got, expected, "worker {w} of {workers}, round {round}");
                            }
                        });
                    }
                });
            });
        }
    }
}
