//! Training in memory of the caller's: the engine takes none of its own, whether there is an allocator or not.
//!
//! `cargo run --release --example own_memory`

use duel::model::layout::Layout;
use duel::model::sizes::Sizes;
use duel::{Config, Images, Line, Serial, Trainer};

const IMAGES: usize = 64;
const SIDE: usize = 8;
const CONFIG: Config = Config {
    latent_size: 16,
    generator_hidden: 32,
    discriminator_hidden: 32,
    batch_size: 16,
    learning_rate: 2e-4,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    labels: false,
    pack: 1,
    average: 0.0,
    validation: 0,
    seed: 42,
};
/// How much it takes is known when the program is compiled.
const LINES: usize = Layout::arena_lines(&Sizes::new(&CONFIG, SIDE * SIDE, 0, IMAGES));

fn main() -> Result<(), duel::Error> {
    let pixels: [u8; IMAGES * SIDE * SIDE] =
        std::array::from_fn(|i| if i % 9 == i / 64 % 9 { 255 } else { 0 });
    let images = Images::new(&pixels, SIDE, SIDE)?;
    // On the stack here; a static, or a part of a larger buffer, will do as well.
    let mut memory = [Line::filled(0.0); LINES];
    let mut trainer = Trainer::in_memory(CONFIG, images, &mut memory[..])?;
    for _ in 0..100 {
        trainer.step(&Serial)?;
    }
    println!("{} bytes, {}", LINES * size_of::<Line>(), trainer.digest()?);
    Ok(())
}
