//! All figures of a set of samples. Every one comes from squared distances, which are whole numbers, by counting or by arithmetic in
//! a fixed order: the same report on every machine, with a digest of its own. Uses `distances`, `parzen` and
//! [`float_mode`].

use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::distances::by_image;
use super::parzen::{log_likelihood, mean, widths};
use crate::data::Images;
use crate::digest::Digest;
use crate::error::Error;
use crate::kernels::float_mode;
use crate::run::Observer;

/// The neighbour whose distance is an image's radius: 5, as in the papers.
pub const NEIGHBOUR: usize = 5;
/// Samples that are named for being closest to a training image, at most.
pub const CLOSEST: usize = 16;
/// Images that the width of Parzen's windows is chosen by, at most.
pub(super) const FOR_WIDTH: usize = 1_000;
/// A class is missing that has less than this part of its real share.
const MISSING: f64 = 1.0 / 3.0;

/// What samples are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Sets<'a> {
    /// The samples; labelled with the classes that were asked for, if any were.
    pub samples: Images<'a>,
    /// Images that the generator has not seen.
    pub real: Images<'a>,
    /// Others that it has not seen, to choose the width of Parzen's windows by.
    pub held_out: Images<'a>,
    /// The images that it was trained on.
    pub train: Images<'a>,
}

impl Sets<'_> {
    /// Refuses sets that are too small.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn suffice(&self) -> Result<(), Error> {
        for (images, what, least) in [
            (self.samples, "samples", NEIGHBOUR + 1),
            (self.real, "real images", NEIGHBOUR + 1),
            (self.held_out, "held-out images", 1),
            (self.train, "training images", 1),
        ] {
            if images.count() < least {
                let problem =
                    format!("{} are not enough to compare with, expected at least {least}", images.count());
                return Err(Error::input(what, problem));
            }
        }
        Ok(())
    }
}

/// The figures.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// Samples.
    pub samples: usize,
    /// Images that they are compared with.
    pub real: usize,
    /// Parzen's log-likelihood of the real images.
    pub parzen: Parzen,
    /// The part of the samples that lie within a real image's radius.
    pub precision: f64,
    /// The part of the real images that lie within a sample's radius.
    pub recall: f64,
    /// How many real images' radii a sample lies in, by [`NEIGHBOUR`].
    pub density: f64,
    /// The part of the real images that have a sample within their radius.
    pub coverage: f64,
    /// The classes of the nearest training images, if they are labelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Class>>,
    /// The part of the samples whose nearest training image is of the class that was asked for, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// How well real images are told apart by what was asked for, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier: Option<Classifier>,
    /// The distance to the nearest training image.
    pub copies: Copies,
    /// Of everything before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl Report {
    /// The digest of everything but itself.
    pub(super) fn digest_of_figures(&self) -> Digest {
        let figures = Report { digest: None, ..self.clone() };
        Digest::of(serde_json::to_string(&figures).expect("a report is plain values").as_bytes())
    }
}

/// Parzen's estimate.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Parzen {
    /// The mean log-likelihood of a real image, in nats.
    pub nats: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The width of a window, as a part of a pixel's range.
    pub width: f64,
}

/// The part of the real images whose nearest neighbour is of their class: train on generated images, test on real ones.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Classifier {
    /// Among the samples.
    pub samples: f64,
    /// Among as many training images, the first ones.
    pub real: f64,
}

/// A class.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Class {
    /// Its share of the samples.
    pub share: f64,
    /// Its share of the training images.
    pub real_share: f64,
}

impl Class {
    /// Whether hardly any samples are of it.
    pub fn is_missing(&self) -> bool {
        self.share < MISSING * self.real_share
    }
}

/// Distances to the nearest training image, in ranges of a pixel: the smallest, the 5th, 25th, 50th, 75th and 95th of a hundred.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Copies {
    /// Of samples.
    pub samples: [f64; 6],
    /// Of real images that were not trained on.
    pub real: [f64; 6],
    /// The samples that are closest to a training image, [`CLOSEST`] of them at most, and that image: numbers from 0.
    pub closest: Vec<(usize, usize)>,
}

/// Compares samples with real images. The images are shared out to the rayon pool that this is called in.
///
/// # Errors
/// [`Error::Input`] if a set is empty, smaller than it takes, or of images of another size; [`Error::Environment`] if there is no
/// memory, or a thread's floating-point unit is in another mode than the default.
pub fn evaluate(sets: &Sets<'_>, observer: &dyn Observer) -> Result<Report, Error> {
    let Sets { samples, real, held_out, train } = *sets;
    float_mode::check()?;
    sets.suffice()?;
    let width_by = held_out.take(FOR_WIDTH);
    let (n, m) = (samples.count(), real.count());
    observer.begin((2 * (n + m) + m + width_by.count()) as u64);
    let pixels = samples.size();

    let each = |row: &[u32]| widths().map(|width| log_likelihood(row, width, pixels));
    let tried = by_image(width_by, samples, observer, |_, row| each(row))?;
    let of = |i: usize| mean(&tried.iter().map(|row| row[i]).collect::<Vec<f64>>()).0;
    let best = (0..widths().len()).max_by(|&a, &b| of(a).total_cmp(&of(b))).unwrap_or(0);
    let width = widths()[best];

    let real_radius = by_image(real, real, observer, radius)?;
    let sample_radius = by_image(samples, samples, observer, radius)?;
    let within: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(0)).collect();
    let rows = by_image(real, samples, observer, |i, row| {
        let mut recalled = false;
        for ((&d, within), &radius) in row.iter().zip(&within).zip(&sample_radius) {
            if d < real_radius[i] {
                within.fetch_add(1, Ordering::Relaxed);
            }
            recalled |= d < radius;
        }
        let covered = row.iter().any(|&d| d < real_radius[i]);
        (log_likelihood(row, width, pixels), recalled, covered, nearest(row).0)
    })?;
    let part = |count: usize, of: usize| count as f64 / of as f64;
    let within: Vec<u32> = within.into_iter().map(AtomicU32::into_inner).collect();
    let (nats, standard_error) = mean(&rows.iter().map(|row| row.0).collect::<Vec<f64>>());

    let of_samples = by_image(samples, train, observer, |_, row| nearest(row))?;
    let of_real =
        by_image(real, train, observer, |_, row| (nearest(row), nearest(&row[..n.min(row.len())]).0))?;
    let mut report = Report {
        samples: n,
        real: m,
        parzen: Parzen { nats, standard_error, width },
        precision: part(within.iter().filter(|&&count| count > 0).count(), n),
        recall: part(rows.iter().filter(|row| row.1).count(), m),
        density: part(within.iter().map(|&count| count as usize).sum(), n * NEIGHBOUR),
        coverage: part(rows.iter().filter(|row| row.2).count(), m),
        classes: train.labels().map(|labels| classes(train.classes(), labels, &of_samples)),
        agreement: samples
            .labels()
            .zip(train.labels())
            .map(|(asked, labels)| right(asked, of_samples.iter().map(|(nearest, _)| labels[*nearest]))),
        classifier: classifier(sets, rows.iter().map(|row| row.3), of_real.iter().map(|row| row.1)),
        copies: copies(&of_samples, of_real.iter().map(|row| row.0.1)),
        digest: None,
    };
    report.digest = Some(report.digest_of_figures());
    Ok(report)
}

/// The part of `classes` that are as told.
fn right(classes: &[u8], told: impl Iterator<Item = u8>) -> f64 {
    classes.iter().zip(told).filter(|(class, told)| *class == told).count() as f64 / classes.len() as f64
}

/// How well real images are told apart by the nearest sample of each, and by the nearest training image.
fn classifier(
    sets: &Sets<'_>,
    samples: impl Iterator<Item = usize>,
    train: impl Iterator<Item = usize>,
) -> Option<Classifier> {
    let (truth, asked, labels) = (sets.real.labels()?, sets.samples.labels()?, sets.train.labels()?);
    Some(Classifier {
        samples: right(truth, samples.map(|i| asked[i])),
        real: right(truth, train.map(|i| labels[i])),
    })
}

/// The squared distance of image `i` to its [`NEIGHBOUR`]th neighbour among `row`, itself left out.
fn radius(i: usize, row: &[u32]) -> u32 {
    let mut others: Vec<u32> = row[..i].iter().chain(&row[i + 1..]).copied().collect();
    *others.select_nth_unstable(NEIGHBOUR - 1).1
}

/// The first of the nearest, and its squared distance.
fn nearest(row: &[u32]) -> (usize, u32) {
    let nearest = row.iter().copied().enumerate().min_by_key(|&(i, d)| (d, i));
    nearest.expect("there are training images")
}

fn classes(count: usize, labels: &[u8], nearest: &[(usize, u32)]) -> Vec<Class> {
    let mut classes = vec![[0usize; 2]; count];
    nearest.iter().for_each(|&(i, _)| classes[labels[i] as usize][0] += 1);
    labels.iter().for_each(|&label| classes[label as usize][1] += 1);
    let class = |[samples, real]: [usize; 2]| Class {
        share: samples as f64 / nearest.len() as f64,
        real_share: real as f64 / labels.len() as f64,
    };
    classes.into_iter().map(class).collect()
}

/// The distances of samples to their nearest training images, and those of real images.
fn copies(of_samples: &[(usize, u32)], of_real: impl Iterator<Item = u32>) -> Copies {
    let mut closest: Vec<usize> = (0..of_samples.len()).collect();
    closest.sort_by_key(|&i| of_samples[i].1);
    Copies {
        samples: quantiles(of_samples.iter().map(|nearest| nearest.1)),
        real: quantiles(of_real),
        closest: closest.into_iter().take(CLOSEST).map(|i| (i, of_samples[i].0)).collect(),
    }
}

fn quantiles(distances: impl Iterator<Item = u32>) -> [f64; 6] {
    let mut distances: Vec<u32> = distances.collect();
    distances.sort_unstable();
    [0, 5, 25, 50, 75, 95].map(|percent| {
        let place = ((distances.len() - 1) * percent + 50) / 100;
        libm::sqrt(distances[place] as f64) / 255.0
    })
}
