//! Trains the first published small network, prints its digest, and draws sixteen digits of a generator whose weights lie in
//! flash: on a board, over its serial line, or on this machine. The text is the same.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::{self, Display, Formatter, Write};

use duel::golden::{Case, SMALL_NETS, pixel};
use duel::model::layout::Layout;
use duel::model::sizes::Sizes;
use duel::model::tensor::Tensor;
use duel::{Error, GeneratorShape, Images, Line, Sampler, Serial, Trainer};

#[cfg(target_os = "none")]
#[cfg_attr(target_arch = "arm", path = "arm.rs")]
#[cfg_attr(target_arch = "riscv32", path = "riscv.rs")]
mod board;
#[cfg(target_os = "none")]
mod start;

const CASE: &Case = &SMALL_NETS[0];
const PIXELS: usize = CASE.height * CASE.width;
/// The arena's size is known when the program is compiled.
const TRAINER_LINES: usize = Layout::arena_lines(&Sizes::new(
    &CASE.config,
    PIXELS,
    CASE.classes,
    CASE.images - CASE.config.validation,
));
/// More than the generator needs, which says so if it does not.
const SAMPLER_LINES: usize = 40_960;
/// The memory of the program: the trainer's, then the generator's.
const LINES: usize = if TRAINER_LINES > SAMPLER_LINES { TRAINER_LINES } else { SAMPLER_LINES };

const SHAPE: GeneratorShape = GeneratorShape { latent: 100, classes: 0, hidden: 256, pixels: SIDE * SIDE };
const SIDE: usize = 28;
/// What `generator_weights` wrote.
static WEIGHTS: &[u8] = include_bytes!(env!("DUEL_WEIGHTS"));
const TENSORS: [(Tensor, usize); 4] = [
    (Tensor::GeneratorHiddenWeight, SHAPE.latent * SHAPE.hidden),
    (Tensor::GeneratorHiddenBias, SHAPE.hidden),
    (Tensor::GeneratorOutWeight, SHAPE.hidden * SHAPE.pixels),
    (Tensor::GeneratorOutBias, SHAPE.pixels),
];

/// What can go wrong.
enum Failure {
    Duel(Error),
    Write,
    /// The digest is not the published one.
    Mismatch,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Duel(error)
    }
}

impl From<fmt::Error> for Failure {
    fn from(_: fmt::Error) -> Failure {
        Failure::Write
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Duel(error) => write!(f, "{error}"),
            Failure::Write => write!(f, "the text cannot be written"),
            Failure::Mismatch => write!(f, "not the published digest"),
        }
    }
}

/// All that it does, in the memory and with the output that the machine has.
fn program(memory: &mut [Line], out: &mut impl Write) -> Result<(), Failure> {
    train(memory, out)?;
    draw(memory, out)
}

fn train(memory: &mut [Line], out: &mut impl Write) -> Result<(), Failure> {
    let bytes: [u8; CASE.images * PIXELS] = core::array::from_fn(pixel);
    let images = Images::new(&bytes, CASE.height, CASE.width)?;
    let mut trainer = Trainer::in_memory(CASE.config.clone(), images, memory)?;
    for &(steps, published) in CASE.digests {
        while trainer.steps_done() < steps {
            trainer.step(&Serial)?;
        }
        let digest = trainer.digest()?;
        writeln!(out, "step {steps}: {digest}")?;
        if digest != published {
            return Err(Failure::Mismatch);
        }
    }
    writeln!(out, "as published")?;
    Ok(())
}

/// Four times four digits.
fn draw(memory: &mut [Line], out: &mut impl Write) -> Result<(), Failure> {
    const SHADES: &[u8; 10] = b" .:-=+*#%@";
    let mut generator = Sampler::in_memory(SHAPE, memory)?;
    let (mut weights, _) = WEIGHTS.as_chunks();
    for (tensor, count) in TENSORS {
        let (values, rest) = weights.split_at(count.min(weights.len()));
        generator.set(tensor, values.iter().map(|&word| f32::from_le_bytes(word)))?;
        weights = rest;
    }
    for row in 0..4 {
        let mut images = [0; 4 * SHAPE.pixels];
        generator.sample(&Serial, 7, 4 * row, &mut images)?;
        for y in (0..SIDE).step_by(2) {
            for image in images.chunks(SHAPE.pixels) {
                for x in 0..SIDE {
                    let both = image[y * SIDE + x] as usize + image[(y + 1) * SIDE + x] as usize;
                    out.write_char(SHADES[both * SHADES.len() / 511] as char)?;
                }
            }
            out.write_char('\n')?;
        }
    }
    Ok(())
}

#[cfg(not(target_os = "none"))]
fn main() {
    let mut text = String::new();
    let done = program(&mut vec![Line::filled(0.0); LINES], &mut text);
    print!("{text}");
    if let Err(failure) = done {
        eprintln!("error: {failure}");
        std::process::exit(1);
    }
}
