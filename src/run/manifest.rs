//! `manifest.json`: what ran where. What the run determines stands apart from what it does not. Uses nothing of `run`.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::kernels::isa;

/// The whole file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Manifest {
    /// What two runs of the same settings agree on.
    pub run: Outcome,
    /// One for each time that the run was started or gone on with.
    pub sessions: Vec<Session>,
}

/// What the run determines.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Outcome {
    /// Version of the program.
    pub duel: String,
    /// Version of the bits.
    pub bits_version: u32,
    /// Digest of the decompressed data.
    pub data_digest: Digest,
    /// The file of the data, by an absolute path: where they were when the run was last trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Digest of the state that it began with, if its parameters were given: that is its checkpoint of step 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Digest>,
    /// Training images.
    pub images: usize,
    /// How it stands.
    pub status: Status,
    /// Steps done when the last session ended.
    pub steps_done: u64,
    /// Digest of the state then.
    pub state_digest: Option<Digest>,
}

/// How a run stands. Of one that was killed the manifest still says running.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// At its last step.
    Done,
    /// Stopped by its host, and saved.
    Stopped,
    /// Being trained, or killed.
    Running,
    /// Ended by [`Error::Diverged`](crate::Error::Diverged).
    Diverged,
    /// Ended by another error.
    Failed,
}

impl Status {
    /// The word in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Stopped => "stopped",
            Status::Running => "running",
            Status::Diverged => "diverged",
            Status::Failed => "failed",
        }
    }
}

/// One start.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Session {
    /// UTC.
    pub started: String,
    /// UTC; none if the process was killed.
    pub ended: Option<String>,
    /// The processor.
    pub cpu: String,
    /// The backend.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// The step that it went on from.
    pub from_step: u64,
}

/// The time in UTC, to the second.
pub fn now() -> String {
    // A clock may be anywhere.
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::MAX);
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The processor's name.
pub fn cpu() -> String {
    isa::cpu_name().map_or(format!("unknown {}", std::env::consts::ARCH), |name| {
        String::from_utf8_lossy(&name).trim_matches(['\0', ' ']).to_string()
    })
}
