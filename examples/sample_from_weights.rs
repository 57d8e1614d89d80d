//! Images from a generator's weights alone: no data, no training. They may come from anywhere; here from a checkpoint of a run.
//!
//! `cargo run --release --example sample_from_weights -- STATE.safetensors`

use duel::export::safetensors::Checkpoint;
use duel::{GeneratorShape, Sampler, Serial};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: sample_from_weights STATE.safetensors")?;
    let checkpoint = Checkpoint::decode(&std::fs::read(&path)?, &path)?;
    let (height, width) = (checkpoint.height, checkpoint.width);
    let shape = GeneratorShape {
        latent: checkpoint.config.latent_size,
        classes: checkpoint.classes,
        hidden: checkpoint.config.generator_hidden,
        pixels: height * width,
    };
    let mut sampler = Sampler::new(shape)?;
    for (tensor, bytes) in checkpoint.generator(false) {
        let (words, _) = bytes.as_chunks();
        let values = words.iter().map(|&word| f32::from_le_bytes(word));
        println!("{}: {} values", tensor.name(), values.len());
        sampler.set(tensor, values)?;
    }
    // The first sample of seed 7; of a conditional generator one of its last class.
    let mut image = vec![0; height * width];
    sampler.sample_class(&Serial, 7, 0, checkpoint.classes.checked_sub(1), &mut image)?;
    for row in image.chunks(width) {
        println!("{}", row.iter().map(|&p| if p > 127 { "██" } else { "  " }).collect::<String>());
    }
    Ok(())
}
