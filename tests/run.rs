//! Runs as a library: what an embedder can do with them, and what it is told when it cannot.
#![cfg(feature = "run")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use duel::config::MAX_STEPS;
use duel::evaluate::{Beside, Material, Wanted, trained_on};
use duel::export::safetensors::Checkpoint;
use duel::run::diff::{Finding, runs};
use duel::run::log::{Row, read};
use duel::run::{Audit, Folder, Host, Plan, Recorded, Status, Training, Unfinished};
use duel::{Dataset, Digest, Error, Isa, Rayon, Serial, StepStats};

/// A folder with 90 images of 3 × 3.
fn data(dir: &Path) -> Dataset {
    let mut bytes: Vec<u8> = [0x803, 90, 3, 3u32].iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend((0..810).map(|i| if i % 4 == 0 { (i * 37 % 256) as u8 } else { 0 }));
    fs::write(dir.join("train-images-idx3-ubyte"), bytes).unwrap();
    Dataset::open(dir).unwrap()
}

/// A small run of 60 steps on that data.
fn plan(dir: &Path) -> Plan {
    let mut plan = Plan::default();
    for (name, text) in [
        ("data", dir.to_str().unwrap()),
        ("steps", "60"),
        ("checkpoint-every", "20"),
        ("report-every", "7"),
        ("batch-size", "7"),
        ("validation", "3"),
        ("latent-size", "5"),
        ("generator-hidden", "21"),
        ("discriminator-hidden", "33"),
    ] {
        plan.set(name, text).unwrap();
    }
    plan
}

/// Breaks off after some steps, and fails when what they leave behind is written.
#[derive(Default)]
struct Stops {
    at: Vec<u64>,
    fails_at: Option<u64>,
    told: Vec<u64>,
}

impl Host for Stops {
    fn step(&mut self, stats: &StepStats) -> ControlFlow<()> {
        self.told.push(stats.step);
        if self.at.contains(&stats.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
    fn written(&mut self, stats: &StepStats, _: bool) -> Result<(), Error> {
        if self.fails_at == Some(stats.step) {
            return Err(Error::environment("the host has had enough"));
        }
        Ok(())
    }
}

/// The steps of a log, and its text without timing.
fn log(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let see = |_, row| {
        lines.push(match row {
            Row::Entry(entry) => entry.reproducible(),
            other => format!("{other:?}"),
        });
        Ok(())
    };
    read(&Folder::new(folder).log(), see).unwrap();
    lines
}

fn verified(folder: &Path) {
    let run = Recorded::open(folder).unwrap();
    // Outside a pool, and however many at once are allowed.
    let checked =
        Audit::new(&run, run.data(None).unwrap(), &()).unwrap().check(None, Isa::best(), usize::MAX).unwrap();
    assert_eq!(checked.intervals.len(), checked.of);
}

#[test]
fn a_run_stopped_by_its_host_goes_on_in_the_same_and_in_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), data(dir.path()));
    let mut straight = Training::create(Some(&dir.join("straight")), plan(dir), &data).unwrap();
    let straight_end = straight.run(&Serial, &mut ()).unwrap();
    assert_eq!((straight_end.status, straight_end.canvas.is_some()), (Status::Done, true));
    drop(straight);
    verified(&dir.join("straight"));

    let folder = dir.join("stopped");
    let mut host = Stops { at: vec![13, 33], ..Default::default() };
    let mut training = Training::create(Some(&folder), plan(dir), &data).unwrap();
    assert_eq!(training.run(&Serial, &mut host).unwrap().status, Status::Stopped);
    // Nobody else writes there meanwhile.
    assert_eq!(Unfinished::open(&folder, &()).unwrap_err().exit_code(), 2);
    assert_eq!(training.run(&Serial, &mut host).unwrap().status, Status::Stopped);
    drop(training);
    verified(&folder);
    // The steps done are all that is asked for: the log has its line.
    let old = Unfinished::open(&folder, &()).unwrap();
    assert_eq!(old.step(), 33);
    let mut short = plan(dir);
    short.set("steps", "33").unwrap();
    Training::resume(old, short, &data).unwrap().run(&Serial, &mut ()).unwrap();
    verified(&folder);
    let old = Unfinished::open(&folder, &()).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let mut training = Training::resume(old, plan(dir), &data).unwrap();
    let end = pool.install(|| training.run(&Rayon, &mut host)).unwrap();
    assert_eq!((end.status, end.digest), (Status::Done, straight_end.digest));
    assert_eq!(host.told, (1..=60).collect::<Vec<u64>>());
    assert_eq!(log(&folder), log(&dir.join("straight")));
    assert_eq!(training.into_trainer().digest().unwrap(), end.digest);
    verified(&folder);
    let run = Recorded::open(&folder).unwrap();
    let audit = Audit::new(&run, run.data(None).unwrap(), &()).unwrap();
    pool.install(|| audit.check(None, Isa::best(), 2)).unwrap();
}

#[test]
fn after_an_error_a_run_is_resumed_from_its_folder_and_not_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), data(dir.path()));
    let folder = dir.join("run");
    let mut host = Stops { fails_at: Some(35), ..Default::default() };
    let mut training = Training::create(Some(&folder), plan(dir), &data).unwrap();
    assert!(training.run(&Serial, &mut host).unwrap_err().to_string().contains("had enough"));
    let refused = training.run(&Serial, &mut ()).unwrap_err();
    assert!(refused.to_string().contains("resumed"), "{refused}");
    drop(training);
    assert_eq!(Recorded::open(&folder).unwrap().manifest.unwrap().run.status, Status::Failed);
    let old = Unfinished::open(&folder, &()).unwrap();
    assert_eq!(old.step(), 20);
    Training::resume(old, plan(dir), &data).unwrap().run(&Serial, &mut ()).unwrap();
    verified(&folder);
}

#[test]
fn a_canvas_that_cannot_be_written_at_the_end_does_not_cost_the_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), data(dir.path()));
    let folder = dir.join("run");
    let mut training = Training::create(Some(&folder), plan(dir), &data).unwrap();
    fs::remove_dir(folder.join("samples")).unwrap();
    assert_eq!(training.run(&Serial, &mut ()).unwrap_err().exit_code(), 4);
    drop(training);
    let old = Unfinished::open(&folder, &()).unwrap();
    assert_eq!(old.step(), 60);
    Training::resume(old, plan(dir), &data).unwrap().run(&Serial, &mut ()).unwrap();
    verified(&folder);
}

#[test]
fn what_a_folder_lacks_or_garbles_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), data(dir.path()));
    let train = |name: &str| {
        Training::create(Some(&dir.join(name)), plan(dir), &data).unwrap().run(&Serial, &mut ()).unwrap();
        dir.join(name)
    };
    let (a, b) = (train("a"), train("b"));
    let diff = || {
        let (a, b) = (Recorded::open(&a).unwrap(), Recorded::open(&b).unwrap());
        let mut found = Vec::new();
        let same = runs([&a, &b], None, Isa::best(), &Serial, &(), &mut |finding| {
            found.push(finding);
            Ok(())
        });
        same.map(|same| (same, found))
    };
    assert_eq!(diff().unwrap(), (true, vec![Finding::LogsAgree(12, 60)]));
    let path = Folder::new(&b).log();
    let whole = fs::read_to_string(&path).unwrap();
    // A step that the run does not have.
    fs::write(&path, whole.replace("\"step\":60,", "\"step\":9223372036854775809,")).unwrap();
    assert!(diff().unwrap_err().to_string().contains("beyond the run's steps"));
    fs::remove_file(&path).unwrap();
    let missing = diff().unwrap_err();
    assert_eq!((missing.exit_code(), missing.to_string().contains("metrics.jsonl")), (4, true));
    // A line that no run has written is not dropped in silence.
    fs::write(&path, whole.replacen("\"g_loss\":", "\"loss\":", 1)).unwrap();
    let resume = || {
        let old = Unfinished::open(&b, &())?;
        Training::resume(old, plan(dir), &data).and_then(|mut training| training.run(&Serial, &mut ()))
    };
    let refused = resume().unwrap_err();
    assert!(refused.to_string().contains("metrics.jsonl: line 1"), "{refused}");
    fs::write(&path, whole).unwrap();
    // A manifest that is there but unreadable says nothing about the data: it is not passed over.
    let manifest = Folder::new(&b).manifest();
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("sha256:", "sha255:")).unwrap();
    let refused = resume().unwrap_err();
    assert!(refused.to_string().contains("manifest.json: malformed"), "{refused}");
    fs::write(&manifest, text).unwrap();
    assert_eq!(resume().unwrap().status, Status::Done);
}

#[test]
fn settings_out_of_range_are_refused_before_a_folder_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), data(dir.path()));
    let mut bad = plan(dir);
    bad.schedule.report_every = 0;
    let refused = Training::create(Some(&dir.join("run")), bad, &data).unwrap_err();
    assert_eq!(refused.to_string(), "report-every: expected 1 or more");
    assert!(!dir.join("run").exists());
}

#[test]
fn a_checkpoint_of_a_step_that_the_run_never_came_to_takes_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), data(dir.path()));
    let mut plan = plan(dir);
    plan.set("report-every", "1").unwrap();
    let folder = Folder::new(dir.join("run"));
    let end =
        Training::create(Some(folder.path()), plan.clone(), &data).unwrap().run(&Serial, &mut ()).unwrap();
    let mut forged = Checkpoint::decode(&fs::read(folder.checkpoint(60)).unwrap(), "60").unwrap();
    forged.step = MAX_STEPS;
    forged.state[..8].copy_from_slice(&MAX_STEPS.to_le_bytes());
    forged.digests.state = Digest::of(&forged.state);
    fs::write(folder.checkpoint(MAX_STEPS), forged.encode().unwrap()).unwrap();

    let old = Unfinished::open(folder.path(), &()).unwrap();
    assert_eq!(old.step(), 60);
    let again = Training::resume(old, plan, &data).unwrap().run(&Serial, &mut ()).unwrap();
    assert_eq!(again.digest, end.digest);
    let run = Recorded::open(folder.path()).unwrap();
    let audit = Audit::new(&run, run.data(None).unwrap(), &()).unwrap();
    assert_eq!(audit.check(None, Isa::best(), 1).unwrap_err().exit_code(), 7);
}

/// Signed by itself: who made it is not known.
#[test]
fn a_state_of_images_of_another_size_than_the_datas_is_refused_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), data(dir.path()));
    let images = data.images();
    let forged = |height, width| {
        let pixels = vec![7; images.count() * height * width];
        let others = Dataset::from_pixels(pixels, (height, width), None).unwrap();
        let out = dir.join(format!("{height}x{width}"));
        Training::create(Some(&out), plan(dir), &others).unwrap().run(&Serial, &mut ()).unwrap();
        let (_, made) = Folder::new(out).newest_checkpoint(u64::MAX, &()).unwrap().unwrap();
        Checkpoint { data_digest: data.digest(), ..made }
    };
    trained_on(&forged(images.height(), images.width()), &data).unwrap();
    for (height, width) in
        [(1, 1), (images.width() + 1, images.height()), (1, images.height() * images.width())]
    {
        let forged = forged(height, width);
        assert_eq!(trained_on(&forged, &data).unwrap_err().exit_code(), 3);
        let wanted = Wanted { seed: 1, raw: false, real: false };
        let made = Material::new(&forged, &data, Beside::read(&data).unwrap(), wanted, Isa::best(), &Serial);
        assert_eq!(made.unwrap_err().exit_code(), 3);
    }
}
