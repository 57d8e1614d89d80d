//! Training.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use duel::export::c;
use duel::export::safetensors::{Checkpoint, encode};
use duel::{Dataset, Error, Isa, Line, Part, StepStats, Tensor, files};
use numpy::{PyArray3, PyArrayDyn, PyArrayMethods, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::arguments::{Wanted, dataset, images, noise, settings, zeros};
use crate::errors::raise;
use crate::team::Threads;

/// How long a signal, such as Ctrl-C, may wait.
const SIGNALS: Duration = Duration::from_millis(100);

/// What a step reports: its number from 1, and both losses, before its update.
#[pyclass(frozen, module = "duel")]
pub struct Stats(StepStats);

#[pymethods]
impl Stats {
    /// The step, counted from 1.
    #[getter]
    fn step(&self) -> u64 {
        self.0.step
    }
    /// The generator's loss, before the step's update.
    #[getter]
    fn generator_loss(&self) -> f32 {
        self.0.generator_loss
    }
    /// The discriminator's loss, before the step's update.
    #[getter]
    fn discriminator_loss(&self) -> f32 {
        self.0.discriminator_loss
    }
    fn __repr__(&self) -> String {
        let StepStats { step, generator_loss, discriminator_loss } = self.0;
        format!(
            "Stats(step={step}, generator_loss={generator_loss}, discriminator_loss={discriminator_loss})"
        )
    }
}

/// A run: two networks, their optimisers, and the place in the stream of batches. Arguments as of duel.train.
#[pyclass(module = "duel")]
pub struct Trainer {
    trainer: duel::Trainer<Dataset, Box<[Line]>>,
    threads: Threads,
}

#[pymethods]
impl Trainer {
    #[new]
    #[pyo3(signature = (images, *, labels = None, threads = 0, isa = None, **given))]
    fn new(
        py: Python<'_>,
        images: &Bound<'_, PyAny>,
        labels: Option<&Bound<'_, PyAny>>,
        threads: usize,
        isa: Option<&str>,
        given: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Trainer> {
        let mut config = settings(given)?;
        let isa = isa.map_or(Ok(Isa::best()), Isa::named).map_err(raise)?;
        // A preset with labels wants them, too.
        let wanted = pyo3::types::PyBool::new(py, config.labels);
        let labels = labels.or_else(|| config.labels.then_some(wanted.as_any()));
        let data = dataset(py, images, labels)?;
        config.labels = data.images().labels().is_some();
        let threads = Threads::of(threads).map_err(raise)?;
        let mut trainer = py.detach(|| duel::Trainer::new(config, data)).map_err(raise)?;
        trainer.set_isa(isa);
        Ok(Trainer { trainer, threads })
    }

    /// Steps done.
    #[getter]
    fn steps_done(&self) -> u64 {
        self.trainer.steps_done()
    }

    /// Every setting that the bits depend on, as text.
    #[getter]
    fn settings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (name, value) in self.trainer.config().pairs() {
            all.set_item(name.replace('-', "_"), value)?;
        }
        Ok(all)
    }

    /// Classes that images can be asked for of; 0 if it is not conditional.
    #[getter]
    fn classes(&self) -> usize {
        self.trainer.classes()
    }

    /// SHA-256 of the IDX file of the images, with labels that of both files' digests.
    #[getter]
    fn data_digest(&self) -> String {
        self.trainer.data().digest().to_string()
    }

    /// One step; returns its Stats.
    fn step(&mut self, py: Python<'_>) -> PyResult<Stats> {
        let Trainer { trainer, threads } = self;
        py.detach(|| trainer.step(threads)).map(Stats).map_err(raise)
    }

    /// So many steps, or fewer: callback(stats) is told of each, when its losses are known, and ends the run after that step if it
    /// returns True or raises. Other threads of Python go on meanwhile; Ctrl-C ends the run after a step, and the trainer can go on.
    #[pyo3(signature = (steps, callback = None))]
    fn run(&mut self, py: Python<'_>, steps: u64, callback: Option<Py<PyAny>>) -> PyResult<()> {
        let Trainer { trainer, threads } = self;
        let last = trainer.steps_done().saturating_add(steps);
        let (mut ended, mut raised) = (false, None);
        while trainer.steps_done() < last && !ended {
            let (began, left) = (Instant::now(), last - trainer.steps_done());
            let each = |stats: StepStats| {
                if let Some(callback) = &callback {
                    let told =
                        Python::attach(|py| callback.call1(py, (Stats(stats),))?.extract::<Option<bool>>(py));
                    match told {
                        Ok(stop) => ended = stop == Some(true),
                        Err(error) => (ended, raised) = (true, Some(error)),
                    }
                }
                // Signals are Python's, on its own thread.
                let pause = ended || began.elapsed() >= SIGNALS;
                if pause { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            py.detach(|| trainer.run(threads, left, each)).map_err(raise)?;
            if let Some(error) = raised.take() {
                return Err(error);
            }
            py.check_signals()?;
        }
        Ok(())
    }

    /// The digest of the state, such as 'sha256:8b64…'.
    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| self.trainer.digest()).map(|digest| digest.to_string()).map_err(raise)
    }

    /// The digest of the average of the generator's parameters; None if there is none.
    fn average_digest(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let digest = py.detach(|| self.trainer.average_digest()).map_err(raise)?;
        Ok(digest.map(|digest| digest.to_string()))
    }

    /// The discriminator's mean probability of a real image being real, and of a generated one, in the last step that was taken.
    fn mean_probabilities(&self) -> PyResult<(f32, f32)> {
        self.trainer.mean_probabilities().map_err(raise)
    }

    /// Images first, first + 1, … of the samples of a seed (the run's own, if none is given): u8 [count, height, width], white on
    /// black. Of a conditional generator image i is of class i mod classes, or all are of the class label.
    #[pyo3(signature = (count = 36, *, seed = None, first = 0, label = None))]
    fn sample<'py>(
        &mut self,
        py: Python<'py>,
        count: usize,
        seed: Option<u64>,
        first: u64,
        label: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (size, seed) = (self.size(), seed.unwrap_or(self.trainer.config().seed));
        let Trainer { trainer, threads } = self;
        let make = &mut |out: &mut [u8]| trainer.sample_class(threads, seed, first, label, out);
        images(py, Wanted { count, size, make })
    }

    /// The images of noise of one's own, contiguous f32 [n, latent] from -1 to 1: u8 [n, height, width].
    #[pyo3(signature = (z, label = None))]
    fn generate<'py>(
        &mut self,
        py: Python<'py>,
        z: PyReadonlyArray2<'_, f32>,
        label: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (size, (count, z)) = (self.size(), noise(&z, self.trainer.config().latent_size)?);
        let Trainer { trainer, threads } = self;
        let make = &mut |out: &mut [u8]| trainer.generate(threads, &z, label, out);
        images(py, Wanted { count, size, make })
    }

    /// Every tensor by the name that it has in a checkpoint, as a new array of f32: parameters, Adam's moments (.adam_m, .adam_v),
    /// and .average where there is one.
    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        const PARTS: [(Part, &str); 4] = [
            (Part::Parameter, ""),
            (Part::AdamM, ".adam_m"),
            (Part::AdamV, ".adam_v"),
            (Part::Average, ".average"),
        ];
        let all = PyDict::new(py);
        for (part, end) in PARTS {
            for tensor in Tensor::ALL {
                let view = match self.trainer.tensor(tensor, part) {
                    Err(Error::Usage { .. }) => continue,
                    view => view.map_err(raise)?,
                };
                let [rows, cols] = view.dims();
                let shape = if view.is_bias() { vec![cols] } else { vec![rows, cols] };
                let array: Bound<'_, PyArrayDyn<f32>> = zeros(py, shape)?;
                {
                    let mut values = array.readwrite();
                    let mut places = values.as_slice_mut()?.iter_mut();
                    view.each(|x| places.next().into_iter().for_each(|place| *place = x));
                }
                all.set_item(format!("{}{end}", tensor.name()), array)?;
            }
        }
        Ok(all)
    }

    /// The state as bytes: the step as u64, all parameters, first and second moments as f32, and the average if there is one;
    /// little-endian, in canonical order.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, self.trainer.state_bytes(), |bytes| {
            let mut filled = 0;
            let piece = |piece: &[u8]| {
                bytes[filled..filled + piece.len()].copy_from_slice(piece);
                filled += piece.len();
            };
            self.trainer.save(piece).map_err(raise)
        })
    }

    /// Goes on from a state: the next steps are those that the saved run would have taken, if settings and data are the same.
    fn load_state(&mut self, state: &[u8]) -> PyResult<()> {
        self.trainer.load(state).map_err(raise)
    }

    /// Writes a checkpoint (safetensors), which the program reads, too.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let write = || {
            let bytes = encode(&self.trainer, self.trainer.data().digest())?;
            files::write_whole(&path, |to| to.write_all(&bytes))
        };
        py.detach(write).map_err(raise)
    }

    /// Goes on from a checkpoint. Its settings and its data must be the trainer's.
    fn load(&mut self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let trainer = &mut self.trainer;
        let read = || {
            let bytes = files::read(&path).map_err(|error| Error::io(&path, error))?;
            let data = trainer.data().digest();
            Checkpoint::decode(&bytes, &path.display().to_string())?.resume(trainer, data)
        };
        py.detach(read).map_err(raise)
    }

    /// Writes the generator as one file of C99 that needs nothing else; raw: its parameters even if there is an average of them.
    #[pyo3(signature = (path, raw = false))]
    fn export_c(&self, py: Python<'_>, path: PathBuf, raw: bool) -> PyResult<()> {
        let write = || {
            let checkpoint = Checkpoint::of(&self.trainer, self.trainer.data().digest())?;
            files::write_whole(&path, |to| c::write(&checkpoint, raw, to))
        };
        py.detach(write).map_err(raise)
    }
}

impl Trainer {
    fn size(&self) -> (usize, usize) {
        let images = self.trainer.images();
        (images.height(), images.width())
    }
}
