//! The published digests of the default run. They change only together with [`BITS_VERSION`](crate::BITS_VERSION).

/// SHA-256 of MNIST's decompressed `train-images-idx3-ubyte`.
pub const MNIST: &str = "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db";

/// Steps and state digests of the default settings, seed 42, on MNIST.
pub const DEFAULT_RUN: [(u64, &str); 0] = [];

/// The published digest of the default run after `step`.
pub fn after(step: u64) -> Option<&'static str> {
    DEFAULT_RUN.iter().find(|(at, _)| *at == step).map(|(_, digest)| *digest)
}
