//! The roof of a CPU: twelve independent chains of fused multiply-adds with all operands in registers, enough to keep two
//! units busy, and nothing else to do. Uses `reference` and `vector`.

use core::hint::black_box;

use super::reference;
use super::vector::{Kernel, MOST_LANES, Vector};

const CHAINS: usize = 12;

/// `rounds` multiply-adds per lane and chain; returns how many floating-point operations they were, two each.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Multiply-adds per lane and chain.
    pub rounds: usize,
}

impl Peak {
    fn flop(self, lanes: usize) -> u64 {
        (2 * CHAINS * lanes) as u64 * self.rounds as u64
    }
}

impl Kernel for Peak {
    type Output = u64;

    fn reference(self) -> u64 {
        let (x, y) = (black_box(0.75), black_box(1.0));
        let mut chains = [1.0; CHAINS];
        for _ in 0..self.rounds {
            chains.iter_mut().for_each(|chain| *chain = reference::fma(*chain, x, y));
        }
        black_box(chains);
        self.flop(1)
    }

    #[inline(always)]
    fn vector<V: Vector>(self, v: V) -> u64 {
        let (x, y) = (v.splat(black_box(0.75)), v.splat(black_box(1.0)));
        let mut chains = [v.splat(1.0); CHAINS];
        for _ in 0..self.rounds {
            for chain in &mut chains {
                *chain = v.fma(*chain, x, y);
            }
        }
        let mut out = [0.0; MOST_LANES];
        chains.iter().for_each(|&chain| v.store(black_box(&mut out), chain));
        self.flop(V::LANES)
    }
}
