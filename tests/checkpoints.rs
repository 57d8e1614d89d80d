//! What is no whole checkpoint is refused, whatever byte is wrong; one of an older program is read.
#![cfg(feature = "cli")]

mod program;

use duel::export::safetensors::{Checkpoint, encode};
use duel::{Config, Digest, Images, Serial, Trainer};
use program::text;

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

#[test]
fn a_checkpoint_of_a_step_that_no_run_comes_to_is_refused() {
    let mut checkpoint = Checkpoint::decode(&tiny(), "tiny").unwrap();
    checkpoint.step = duel::config::MAX_STEPS + 1;
    checkpoint.state[..8].copy_from_slice(&checkpoint.step.to_le_bytes());
    checkpoint.digests.state = Digest::of(&checkpoint.state);
    let error = Checkpoint::decode(&checkpoint.encode().unwrap(), "tiny").unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("2^47"), "{error}");
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
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let json = text(&whole[8..8 + length]);
    // As it was written then: without these lines, and signed so. Spaces at the end of a header are allowed.
    let from = json.find("step=").unwrap();
    let signed = from + json[from..].find("digest=sha256:").unwrap();
    let signed = signed + json[signed..].find("\\ndigest=").unwrap() + 2;
    let mut lines = json[from..signed].replace("\\n", "\n");
    for line in ["labels=false\n", "pack=1\n", "average=0\n"] {
        assert!(lines.contains(line), "{lines}");
        lines = lines.replace(line, "");
    }
    let digest = Digest::of(lines.as_bytes());
    let end = signed + "digest=".len() + digest.to_string().len();
    let json =
        [&json[..from], &lines.replace('\n', "\\n"), &format!("digest={digest}"), &json[end..]].concat();
    let old = [&whole[..8], format!("{json:length$}").as_bytes(), &whole[8 + length..]].concat();
    let (old, new) = (Checkpoint::decode(&old, "old").unwrap(), Checkpoint::decode(&whole, "new").unwrap());
    assert_eq!((old.config, old.digests, old.state), (new.config, new.digests, new.state));
}

#[test]
fn values_beyond_the_bounds_are_refused_even_with_a_valid_digest() {
    // A trainer takes no such state, so the file is forged: value and digests replaced in place.
    use sha2::Digest as _;
    let whole = tiny();
    let checkpoint = Checkpoint::decode(&whole, "tiny").unwrap();
    for (part, bad) in [(0, 1.1e6f32), (0, f32::NAN), (1, f32::INFINITY), (2, f32::NAN), (2, -1.0)] {
        let count = (checkpoint.state.len() - 8) / 12;
        let mut state = checkpoint.state.clone();
        let at = 8 + 4 * part * count;
        let old: [u8; 4] = state[at..at + 4].try_into().unwrap();
        state[at..at + 4].copy_from_slice(&bad.to_le_bytes());
        // generator.hidden.weight and its moments: find the value where its name says.
        let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let json = text(&whole[8..8 + header]);
        let name = format!("\"generator.hidden.weight{}\"", ["", ".adam_m", ".adam_v"][part]);
        let entry = &json[json.find(&name).unwrap()..];
        let offset = &entry[entry.find("data_offsets\":[").unwrap() + 15..];
        let offset: usize = offset[..offset.find(',').unwrap()].parse().unwrap();
        let hex = |bytes: &[u8]| Digest(sha2::Sha256::digest(bytes).into()).to_string();
        let json = json.replace(&checkpoint.digests.state.to_string(), &hex(&state));
        let lines =
            json.split("\"checkpoint\":\"").nth(1).unwrap().split('"').next().unwrap().replace("\\n", "\n");
        let signed = &lines[..lines.rfind("digest=").unwrap()];
        let old_digest = &lines[signed.len() + 7..lines.len() - 1];
        let json = json.replace(old_digest, &hex(signed.as_bytes()));
        assert_eq!(json.len(), header);
        let mut forged = [&whole[..8], json.as_bytes(), &whole[8 + header..]].concat();
        let place = 8 + header + offset;
        assert_eq!(forged[place..place + 4], old);
        forged[place..place + 4].copy_from_slice(&bad.to_le_bytes());
        let error = Checkpoint::decode(&forged, "forged").unwrap_err();
        assert!(error.exit_code() == 3 && error.to_string().contains("no step leaves behind"), "{error}");
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
    let error = checkpoint.resume(&mut second, Digest([8; 32])).unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("data_digest"), "{error}");
    let error = checkpoint.resume(&mut trainer(&Config { seed: 7, ..small.clone() }), data).unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("seed is 42"), "{error}");
    assert_eq!(second.digest().unwrap(), before);
}
