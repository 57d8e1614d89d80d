//! What samples are worth, from exact distances between images. Uses `data`, `kernels` and `run`'s observer.
//! The files in reading order; each uses only those before it:
//!
//! - [`distances`]: squared distances, whole numbers
//! - [`parzen`]: a likelihood
//! - [`report`]: all figures of a set of samples

pub mod distances;
pub mod parzen;
pub mod report;

pub use report::{Evaluation, Report, Sets, evaluate};
