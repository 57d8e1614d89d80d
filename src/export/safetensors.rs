//! A state as safetensors, by the `safetensors` crate. Names are plain (`generator.hidden.weight`,
//! `generator.hidden.weight.adam_m`, `.adam_v`), values f32 row-major, biases one-dimensional.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};

use crate::error::Error;
use crate::kernels::tiles::Line;
use crate::model::layout::{Part, Tensor};
use crate::trainer::Trainer;

/// The bytes of a safetensors file with every parameter and both moments; the metadata hold `step`, `bits_version` and
/// `state_digest`.
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
    ]);
    Ok(safetensors::serialize(views, Some(metadata)).expect("names are unique and sizes fit"))
}
