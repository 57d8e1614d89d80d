//! Dumps fifty consecutive steps of a run on MNIST as safetensors, for `parity.py` and `torch_twin.py` to recompute.
//!
//! `cargo run --release --example parity -- OUT.safetensors [STATE.safetensors]`
//!
//! From step 0 of the default run, or from a checkpoint of a run on MNIST with any settings: `duel export RUN@STEP --out
//! STATE.safetensors` makes one of any step. Tensors `state.K.NAME` (and `.adam_m`, `.adam_v`, and `.average` where there is one)
//! for K in 0..=50; for K in 0..50 what takes state K to state K + 1: `z.K` [batch, latent + classes], `real.K` [batch, pixels],
//! `label.K` [batch] of a labelled run, and `mask.generator.K`, `mask.discriminator_real.K`, `mask.discriminator_fake.K` (1 where a
//! hidden value is positive); the metadata hold `first_step` and every setting. 300 MB of the default run.

use std::collections::HashMap;
use std::path::Path;

use duel::export::safetensors::Checkpoint;
use duel::kernels::tiles::Mat;
use duel::run::open_data;
use duel::{Config, Part, Serial, Tensor, Trainer};
use safetensors::tensor::{Dtype, TensorView};

/// Steps in the file.
const STEPS: u64 = 50;

type Dump = Vec<(String, Vec<usize>, Vec<u8>)>;

fn push(dump: &mut Dump, name: String, shape: Vec<usize>, values: impl Iterator<Item = f32>) {
    dump.push((name, shape, values.flat_map(f32::to_le_bytes).collect()));
}

fn push_state(
    dump: &mut Dump,
    prefix: &str,
    trainer: &mut Trainer<duel::Images<'_>, Box<[duel::Line]>>,
) -> Result<(), duel::Error> {
    for tensor in Tensor::ALL {
        for (part, suffix) in [(Part::Parameter, ""), (Part::AdamM, ".adam_m"), (Part::AdamV, ".adam_v")] {
            let name = format!("{prefix}.{}{suffix}", tensor.name());
            let view = trainer.tensor(tensor, part)?;
            push(dump, name, view.dims().to_vec(), view.values());
        }
        if let Ok(view) = trainer.tensor(tensor, Part::Average) {
            push(dump, format!("{prefix}.{}.average", tensor.name()), view.dims().to_vec(), view.values());
        }
    }
    Ok(())
}

fn mask(hidden: Mat<'_>) -> (Vec<usize>, Vec<f32>) {
    let values = (0..hidden.rows()).flat_map(|i| hidden.row(i)).map(|&h| (h > 0.0) as u8 as f32).collect();
    (vec![hidden.rows(), hidden.cols()], values)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let out = arguments.get(1).ok_or("usage: parity OUT.safetensors [STATE.safetensors]")?;
    let start = match arguments.get(2) {
        Some(path) => Some(Checkpoint::decode(&std::fs::read(path)?, path)?),
        None => None,
    };
    let config = start.as_ref().map_or_else(Config::default, |start| start.config.clone());
    let data = open_data(Path::new("data"), &config)?;
    let images = data.images();
    let mut trainer = Trainer::new(config.clone(), images)?;
    if let Some(start) = start {
        if start.data_digest != data.digest() {
            return Err("expected a state of a run on data/".into());
        }
        trainer.load(&start.state)?;
    }
    let first_step = trainer.steps_done() + 1;
    let mut dump = Dump::new();
    push_state(&mut dump, "state.0", &mut trainer)?;
    for k in 0..STEPS {
        trainer.step(&Serial)?;
        push_state(&mut dump, &format!("state.{}", k + 1), &mut trainer)?;
        let last = trainer.last_step()?;
        let (z, shape) = (last.z, vec![last.z.rows(), last.z.cols()]);
        push(&mut dump, format!("z.{k}"), shape, (0..z.rows()).flat_map(|i| z.row(i)).copied());
        let batch: Vec<usize> = last.batch.iter().map(|&i| i as usize).collect();
        let pixels =
            batch.iter().flat_map(|&i| trainer.images().image(i)).map(|&byte| byte as f32 * (1.0 / 255.0));
        push(&mut dump, format!("real.{k}"), vec![batch.len(), images.size()], pixels);
        if let (true, Some(labels)) = (config.labels, trainer.images().labels()) {
            let of_batch = batch.iter().map(|&i| labels[i] as f32);
            push(&mut dump, format!("label.{k}"), vec![batch.len()], of_batch);
        }
        for (name, hidden) in
            [("generator", last.h), ("discriminator_real", last.r), ("discriminator_fake", last.f)]
        {
            let (shape, values) = mask(hidden);
            push(&mut dump, format!("mask.{name}.{k}"), shape, values.into_iter());
        }
    }
    let views: Result<Vec<_>, _> = dump
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.as_str(), view))
        })
        .collect();
    let mut metadata = HashMap::from([("first_step".to_string(), first_step.to_string())]);
    metadata.extend(config.pairs().map(|(name, value)| (name.to_string(), value)));
    std::fs::write(out, safetensors::serialize(views?, Some(metadata))?)?;
    println!("{STEPS} steps from step {first_step} in {out}");
    Ok(())
}
