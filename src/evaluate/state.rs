//! The evaluation of a state: its samples, and the images of its data set that they are compared with. Uses `report`, `data` and
//! [`export`](crate::export).

use serde::{Deserialize, Serialize};

use super::report::{Report, Sets, evaluate};
use crate::data::labels::Labels;
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::kernels::Isa;
use crate::memory;
use crate::parallel::Team;
use crate::run::Observer;
use crate::{Dataset, Images};

/// Samples that are made.
const SAMPLES: usize = 10_000;
/// Real images that they are compared with, at most.
const REAL: usize = 10_000;
/// Of the images held out, those at the start choose the width of Parzen's windows.
const FOR_WIDTH: usize = 1_000;

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

/// A state's samples, and what lies beside its data.
#[derive(Debug)]
pub struct Material<'a> {
    data: &'a Dataset,
    labels: Option<Labels>,
    test: Option<(Dataset, Option<Labels>)>,
    samples: Vec<u8>,
    asked: Option<Vec<u8>>,
    checkpoint: &'a Checkpoint,
    wanted: Wanted,
}

impl<'a> Material<'a> {
    /// Makes samples of a state, trained on `data`, and reads the labels and the images for tests that lie beside those.
    ///
    /// # Errors
    /// [`Error::Input`] if the data are others, malformed, or have no images for tests though real ones are wanted; [`Error::Io`];
    /// [`Error::Environment`].
    pub fn new(
        checkpoint: &'a Checkpoint,
        data: &'a Dataset,
        wanted: Wanted,
        isa: Isa,
        team: &impl Team,
    ) -> Result<Material<'a>, Error> {
        let bad = |problem: &str| Err(Error::input(data.path().display().to_string(), problem.to_string()));
        if data.digest() != checkpoint.data_digest {
            return bad("not the data that the state was trained on: their digest is another one");
        }
        let labels = Labels::beside(data.path(), data.images().count())?;
        let test = match data.test_images()? {
            Some(test) => {
                let labels = Labels::beside(test.path(), test.images().count())?;
                Some((test, labels))
            }
            None if wanted.real => {
                return bad("has no images for tests beside it, to compare real ones with");
            }
            None => None,
        };
        let size = data.images().size();
        let mut samples = memory::filled(if wanted.real { 0 } else { SAMPLES * size }, 0, "samples")?;
        let mut asked = None;
        if !wanted.real {
            let mut sampler = checkpoint.sampler(wanted.raw)?;
            sampler.set_isa(isa);
            sampler.sample(team, wanted.seed, 0, &mut samples)?;
            asked = (checkpoint.classes > 0)
                .then(|| (0..SAMPLES).map(|i| (i % checkpoint.classes) as u8).collect());
        }
        Ok(Material { data, labels, test, samples, asked, checkpoint, wanted })
    }

    /// What is compared.
    pub fn sets(&self) -> Sets<'_> {
        fn labelled<'b>(images: Images<'b>, labels: Option<&'b [u8]>) -> Images<'b> {
            labels.map_or(images, |labels| images.labelled(labels).expect("one was read for each image"))
        }
        let validation = self.checkpoint.config.validation;
        let all = labelled(self.data.images(), self.labels.as_ref().map(Labels::all));
        let held_out = all.take(validation);
        let for_width = FOR_WIDTH.min(held_out.count() / 2);
        let rest = held_out.skip(for_width);
        let real = self
            .test
            .as_ref()
            .map_or(rest, |(test, labels)| labelled(test.images(), labels.as_ref().map(Labels::all)));
        let samples = if self.wanted.real {
            rest.take(SAMPLES)
        } else {
            let images = Images::new(&self.samples, all.height(), all.width());
            labelled(images.expect("they were made so"), self.asked.as_deref())
        };
        Sets {
            samples,
            real: real.take(REAL),
            held_out: held_out.take(for_width),
            train: all.skip(validation),
        }
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
