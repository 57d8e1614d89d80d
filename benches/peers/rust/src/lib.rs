//! What the Rust peers share: the images, the batches, the command line and the measuring.
//!
//! A peer is a program `X --threads N --warmup W --steps S` that trains the GAN from a random start: W steps untimed,
//! then S steps timed. It prints one line of JSON.

use std::{env, fs::File, io::Read, path::Path, process, time::Instant};

use flate2::read::GzDecoder;
use rand::{rngs::SmallRng, seq::SliceRandom};

pub const BATCH: usize = 128;
pub const NOISE: usize = 100;
pub const HIDDEN: usize = 256;
pub const PIXELS: usize = 784;
pub const LEARNING_RATE: f64 = 2e-4;
const HELD_OUT: usize = 5000;

// Both libraries allocate each result anew, which the system's allocator makes slow for candle.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The standard deviation of the first weights.
pub fn sigma(fan_in: usize) -> f64 {
    1.0 / (fan_in as f64 / 2.0).sqrt()
}

/// The training images without the held-out ones, row by row, in [0, 1].
pub fn images() -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../data/train-images-idx3-ubyte.gz");
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    bytes[16 + HELD_OUT * PIXELS..].iter().map(|&byte| f32::from(byte) / 255.0).collect()
}

/// Batch after batch of indices of images: epoch after epoch, each shuffled anew.
pub struct Batches {
    order: Vec<u32>,
    position: usize,
    rng: SmallRng,
}

impl Batches {
    pub fn new(images: usize) -> Self {
        Self { order: (0..images as u32).collect(), position: images, rng: rand::make_rng() }
    }

    pub fn draw(&mut self) -> [u32; BATCH] {
        std::array::from_fn(|_| {
            if self.position == self.order.len() {
                self.order.shuffle(&mut self.rng);
                self.position = 0;
            }
            self.position += 1;
            self.order[self.position - 1]
        })
    }
}

fn argument(flag: &str) -> usize {
    let value = env::args().skip_while(|argument| argument != flag).nth(1);
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| {
        eprintln!("usage: --threads N --warmup W --steps S");
        process::exit(2)
    })
}

/// Times steps, each of which returns both losses, and prints the line. `start` returns the step.
pub fn measure<S: FnMut() -> [f32; 2]>(peer: &str, version: &str, start: impl FnOnce() -> S) {
    let [threads, warmup, steps] = ["--threads", "--warmup", "--steps"].map(argument);
    // SAFETY: no other thread runs yet.
    unsafe { env::set_var("RAYON_NUM_THREADS", threads.to_string()) };
    let mut step = start();
    let mut train = |steps| {
        let mut sums = [0.0; 2];
        for _ in 0..steps {
            let losses = step();
            sums = [0, 1].map(|i| sums[i] + f64::from(losses[i]));
        }
        sums
    };
    train(warmup);
    let start = Instant::now();
    // JSON has no infinity.
    let [generator_loss, discriminator_loss] = train(steps).map(|sum| (sum / steps as f64).min(f64::MAX));
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{{\"peer\": \"{peer}\", \"version\": \"{version}\", \"steps\": {steps}, \"seconds\": {seconds}, \
         \"generator_loss\": {generator_loss}, \"discriminator_loss\": {discriminator_loss}}}"
    );
}
