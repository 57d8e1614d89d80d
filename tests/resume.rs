//! A state goes out as bytes and comes back: to the same digest, and only if a step could have left it behind.

use duel::{Config, Error, Images, Line, Serial, Trainer};

type Owned<'a> = Trainer<'a, Box<[Line]>>;

const PIXELS: usize = 35;

fn pixels() -> Vec<u8> {
    (0..50 * PIXELS).map(|i| if i % 3 == 0 { (i * 31 % 256) as u8 } else { 0 }).collect()
}

fn config() -> Config {
    Config {
        latent_size: 3,
        generator_hidden: 5,
        discriminator_hidden: 6,
        batch_size: 9,
        validation: 2,
        ..Config::default()
    }
}

fn trained(pixels: &[u8], steps: u64) -> Owned<'_> {
    let mut trainer = Trainer::new(config(), Images::new(pixels, 5, 7).unwrap()).unwrap();
    (0..steps).for_each(|_| assert!(trainer.step(&Serial).is_ok()));
    trainer
}

fn saved(trainer: &mut Owned<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    trainer.save(|piece| bytes.extend_from_slice(piece)).unwrap();
    assert_eq!(bytes.len(), trainer.state_bytes());
    bytes
}

#[test]
fn resume_at_any_step_gives_the_same_digest() {
    let pixels = pixels();
    let straight = trained(&pixels, 40).digest().unwrap();
    for stop in 0..=40 {
        let state = saved(&mut trained(&pixels, stop));
        // Into a fresh trainer, and into one that has been elsewhere.
        for been in [0, 17] {
            let mut resumed = trained(&pixels, been);
            resumed.load(&state).unwrap();
            assert_eq!(resumed.steps_done(), stop);
            (stop..40).for_each(|_| assert!(resumed.step(&Serial).is_ok()));
            assert_eq!(resumed.digest().unwrap(), straight, "stopped at {stop}");
        }
    }
}

#[test]
fn a_state_is_its_digest_s_preimage() {
    use sha2::Digest as _;
    let pixels = pixels();
    let mut trainer = trained(&pixels, 5);
    let bytes = saved(&mut trainer);
    assert_eq!(trainer.digest().unwrap().0[..], sha2::Sha256::digest(&bytes)[..]);
    assert_eq!(bytes[..8], 5u64.to_le_bytes());
}

#[test]
fn a_state_that_no_step_leaves_behind_is_refused_and_changes_nothing() {
    let pixels = pixels();
    let state = saved(&mut trained(&pixels, 3));
    let parameters = (state.len() - 8) / 12;
    let mut trainer = trained(&pixels, 7);
    let before = trainer.digest().unwrap();
    let mut refused = |state: &[u8]| {
        assert!(matches!(trainer.load(state), Err(Error::Input { .. })));
        assert_eq!(trainer.digest().unwrap(), before);
        assert_eq!(trainer.steps_done(), 7);
    };
    refused(&[]);
    refused(&state[..state.len() - 1]);
    refused(&[&state[..], &[0]].concat());
    let with = |place: usize, x: f32| {
        let mut state = state.clone();
        state[8 + 4 * place..][..4].copy_from_slice(&x.to_le_bytes());
        state
    };
    let last = parameters - 1;
    for bad in [f32::NAN, f32::INFINITY, -f32::INFINITY, 1_048_576.1, -1_048_577.0] {
        refused(&with(0, bad));
        refused(&with(last, bad));
    }
    for bad in [f32::NAN, f32::INFINITY, -f32::INFINITY] {
        refused(&with(parameters, bad));
        refused(&with(parameters + last, bad));
        refused(&with(2 * parameters, bad));
        refused(&with(2 * parameters + last, bad));
    }
    refused(&with(2 * parameters, -1e-10));
    refused(&[&u64::MAX.to_le_bytes(), &state[8..]].concat());
    // At the bounds it is taken.
    trainer.load(&with(0, 1_048_576.0)).unwrap();
    trainer.load(&with(parameters, f32::MAX)).unwrap();
}
