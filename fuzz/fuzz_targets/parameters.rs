//! A safetensors file of any bytes, and of any tensors, as the parameters that a run begins with: it is refused as bad input, or every
//! parameter is its own, every moment 0, and a step can be taken.

#![no_main]

mod shared;

use std::collections::HashMap;

use duel::export::safetensors::{Checkpoint, encode};
use duel::{Config, Digest, Error, Images, Serial, Tensor, Trainer};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use safetensors::tensor::{Dtype, TensorView};

#[derive(Arbitrary, Debug)]
struct Input {
    averaged: bool,
    bytes: Option<Vec<u8>>,
    values: Vec<f32>,
    /// A tensor that is left out, and one that has a column more.
    lacks: Option<u8>,
    wider: Option<u8>,
}

fuzz_target!(|input: Input| {
    let config = Config { average: if input.averaged { 0.5 } else { 0.0 }, ..shared::tiny() };
    let pixels = [9; 48];
    let mut trainer = Trainer::new(config, Images::new(&pixels, 2, 3).unwrap()).unwrap();
    if let Some(bytes) = &input.bytes {
        let read = Checkpoint::initial_state(&trainer, bytes, "bytes");
        return assert!(read.is_err_and(|error| shared::is_about_input(&error)));
    }
    let own = Checkpoint::decode(&encode(&trainer, Digest([1; 32])).unwrap(), "own").unwrap();
    let mut next = input.values.iter().copied().cycle();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = own
        .tensors()
        .take(Tensor::ALL.len())
        .enumerate()
        .filter(|(i, _)| input.lacks.is_none_or(|lacks| lacks as usize != *i))
        .map(|(i, (name, mut shape, _))| {
            *shape.last_mut().unwrap() += (input.wider == Some(i as u8)) as usize;
            let count = shape.iter().product();
            let values = (0..count).flat_map(|_| next.next().unwrap_or(0.5).to_le_bytes()).collect();
            (name, shape, values)
        })
        .collect();
    let views: HashMap<&str, TensorView<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| (&name[..], TensorView::new(Dtype::F32, shape.clone(), values).unwrap()))
        .collect();
    let bytes = safetensors::serialize(views, None).unwrap();
    let state = match Checkpoint::initial_state(&trainer, &bytes, "file") {
        Err(error) => return assert!(shared::is_about_input(&error), "{error}"),
        Ok(state) => state,
    };
    assert_eq!(tensors.len(), Tensor::ALL.len());
    let values: Vec<u8> = tensors.iter().flat_map(|(.., values)| values).copied().collect();
    assert_eq!(state[8..8 + values.len()], values);
    assert!(state[8 + values.len()..8 + 3 * values.len()].iter().all(|&byte| byte == 0));
    trainer.load(&state).unwrap();
    assert_eq!(trainer.steps_done(), 0);
    match trainer.step(&Serial) {
        Ok(_) | Err(Error::Diverged { .. }) => {}
        Err(other) => panic!("{other}"),
    }
});
