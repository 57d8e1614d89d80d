//! The board virt of QEMU, with 32 bits.

use core::arch::global_asm;

// One of its cores goes on; the floating-point unit is off at reset. Then initial values are copied, zeros written, and the rest
// of the memory painted, to see what the stack uses.
global_asm!(
    ".option arch, +f",
    ".section .vectors, \"ax\"",
    ".global reset",
    "reset:",
    "csrr t0, mhartid",
    "bnez t0, 7f",
    "la t0, fault",
    "csrw mtvec, t0",
    "li t0, 0x2000",
    "csrs mstatus, t0",
    "fscsr zero",
    "la sp, stack_top",
    "la t0, data_start",
    "la t1, data_end",
    "la t2, data_load",
    "1: bgeu t0, t1, 2f",
    "lw t3, 0(t2)",
    "sw t3, 0(t0)",
    "addi t0, t0, 4",
    "addi t2, t2, 4",
    "j 1b",
    "2: la t0, bss_start",
    "la t1, bss_end",
    "3: bgeu t0, t1, 4f",
    "sw zero, 0(t0)",
    "addi t0, t0, 4",
    "j 3b",
    "4: li t2, 0xD0E1D0E1",
    "5: bgeu t0, sp, 6f",
    "sw t2, 0(t0)",
    "addi t0, t0, 4",
    "j 5b",
    "6: call start",
    "7: wfi",
    "j 7b",
    ".balign 4",
    "fault:",
    "call fault_in_rust",
);

#[unsafe(no_mangle)]
extern "C" fn fault_in_rust() -> ! {
    panic!("a fault of the CPU")
}

/// Sends a byte through the serial line.
pub fn write(byte: u8) {
    const DATA: *mut u8 = 0x1000_0000 as *mut u8;
    const STATE: *mut u8 = 0x1000_0005 as *mut u8;
    // SAFETY: these are the registers of this board's serial line, and nobody else has them.
    unsafe {
        while STATE.read_volatile() & 0x20 == 0 {}
        DATA.write_volatile(byte);
    }
}

/// Ends the emulation.
pub fn exit(good: bool) -> ! {
    const FINISHER: *mut u32 = 0x0010_0000 as *mut u32;
    loop {
        // SAFETY: this board's register for it.
        unsafe { FINISHER.write_volatile(if good { 0x5555 } else { 0x0001_3333 }) };
    }
}
