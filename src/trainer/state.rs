//! A state as bytes and back, and its digest; what a step leaves behind beside it. Uses `model::layout`.
//!
//! Canonical form, little-endian: the step as u64; all parameters; all first moments; all second moments; each G before
//! D, layer by layer, weight before bias, row-major. The digest of a state is the SHA-256 of that. If there is an average, its
//! four tensors follow in the same order, with a digest of their own.

use sha2::{Digest as _, Sha256};

use crate::config::MAX_STEPS;
use crate::digest::Digest;
use crate::error::Error;
use crate::kernels::tiles::{Line, Mat};
use crate::model::layout::Layout;
use crate::model::sizes::Sizes;
use crate::model::tensor::{Part, Tensor};

/// What the last step has left in memory beside the state.
#[derive(Clone, Copy, Debug)]
pub struct LastStep<'a> {
    /// The numbers of its images among those that are trained on.
    pub batch: &'a [u32],
    /// Its noise and classes, [batch, latent + classes].
    pub z: Mat<'a>,
    /// The generator's hidden values, [batch, hidden].
    pub h: Mat<'a>,
    /// The discriminator's hidden values of real images, [rows, hidden]; a row has as many images as are judged together.
    pub r: Mat<'a>,
    /// The same of generated images.
    pub f: Mat<'a>,
    /// The logits of real images, one per row.
    pub l_r: &'a [f32],
    /// The same of generated images.
    pub l_f: &'a [f32],
}

/// f32s of some tensors.
fn values(tensors: &[Tensor], sizes: &Sizes) -> usize {
    tensors.iter().map(|tensor| tensor.dims(sizes).iter().product::<usize>()).sum()
}

/// The tensors that there is an average of.
fn averaged(sizes: &Sizes) -> &'static [Tensor] {
    if sizes.averaged { &Tensor::GENERATOR } else { &[] }
}

/// Bytes of the canonical form, the average after it.
pub(super) fn length(sizes: &Sizes) -> usize {
    8 + 4 * (Part::ALL.len() * values(&Tensor::ALL, sizes) + values(averaged(sizes), sizes))
}

/// Hands part of some tensors to `sink`, piece by piece.
fn save_part(layout: &Layout, memory: &[Line], part: Part, tensors: &[Tensor], mut sink: impl FnMut(&[u8])) {
    for tensor in tensors {
        let (mut bytes, mut filled) = ([0u8; 4096], 0);
        layout.view(memory, *tensor, part).each(|x| {
            bytes[filled..filled + 4].copy_from_slice(&x.to_le_bytes());
            filled += 4;
            if filled == bytes.len() {
                sink(&bytes);
                filled = 0;
            }
        });
        sink(&bytes[..filled]);
    }
}

/// Hands the canonical form of the state after `step` to `sink`, piece by piece.
fn save_state(step: u64, layout: &Layout, memory: &[Line], mut sink: impl FnMut(&[u8])) {
    sink(&step.to_le_bytes());
    Part::ALL.iter().for_each(|part| save_part(layout, memory, *part, &Tensor::ALL, &mut sink));
}

/// The same, and then the average.
pub(super) fn save(step: u64, layout: &Layout, memory: &[Line], mut sink: impl FnMut(&[u8])) {
    save_state(step, layout, memory, &mut sink);
    if layout.is_averaged() {
        save_part(layout, memory, Part::Average, &Tensor::GENERATOR, sink);
    }
}

/// The digest of the state after `step`.
pub(super) fn digest(step: u64, layout: &Layout, memory: &[Line]) -> Digest {
    let mut hash = Sha256::new();
    save_state(step, layout, memory, |bytes| hash.update(bytes));
    Digest(hash.finalize().into())
}

/// The digest of the average.
pub(super) fn average_digest(layout: &Layout, memory: &[Line]) -> Option<Digest> {
    let mut hash = Sha256::new();
    save_part(layout, memory, Part::Average, &Tensor::GENERATOR, |bytes| hash.update(bytes));
    layout.is_averaged().then(|| Digest(hash.finalize().into()))
}

/// Puts the state that `bytes` hold into the arena and returns its step. A bad state changes nothing.
pub(super) fn load(bytes: &[u8], sizes: &Sizes, memory: &mut [Line]) -> Result<u64, Error> {
    let bad = |problem: &'static str| Err(Error::input("state", problem));
    if bytes.len() != length(sizes) {
        return bad("another number of bytes than the sizes of the run need");
    }
    let (step, words) = bytes.split_at(8);
    let step = step.iter().rev().fold(0, |step, &byte| step << 8 | byte as u64);
    if step > MAX_STEPS {
        return bad("its step is beyond 2^47");
    }
    let (words, _) = words.as_chunks::<4>();
    let parts = Part::ALL.map(|part| (part, &Tensor::ALL[..])).into_iter();
    let parts = parts.chain([(Part::Average, averaged(sizes))]);
    let mut rest = words;
    let mut sections = parts.map(|(part, tensors)| {
        let (section, others) = rest.split_at(values(tensors, sizes));
        rest = others;
        (part, tensors, section)
    });
    let sections: [_; 4] = core::array::from_fn(|_| sections.next());
    let bad_word = |(part, _, section): &(Part, _, &[[u8; 4]])| {
        section.iter().any(|&word| !part.admits(f32::from_le_bytes(word)))
    };
    if sections.iter().flatten().any(bad_word) {
        return bad("a parameter is beyond ±2^20, or a moment is not finite or below 0");
    }
    let layout = Layout::new(sizes);
    for (part, tensors, section) in sections.into_iter().flatten() {
        let mut section = section.iter();
        for tensor in tensors {
            layout
                .fill(memory, *tensor, part, || section.next().map_or(0.0, |&word| f32::from_le_bytes(word)));
        }
    }
    Ok(step)
}
