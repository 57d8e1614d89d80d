//! Trains a small network in a `no_std` program without an allocator, on every backend that the CPU has, and prints the
//! digests. There is no global allocator here: if anything of the engine allocated, this would not link.

#![no_std]
#![no_main]

use core::ffi::{c_char, c_int};
use core::fmt::Write;

use duel::model::layout::{Arena, Sizes};
use duel::{Config, Images, Isa, Line, Serial, Trainer};

// The C library is only asked for a way to print and to stop.
#[link(name = "c")]
unsafe extern "C" {
    safe fn putchar(c: c_int) -> c_int;
    safe fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    abort()
}

/// Where text goes.
struct Stdout;

impl Write for Stdout {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(|byte| {
            putchar(byte.into());
        });
        Ok(())
    }
}

const CONFIG: Config = Config {
    latent_size: 5,
    generator_hidden: 33,
    discriminator_hidden: 33,
    batch_size: 37,
    learning_rate: 2e-4,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    validation: 10,
    seed: 7,
};
const IMAGES: usize = 150;
const PIXELS: usize = 9 * 7;
/// The arena's size is known when the program is compiled.
const LINES: usize = Arena::lines(&Sizes::new(&CONFIG, PIXELS, IMAGES - CONFIG.validation));

#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    let mut bytes = [0u8; IMAGES * PIXELS];
    // Three quarters black, like digits.
    for (i, byte) in bytes.iter_mut().enumerate() {
        let black = (i as u64 * 2_654_435_761) >> 7 & 7 < 6;
        *byte = if black { 0 } else { (i * 31 % 256) as u8 };
    }
    let Ok(images) = Images::new(&bytes, 9, 7) else { return 1 };
    let mut memory = [Line::filled(0.0); LINES];
    for name in Isa::NAMES {
        let Ok(isa) = Isa::named(name) else {
            let _ = writeln!(Stdout, "{name}: not run: this CPU lacks it");
            continue;
        };
        let Ok(mut trainer) = Trainer::in_memory(CONFIG, images, &mut memory[..]) else { return 1 };
        trainer.set_isa(isa);
        for _ in 0..300 {
            if trainer.step(&Serial).is_err() {
                return 1;
            }
        }
        let Ok(digest) = trainer.digest() else { return 1 };
        let _ = writeln!(Stdout, "{name}: {digest}");
    }
    0
}
