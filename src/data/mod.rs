//! Images: parsing, loading, and which of them a step sees. Uses [`error`](crate::error), `kernels` and `rng`.

pub mod batches;
#[cfg(feature = "std")]
mod dataset;
#[cfg(feature = "std")]
pub mod gzip;
pub mod idx;

#[cfg(feature = "std")]
pub use dataset::Dataset;
pub use idx::Images;

/// f32(1/255): a pixel's value is its byte times this, rounded.
pub const PIXEL: f32 = 1.0 / 255.0;
