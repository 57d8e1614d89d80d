//! Images: parsing, loading, and which of them a step sees. Uses [`error`](crate::error), `memory`, `files`, `kernels` and `rng`.
//! The files in reading order; each uses only those before it:
//!
//! - [`idx`]: the format of MNIST
//! - `gzip`: bytes that may be compressed
//! - `labels`: what the images are of
//! - `dataset`: images from a folder, a file or memory, and what lies beside them
//! - [`batches`]: which images a step sees

pub mod batches;
#[cfg(feature = "std")]
mod dataset;
#[cfg(feature = "std")]
pub mod gzip;
pub mod idx;
#[cfg(feature = "std")]
pub mod labels;

#[cfg(feature = "std")]
pub use dataset::Dataset;
pub use idx::{AsImages, Images};

/// f32(1/255): a pixel's value is its byte times this, rounded.
pub const PIXEL: f32 = 1.0 / 255.0;
