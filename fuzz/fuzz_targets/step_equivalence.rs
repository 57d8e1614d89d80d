//! A small random network: each backend, with and without zeros, alone and shared out among the workers of a pool, takes the
//! same steps as `reference`, to the same state, the same samples or the same divergence.

#![no_main]

use std::ops::ControlFlow;
use std::sync::LazyLock;

use duel::{Config, Images, Isa, Rayon, Serial, StepStats, Trainer, Zeros};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

static POOL: LazyLock<rayon::ThreadPool> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap());

#[derive(Arbitrary, Debug)]
struct Input {
    latent: u8,
    generator_hidden: u8,
    discriminator_hidden: u8,
    batch: u8,
    height: u8,
    width: u8,
    images: u8,
    validation: u8,
    seed: u64,
    steps: u8,
    learning_rate: f32,
    beta1: u8,
    beta2: u8,
    epsilon: u8,
    labels: bool,
    classes: u8,
    pack: u8,
    average: u8,
    pixels: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let size = |x: u8, most: usize| x as usize % most + 1;
    let pack = 1 << (input.pack % 3);
    let config = Config {
        latent_size: size(input.latent, 9),
        generator_hidden: size(input.generator_hidden, 40),
        discriminator_hidden: size(input.discriminator_hidden, 40),
        batch_size: pack * size(input.batch, 20 / pack),
        learning_rate: input.learning_rate,
        beta1: input.beta1 as f32 / 256.0,
        beta2: input.beta2 as f32 / 256.0,
        epsilon: 2f32.powi(-(input.epsilon as i32 % 41)),
        labels: input.labels,
        pack,
        average: input.average as f32 / 256.0,
        validation: input.validation as usize % 4,
        seed: input.seed,
    };
    // Up to 192 pixels: four owners.
    let (height, width) = (size(input.height, 12), size(input.width, 16));
    let count = input.images as usize % 40 + 1;
    // Pixels beyond the input's are black, as most are.
    let mut pixels = input.pixels;
    pixels.resize(count * height * width, 0);
    // As pixels are: any, most of them the same.
    let labels: Vec<u8> =
        (0..count).map(|i| pixels[i * height * width] % size(input.classes, 12) as u8).collect();
    let images = Images::new(&pixels, height, width).unwrap().labelled(&labels).unwrap();
    let steps = input.steps as u64 % 5;

    let run = |isa: Isa, zeros: Zeros, pooled: bool| {
        let mut trainer = Trainer::new(config.clone(), images).map_err(|error| error.to_string())?;
        trainer.set_isa(isa);
        trainer.set_zeros(zeros);
        let mut losses = Vec::new();
        let each = |stats: StepStats| {
            losses.push((stats.step, stats.generator_loss.to_bits(), stats.discriminator_loss.to_bits()));
            ControlFlow::Continue(())
        };
        let done = if pooled {
            trainer.set_owners(usize::MAX);
            POOL.install(|| trainer.run(&Rayon, steps, each))
        } else {
            trainer.run(&Serial, steps, each)
        };
        done.map_err(|error| error.to_string())?;
        let mut samples = vec![0; 3 * height * width];
        trainer.sample(&Serial, 5, 1, &mut samples).map_err(|error| error.to_string())?;
        let digest = trainer.digests().map_err(|error| error.to_string())?;
        Ok::<_, String>((losses, samples, digest))
    };
    let expected = run(Isa::named("reference").unwrap(), Zeros::Kept, false);
    for isa in Isa::available() {
        for (zeros, pooled) in [(Zeros::LeftOut, false), (Zeros::LeftOut, true), (Zeros::Kept, true)] {
            assert_eq!(run(isa, zeros, pooled), expected, "{} {zeros:?} pooled: {pooled}", isa.name());
        }
    }
});
