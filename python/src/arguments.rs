//! Arguments of Python as what the engine takes, and arrays for its results.

use std::path::PathBuf;

use duel::{Config, Dataset, Error, memory};
use numpy::ndarray::{Dimension, IntoDimension};
use numpy::{
    Element, PyArray, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};

use crate::errors::raise;

/// Settings by name, with `_` for `-`; `preset` comes before all others.
pub fn settings(given: Option<&Bound<'_, PyDict>>) -> PyResult<Config> {
    let mut pairs = Vec::new();
    for (name, value) in given.into_iter().flatten() {
        let text = match value.cast::<PyBool>() {
            Ok(value) => value.is_true().to_string(),
            Err(_) => value.str()?.to_string(),
        };
        pairs.push((name.str()?.to_string().replace('_', "-"), text));
    }
    let preset = pairs.iter().find(|(name, _)| name == "preset");
    let mut config = preset.map_or(Ok(Config::default()), |(_, name)| Config::preset(name)).map_err(raise)?;
    for (name, text) in pairs.iter().filter(|(name, _)| name != "preset") {
        if !config.set(name, text).map_err(|error| not(error, text))? {
            let names: Vec<_> =
                Config::SETTINGS.iter().map(|setting| setting.about.name.replace('-', "_")).collect();
            let problem = format!("no such setting, expected preset or one of {}", names.join(", "));
            return Err(raise(Error::usage(name.replace('-', "_"), problem)));
        }
    }
    Ok(config)
}

/// A refused value, with the value.
fn not(error: Error, text: &str) -> PyErr {
    match error {
        Error::Usage { setting, problem } => {
            raise(Error::usage(setting.replace('-', "_"), format!("{problem}, not {text:?}")))
        }
        other => raise(other),
    }
}

/// Images from a path or an array of u8 [n, h, w]; labels from beside the file (True) or an array of u8 [n].
pub fn dataset(
    py: Python<'_>,
    images: &Bound<'_, PyAny>,
    labels: Option<&Bound<'_, PyAny>>,
) -> PyResult<Dataset> {
    let beside = labels.and_then(|labels| labels.extract::<bool>().ok());
    if let Ok(path) = images.extract::<PathBuf>() {
        if labels.is_some() && beside.is_none() {
            return Err(raise(Error::usage("labels", "expected True: those beside the file")));
        }
        let open = || {
            let data = Dataset::open(&path)?;
            if beside == Some(true) { data.labelled() } else { Ok(data) }
        };
        return py.detach(open).map_err(raise);
    }
    let wrong = |name, what| move |_| raise(Error::usage(name, what));
    let expected = "expected a path, or an array of uint8 [n, height, width]";
    let images: PyReadonlyArray3<'_, u8> = images.extract().map_err(wrong("images", expected))?;
    let [_, height, width] = *images.shape() else { unreachable!("it has three dimensions") };
    let labels = match labels {
        Some(labels) if beside.is_none() => {
            let expected = "expected an array of uint8 [n]";
            let labels: PyReadonlyArray1<'_, u8> = labels.extract().map_err(wrong("labels", expected))?;
            Some(copy(labels.as_array().iter())?)
        }
        _ if beside == Some(true) => {
            return Err(raise(Error::usage("labels", "expected an array of uint8 [n] beside one of images")));
        }
        _ => None,
    };
    // Image by image, row by row, however they lie in memory: a slice of an array in Fortran's order would be in that order.
    let pixels = match images.as_slice() {
        Ok(pixels) if images.is_c_contiguous() => copy(pixels.iter())?,
        _ => copy(images.as_array().iter())?,
    };
    py.detach(|| Dataset::from_pixels(pixels, (height, width), labels)).map_err(raise)
}

fn copy<'a>(bytes: impl ExactSizeIterator<Item = &'a u8>) -> PyResult<Vec<u8>> {
    let mut room = memory::room(bytes.len(), "images").map_err(raise)?;
    room.extend(bytes);
    Ok(room)
}

/// A new array of zeros.
pub fn zeros<'py, T: Element, D: Dimension>(
    py: Python<'py>,
    shape: impl IntoDimension<Dim = D>,
) -> PyResult<Bound<'py, PyArray<T, D>>> {
    let shape = shape.into_dimension();
    let dims = shape.slice();
    let possible = dims.iter().all(|&n| n <= isize::MAX as usize);
    // It multiplies past a dimension of 0, too.
    let bytes = dims.iter().try_fold(size_of::<T>(), |bytes, &n| bytes.checked_mul(n.max(1)));
    let bytes = bytes.filter(|&bytes| possible && bytes <= isize::MAX as usize);
    // Asked for first, because NumPy's refusal is a panic here.
    match bytes.map(|bytes| memory::room(bytes, "array")) {
        Some(Ok(_)) => Ok(PyArray::zeros(py, shape, false)),
        Some(Err(error)) => Err(PyMemoryError::new_err(error.to_string())),
        None => Err(PyMemoryError::new_err("array: larger than any memory")),
    }
}

/// What is asked of a generator.
pub struct Wanted<'a> {
    pub count: usize,
    pub size: (usize, usize),
    pub make: &'a mut (dyn FnMut(&mut [u8]) -> Result<(), Error> + Send),
}

/// Images as an array of u8 [n, h, w], which the generator writes into.
pub fn images<'py>(py: Python<'py>, wanted: Wanted<'_>) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let (height, width) = wanted.size;
    let images = zeros(py, [wanted.count, height, width])?;
    {
        let mut pixels = images.readwrite();
        let pixels = pixels.as_slice_mut()?;
        py.detach(|| (wanted.make)(pixels)).map_err(raise)?;
    }
    Ok(images)
}

/// Noise of the caller's, f32 [n, latent]: number of images, and values. A copy, because other threads of Python, which may write to the
/// array, go on while images are made.
pub fn noise(z: &PyReadonlyArray2<'_, f32>, latent: usize) -> PyResult<(usize, Vec<f32>)> {
    // Two, when it was taken; but another argument may have run code of the caller's since, which gave it others.
    let count = match *z.shape() {
        [count, values] if values == latent && z.is_c_contiguous() => count,
        _ => {
            let problem = format!("expected a contiguous array of float32 [n, {latent}]");
            return Err(raise(Error::usage("z", problem)));
        }
    };
    let from = z.as_slice()?;
    // Asked for first, because a vector's refusal ends the process.
    memory::room(size_of_val(from), "z").map_err(raise)?;
    Ok((count, from.to_vec()))
}
