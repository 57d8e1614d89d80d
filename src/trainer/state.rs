//! A state as bytes and back, and its digest. Uses `model::layout`.
//!
//! Canonical form, little-endian: the step as u64; all parameters; all first moments; all second moments; each G before
//! D, layer by layer, weight before bias, row-major. The digest of a state is the SHA-256 of that.

use sha2::{Digest as _, Sha256};

use crate::config::MAX_STEPS;
use crate::digest::Digest;
use crate::error::Error;
use crate::kernels::tiles::Line;
use crate::model::layout::Layout;
use crate::model::sizes::Sizes;
use crate::model::tensor::{Part, Tensor};

/// Bytes of the canonical form.
pub(super) fn length(sizes: &Sizes) -> usize {
    let values = |tensor: &Tensor| tensor.dims(sizes).iter().product::<usize>();
    8 + Part::ALL.len() * 4 * Tensor::ALL.iter().map(values).sum::<usize>()
}

/// Hands the canonical form of the state after `step` to `sink`, piece by piece.
pub(super) fn save(step: u64, layout: &Layout, memory: &[Line], mut sink: impl FnMut(&[u8])) {
    sink(&step.to_le_bytes());
    for part in Part::ALL {
        for tensor in Tensor::ALL {
            let (mut bytes, mut filled) = ([0u8; 4096], 0);
            for x in layout.view(memory, tensor, part).values() {
                bytes[filled..filled + 4].copy_from_slice(&x.to_le_bytes());
                filled += 4;
                if filled == bytes.len() {
                    sink(&bytes);
                    filled = 0;
                }
            }
            sink(&bytes[..filled]);
        }
    }
}

/// The digest of the state after `step`.
pub(super) fn digest(step: u64, layout: &Layout, memory: &[Line]) -> Digest {
    let mut hash = Sha256::new();
    save(step, layout, memory, |bytes| hash.update(bytes));
    Digest(hash.finalize().into())
}

/// Puts the state that `bytes` hold into the arena and returns its step. A bad state changes nothing.
pub(super) fn load(bytes: &[u8], sizes: &Sizes, memory: &mut [Line]) -> Result<u64, Error> {
    let bad = |problem: &'static str| Err(Error::input("state", problem));
    if bytes.len() != length(sizes) {
        return bad("another number of bytes than the sizes of the run need");
    }
    let (step, values) = bytes.split_at(8);
    let step = step.iter().rev().fold(0, |step, &byte| step << 8 | byte as u64);
    if step > MAX_STEPS {
        return bad("its step is beyond 2^47");
    }
    let (words, _) = values.as_chunks::<4>();
    let mut sections = words.chunks_exact(words.len() / Part::ALL.len());
    for (part, section) in Part::ALL.into_iter().zip(sections.clone()) {
        if !section.iter().all(|&word| part.admits(f32::from_le_bytes(word))) {
            return bad("a parameter is beyond ±2^20, or a moment is not finite or below 0");
        }
    }
    let layout = Layout::new(sizes);
    for part in Part::ALL {
        let mut section = sections.next().into_iter().flatten();
        for tensor in Tensor::ALL {
            layout
                .fill(memory, tensor, part, || section.next().map_or(0.0, |&word| f32::from_le_bytes(word)));
        }
    }
    Ok(step)
}
