//! Which images a step sees: an endless stream of reshuffled epochs, cut into batches. Uses `rng`.
//!
//! Step t (from 1) with batches of b from n images takes places (t−1)·b .. t·b of the stream; place q is image
//! `permutation(q / n)[q % n]`, / being integer division. The n images are those that are not held out, numbered from 0;
//! permutation(e) is [`Stream::permute`] of [`Purpose::Shuffle`]\(e). A batch that crosses an epoch's end takes the rest of
//! the old permutation, then the start of the new one.

use crate::rng::{Purpose, Stream};

/// The epoch whose permutation is in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epoch(Option<u64>);

impl Epoch {
    /// Makes `order` the permutation of `epoch`, unless it already is.
    fn enter(&mut self, epoch: u64, seed: u64, order: &mut [u32]) {
        if self.0 != Some(epoch) {
            Stream::new(seed, Purpose::Shuffle(epoch)).permute(order);
            self.0 = Some(epoch);
        }
    }

    /// Writes the images of step `step` into `batch`; `order` is the memory of the permutation, one place per image.
    pub fn batch(&mut self, step: u64, seed: u64, order: &mut [u32], batch: &mut [u32]) {
        let n = order.len() as u64;
        let first = (step - 1) as u128 * batch.len() as u128;
        let (mut epoch, mut place) = ((first / n as u128) as u64, (first % n as u128) as usize);
        let mut done = 0;
        while done < batch.len() {
            self.enter(epoch, seed, order);
            let taken = (order.len() - place).min(batch.len() - done);
            batch[done..done + taken].copy_from_slice(&order[place..place + taken]);
            done += taken;
            (epoch, place) = (epoch + 1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_appears_once_per_epoch_and_batches_cross_its_end() {
        let (n, b, seed) = (100usize, 32usize, 5u64);
        let mut permutations = vec![vec![0u32; n]; 3];
        for (epoch, order) in permutations.iter_mut().enumerate() {
            Stream::new(seed, Purpose::Shuffle(epoch as u64)).permute(order);
        }
        let stream: Vec<u32> = permutations.concat();
        let (mut epoch, mut order) = (Epoch::default(), vec![0; n]);
        for step in 1..=9u64 {
            let mut batch = vec![0; b];
            epoch.batch(step, seed, &mut order, &mut batch);
            assert_eq!(batch, stream[(step as usize - 1) * b..step as usize * b], "step {step}");
        }
        // Any step can be asked for first.
        let mut batch = vec![0; b];
        Epoch::default().batch(4, seed, &mut order, &mut batch);
        assert_eq!(batch, stream[3 * b..4 * b]);
    }
}
