//! Runs that live in folders, which can be stopped anywhere, gone on with, checked and compared.
//!
//! ```
//! use duel::run::{Host, Plan, Training};
//! use duel::{Dataset, Serial};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("train-images-idx3-ubyte"), [&[0, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 2][..], &[9; 160]].concat())?;
//! let mut plan = Plan::default();
//! plan.set("batch-size", "16")?;
//! plan.set("validation", "0")?;
//! plan.set("steps", "20")?;
//! plan.schedule.data = folder.path().into();
//!
//! let data = Dataset::open(&plan.schedule.data)?;
//! let out = folder.path().join("run");
//! let mut training = Training::create(Some(&out), plan, &data)?;
//! let end = training.run(&Serial, &mut ())?; // or &Rayon inside a pool, and a Host that listens
//! println!("{:?} {}", end.status, end.digest);
//! # assert!(out.join("checkpoints/step_00000020.safetensors").exists());
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! config.toml      every setting
//! manifest.json    versions, digests of data and state, what ran where and when
//! metrics.jsonl    a line of losses, mean probabilities and digests per logged step, the timing last
//! samples/         step_00002000.png, …
//! checkpoints/     step_00002000.safetensors, …
//! evaluation.json  what its samples were worth, when that was asked last
//! run.lock         held by the one process that writes there
//! ```
//!
//! [`record()`] says what a step leaves behind there: [`Training`] writes that, [`Audit`] compares it. The files in reading
//! order:
//!
//! - [`observer`]: what long operations tell their host
//! - [`plan`]: settings as given, and what they come to
//! - [`entry`]: a line of the log
//! - [`log`]: the file metrics.jsonl
//! - [`manifest`]: the file manifest.json
//! - [`folder`]: names, and reading
//! - [`writer`]: the right to write, and writing
//! - [`record`](mod@record): what a step leaves behind
//! - [`recorded`]: a run as its folder tells it, and its state after any step
//! - [`unfinished`]: an old run, and where it goes on
//! - [`training`]: new runs, and going on with old ones
//! - [`audit`]: a folder against its own settings
//! - [`diff`]: two runs or states against each other

pub mod audit;
pub mod diff;
pub mod entry;
pub mod folder;
pub mod log;
pub mod manifest;
pub mod observer;
pub mod plan;
pub mod record;
pub mod recorded;
pub mod training;
pub mod unfinished;
pub mod writer;

pub use audit::Audit;
pub use folder::Folder;
pub use manifest::{Manifest, Status};
pub use observer::Observer;
pub use plan::{Plan, Settings};
pub use record::{open_data, open_told, record};
pub use recorded::Recorded;
pub use training::{Host, Training};
pub use unfinished::Unfinished;
