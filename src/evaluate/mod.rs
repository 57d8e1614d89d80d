//! What samples are worth, from exact distances between images. Uses `data`, `kernels`, `export` and `run`'s observer.
//! The files in reading order; each uses only those before it:
//!
//! - [`distances`]: squared distances, whole numbers
//! - [`parzen`]: a likelihood
//! - [`report`]: all figures of a set of samples
//! - [`state`]: those of a state's samples

pub mod distances;
pub mod parzen;
pub mod report;
pub mod state;

pub use report::{CLOSEST, Report, Sets, evaluate};
pub use state::{Beside, Evaluation, Material, Wanted, trained_on};
