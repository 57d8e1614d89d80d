//! A checkpoint as safetensors, by the `safetensors` crate: any reader of the format finds every parameter and both
//! moments under plain names.
//!
//! Tensors are `generator.hidden.weight` `[latent, hidden]`, `generator.hidden.bias` `[hidden]`, `generator.out.weight`
//! `[hidden, pixels]`, `generator.out.bias` `[pixels]`, the same four of `discriminator`, and for each `….adam_m` and
//! `….adam_v`; f32, row-major. If there is an average of the generator's parameters, its four have `….average`, too. A conditional
//! generator has latent + classes rows first, and the discriminator pack · (pixels + classes): see `trainer`. The metadata have
//! one entry, `checkpoint`, of lines `key=value`: `step`, `bits_version`, `state_digest`, if there is one `average_digest`,
//! `data_digest`, the images' `height` and `width`, the number of `classes` if there are labels, every setting by the name of its flag, and last
//! `digest`, the SHA-256 of all lines before. (One entry, because the crate writes several in random order.)
//! The bytes of a checkpoint are a function of its contents.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::Range;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorView, View};

use crate::BITS_VERSION;
use crate::config::{Config, MAX_SIZE, MAX_STEPS};
use crate::data::AsImages;
use crate::digest::{Digest, Digests};
use crate::error::Error;
use crate::kernels::tiles::Line;
use crate::memory;
use crate::model::sizes::Sizes;
use crate::model::tensor::{Part, Tensor};
use crate::trainer::{GeneratorShape, Sampler, Trainer};

/// The one key of the metadata.
const KEY: &str = "checkpoint";
/// The parts of a tensor and the ends of their names.
const PARTS: [(Part, &str); 3] = [(Part::Parameter, ""), (Part::AdamM, ".adam_m"), (Part::AdamV, ".adam_v")];
/// Bytes that a header has less than: read, it takes up to thirty times as many.
const LONGEST_HEADER: usize = 1 << 20;
/// The end of the name of an average.
const AVERAGE: &str = ".average";

/// The parts of the tensors of a checkpoint in order, with the ends of their names.
fn parts(averaged: bool) -> impl Iterator<Item = (Tensor, Part, &'static str)> {
    let state = PARTS.into_iter().flat_map(|(part, end)| Tensor::ALL.map(|tensor| (tensor, part, end)));
    let averages = Tensor::GENERATOR.map(|tensor| (tensor, Part::Average, AVERAGE));
    state.chain(averages.into_iter().filter(move |_| averaged))
}

/// The bytes of a checkpoint of a run on the data with that digest: those of [`Checkpoint::encode`], without a second state
/// in memory.
///
/// # Errors
/// [`Error::Diverged`] after divergence, [`Error::Environment`] if there is no memory for them.
pub fn encode<D: AsImages, M: AsRef<[Line]>>(
    trainer: &Trainer<D, M>,
    data: Digest,
) -> Result<Vec<u8>, Error> {
    let head = Checkpoint::head(trainer, data)?;
    head.serialize(
        head.tensors()
            .zip(parts(head.sizes().averaged))
            .map(|((name, shape, _), (tensor, part, _))| (name, Values { trainer, tensor, part, shape })),
    )
}

/// A tensor of a trainer, whose bytes are made when they are asked for: one tensor's at a time.
struct Values<'a, D, M> {
    trainer: &'a Trainer<D, M>,
    tensor: Tensor,
    part: Part,
    shape: Vec<usize>,
}

impl<D: AsImages, M: AsRef<[Line]>> View for Values<'_, D, M> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        let view = self.trainer.tensor(self.tensor, self.part);
        let view = view.expect("encode found that the run has not diverged");
        Cow::Owned(view.values().flat_map(f32::to_le_bytes).collect())
    }
    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}

/// The header and the tensors of a file.
fn parse(bytes: &[u8]) -> Result<(Metadata, SafeTensors<'_>), String> {
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if (LONGEST_HEADER as u64..bytes.len() as u64).contains(&length) {
        return Err(format!("its header has {length} bytes, expected less than {LONGEST_HEADER}"));
    }
    let damaged = |error| format!("not a whole safetensors file: {error}");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    Ok((header, SafeTensors::deserialize(bytes).map_err(damaged)?))
}

/// The shape of a tensor in a file: a bias has one dimension.
fn shape(tensor: Tensor, sizes: &Sizes) -> Vec<usize> {
    let [rows, cols] = tensor.dims(sizes);
    if tensor.is_bias() { vec![cols] } else { vec![rows, cols] }
}

/// The tensors of a state, and of the average, in canonical order: name, shape, and where its canonical form holds the values.
fn tensors(sizes: Sizes) -> impl Iterator<Item = (String, Vec<usize>, Range<usize>)> {
    let mut end = 8;
    parts(sizes.averaged).map(move |(tensor, _, suffix)| {
        let (shape, start) = (shape(tensor, &sizes), end);
        end += 4 * shape.iter().product::<usize>();
        (format!("{}{suffix}", tensor.name()), shape, start..end)
    })
}

/// A state with all that belongs to it: made of a trainer, or read and then checked against both of its digests.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// The settings.
    pub config: Config,
    /// Digest of the data that it trained on.
    pub data_digest: Digest,
    /// Digests of the state and of the average.
    pub digests: Digests,
    /// Pixels per column.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
    /// Classes; 0 without labels.
    pub classes: usize,
    /// The state in its canonical form, for [`Trainer::load`].
    pub state: Vec<u8>,
}

impl Checkpoint {
    /// The state of `trainer`, whose data have the digest `data`.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence, [`Error::Environment`] if there is no memory for it.
    pub fn of<D: AsImages, M: AsRef<[Line]>>(
        trainer: &Trainer<D, M>,
        data: Digest,
    ) -> Result<Checkpoint, Error> {
        let mut state = memory::room(trainer.state_bytes(), "state")?;
        trainer.save(|bytes| state.extend_from_slice(bytes))?;
        Ok(Checkpoint { state, ..Self::head(trainer, data)? })
    }

    /// [`Checkpoint::of`] without the state itself.
    fn head<D: AsImages, M: AsRef<[Line]>>(
        trainer: &Trainer<D, M>,
        data: Digest,
    ) -> Result<Checkpoint, Error> {
        let images = trainer.images();
        Ok(Checkpoint {
            step: trainer.steps_done(),
            config: trainer.config().clone(),
            data_digest: data,
            digests: trainer.digests()?,
            height: images.height(),
            width: images.width(),
            classes: trainer.classes(),
            state: Vec::new(),
        })
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`Error::Environment`] if there is no memory for them.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        self.serialize(self.tensors().map(|(name, shape, at)| {
            let view = TensorView::new(Dtype::F32, shape, &self.state[at]);
            (name, view.expect("a shape's own number of bytes"))
        }))
    }

    /// The bytes of a file with these tensors.
    fn serialize<V: View>(&self, tensors: impl Iterator<Item = (String, V)>) -> Result<Vec<u8>, Error> {
        let Checkpoint { step, config, data_digest, height, width, .. } = self;
        let Digests { state: state_digest, average: average_digest } = self.digests;
        let line = |key: &str, value: Option<String>| {
            value.map_or(String::new(), |value| format!("{key}={value}\n"))
        };
        let average = line("average_digest", average_digest.map(|digest| digest.to_string()));
        let classes = line("classes", (self.classes > 0).then(|| self.classes.to_string()));
        let mut lines = format!(
            "step={step}\nbits_version={BITS_VERSION}\nstate_digest={state_digest}\n{average}data_digest={data_digest}\n\
             height={height}\nwidth={width}\n{classes}"
        );
        for (name, value) in config.pairs() {
            lines += &format!("{name}={value}\n");
        }
        lines += &format!("digest={}\n", Digest::of(lines.as_bytes()));
        let metadata = HashMap::from([(KEY.to_string(), lines)]);
        let tensors: Vec<_> = tensors.collect();
        // The crate takes as much, and the largest tensor once more.
        let sizes = || tensors.iter().map(|(_, view)| view.data_len());
        drop(memory::room(sizes().sum::<usize>() + sizes().max().unwrap_or(0), "checkpoint")?);
        Ok(safetensors::serialize(tensors, Some(metadata)).expect("names are unique and sizes fit"))
    }

    /// The tensors in canonical order: name, shape, and where the state holds its values.
    pub fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>, Range<usize>)> {
        tensors(self.sizes())
    }

    fn sizes(&self) -> Sizes {
        Sizes::new(&self.config, self.height * self.width, self.classes, 0)
    }

    /// Reads a checkpoint; `source` names the data in errors.
    ///
    /// # Errors
    /// [`Error::Input`] if `bytes` are not a checkpoint of this version of the bits, or damaged, or a value is one that
    /// no step leaves behind; [`Error::Environment`] if there is no memory for it.
    pub fn decode(bytes: &[u8], source: &str) -> Result<Checkpoint, Error> {
        let bad = |problem: String| Error::input(source.to_string(), problem);
        let (header, file) = parse(bytes).map_err(bad)?;
        let lines = header.metadata().as_ref().and_then(|map| map.get(KEY));
        let lines = lines.ok_or_else(|| bad("not a checkpoint of duel: no such metadata".to_string()))?;
        let get = |key: &str| {
            lines
                .lines()
                .find_map(|line| line.split_once('=').filter(|(name, _)| *name == key))
                .map(|(_, v)| v)
        };
        let number = |key: &str| {
            let value = get(key).and_then(|text| text.parse::<u64>().ok());
            value.ok_or_else(|| bad(format!("{key}: missing or malformed")))
        };
        let bits_version = number("bits_version")?;
        if bits_version != BITS_VERSION as u64 {
            return Err(bad(format!("bits_version is {bits_version}, this program's {BITS_VERSION}")));
        }
        let signed = lines.rfind("digest=").unwrap_or(0);
        if lines[signed..] != format!("digest={}\n", Digest::of(&lines.as_bytes()[..signed])) {
            return Err(bad("damaged or edited: its metadata have another digest than they say".to_string()));
        }
        let config = Config::from_pairs(get).map_err(|error| bad(error.to_string()))?;
        let (height, width) = (number("height")? as usize, number("width")? as usize);
        let pixels = height.checked_mul(width).filter(|pixels| (1..=MAX_SIZE).contains(pixels));
        let pixels = pixels.ok_or_else(|| bad("expected images of 1 to 65536 pixels".to_string()))?;
        let classes = if config.labels { number("classes")? as usize } else { 0 };
        if classes > 256 || config.labels && classes == 0 {
            return Err(bad("expected 1 to 256 classes".to_string()));
        }
        let sizes = Sizes::new(&config, pixels, classes, 0);
        let step = number("step")?;
        if step > MAX_STEPS {
            return Err(bad("step: expected 0 to 2^47".to_string()));
        }
        // A file is longer than its state: it has the length of its header where that has the step.
        let mut state = memory::room(bytes.len(), source)?;
        state.extend(step.to_le_bytes());
        for (name, shape, _) in tensors(sizes) {
            let view = file.tensor(&name).map_err(|_| bad(format!("has no tensor {name}")))?;
            let (dtype, is) = (view.dtype(), view.shape());
            if dtype != Dtype::F32 || is != shape {
                return Err(bad(format!("{name}: expected F32 {shape:?}, not {dtype:?} {is:?}")));
            }
            state.extend_from_slice(view.data());
        }
        let ours = |name: &str| tensors(sizes).any(|(own, ..)| own == name);
        if let Some(other) = file.names().into_iter().filter(|name| !ours(name)).min() {
            return Err(bad(format!("has a tensor {other}, which is none of a checkpoint's")));
        }
        let digest = |key| get(key).and_then(Digest::parse);
        let average_at = tensors(sizes).nth(PARTS.len() * Tensor::ALL.len()).map(|(.., at)| at.start);
        let (of_state, of_average) = state.split_at(average_at.unwrap_or(state.len()));
        let digests =
            Digests { state: Digest::of(of_state), average: average_at.map(|_| Digest::of(of_average)) };
        if digest("state_digest") != Some(digests.state) || digest("average_digest") != digests.average {
            return Err(bad("damaged or edited: its tensors have another digest than it says".to_string()));
        }
        for ((_, part, _), (.., at)) in parts(sizes.averaged).zip(tensors(sizes)) {
            if !state[at].as_chunks().0.iter().all(|&word| part.admits(f32::from_le_bytes(word))) {
                return Err(bad("holds a value that no step leaves behind".to_string()));
            }
        }
        let data_digest =
            digest("data_digest").ok_or_else(|| bad("data_digest: missing or malformed".to_string()))?;
        Ok(Checkpoint { step, config, data_digest, digests, height, width, classes, state })
    }

    /// A state at step 0 of a network of the trainer's sizes whose parameters are those of any safetensors file that has the eight of
    /// them, under a checkpoint's names and in its shapes, as f32; other tensors, such as moments, are passed over. Moments are 0, and
    /// an average, if there is one, is the parameters. The bytes are in canonical form, for [`Trainer::load`]; `source` names the
    /// file in errors.
    ///
    /// # Errors
    /// [`Error::Input`] if `bytes` are no such file, a tensor is missing or of another shape or kind, or a value is beyond ±2²⁰;
    /// [`Error::Environment`] if there is no memory for them.
    pub fn initial_state<D: AsImages, M: AsRef<[Line]>>(
        trainer: &Trainer<D, M>,
        bytes: &[u8],
        source: &str,
    ) -> Result<Vec<u8>, Error> {
        let bad = |problem: String| Error::input(source.to_string(), problem);
        let (_, file) = parse(bytes).map_err(bad)?;
        let head = Checkpoint::head(trainer, Digest::of(&[]))?;
        let sizes = head.sizes();
        let mut state = memory::room(trainer.state_bytes(), source)?;
        state.extend(0u64.to_le_bytes());
        for (tensor, part, _) in parts(sizes.averaged) {
            let (name, shape) = (tensor.name(), shape(tensor, &sizes));
            let view = file.tensor(name).map_err(|_| bad(format!("has no tensor {name}")))?;
            let (dtype, is) = (view.dtype(), view.shape());
            if dtype != Dtype::F32 || is != shape {
                return Err(bad(format!("{name}: expected F32 {shape:?}, not {dtype:?} {is:?}")));
            }
            match part {
                Part::AdamM | Part::AdamV => state.resize(state.len() + view.data().len(), 0),
                Part::Parameter | Part::Average => state.extend_from_slice(view.data()),
            }
            let values = view.data().as_chunks().0;
            if let Some(at) =
                values.iter().position(|&word| !Part::Parameter.admits(f32::from_le_bytes(word)))
            {
                return Err(bad(format!("{name}: value {at} is beyond ±2^20 or not a number")));
            }
        }
        Ok(state)
    }

    /// Goes on from it with `trainer`, whose data have the digest `data`: its next steps are those of the saved run.
    ///
    /// # Errors
    /// [`Error::Input`] if settings or data are not those of the saved run; nothing is changed then.
    pub fn resume<D: AsImages, M: AsRef<[Line]> + AsMut<[Line]>>(
        &self,
        trainer: &mut Trainer<D, M>,
        data: Digest,
    ) -> Result<(), Error> {
        let differs = |name: &str, is: &dyn Display, wanted: &dyn Display| {
            let problem = format!("{name} is {is} in this state, not {wanted}: it cannot go on");
            Err(Error::input("checkpoint", problem))
        };
        for ((name, is), (_, wanted)) in self.config.pairs().zip(trainer.config().pairs()) {
            if is != wanted {
                return differs(name, &is, &wanted);
            }
        }
        if self.data_digest != data {
            return differs("data_digest", &self.data_digest, &data);
        }
        trainer.load(&self.state)
    }

    /// The generator's tensors in canonical order, the values of each as little-endian f32s, row-major: the average, if there is one,
    /// unless the parameters are wanted `raw`.
    pub fn generator(&self, raw: bool) -> impl Iterator<Item = (Tensor, &[u8])> {
        let averaged = self.sizes().averaged;
        let wanted = if averaged && !raw { Part::Average } else { Part::Parameter };
        parts(averaged).zip(self.tensors()).filter_map(move |((tensor, part, _), (.., at))| {
            (part == wanted && tensor.is_generators()).then(|| (tensor, &self.state[at]))
        })
    }

    /// The generator, ready to make images: with the average of its parameters, if there is one, unless they are wanted `raw`.
    ///
    /// # Errors
    /// [`Error::Environment`] if there is no memory for it.
    pub fn sampler(&self, raw: bool) -> Result<Sampler<Box<[Line]>>, Error> {
        let Sizes { latent, classes, generator_hidden, pixels, .. } = self.sizes();
        let mut sampler = Sampler::new(GeneratorShape { latent, classes, hidden: generator_hidden, pixels })?;
        for (tensor, values) in self.generator(raw) {
            let (words, _) = values.as_chunks();
            sampler.set(tensor, words.iter().map(|&word| f32::from_le_bytes(word)))?;
        }
        Ok(sampler)
    }
}
