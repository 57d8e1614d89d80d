//! Errors as exceptions: their classes are in duel/_errors.py, where they can have two bases.

use duel::Error;
use pyo3::prelude::*;

/// The exception of an error.
pub fn raise(error: Error) -> PyErr {
    Python::attach(|py| {
        let class = match &error {
            Error::Usage { .. } => "UsageError",
            Error::Input { .. } => "InputError",
            Error::Io { .. } => "FileError",
            Error::Diverged { .. } => "DivergedError",
            Error::Environment { .. } => "MachineError",
            Error::Mismatch { .. } => "MismatchError",
            _ => "Error",
        };
        let exception = py.import("duel._errors").and_then(|module| module.getattr(class));
        match exception.and_then(|class| class.call1((error.to_string(),))) {
            Ok(exception) => PyErr::from_value(exception),
            Err(error) => error,
        }
    })
}
