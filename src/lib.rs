//! Trains the two-layer MLP GAN on MNIST on a CPU: fast, without allocation, with the same bits from a seed everywhere.
//!
//! The state after step n is a function of (config, data, seed, n, [`BITS_VERSION`]) and of nothing else: not of the
//! number of threads, the SIMD width, the CPU, the operating system, or the compiler's mode.
//!
//! # Embedding
//!
//! ```
//! use duel::{Config, Images, Serial, Trainer};
//!
//! # fn main() -> Result<(), duel::Error> {
//! let pixels = vec![7u8; 64 * 10 * 10]; // 64 images of 10 × 10
//! let images = Images::new(&pixels, 10, 10)?;
//! let config = Config { validation: 0, batch_size: 16, ..Config::default() };
//! let mut trainer = Trainer::new(config, images)?;
//! for _ in 0..3 {
//!     let stats = trainer.step(&Serial)?; // or run(&Rayon, steps, …) from inside a rayon pool
//!     println!("{}: {} {}", stats.step, stats.generator_loss, stats.discriminator_loss);
//! }
//! println!("{}", trainer.digest()?);
//! # Ok(())
//! # }
//! ```
//!
//! The library never prints, exits, reads the environment, spawns threads, traps a signal or sets a global. Without
//! default features it is `no_std` and needs no allocator: [`Trainer::in_memory`] takes the arena.
//!
//! # Features
//!
//! `std` (files, owned arenas), `rayon` ([`Rayon`]), `run` (runs that live in folders, the module `run`) and `cli` (the `duel`
//! program) are on by default.
//!
//! # The run
//!
//! | | |
//! |---|---|
//! | generator | z\[100\] → dense 256, ReLU → dense 784, sigmoid |
//! | discriminator | x\[784\] → dense 256, ReLU → dense 1: a logit, whose sigmoid is the probability |
//! | weights | N(0, σ) with σ = 1/√(fan_in/2), see [`rng`] for the draws; biases 0 |
//! | data | the images after the first `validation`; a pixel is its byte times f32(1/255) |
//! | batches | an endless stream of reshuffled epochs, see [`data::batches`] |
//! | noise | z uniform in \[−1, 1), one batch per step, shared by both losses |
//! | losses | G: mean softplus(−l) over generated rows; D: mean softplus(−l) over real rows plus mean softplus(l) over generated rows; ∂/∂l is ∓σ(∓l) divided by f32(batch) |
//! | update | both gradients come from the parameters before the step, then both are applied |
//! | optimiser | Adam in TensorFlow's form, see [`kernels::reference::adam`] |
//!
//! The arithmetic is defined in [`kernels::reference`](mod@kernels::reference), the order of the step in
//! [`trainer`], the digest in [`Trainer::digest`]: together they suffice for a second implementation with the
//! same bits.
//!
//! # Architecture
//!
//! In reading order; each uses only those before it:
//!
//! - [`error`]: what can go wrong, and the exit code for it
//! - `memory`: room for what is large
//! - `files`: written whole, listed
//! - [`digest`]: SHA-256 of states and data
//! - [`settings`](mod@settings): what a setting is, and how one is declared
//! - [`config`]: the settings that bits depend on
//! - [`parallel`]: teams of workers
//! - [`kernels`]: numerics, and all `unsafe` code
//! - [`rng`]: random numbers without history
//! - [`data`]: images, and which of them a step sees
//! - [`model`]: the networks and their arena
//! - [`trainer`]: the step
//! - [`golden`]: what all of them together must come to
//! - `self_check`: whether the kernels do
//! - `export`: states, samples and pictures as files
//! - `run`: a run that lives in a folder: training, resuming, checking, comparing
//! - `evaluate`: what samples are worth
//! - `sweep`: many runs of one plan
//!
//! The program (`src/main.rs` and `src/cli`) is a crate of its own over the public face of all that.

#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![deny(unsafe_code)]

pub mod config;
pub mod data;
pub mod digest;
pub mod error;
#[cfg(feature = "run")]
pub mod evaluate;
#[cfg(feature = "std")]
pub mod export;
#[cfg(feature = "std")]
pub mod files;
pub mod golden;
#[allow(unsafe_code)]
pub mod kernels;
#[cfg(feature = "std")]
pub mod memory;
pub mod model;
pub mod parallel;
pub mod rng;
#[cfg(feature = "run")]
pub mod run;
#[cfg(feature = "std")]
pub mod self_check;
pub mod settings;
#[cfg(feature = "run")]
pub mod sweep;
pub mod trainer;

pub use config::Config;
#[cfg(feature = "std")]
pub use data::Dataset;
pub use data::{AsImages, Images};
pub use digest::Digest;
pub use error::Error;
pub use kernels::Isa;
pub use kernels::tiles::Line;
pub use model::tensor::{Part, Tensor, TensorView};
#[cfg(feature = "rayon")]
pub use parallel::Rayon;
pub use parallel::{Serial, Team};
pub use trainer::{GeneratorShape, LastStep, Phase, Sampler, StepStats, Trainer, Watch, Work, Zeros};

/// The version of the bits: it rises whenever the state after some step changes.
pub const BITS_VERSION: u32 = 1;

/// The examples of README.md are compiled with the docs' own.
#[cfg(all(doctest, feature = "run"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
