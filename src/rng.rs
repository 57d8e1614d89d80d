//! Randomness without history: every stream is a function of (seed, purpose, index). Uses `kernels::reference` for ln.
//!
//! `stream(seed, purpose, a, b)`: h = 0; for w in (seed, purpose, a, b): h = splitmix64(h ⊕ w). Here splitmix64(x) is the
//! first output of Vigna's SplitMix64 in state x; `purpose` is the number of the [`Purpose`], a and b are its indices in
//! order, 0 where it has fewer. Four SplitMix64 outputs in turn, from state h, are the words s0 to s3 of Blackman and
//! Vigna's xoshiro256++ 1.0. Only its raw 64-bit outputs are used; everything made of them is defined here.
//!
//! ```text
//! SplitMix64:    state += 0x9E3779B97F4A7C15; x = state; x ^= x >> 30; x *= 0xBF58476D1CE4E5B9; x ^= x >> 27;
//!                x *= 0x94D049BB133111EB; output x ^ x >> 31                                      all mod 2⁶⁴
//! xoshiro256++:  output rotl(s0 + s3, 23) + s0, then t = s1 << 17; s2 ^= s0; s3 ^= s1; s1 ^= s2; s0 ^= s3; s2 ^= t;
//!                s3 = rotl(s3, 45)
//! ```
//!
//! An output becomes a uniform in [−1, 1): ⌊output / 2⁴⁰⌋·2⁻²³ − 1, of its top 24 bits, exact in f32 and in f64.

use rand::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

use crate::kernels::reference::{ln, sqrt};

/// What a stream is for, and its indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// 1: initial weights; the tensor's place in the canonical order.
    Init(u64),
    /// 2: the permutation of an epoch, counted from 0.
    Shuffle(u64),
    /// 3: a step, counted from 1, and a row of its batch, counted from 0.
    Noise(u64, u64),
    /// 4: a sample's index.
    Sample(u64),
    /// 5: a step, counted from 1. Its outputs in order give the classes of the generated rows, see [`Stream::below`].
    Class(u64),
}

/// One SplitMix64 output from state `x`.
fn splitmix64(x: u64) -> u64 {
    SplitMix64::seed_from_u64(x).next_u64()
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// The stream of a seed and a purpose.
    pub fn new(seed: u64, purpose: Purpose) -> Stream {
        let (purpose, a, b) = match purpose {
            Purpose::Init(tensor) => (1, tensor, 0),
            Purpose::Shuffle(epoch) => (2, epoch, 0),
            Purpose::Noise(step, row) => (3, step, row),
            Purpose::Sample(row) => (4, row, 0),
            Purpose::Class(step) => (5, step, 0),
        };
        let h = [seed, purpose, a, b].into_iter().fold(0, |h, w| splitmix64(h ^ w));
        let mut words = SplitMix64::seed_from_u64(h);
        let mut state = [0u8; 32];
        for chunk in state.chunks_mut(8) {
            chunk.copy_from_slice(&words.next_u64().to_le_bytes());
        }
        Stream(Xoshiro256PlusPlus::from_seed(state))
    }

    /// k·2⁻²³ − 1 with k the top 24 bits of the next output: uniform in [−1, 1), exact in f32 and in f64.
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 40) as f64 * (1.0 / 8_388_608.0) - 1.0
    }

    /// Fills `z` with uniforms in [−1, 1), one output each, in order.
    pub fn fill_uniform(&mut self, z: &mut [f32]) {
        z.fill_with(|| self.uniform() as f32);
    }

    /// Two normals with mean 0 and deviation `sigma` by the polar method: (u·f)·σ and (w·f)·σ with s = u·u + w·w and
    /// f = √((−2·ln s)/s). u, then w, are uniforms of one output each; both are drawn anew where s is 0, or 1 or more. All
    /// in f64, nothing fused, each result rounded to f32 at the end.
    pub fn normal_pair(&mut self, sigma: f64) -> [f32; 2] {
        loop {
            let (u, w) = (self.uniform(), self.uniform());
            let s = u * u + w * w;
            if s > 0.0 && s < 1.0 {
                let f = sqrt((-2.0 * ln(s)) / s);
                return [((u * f) * sigma) as f32, ((w * f) * sigma) as f32];
            }
        }
    }

    /// A number below n: ⌊output·n / 2⁶⁴⌋, of the exact product.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.0.next_u64() as u128 * n as u128) >> 64) as usize
    }

    /// Makes `order` a random permutation of 0..n: Fisher–Yates from the identity. For i = n−1, …, 1 it exchanges
    /// `order[i]` and `order[j]`, j being [`below`](Stream::below) i + 1.
    pub fn permute(&mut self, order: &mut [u32]) {
        for (i, place) in order.iter_mut().enumerate() {
            *place = i as u32;
        }
        for i in (1..order.len()).rev() {
            let j = self.below(i + 1);
            order.swap(i, j);
        }
    }
}

/// The noise of sample `index` of a seed: as many uniforms as it has values.
pub fn sample_noise(seed: u64, index: u64, z: &mut [f32]) {
    Stream::new(seed, Purpose::Sample(index)).fill_uniform(z);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_all_its_words() {
        let first = |purpose| Stream::new(42, purpose).0.next_u64();
        let all = [
            first(Purpose::Init(0)),
            first(Purpose::Init(1)),
            first(Purpose::Shuffle(0)),
            first(Purpose::Noise(1, 0)),
            first(Purpose::Noise(1, 1)),
            first(Purpose::Sample(0)),
            first(Purpose::Class(1)),
            Stream::new(43, Purpose::Init(0)).0.next_u64(),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
    }

    #[test]
    fn seeding_is_the_published_one() {
        // SplitMix64 from state 0, and xoshiro256++ written out again.
        assert_eq!(splitmix64(0), 0xE220_A839_7B1D_CDAF);
        let h = [7u64, 3, 5, 2].into_iter().fold(0, |h, w| splitmix64(h ^ w));
        let golden = 0x9E37_79B9_7F4A_7C15u64;
        let s: [u64; 4] = core::array::from_fn(|i| splitmix64(h.wrapping_add(golden.wrapping_mul(i as u64))));
        let expected = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        assert_eq!(Stream::new(7, Purpose::Noise(5, 2)).0.next_u64(), expected);
    }

    #[test]
    fn uniforms_and_normals_have_their_moments() {
        let mut stream = Stream::new(1, Purpose::Sample(0));
        let (n, mut sum, mut squares) = (100_000, 0.0, 0.0);
        for _ in 0..n / 2 {
            for x in stream.normal_pair(2.0) {
                sum += x as f64;
                squares += (x as f64) * (x as f64);
            }
        }
        let n = n as f64;
        assert!((sum / n).abs() < 0.03 && (squares / n - 4.0).abs() < 0.1);
        let mut z = vec![0.0; 100_000];
        stream.fill_uniform(&mut z);
        assert!(z.iter().all(|x| (-1.0..1.0).contains(x)));
        assert!((z.iter().map(|&x| x as f64).sum::<f64>() / n).abs() < 0.01);
    }

    #[test]
    fn the_first_draws_are_known() {
        // From a program in another language, written from the documentation of this file.
        let mut order = [0; 9];
        Stream::new(3, Purpose::Shuffle(10)).permute(&mut order);
        assert_eq!(order, [4, 2, 7, 1, 6, 8, 3, 0, 5]);
        let pair = Stream::new(3, Purpose::Init(0)).normal_pair(0.5);
        assert_eq!(pair.map(f32::to_bits), [0xBDBF_12ED, 0xBE45_F81F]);
        let mut z = [0.0; 2];
        Stream::new(3, Purpose::Noise(1, 0)).fill_uniform(&mut z);
        assert_eq!(z, [-0.196_006_54, 0.533_533_6]);
        sample_noise(3, 1, &mut z);
        let mut again = [0.0; 2];
        Stream::new(3, Purpose::Sample(1)).fill_uniform(&mut again);
        assert!(z == again && z != [-0.196_006_54, 0.533_533_6]);
    }

    /// A stream whose first two outputs are these: the words solve xoshiro256++'s equations.
    fn beginning(outputs: [u64; 2]) -> Stream {
        // output = rotl(s0 + s3, 23) + s0, and then s0 ^= s1 ^ s3; s3 = rotl(s1 ^ s3, 45).
        let s3_for = |s0: u64, output: u64| output.wrapping_sub(s0).rotate_right(23).wrapping_sub(s0);
        let next = 0x0123_4567_89AB_CDEF;
        let changed = s3_for(next, outputs[1]).rotate_right(45);
        let s0 = next ^ changed;
        let s3 = s3_for(s0, outputs[0]);
        let words = [s0, s3 ^ changed, 0x0F1E_2D3C_4B5A_6978, s3];
        let mut state = [0u8; 32];
        for (bytes, word) in state.chunks_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Stream(Xoshiro256PlusPlus::from_seed(state))
    }

    #[test]
    fn a_pair_of_square_0_or_1_is_drawn_anew() {
        // 2⁶³ is the uniform 0, and 0 is −1.
        for outputs in [[1 << 63, 1 << 63], [0, 1 << 63], [1 << 63, 0], [0, 0]] {
            let mut stream = beginning(outputs);
            assert_eq!(outputs.map(|_| stream.0.next_u64()), outputs);
            assert_eq!(beginning(outputs).normal_pair(1.0), stream.normal_pair(1.0));
        }
        // The uniforms next to them are taken: f is √(−2·ln(2⁻⁴⁶)/2⁻⁴⁶) = 2²³·√(92·ln 2).
        let nearest = beginning([(1 << 63) + (1 << 40), 1 << 63]).normal_pair(1.0);
        assert_eq!(nearest, [(92.0 * core::f64::consts::LN_2).sqrt() as f32, 0.0]);
    }

    #[test]
    fn a_permutation_has_every_number_once() {
        let mut order = vec![0u32; 1_001];
        Stream::new(3, Purpose::Shuffle(9)).permute(&mut order);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(i, &x)| i as u32 == x) && sorted != order);
    }
}
