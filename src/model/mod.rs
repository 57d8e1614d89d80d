//! The two networks: their tensors and memory, their forward and backward passes, the losses. Uses `kernels`,
//! [`parallel`](crate::parallel), `rng` and [`config`](crate::config).
//!
//! Both large weights are stored by input, `[inputs, outputs]`, so that lanes are outputs; the products that go backward
//! take a transposed copy. A row of an operand is an image, and its zeros (black pixels, hidden units that did not fire)
//! are left out wherever that is the faster way.

pub mod discriminator;
pub mod generator;
pub mod layers;
pub mod layout;
pub mod loss;
pub mod update;
