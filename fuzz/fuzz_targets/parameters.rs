//! A safetensors file of any bytes, of a header that says anything, and of any tensors, as the parameters that a run begins with and as
//! a checkpoint: it is refused as bad input, or every parameter is its own, every moment 0, and a step can be taken.

#![no_main]

mod shared;

use std::collections::HashMap;

use duel::export::safetensors::{Checkpoint, encode};
use duel::{Config, Digest, Error, Images, Serial, Tensor, Trainer};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use safetensors::tensor::{Dtype, TensorView};

/// What a header says of a tensor.
#[derive(Arbitrary, Debug)]
struct Entry {
    name: u8,
    kind: u8,
    shape: Vec<Number>,
    offsets: (Number, Number),
}

/// Small, where sizes overflow, or any.
#[derive(Arbitrary, Debug)]
enum Number {
    Small(u8),
    Power(u8, i8),
    Any(u64),
}

impl Number {
    fn value(&self) -> u64 {
        match *self {
            Number::Small(n) => n as u64,
            Number::Power(power, more) => (1u64 << (power % 64)).wrapping_add_signed(more as i64),
            Number::Any(n) => n,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Header {
    entries: Vec<Entry>,
    metadata: Option<String>,
    /// Its length, if the file does not tell the truth.
    length: Option<Number>,
    data: u16,
}

impl Header {
    fn file(&self) -> Vec<u8> {
        let name = |n: u8| Tensor::ALL.get(n as usize % 9).map_or("other", |tensor| tensor.name());
        let mut parts: Vec<String> = self
            .entries
            .iter()
            .map(|Entry { name: n, kind, shape, offsets }| {
                let kind =
                    ["F32", "F16", "BF16", "F64", "I8", "U64", "BOOL", "F8_E4M3", "X"][*kind as usize % 9];
                let shape: Vec<u64> = shape.iter().map(Number::value).collect();
                let (from, to) = (offsets.0.value(), offsets.1.value());
                format!(
                    r#""{}":{{"dtype":"{kind}","shape":{shape:?},"data_offsets":[{from},{to}]}}"#,
                    name(*n)
                )
            })
            .collect();
        parts.extend(self.metadata.as_ref().map(|text| {
            format!(r#""__metadata__":{{"checkpoint":{}}}"#, serde_json::to_string(text).unwrap())
        }));
        let text = format!("{{{}}}", parts.join(","));
        let length = self.length.as_ref().map_or(text.len() as u64, Number::value);
        [&length.to_le_bytes(), text.as_bytes(), &vec![1; self.data as usize]].concat()
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    averaged: bool,
    bytes: Option<Vec<u8>>,
    header: Option<Header>,
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
    if let Some(header) = &input.header {
        let bytes = header.file();
        assert!(Checkpoint::decode(&bytes, "header").is_err_and(|error| shared::is_about_input(&error)));
        let read = Checkpoint::initial_state(&trainer, &bytes, "header");
        return match read {
            Err(error) => assert!(shared::is_about_input(&error), "{error}"),
            Ok(_) => assert!(header.entries.len() >= Tensor::ALL.len()),
        };
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
