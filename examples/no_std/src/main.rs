//! Trains a small network in a `no_std` program without an allocator, on every backend that the CPU has, and prints the
//! digests. There is no global allocator here: if anything of the engine allocated, this would not link.

#![no_std]
#![no_main]

use core::ffi::{c_char, c_int};
use core::fmt::Write;

use duel::golden::{Case, SMALL_NETS, pixel};
use duel::model::layout::Layout;
use duel::model::sizes::Sizes;
use duel::{Images, Isa, Line, Serial, Trainer};

// The C library is only asked for a way to print and to stop.
#[cfg_attr(not(target_family = "wasm"), link(name = "c"))]
// In WebAssembly, whoever runs it.
#[cfg_attr(target_family = "wasm", link(wasm_import_module = "env"))]
// ARM's C library unwinds with the compiler's.
#[cfg_attr(target_arch = "arm", link(name = "gcc_eh"), link(name = "gcc"), link(name = "c"))]
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

/// The first of the published small networks.
const CASE: &Case = &SMALL_NETS[0];
const PIXELS: usize = CASE.height * CASE.width;
/// The arena's size is known when the program is compiled.
const LINES: usize =
    Layout::arena_lines(&Sizes::new(&CASE.config, PIXELS, CASE.classes, CASE.images - CASE.config.validation));

#[unsafe(no_mangle)]
pub extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    let bytes: [u8; CASE.images * PIXELS] = core::array::from_fn(pixel);
    let Ok(images) = Images::new(&bytes, CASE.height, CASE.width) else { return 1 };
    let mut memory = [Line::filled(0.0); LINES];
    let Some(&(steps, published)) = CASE.digests.last() else { return 1 };
    for name in Isa::NAMES {
        let Ok(isa) = Isa::named(name) else {
            let _ = writeln!(Stdout, "{name}: not run: this CPU lacks it");
            continue;
        };
        let Ok(mut trainer) = Trainer::in_memory(CASE.config.clone(), images, &mut memory[..]) else {
            return 1;
        };
        trainer.set_isa(isa);
        for _ in 0..steps {
            if trainer.step(&Serial).is_err() {
                return 1;
            }
        }
        let Ok(digest) = trainer.digest() else { return 1 };
        let _ = writeln!(Stdout, "{name}: {digest} (published: {published})");
    }
    0
}
