//! The engine for C and C++: `include/duel.h` is made of this.
//!
//! Each function takes handles that the library has made, memory and paths of the caller's, and returns a
//! [`duel_code`](code::duel_code); what went wrong stands in [`duel_message`](code::duel_message), thread by thread. The
//! files in reading order; each uses only those before it:
//!
//! - `code`: codes, messages, and the border that nothing unwinds across
//! - `arguments`: pointers of the caller's as what they point to
//! - `handle`: handles that say when they are in use
//! - `team`: threads, the library's or the caller's
//! - `data`: images
//! - `sampler`: samples of a trained generator
//! - `trainer`: training

pub mod arguments;
pub mod code;
pub mod data;
pub mod handle;
pub mod sampler;
pub mod team;
pub mod trainer;
