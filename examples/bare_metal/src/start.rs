//! What a board does before and after the program: text over the serial line, and how much of the stack was used.

use core::fmt::{self, Write};
use core::ptr::addr_of;

use duel::Line;

use crate::{LINES, board, program};

/// What the unused stack is filled with.
const PAINT: u32 = 0xD0E1_D0E1;

unsafe extern "C" {
    static stack_end: u32;
    static stack_top: u32;
}

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(board::write);
        Ok(())
    }
}

static mut MEMORY: [Line; LINES] = [Line::filled(0.0); LINES];

/// The board calls this once, with the stack painted below.
#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    // SAFETY: nothing else uses it, and this runs once, on the only core.
    let memory = unsafe { &mut *core::ptr::addr_of_mut!(MEMORY) };
    let done = program(memory, &mut Serial);
    let _ = match &done {
        Ok(()) => writeln!(Serial, "stack: {} bytes", stack_used()),
        Err(failure) => writeln!(Serial, "error: {failure}"),
    };
    board::exit(done.is_ok())
}

/// How far down the paint is gone.
fn stack_used() -> usize {
    let (mut at, top) = (addr_of!(stack_end), addr_of!(stack_top));
    // SAFETY: the linker script's symbols bound the stack, which is memory; this only reads it.
    while at < top && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    top as usize - at as usize
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Serial, "{info}");
    board::exit(false)
}
