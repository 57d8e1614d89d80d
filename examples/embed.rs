//! The engine inside another program: its own data, its own thread pool, a callback per step.
//!
//! `cargo run --release --example embed`

use std::ops::ControlFlow;

use duel::{Config, Images, Rayon, Trainer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 200 images of 8 × 8: a bright diagonal that moves.
    let pixels: Vec<u8> =
        (0..200 * 64).map(|i| if (i % 64 % 9 + i / 64) % 5 == 0 { 200 } else { 0 }).collect();
    let images = Images::new(&pixels, 8, 8)?;
    let config = Config {
        latent_size: 16,
        generator_hidden: 64,
        discriminator_hidden: 64,
        batch_size: 32,
        validation: 0,
        ..Config::default()
    };
    let mut trainer = Trainer::new(config, images)?;
    // The pool is the host's; enter it once per run.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
    let mut image = [0u8; 64];
    pool.install(|| -> Result<(), duel::Error> {
        trainer.run(&Rayon, 500, |stats| {
            if stats.step % 100 == 0 {
                println!("{}: G {:.3} D {:.3}", stats.step, stats.generator_loss, stats.discriminator_loss);
            }
            ControlFlow::Continue(())
        })?;
        trainer.sample(&Rayon, 1, 0, &mut image)
    })?;
    for row in image.chunks(8) {
        println!("{}", row.iter().map(|&p| if p > 127 { "██" } else { "  " }).collect::<String>());
    }
    println!("{}", trainer.digest()?);
    Ok(())
}
