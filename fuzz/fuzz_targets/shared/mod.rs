//! What several targets use, each some of it.

#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use duel::run::{Plan, Training};
use duel::sweep::Member;
use duel::{Config, Dataset, Digest, Error, Serial};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let folder = root.join(format!("duel-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
});

/// A file with these bytes, in memory where the system has such a folder.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// A folder of this process's own.
pub fn folder() -> &'static Path {
    &FOLDER
}

/// Whether an error is one that a file's content may be answered with, on one line.
pub fn is_about_input(error: &Error) -> bool {
    matches!(error, Error::Input { .. } | Error::Environment { .. }) && error.to_string().lines().count() == 1
}

/// A network of a few units.
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

/// A run of 6 steps on 8 images of 2 × 3 pixels, with a checkpoint after every second one: its files, and how it ended.
pub struct Ran {
    pub data: Dataset,
    pub member: Member,
    pub plan: Plan,
    pub files: Vec<(PathBuf, Vec<u8>)>,
    pub end: Digest,
}

/// Makes such a run in `run`; its data are in [`folder`].
pub fn train(run: &Path, more: &[(&str, &str)]) -> Ran {
    let pixels: Vec<u8> = (0..8 * 6).map(|i| (i * 37) as u8).collect();
    let header = [0x803u32, 8, 2, 3].map(u32::to_be_bytes);
    file("train-images-idx3-ubyte", &[header.as_flattened(), &pixels].concat());
    let header = [0x801u32, 8].map(u32::to_be_bytes);
    file("train-labels-idx1-ubyte", &[header.as_flattened(), &[0, 1, 2, 0, 1, 2, 0, 1]].concat());
    let settings = [
        ("latent-size", "2"),
        ("generator-hidden", "3"),
        ("discriminator-hidden", "2"),
        ("batch-size", "4"),
        ("validation", "0"),
        ("steps", "6"),
        ("checkpoint-every", "2"),
        ("report-every", "1"),
        ("data", folder().to_str().unwrap()),
    ];
    let settings = settings.iter().chain(more).map(|(name, text)| (name.to_string(), text.to_string()));
    let member = Member { run: "run".to_string(), settings: settings.collect() };
    let plan = member.plan().unwrap();
    let data = Dataset::open(folder()).unwrap();
    let data = if plan.config.labels { data.labelled().unwrap() } else { data };
    let end = Training::create(Some(run), plan.clone(), &data).unwrap().run(&Serial, &mut ()).unwrap();
    let files = files(run).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    Ran { data, member, plan, files, end: end.digest }
}

/// All files under a folder, in order.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
