//! A run that is saved and gone on with after any steps, by any backend, alone or on a pool, comes to the state of the one that was not.

#![no_main]

mod shared;

use std::ops::ControlFlow;
use std::sync::LazyLock;

use duel::export::safetensors::{Checkpoint, encode};
use duel::{Config, Digest, Images, Isa, Rayon, Serial, Trainer};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

static POOL: LazyLock<rayon::ThreadPool> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap());

#[derive(Arbitrary, Debug)]
struct Input {
    labels: bool,
    pack: u8,
    averaged: bool,
    seed: u64,
    pixels: Vec<u8>,
    /// Of each session its steps, its backend, and whether it is on the pool.
    sessions: Vec<(u8, u8, bool)>,
}

fuzz_target!(|input: Input| {
    let config = Config {
        labels: input.labels,
        pack: 1 << (input.pack % 3),
        average: if input.averaged { 0.9 } else { 0.0 },
        seed: input.seed,
        ..shared::tiny()
    };
    // Images that three owners share.
    let (height, width, count) = (8, 24, 9);
    let mut pixels = input.pixels;
    pixels.resize(count * height * width, 0);
    let labels: Vec<u8> = pixels.iter().step_by(height * width).map(|pixel| pixel % 4).collect();
    let images = Images::new(&pixels, height, width).unwrap().labelled(&labels).unwrap();
    let isas: Vec<Isa> = Isa::available().collect();
    let steps = |(steps, ..): &(u8, u8, bool)| *steps as u64 % 6;

    let sessions = &input.sessions[..input.sessions.len().min(6)];
    let mut straight = Trainer::new(config.clone(), images).unwrap();
    let all: u64 = sessions.iter().map(steps).sum();
    let straight_ended =
        straight.run(&Serial, all, |_| ControlFlow::Continue(())).map_err(|error| error.to_string());

    let mut saved: Option<Vec<u8>> = None;
    let mut ended = Ok(());
    for session in sessions {
        let mut trainer = Trainer::new(config.clone(), images).unwrap();
        if let Some(bytes) = &saved {
            Checkpoint::decode(bytes, "saved").unwrap().resume(&mut trainer, Digest([3; 32])).unwrap();
        }
        trainer.set_isa(isas[session.1 as usize % isas.len()]);
        trainer.set_owners(usize::MAX);
        let each = |_| ControlFlow::Continue(());
        let done = match session.2 {
            true => POOL.install(|| trainer.run(&Rayon, steps(session), each)),
            false => trainer.run(&Serial, steps(session), each),
        };
        ended = done.map_err(|error| error.to_string());
        if ended.is_err() {
            break;
        }
        saved = Some(encode(&trainer, Digest([3; 32])).unwrap());
    }
    assert_eq!(ended, straight_ended);
    if let (Some(bytes), Ok(())) = (saved, ended) {
        assert_eq!(bytes, encode(&straight, Digest([3; 32])).unwrap());
    }
});
