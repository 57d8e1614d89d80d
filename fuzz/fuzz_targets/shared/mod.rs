//! What several targets use.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use duel::{Config, Error};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let folder = root.join(format!("duel-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
});

/// A file with these bytes, in memory where the system has such a folder.
#[allow(dead_code)]
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A folder of this process's own.
#[allow(dead_code)]
pub fn folder() -> &'static Path {
    &FOLDER
}

/// Whether an error is one that a file's content may be answered with, on one line.
#[allow(dead_code)]
pub fn is_about_input(error: &Error) -> bool {
    matches!(error, Error::Input { .. } | Error::Environment { .. }) && error.to_string().lines().count() == 1
}

/// A network of a few units.
#[allow(dead_code)]
pub fn tiny() -> Config {
    Config {
        latent_size: 2,
        generator_hidden: 3,
        discriminator_hidden: 2,
        batch_size: 4,
        validation: 0,
        ..Config::default()
    }
}
