//! The published digests of the default run. They change only together with [`BITS_VERSION`](crate::BITS_VERSION).

/// SHA-256 of MNIST's decompressed `train-images-idx3-ubyte`.
pub const MNIST: &str = "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db";

/// Steps and state digests of the default settings, seed 42, on MNIST.
pub const DEFAULT_RUN: [(u64, &str); 6] = [
    (1, "sha256:f09d17bb55a9076886f7e9b561ae03a5f330c9388c70d832fff9d6655ab308af"),
    (10, "sha256:c9a324c9dedb7bfd73d545f642671d3a7457498ebf04c0c3f390650d09c24f8a"),
    (100, "sha256:3c599ea88b57623bec54b34a4f2a6e2bde97fa49cacc71a6a1656349ac417883"),
    (1_000, "sha256:8b64b24be2bdb793a3fd08143ce5d8838db2f3dbc185f57bb0b03d340e5d68e1"),
    (10_000, "sha256:4a9ed5d02d4ab1ddff12fabac0465a0529b6aa9ea1b0fee3cae74efb713bace6"),
    (70_000, "sha256:0f5e1ef103386c71580c720dade0ebe7ef264f40b6e8b2e87448a9dddd07abed"),
];

/// The published digest of the default run after `step`.
pub fn after(step: u64) -> Option<&'static str> {
    DEFAULT_RUN.iter().find(|(at, _)| *at == step).map(|(_, digest)| *digest)
}
