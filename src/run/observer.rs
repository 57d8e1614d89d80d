//! What operations that take long tell their host while they go on. Uses nothing of the crate.

/// Listens to an operation, from any thread. `()` does not listen.
pub trait Observer: Sync {
    /// Something that a person should know, such as a file that was passed over.
    fn note(&self, text: &str) {
        let _ = text;
    }
    /// So many steps will be done: of training, or images that are compared.
    fn begin(&self, steps: u64) {
        let _ = steps;
    }
    /// One of them is done.
    fn step(&self) {}
    /// Whether an evaluation should be given up.
    fn gives_up(&self) -> bool {
        false
    }
}

impl Observer for () {}
