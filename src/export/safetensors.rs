//! A state as safetensors, by the `safetensors` crate. Names are plain (`generator.hidden.weight`,
//! `generator.hidden.weight.adam_m`, `.adam_v`), values f32 row-major, biases one-dimensional.

use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::config::MAX_SIZE;
use crate::error::Error;
use crate::kernels::tiles::Line;
use crate::model::layout::{Part, Tensor};
use crate::trainer::{Sampler, Trainer};

/// The bytes of a safetensors file with every parameter and both moments; the metadata hold `step`, `bits_version`,
/// `state_digest`, and the images' `height` and `width`.
///
/// # Errors
/// [`Error::Diverged`] after divergence.
pub fn encode<M: AsMut<[Line]>>(trainer: &mut Trainer<'_, M>) -> Result<Vec<u8>, Error> {
    let mut tensors = Vec::new();
    for tensor in Tensor::ALL {
        for (part, suffix) in [(Part::Parameter, ""), (Part::AdamM, ".adam_m"), (Part::AdamV, ".adam_v")] {
            let (shape, bytes) = trainer.tensor(tensor, part, |view| {
                let dims = view.dims();
                let shape = if view.is_bias() { vec![dims[1]] } else { dims.to_vec() };
                (shape, view.values().flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
            })?;
            tensors.push((format!("{}{suffix}", tensor.name()), shape, bytes));
        }
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.expect("the bytes of a tensor fit its shape"))
    });
    let metadata = HashMap::from([
        ("step".to_string(), trainer.steps_done().to_string()),
        ("bits_version".to_string(), crate::BITS_VERSION.to_string()),
        ("state_digest".to_string(), trainer.digest()?.to_string()),
        ("height".to_string(), trainer.images().height().to_string()),
        ("width".to_string(), trainer.images().width().to_string()),
    ]);
    Ok(safetensors::serialize(views, Some(metadata)).expect("names are unique and sizes fit"))
}

/// A generator read from a file, and the shape of its images.
#[derive(Debug)]
pub struct Generator {
    /// Makes the images.
    pub sampler: Sampler<Box<[Line]>>,
    /// Pixels per column.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
}

impl Generator {
    /// Reads the generator's four parameter tensors and the images' shape; `source` names the data in errors.
    ///
    /// # Errors
    /// [`Error::Input`] if `bytes` are not such a file, or a value is beyond ±2²⁰.
    pub fn decode(bytes: &[u8], source: &str) -> Result<Generator, Error> {
        let bad = |problem: String| Error::input(source.to_string(), problem);
        let damaged = |error| bad(format!("not a safetensors file: {error}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let size = |key: &str| -> Result<usize, Error> {
            let text = header.metadata().as_ref().and_then(|map| map.get(key));
            let number = text.and_then(|text| text.parse().ok()).filter(|n| (1..=MAX_SIZE).contains(n));
            number.ok_or_else(|| bad(format!("its metadata have no {key}: not a state of this program")))
        };
        let (height, width) = (size("height")?, size("width")?);
        let tensor = |tensor: Tensor| -> Result<TensorView<'_>, Error> {
            let name = tensor.name();
            let view = file.tensor(name).map_err(|_| bad(format!("has no tensor {name}")))?;
            if view.dtype() == Dtype::F32 { Ok(view) } else { Err(bad(format!("{name} is not of type F32"))) }
        };
        let weight = tensor(Tensor::GeneratorHiddenWeight)?;
        let &[latent, hidden] = weight.shape() else {
            return Err(bad("generator.hidden.weight has not two dimensions".to_string()));
        };
        let named = |error: Error| match error {
            Error::Input { source, problem } => bad(format!("{source}: {problem}")),
            Error::Usage { setting, problem } => bad(format!("size {setting}: {problem}")),
            other => other,
        };
        let mut sampler = Sampler::new(latent, hidden, height * width).map_err(named)?;
        for (id, shape) in [
            (Tensor::GeneratorHiddenWeight, vec![latent, hidden]),
            (Tensor::GeneratorHiddenBias, vec![hidden]),
            (Tensor::GeneratorOutWeight, vec![hidden, height * width]),
            (Tensor::GeneratorOutBias, vec![height * width]),
        ] {
            let view = tensor(id)?;
            if view.shape() != shape {
                return Err(bad(format!("{} has shape {:?}, expected {shape:?}", id.name(), view.shape())));
            }
            let (words, _) = view.data().as_chunks::<4>();
            sampler.set(id, words.iter().map(|&word| f32::from_le_bytes(word))).map_err(named)?;
        }
        Ok(Generator { sampler, height, width })
    }
}
