//! The digest of a state: SHA-256 of its canonical form. Uses `model::layout`.
//!
//! Canonical form, little-endian: the step as u64; all parameters; all first moments; all second moments; each G before
//! D, layer by layer, weight before bias, row-major.

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::model::layout::{Arena, Part, Tensor};

/// SHA-256 of a state or of data; displays as `sha256:` and hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The digest of the state after `step`.
pub(super) fn of_state(step: u64, arena: &mut Arena<'_>) -> Digest {
    let mut hash = Sha256::new().chain_update(step.to_le_bytes());
    for part in [Part::Parameter, Part::AdamM, Part::AdamV] {
        for tensor in Tensor::ALL {
            let (mut bytes, mut filled) = ([0u8; 4096], 0);
            for x in arena.view(tensor, part).values() {
                bytes[filled..filled + 4].copy_from_slice(&x.to_le_bytes());
                filled += 4;
                if filled == bytes.len() {
                    hash.update(bytes);
                    filled = 0;
                }
            }
            hash.update(&bytes[..filled]);
        }
    }
    Digest(hash.finalize().into())
}
