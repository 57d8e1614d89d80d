//! The evaluation of a state: its samples, and the images of its data set that they are compared with. Uses `report`, `data` and
//! [`export`](crate::export).

use serde::{Deserialize, Serialize};

use std::io::ErrorKind;
use std::path::Path;

use super::report::{CLOSEST, FOR_WIDTH, Report, Sets, evaluate};
use crate::data::labels::Labels;
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::files;
use crate::kernels::Isa;
use crate::memory;
use crate::parallel::Team;
use crate::run::Observer;
use crate::{Dataset, Images};

/// Samples that are made.
const SAMPLES: usize = 10_000;
/// Classes that labels can tell apart.
const MOST_CLASSES: usize = 256;
/// Real images that they are compared with, at most.
const REAL: usize = 10_000;

/// Which samples.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Their seed.
    pub seed: u64,
    /// Whether the parameters make them, not the average of them that there may be.
    pub raw: bool,
    /// Whether real images that were held out stand in their place.
    pub real: bool,
}

/// The figures of a state's samples, as the file evaluation.json of a run has them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Evaluation {
    /// The step of the state.
    pub step: u64,
    /// The seed of the samples.
    pub seed: u64,
    /// Whether an average of the parameters has made them.
    #[serde(default)]
    pub averaged: bool,
    /// Their figures.
    pub report: Report,
}

impl Evaluation {
    /// Reads what a run's folder keeps; none if there is none.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Input`] if it is malformed, or not as it was written.
    pub fn read(path: &Path) -> Result<Option<Evaluation>, Error> {
        let bytes = match files::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|error| Error::io(path, error))?,
        };
        let bad = |problem: String| Error::input(path.display().to_string(), problem);
        let evaluation: Evaluation =
            serde_json::from_slice(&bytes).map_err(|error| bad(format!("malformed: {error}")))?;
        let report = &evaluation.report;
        if report.classes.as_ref().is_some_and(|classes| classes.len() > MOST_CLASSES)
            || report.copies.closest.len() > CLOSEST
        {
            return Err(bad(format!("expected up to {MOST_CLASSES} classes and {CLOSEST} closest samples")));
        }
        if report.digest != Some(report.digest_of_figures()) {
            return Err(bad("its digest is not that of its figures".to_string()));
        }
        Ok(Some(evaluation))
    }
}

/// Refuses data that a state was not trained on: others, or of other sizes than it says itself.
///
/// # Errors
/// [`Error::Input`].
pub fn trained_on(checkpoint: &Checkpoint, data: &Dataset) -> Result<(), Error> {
    let images = data.images();
    let classes = if checkpoint.config.labels { images.classes() } else { 0 };
    let shape = (images.height(), images.width(), classes);
    let problem = if data.digest() != checkpoint.data_digest {
        "not the data that the state was trained on: their digest is another one"
    } else if shape != (checkpoint.height, checkpoint.width, checkpoint.classes) {
        "not the data that the state was trained on: it is of images of another size, or of other classes"
    } else {
        return Ok(());
    };
    Err(Error::input(data.path().display().to_string(), problem))
}

/// What lies beside a data set.
#[derive(Debug)]
pub struct Beside {
    labels: Option<Labels>,
    test: Option<(Dataset, Option<Labels>)>,
}

impl Beside {
    /// Reads the labels, the images for tests and their labels, as far as they are there.
    ///
    /// # Errors
    /// [`Error::Input`] if they are malformed, or of another size; [`Error::Io`].
    pub fn read(data: &Dataset) -> Result<Beside, Error> {
        let labels = |of: &Dataset| Labels::beside(of.path(), of.images().count());
        let size = |of: &Dataset| (of.images().height(), of.images().width());
        let test = match data.test_images()? {
            Some(test) if size(&test) != size(data) => {
                let ((height, width), (rows, columns)) = (size(&test), size(data));
                let problem = format!(
                    "images of {height}×{width}, expected {rows}×{columns} as in {}",
                    data.path().display()
                );
                return Err(Error::input(test.path().display().to_string(), problem));
            }
            Some(test) => Some((labels(&test)?, test)),
            None => None,
        };
        Ok(Beside { labels: labels(data)?, test: test.map(|(labels, test)| (test, labels)) })
    }

    /// Refuses data that are too few to compare samples with, of which so many are held out.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn suffices(&self, data: &Dataset, validation: usize) -> Result<(), Error> {
        // Samples can be made.
        self.sets(data, validation, Some(data.images())).suffice()
    }

    /// What samples are compared with; without samples, images that are held out stand in their place.
    fn sets<'a>(&'a self, data: &'a Dataset, validation: usize, samples: Option<Images<'a>>) -> Sets<'a> {
        let all = labelled(data.images(), self.labels.as_ref().map(Labels::all));
        let held_out = all.take(validation);
        let for_width = FOR_WIDTH.min(held_out.count() / 2);
        let rest = held_out.skip(for_width);
        let real = self
            .test
            .as_ref()
            .map_or(rest, |(test, labels)| labelled(test.images(), labels.as_ref().map(Labels::all)));
        Sets {
            samples: samples.unwrap_or(rest.take(SAMPLES)),
            real: real.take(REAL),
            held_out: held_out.take(for_width),
            train: all.skip(validation),
        }
    }
}

/// Images with the labels that were read for each.
fn labelled<'a>(images: Images<'a>, labels: Option<&'a [u8]>) -> Images<'a> {
    labels.map_or(images, |labels| images.labelled(labels).expect("one was read for each image"))
}

/// A state's samples, and what they are compared with.
#[derive(Debug)]
pub struct Material<'a> {
    data: &'a Dataset,
    beside: Beside,
    samples: Vec<u8>,
    asked: Option<Vec<u8>>,
    checkpoint: &'a Checkpoint,
    wanted: Wanted,
}

impl<'a> Material<'a> {
    /// Makes samples of a state, trained on `data`.
    ///
    /// # Errors
    /// [`Error::Input`] if the data are others, or have no images for tests though real ones are wanted; [`Error::Environment`].
    pub fn new(
        checkpoint: &'a Checkpoint,
        data: &'a Dataset,
        beside: Beside,
        wanted: Wanted,
        isa: Isa,
        team: &impl Team,
    ) -> Result<Material<'a>, Error> {
        let bad = |problem: &str| Err(Error::input(data.path().display().to_string(), problem.to_string()));
        trained_on(checkpoint, data)?;
        if wanted.real && beside.test.is_none() {
            return bad("has no images for tests beside it, to compare real ones with");
        }
        let (size, classes) = (data.images().size(), checkpoint.classes);
        let mut samples = memory::filled(if wanted.real { 0 } else { SAMPLES * size }, 0, "samples")?;
        let mut asked = None;
        if !wanted.real {
            let mut sampler = checkpoint.sampler(wanted.raw)?;
            sampler.set_isa(isa);
            sampler.sample(team, wanted.seed, 0, &mut samples)?;
            asked = (classes > 0).then(|| (0..SAMPLES).map(|i| (i % classes) as u8).collect());
        }
        Ok(Material { data, beside, samples, asked, checkpoint, wanted })
    }

    /// What is compared.
    pub fn sets(&self) -> Sets<'_> {
        let images = self.data.images();
        let made = Images::new(&self.samples, images.height(), images.width());
        let made = labelled(made.expect("they were made so"), self.asked.as_deref());
        let samples = (!self.wanted.real).then_some(made);
        self.beside.sets(self.data, self.checkpoint.config.validation, samples)
    }

    /// The figures. The images are shared out to the rayon pool that this is called in.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn evaluate(&self, observer: &dyn Observer) -> Result<Evaluation, Error> {
        let Wanted { seed, raw, real } = self.wanted;
        Ok(Evaluation {
            step: self.checkpoint.step,
            seed,
            averaged: !raw && !real && self.checkpoint.digests.average.is_some(),
            report: evaluate(&self.sets(), observer)?,
        })
    }
}
