//! What leaves a run: canvases, states and sets of images. Uses [`error`](crate::error) and the public face of `trainer`.
//! The files in reading order; each uses only those before it:
//!
//! - [`grid`]: samples side by side
//! - [`png`](mod@png): a canvas as PNG
//! - [`apng`]: canvases as a film
//! - [`idx`]: images as a data set
//! - [`npy`]: noise and images as NumPy's files
//! - [`safetensors`](mod@safetensors): a state as a checkpoint
//! - [`c`]: a generator as a C program's source
//! - `onnx`: a network for other programs

pub mod apng;
pub mod c;
pub mod grid;
pub mod idx;
pub mod npy;
#[cfg(feature = "run")]
pub mod onnx;
pub mod png;
pub mod safetensors;
