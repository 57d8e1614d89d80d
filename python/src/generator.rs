//! Images of a trained generator.

use std::path::PathBuf;

use duel::run::recorded::Named;
use duel::{Isa, Line, Sampler};
use numpy::{PyArray3, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arguments::{Wanted, images, noise};
use crate::errors::raise;
use crate::team::Threads;

/// The generator of a checkpoint (safetensors), of a run's folder (the newest state in it) or of RUN@STEP, which is trained again if it
/// was not saved. Where there is an average of the parameters, it is that, unless raw.
#[pyclass(module = "duel")]
pub struct Generator {
    sampler: Sampler<Box<[Line]>>,
    threads: Threads,
    size: (usize, usize),
    #[pyo3(get)]
    /// Values of noise per image.
    latent: usize,
    #[pyo3(get)]
    /// Classes that it can be asked for; 0 if it is not conditional.
    classes: usize,
    #[pyo3(get)]
    /// Steps of its training.
    step: u64,
    seed: u64,
}

#[pymethods]
impl Generator {
    #[new]
    #[pyo3(signature = (path, raw = false, *, threads = 1))]
    fn new(py: Python<'_>, path: PathBuf, raw: bool, threads: usize) -> PyResult<Generator> {
        let threads = Threads::of(threads).map_err(raise)?;
        let open = || Named::parse(&path).state(None, Isa::best(), &threads, &());
        let (_, checkpoint) = py.detach(open).map_err(raise)?;
        Ok(Generator {
            sampler: checkpoint.sampler(raw).map_err(raise)?,
            threads,
            size: (checkpoint.height, checkpoint.width),
            latent: checkpoint.config.latent_size,
            classes: checkpoint.classes,
            step: checkpoint.step,
            seed: checkpoint.config.seed,
        })
    }

    /// As Trainer.sample.
    #[pyo3(signature = (count = 36, *, seed = None, first = 0, label = None))]
    fn sample<'py>(
        &mut self,
        py: Python<'py>,
        count: usize,
        seed: Option<u64>,
        first: u64,
        label: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (size, seed) = (self.size, seed.unwrap_or(self.seed));
        let Generator { sampler, threads, .. } = self;
        let make = &mut |out: &mut [u8]| sampler.sample_class(threads, seed, first, label, out);
        images(py, Wanted { count, size, make })
    }

    /// As Trainer.generate.
    #[pyo3(signature = (z, label = None))]
    fn generate<'py>(
        &mut self,
        py: Python<'py>,
        z: PyReadonlyArray2<'_, f32>,
        label: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (size, (count, z)) = (self.size, noise(&z, self.latent)?);
        let Generator { sampler, threads, .. } = self;
        let make = &mut |out: &mut [u8]| sampler.generate(threads, &z, label, out);
        images(py, Wanted { count, size, make })
    }
}
