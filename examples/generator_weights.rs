//! A generator's parameters as plain numbers: f32, little-endian, row by row, tensor after tensor. What a program needs that
//! cannot read a checkpoint, such as `examples/bare_metal`.
//!
//! `cargo run --release --example generator_weights -- STATE.safetensors WEIGHTS.f32`

use duel::export::safetensors::Checkpoint;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [state, weights] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: generator_weights STATE.safetensors WEIGHTS.f32")?;
    let checkpoint = Checkpoint::decode(&std::fs::read(&state)?, &state)?;
    let mut all = Vec::new();
    for (tensor, bytes) in checkpoint.generator(false) {
        println!("{}: {} values", tensor.name(), bytes.len() / 4);
        all.extend_from_slice(bytes);
    }
    std::fs::write(weights, all)?;
    Ok(())
}
