//! The engine for Python: what the package `duel` (in `duel/`) is made of. The files in reading order; each uses only those
//! before it:
//!
//! - `errors`: errors as exceptions
//! - `team`: threads
//! - `arguments`: arguments of Python as what the engine takes
//! - `trainer`: training
//! - `generator`: images of a trained generator

mod arguments;
mod errors;
mod generator;
mod team;
mod trainer;

use duel::{Isa, rng, self_check};
use numpy::{PyArray2, PyArrayMethods};
use pyo3::prelude::*;

/// The noise of images first, first + 1, … of a seed: f32 [count, latent] in [-1, 1).
#[pyfunction]
#[pyo3(signature = (count, latent = 100, *, seed = 42, first = 0))]
fn noise(
    py: Python<'_>,
    count: usize,
    latent: usize,
    seed: u64,
    first: u64,
) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let z = arguments::zeros(py, [count, latent])?;
    if latent > 0 {
        let mut rows = z.readwrite();
        for (row, i) in rows.as_slice_mut()?.chunks_exact_mut(latent).zip(0..) {
            rng::sample_noise(seed, first.wrapping_add(i), row);
        }
    }
    Ok(z)
}

/// Raises MismatchError unless this machine computes what was published: each kernel, and some small networks. It takes about a
/// second.
#[pyfunction]
#[pyo3(signature = (isa = None))]
fn verify(py: Python<'_>, isa: Option<&str>) -> PyResult<()> {
    let isa = isa.map_or(Ok(Isa::best()), Isa::named).map_err(errors::raise)?;
    py.detach(|| self_check::check(isa)).map_err(errors::raise)
}

// It reads arrays that other threads may write to, and copies them while none of them runs: a free-threaded Python takes its lock
// again for this.
#[pymodule(gil_used = true)]
fn _duel(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("BITS_VERSION", duel::BITS_VERSION)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<trainer::Trainer>()?;
    module.add_class::<trainer::Stats>()?;
    module.add_class::<generator::Generator>()?;
    module.add_function(wrap_pyfunction!(noise, module)?)?;
    module.add_function(wrap_pyfunction!(verify, module)?)
}
