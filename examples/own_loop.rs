//! Training in a program with a loop of its own, such as a game: as many steps per frame as fit into its budget, on the loop's
//! thread. Between frames nothing runs, and nothing waits.
//!
//! `cargo run --release --example own_loop`

use std::time::{Duration, Instant};

use duel::{Config, Images, Serial, Trainer};

/// What a frame may spend on training.
const BUDGET: Duration = Duration::from_millis(4);

fn main() -> Result<(), duel::Error> {
    // 200 images of 8 × 8: a bright diagonal that moves.
    let pixels: Vec<u8> =
        (0..200 * 64).map(|i| if (i % 64 % 9 + i / 64) % 5 == 0 { 200 } else { 0 }).collect();
    let images = Images::new(&pixels, 8, 8)?;
    let config = Config {
        generator_hidden: 64,
        discriminator_hidden: 64,
        batch_size: 32,
        validation: 0,
        ..Config::default()
    };
    let mut trainer = Trainer::new(config, images)?;
    let mut longest = Duration::ZERO;
    for frame in 0..60 {
        let (started, mut last) = (Instant::now(), Duration::ZERO);
        // A step is not begun that would not end in time, if it takes as long as the one before.
        while started.elapsed() + last < BUDGET {
            let step = Instant::now();
            trainer.step(&Serial)?;
            last = step.elapsed();
        }
        longest = longest.max(started.elapsed());
        if frame % 20 == 19 {
            println!("frame {}: {} steps", frame + 1, trainer.steps_done());
        }
        // Here the host draws its frame, and sleeps until the next one.
    }
    println!("the longest frame took {:.1} ms", longest.as_secs_f64() * 1e3);
    // However many steps fitted: the state after step n is the same everywhere.
    println!("step {}: {}", trainer.steps_done(), trainer.digest()?);
    Ok(())
}
