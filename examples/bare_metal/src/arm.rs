//! The board mps2-an386 of QEMU: a Cortex-M4F.

use core::arch::{asm, global_asm};

// The vector table: where the stack starts, where the program does, and what faults lead to. The floating-point unit is off at
// reset. Then initial values are copied, zeros written, and the rest of the memory painted, to see what the stack uses.
global_asm!(
    ".section .vectors, \"a\"",
    ".word stack_top",
    ".word reset",
    ".rept 14",
    ".word fault",
    ".endr",
    ".section .text.reset, \"ax\"",
    ".global reset",
    ".thumb_func",
    "reset:",
    "ldr r0, =0xE000ED88",
    "ldr r1, [r0]",
    "orr r1, r1, #0xF00000",
    "str r1, [r0]",
    "dsb",
    "isb",
    "ldr r0, =data_start",
    "ldr r1, =data_end",
    "ldr r2, =data_load",
    "1: cmp r0, r1",
    "bhs 2f",
    "ldr r3, [r2], #4",
    "str r3, [r0], #4",
    "b 1b",
    "2: ldr r0, =bss_start",
    "ldr r1, =bss_end",
    "mov r2, #0",
    "3: cmp r0, r1",
    "bhs 4f",
    "str r2, [r0], #4",
    "b 3b",
    "4: ldr r2, =0xD0E1D0E1",
    "5: cmp r0, sp",
    "bhs 6f",
    "str r2, [r0], #4",
    "b 5b",
    "6: bl start",
    ".ltorg",
    ".thumb_func",
    "fault:",
    "b fault_in_rust",
);

#[unsafe(no_mangle)]
extern "C" fn fault_in_rust() -> ! {
    panic!("a fault of the CPU")
}

/// Sends a byte through the first serial line.
pub fn write(byte: u8) {
    const DATA: *mut u32 = 0x4000_4000 as *mut u32;
    const STATE: *mut u32 = 0x4000_4004 as *mut u32;
    const CONTROL: *mut u32 = 0x4000_4008 as *mut u32;
    const DIVISOR: *mut u32 = 0x4000_4010 as *mut u32;
    // SAFETY: these are the registers of this board's serial line, and nobody else has them.
    unsafe {
        DIVISOR.write_volatile(16);
        CONTROL.write_volatile(1);
        while STATE.read_volatile() & 1 != 0 {}
        DATA.write_volatile(byte.into());
    }
}

/// Ends the emulation, by a semihosting call.
pub fn exit(good: bool) -> ! {
    let reason = if good { 0x20026 } else { 0x20023 };
    loop {
        // SAFETY: the call of a debugger or an emulator: SYS_EXIT with a reason.
        unsafe { asm!("bkpt #0xAB", in("r0") 0x18, in("r1") reason) };
    }
}
