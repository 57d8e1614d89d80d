//! A checkpoint of any values, with digests that are right or bytes that are not: it is refused as bad input, or is read to what was
//! written, and can make samples and take a step. Bytes that are no checkpoint are refused.

#![no_main]

mod shared;

use duel::digest::Digests;
use duel::export::safetensors::{Checkpoint, encode};
use duel::{Config, Digest, Error, Images, Serial, Trainer};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    labels: bool,
    pack: u8,
    averaged: bool,
    step: u64,
    /// Places in the state, and what is put there.
    values: Vec<(u16, f32)>,
    /// Bits of the file that are turned.
    turned: Vec<u32>,
    /// Where it is cut, if it is.
    cut: Option<u16>,
    /// A file of nothing but these.
    bytes: Option<Vec<u8>>,
}

const PIXELS: [u8; 48] = [7; 48];
const LABELS: [u8; 8] = [0, 1, 2, 0, 1, 2, 0, 1];

fuzz_target!(|input: Input| {
    if let Some(bytes) = &input.bytes {
        let read = Checkpoint::decode(bytes, "bytes");
        assert!(read.is_err_and(|error| shared::is_about_input(&error)));
        return;
    }
    let config = Config {
        labels: input.labels,
        pack: 1 << (input.pack % 3),
        average: if input.averaged { 0.5 } else { 0.0 },
        ..shared::tiny()
    };
    let images = Images::new(&PIXELS, 2, 3).unwrap().labelled(&LABELS).unwrap();
    let mut trainer = Trainer::new(config, images).unwrap();
    let whole = encode(&trainer, Digest([7; 32])).unwrap();
    let mut checkpoint = Checkpoint::decode(&whole, "whole").unwrap();
    assert_eq!(checkpoint.encode().unwrap(), whole);

    checkpoint.step = input.step;
    checkpoint.state[..8].copy_from_slice(&input.step.to_le_bytes());
    for (place, value) in &input.values {
        let words = (checkpoint.state.len() - 8) / 4;
        let at = 8 + 4 * (*place as usize % words);
        checkpoint.state[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    // The digests of what is there now: only the values are wrong, if anything is.
    let average = checkpoint.digests.average.map(|_| {
        let first = checkpoint.tensors().nth(24).unwrap().2.start;
        Digest::of(&checkpoint.state[first..])
    });
    let end = average.map_or(checkpoint.state.len(), |_| checkpoint.tensors().nth(24).unwrap().2.start);
    checkpoint.digests = Digests { state: Digest::of(&checkpoint.state[..end]), average };
    let mut bytes = checkpoint.encode().unwrap();
    for bit in &input.turned {
        let bit = *bit as usize % (8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    if let Some(cut) = input.cut {
        bytes.truncate(cut as usize);
    }
    let read = match Checkpoint::decode(&bytes, "file") {
        Err(error) => return assert!(shared::is_about_input(&error), "{error}"),
        Ok(read) => read,
    };
    assert_eq!(Checkpoint::decode(&read.encode().unwrap(), "again").unwrap().state, read.state);
    assert_eq!(read.state, checkpoint.state);
    for raw in [false, true] {
        read.sampler(raw).unwrap().sample(&Serial, 1, 2, &mut [0; 6]).unwrap();
    }
    trainer.load(&read.state).unwrap();
    match trainer.step(&Serial) {
        Ok(_) | Err(Error::Diverged { .. } | Error::Usage { .. }) => {}
        Err(other) => panic!("{other}"),
    }
});
