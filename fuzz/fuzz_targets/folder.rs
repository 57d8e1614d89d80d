//! The folder of a run of which files are cut, altered, removed, or changed for each other: whatever reads it refuses it on one line,
//! or comes to what the run came to. What `duel verify` passes, it trains again to the digest that the run had.

#![no_main]

mod shared;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use duel::run::{Audit, Folder, Recorded, Training, Unfinished};
use duel::sweep::{self, Outcome};
use duel::{Dataset, Error, Isa, Serial};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Change {
    Cut(u8, u16),
    Turn(u8, u16),
    /// A piece of a file, by another one.
    Put(u8, u16, u8, Vec<u8>),
    Remove(u8),
    Swap(u8, u8),
    /// A folder in place of a file.
    Folder(u8),
}

static RAN: LazyLock<shared::Ran> = LazyLock::new(|| shared::train(&shared::folder().join("run"), &[]));

/// Whether an error is one that a folder may be answered with.
fn is_told(error: &Error) -> bool {
    !matches!(error, Error::Diverged { .. } | Error::Environment { .. })
        && error.to_string().lines().count() == 1
}

fn lay(ran: &shared::Ran, run: &Path, changes: &[Change]) {
    fs::remove_dir_all(run).unwrap();
    for (path, bytes) in &ran.files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let name = |n: u8| &ran.files[n as usize % ran.files.len()].0;
    for change in changes {
        let (Change::Cut(n, _)
        | Change::Turn(n, _)
        | Change::Put(n, ..)
        | Change::Remove(n)
        | Change::Swap(n, _)
        | Change::Folder(n)) = change;
        let Ok(mut bytes) = fs::read(name(*n)) else { continue };
        match change {
            Change::Cut(_, at) => bytes.truncate(*at as usize % (bytes.len() + 1)),
            Change::Turn(_, bit) if !bytes.is_empty() => {
                let bit = *bit as usize % (8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            Change::Put(_, at, length, by) => {
                let at = *at as usize % (bytes.len() + 1);
                let end = (at + *length as usize).min(bytes.len());
                bytes.splice(at..end, by.iter().copied());
            }
            Change::Swap(_, other) => {
                let Ok(others) = fs::read(name(*other)) else { continue };
                fs::write(name(*other), &bytes).unwrap();
                bytes = others;
            }
            _ => {}
        }
        fs::remove_file(name(*n)).unwrap();
        match change {
            Change::Remove(_) => {}
            Change::Folder(_) => fs::create_dir(name(*n)).unwrap(),
            _ => fs::write(name(*n), bytes).unwrap(),
        }
    }
}

fuzz_target!(|changes: Vec<Change>| {
    let ran = &*RAN;
    let run = shared::folder().join("run");
    lay(ran, &run, &changes[..changes.len().min(4)]);
    let isa = Isa::named("reference").unwrap();

    match Recorded::open(&run) {
        Err(error) => assert!(is_told(&error), "{error}"),
        // A run of other settings may take a long time: what it comes to is for other targets.
        Ok(read) if read.plan == ran.plan => {
            let audited = Audit::new(&read, read_data(), &())
                .and_then(|audit| audit.check(None, isa, 1).map(|_| audit.counts()));
            match audited {
                Err(error) => assert!(is_told(&error), "{error}"),
                Ok((_, _, last)) => assert!(last <= 6),
            }
            let seen = read.visit(&[3, 6], &ran.data, isa, &Serial, &(), |trainer| {
                assert!(trainer.steps_done() != 6 || trainer.digest().unwrap() == ran.end);
                Ok(())
            });
            assert!(seen.is_ok() || is_told(&seen.unwrap_err()));
        }
        Ok(_) => {}
    }
    match Outcome::of(&Folder::new(&run), &ran.member, &()) {
        Err(error) => assert!(is_told(&error), "{error}"),
        Ok(outcome) => {
            assert_eq!(sweep::summary(std::slice::from_ref(&outcome)).lines().count(), 2);
            assert_eq!(sweep::groups(&[outcome]).len(), 1);
        }
    }
    let resumed =
        Unfinished::open(&run, &()).and_then(|old| Training::resume(old, ran.plan.clone(), &ran.data));
    match resumed.and_then(|mut training| training.run(&Serial, &mut ())) {
        Err(error) => assert!(is_told(&error), "{error}"),
        Ok(end) => {
            assert_eq!(end.digest, ran.end);
            // What was altered before the step that it went on from, only training can tell.
            let read = Recorded::open(&run).unwrap();
            let audited = Audit::new(&read, read_data(), &()).and_then(|audit| audit.check(None, isa, 1));
            assert!(audited.is_ok() || is_told(&audited.unwrap_err()));
        }
    }
});

fn read_data() -> Dataset {
    Dataset::open(shared::folder()).unwrap()
}
