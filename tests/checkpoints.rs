//! What is no whole checkpoint is refused, whatever byte is wrong; one of an older program is read.
#![cfg(feature = "cli")]

mod program;

use std::collections::HashMap;
use std::fmt::Debug;

use duel::config::MAX_STEPS;
use duel::digest::Digests;
use duel::export::safetensors::{Checkpoint, encode};
use duel::{Config, Digest, Error, Images, Serial, Tensor, Trainer};
use program::text;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// A checkpoint of a tiny network.
fn tiny() -> Vec<u8> {
    tiny_with(Config::default())
}

/// The same of labelled images that are judged in pairs, with an average.
fn tiny_averaged() -> Vec<u8> {
    tiny_with(Config { labels: true, pack: 2, average: 0.5, ..Config::default() })
}

fn tiny_with(config: Config) -> Vec<u8> {
    let pixels: Vec<u8> = (0..60).map(|i| (i * 37 % 256) as u8).collect();
    let config = Config {
        latent_size: 1,
        generator_hidden: 2,
        discriminator_hidden: 1,
        batch_size: 4,
        validation: 0,
        ..config
    };
    let labels: Vec<u8> = (0..10).map(|i| i % 3).collect();
    let images = Images::new(&pixels, 2, 3).unwrap().labelled(&labels).unwrap();
    let mut trainer = Trainer::new(config, images).unwrap();
    (0..4).for_each(|_| assert!(trainer.step(&Serial).is_ok()));
    encode(&trainer, Digest([7; 32])).unwrap()
}

#[test]
fn every_truncation_and_every_flipped_bit_of_a_checkpoint_is_refused_or_harmless() {
    assert_eq!(tiny(), tiny(), "the bytes are a function of the contents");
    [tiny(), tiny_averaged()].iter().for_each(|whole| damaged_is_refused_or_harmless(whole));
}

/// A checkpoint with a state of the test's own, under its digest.
fn forged(mut checkpoint: Checkpoint, change: impl Fn(&mut [u8])) -> Vec<u8> {
    change(&mut checkpoint.state);
    checkpoint.digests.state = Digest::of(&checkpoint.state);
    checkpoint.encode().unwrap()
}

/// A checkpoint with other lines in its metadata, signed again.
fn edited(whole: &[u8], edit: impl Fn(&str) -> String) -> Vec<u8> {
    let (length, rest) = whole.split_first_chunk().unwrap();
    let (header, tensors) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    let text = &mut header["__metadata__"]["checkpoint"];
    let lines = text.as_str().unwrap();
    let lines = edit(&lines[..lines.rfind("digest=").unwrap()]);
    *text = format!("{lines}digest={}\n", Digest::of(lines.as_bytes())).into();
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), tensors].concat()
}

/// The tensors of a file by their names.
type Tensors<'a> = Vec<(String, TensorView<'a>)>;

/// A checkpoint with other tensors, under the same metadata.
fn retold(whole: &[u8], change: impl Fn(&mut Tensors<'_>)) -> Vec<u8> {
    let mut tensors = SafeTensors::deserialize(whole).unwrap().tensors();
    change(&mut tensors);
    let (_, header) = SafeTensors::read_metadata(whole).unwrap();
    safetensors::serialize(tensors, header.metadata().clone()).unwrap()
}

/// Asserts that it is refused as bad input, in one line with `word`.
fn refused(got: Result<impl Debug, Error>, word: &str) {
    let error = got.unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains(word), "{word}: {error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

#[test]
fn a_checkpoint_of_a_step_that_no_run_comes_to_is_refused() {
    let at = |step: u64| {
        let checkpoint = Checkpoint { step, ..Checkpoint::decode(&tiny(), "tiny").unwrap() };
        let whole = forged(checkpoint, |state| state[..8].copy_from_slice(&step.to_le_bytes()));
        Checkpoint::decode(&whole, "tiny")
    };
    assert_eq!(at(MAX_STEPS).unwrap().step, MAX_STEPS);
    refused(at(MAX_STEPS + 1), "2^47");
}

#[test]
fn a_checkpoint_has_1_to_256_classes_if_it_has_labels() {
    let says = |whole: &[u8]| text(whole).contains("classes=");
    assert!(!says(&tiny()) && says(&tiny_averaged()));
    let of = |classes: usize| {
        let mut checkpoint = Checkpoint::decode(&tiny_averaged(), "tiny").unwrap();
        checkpoint.classes = classes;
        let end = checkpoint.tensors().last().unwrap().2.end;
        checkpoint.state.truncate(8);
        checkpoint.state.resize(end, 0);
        let average = checkpoint.tensors().nth(24).unwrap().2.start;
        let (state, average) = checkpoint.state.split_at(average);
        checkpoint.digests = Digests { state: Digest::of(state), average: Some(Digest::of(average)) };
        Checkpoint::decode(&checkpoint.encode().unwrap(), "tiny")
    };
    assert_eq!([1, 256].map(|classes| of(classes).unwrap().classes), [1, 256]);
    refused(of(257), "1 to 256 classes");
    let none = edited(&tiny_averaged(), |lines| lines.replace("classes=3\n", "classes=0\n"));
    refused(Checkpoint::decode(&none, "tiny"), "1 to 256 classes");
    let unsaid = edited(&tiny_averaged(), |lines| lines.replace("classes=3\n", ""));
    refused(Checkpoint::decode(&unsaid, "tiny"), "classes: missing");
}

#[test]
fn a_tensor_of_another_kind_or_shape_or_name_is_refused() {
    let whole = tiny();
    let decoded = |change: &dyn Fn(&mut Tensors<'_>)| Checkpoint::decode(&retold(&whole, change), "tiny");
    let expected = Checkpoint::decode(&whole, "tiny").unwrap();
    assert_eq!(decoded(&|tensors| tensors.reverse()).unwrap().state, expected.state);
    let first = |dtype, more: &[usize]| {
        decoded(&|tensors| {
            let view = &mut tensors[0].1;
            *view = TensorView::new(dtype, [view.shape(), more].concat(), view.data()).unwrap();
        })
    };
    assert_eq!(first(Dtype::F32, &[]).unwrap().state, expected.state);
    refused(first(Dtype::I32, &[]), "I32");
    refused(first(Dtype::F32, &[1]), "expected F32");
    refused(decoded(&|tensors| drop(tensors.pop())), "has no tensor");
    let more = |tensors: &mut Tensors<'_>| tensors.push(("other".into(), tensors[0].1.clone()));
    refused(decoded(&more), "has a tensor other");
}

#[test]
fn a_run_begins_with_the_parameters_of_any_file_that_has_them() {
    const BIAS: &str = "discriminator.hidden.bias";
    let pixels: Vec<u8> = (0..60).map(|i| (i * 37 % 256) as u8).collect();
    let small = Config { batch_size: 4, validation: 0, ..Config::default() };
    for config in [small.clone(), Config { average: 0.5, ..small }] {
        let trainer = Trainer::new(config, Images::new(&pixels, 2, 3).unwrap()).unwrap();
        let whole = encode(&trainer, Digest([7; 32])).unwrap();
        let begun = |bytes: &[u8]| Checkpoint::initial_state(&trainer, bytes, "given");
        // At step 0 moments are 0, and an average is the parameters.
        let state = Checkpoint::of(&trainer, Digest([7; 32])).unwrap().state;
        assert!(begun(&whole).unwrap() == state);
        let alone =
            |(name, _): &(String, TensorView<'_>)| !name.contains("adam") && !name.contains("average");
        assert!(begun(&retold(&whole, |tensors| tensors.retain(alone))).unwrap() == state);
        let bias = |dtype, shape: &[usize], value: Option<f32>| {
            let file = SafeTensors::deserialize(&whole).unwrap();
            let mut bytes = file.tensor(BIAS).unwrap().data().to_vec();
            if let Some(value) = value {
                bytes[4..8].copy_from_slice(&value.to_le_bytes());
            }
            let mut tensors: HashMap<_, _> = file.tensors().into_iter().collect();
            tensors.insert(BIAS.to_string(), TensorView::new(dtype, shape.to_vec(), &bytes).unwrap());
            begun(&safetensors::serialize(tensors, None).unwrap())
        };
        assert!(bias(Dtype::F32, &[256], None).unwrap() == state);
        assert!(bias(Dtype::F32, &[256], Some(1_048_576.0)).unwrap() != state);
        refused(bias(Dtype::I32, &[256], None), "expected F32 [256], not I32 [256]");
        refused(bias(Dtype::F32, &[1, 256], None), "expected F32 [256], not F32 [1, 256]");
        refused(bias(Dtype::F32, &[256], Some(1_048_577.0)), "value 1 is beyond");
        refused(bias(Dtype::F32, &[256], Some(f32::NAN)), "value 1 is beyond");
    }
}

fn damaged_is_refused_or_harmless(whole: &[u8]) {
    let same = |bytes: &[u8]| -> Option<Checkpoint> {
        match Checkpoint::decode(bytes, "tiny") {
            Ok(checkpoint) => Some(checkpoint),
            Err(error) => {
                assert_eq!(error.exit_code(), 3, "{error}");
                assert_eq!(error.to_string().lines().count(), 1, "{error}");
                None
            }
        }
    };
    let expected = same(whole).unwrap();
    for length in 0..whole.len() {
        assert!(same(&whole[..length]).is_none(), "cut to {length}");
    }
    let mut harmless = 0;
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Some(got) = same(&bytes) {
            harmless += 1;
            assert_eq!(got.state, expected.state, "bit {bit}");
            assert_eq!(got.config, expected.config, "bit {bit}");
            assert_eq!((got.step, &got.data_digest), (expected.step, &expected.data_digest), "bit {bit}");
            assert_eq!((got.height, got.width), (expected.height, expected.width), "bit {bit}");
            assert_eq!((got.classes, got.digests), (expected.classes, expected.digests), "bit {bit}");
        }
    }
    println!("{} bits, {harmless} of them harmless", 8 * whole.len());
}

#[test]
fn a_checkpoint_of_before_there_were_labels_packs_and_averages_is_read() {
    let whole = tiny();
    let old = edited(&whole, |lines| {
        ["labels=false\n", "pack=1\n", "average=0\n"].iter().fold(lines.to_string(), |lines, line| {
            assert!(lines.contains(line), "{lines}");
            lines.replace(line, "")
        })
    });
    let (old, new) = (Checkpoint::decode(&old, "old").unwrap(), Checkpoint::decode(&whole, "new").unwrap());
    assert_eq!((old.config, old.digests, old.state), (new.config, new.digests, new.state));
}

#[test]
fn values_beyond_the_bounds_are_refused_even_with_a_valid_digest() {
    let checkpoint = Checkpoint::decode(&tiny(), "tiny").unwrap();
    let count = (checkpoint.state.len() - 8) / 12;
    for (part, bad) in [(0, 1.1e6f32), (0, f32::NAN), (1, f32::INFINITY), (2, f32::NAN), (2, -1.0)] {
        let at = 8 + 4 * part * count;
        let whole = forged(checkpoint.clone(), |state| state[at..at + 4].copy_from_slice(&bad.to_le_bytes()));
        refused(Checkpoint::decode(&whole, "forged"), "no step leaves behind");
    }
}

#[test]
fn samples_are_of_the_average_unless_they_are_wanted_raw() {
    for (whole, averaged) in [(tiny(), false), (tiny_averaged(), true)] {
        let (file, checkpoint) =
            (SafeTensors::deserialize(&whole).unwrap(), Checkpoint::decode(&whole, "tiny").unwrap());
        for raw in [false, true] {
            let end = if averaged && !raw { ".average" } else { "" };
            let tensors: Vec<_> = checkpoint.generator(raw).collect();
            assert_eq!(tensors.len(), 4);
            for ((tensor, values), expected) in tensors.into_iter().zip(Tensor::GENERATOR) {
                assert_eq!(tensor, expected);
                assert_eq!(values, file.tensor(&format!("{}{end}", tensor.name())).unwrap().data());
            }
        }
    }
}

#[test]
fn a_trainer_goes_on_from_a_checkpoint_of_its_own_settings_and_data_alone() {
    let pixels: Vec<u8> = (0..60).map(|i| (i * 37 % 256) as u8).collect();
    let small = Config { batch_size: 4, validation: 0, ..Config::default() };
    let trainer =
        |config: &Config| Trainer::new(config.clone(), Images::new(&pixels, 2, 3).unwrap()).unwrap();
    let (mut straight, mut second, data) = (trainer(&small), trainer(&small), Digest([7; 32]));
    straight.step(&Serial).unwrap();
    let checkpoint = Checkpoint::of(&straight, data).unwrap();
    straight.step(&Serial).unwrap();
    checkpoint.resume(&mut second, data).unwrap();
    assert_eq!(second.steps_done(), 1);
    second.step(&Serial).unwrap();
    assert_eq!(second.digest().unwrap(), straight.digest().unwrap());
    let before = second.digest().unwrap();
    refused(checkpoint.resume(&mut second, Digest([8; 32])), "data_digest");
    refused(checkpoint.resume(&mut trainer(&Config { seed: 7, ..small.clone() }), data), "seed is 42");
    assert_eq!(second.digest().unwrap(), before);
}
