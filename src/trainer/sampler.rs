//! Samples from a trained generator, without a run around it. Uses `model`.

use crate::config::MAX_SIZE;
use crate::error::Error;
use crate::kernels::Isa;
use crate::kernels::tiles::Line;
use crate::kernels::transpose::Transpose;
#[cfg(feature = "std")]
use crate::memory;
use crate::model::generator::{self, Noise, Room, Wanted, Weights};
use crate::model::layers::{Ops, Zeros};
use crate::model::layout::{Layout, OwnLayout, SamplerLayout, arena_lines};
use crate::model::places::Carver;
use crate::model::sizes::Sizes;
use crate::model::tensor::{Part, Tensor};
use crate::parallel::Team;

/// Images that are made at a time.
const BATCH: usize = 128;

/// A generator that makes images.
///
/// `M` is its memory: `Box<[Line]>` from [`Sampler::new`], or memory of the caller's from [`Sampler::in_memory`].
#[derive(Debug)]
pub struct Sampler<M> {
    sizes: Sizes,
    isa: Isa,
    memory: M,
}

/// The sizes of a generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratorShape {
    /// Noise per image.
    pub latent: usize,
    /// Classes that it can be asked for; 0 if it is not conditional.
    pub classes: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Pixels per image.
    pub pixels: usize,
}

impl GeneratorShape {
    fn sizes(self) -> Result<Sizes, Error> {
        let GeneratorShape { latent, classes, hidden, pixels } = self;
        let inputs = latent.saturating_add(classes);
        for (name, size) in [("latent", latent), ("latent", inputs), ("hidden", hidden), ("pixels", pixels)] {
            if !(1..=MAX_SIZE).contains(&size) {
                return Err(Error::usage(name, "expected 1 to 65536"));
            }
        }
        Ok(Sizes {
            latent,
            classes,
            generator_hidden: hidden,
            discriminator_hidden: 0,
            batch: BATCH,
            pack: 1,
            averaged: false,
            pixels,
            images: 0,
        })
    }
}

#[cfg(feature = "std")]
impl Sampler<Box<[Line]>> {
    /// A generator of these sizes on the fastest backend, all parameters 0, with memory of its own.
    ///
    /// # Errors
    /// As [`Sampler::in_memory`].
    pub fn new(shape: GeneratorShape) -> Result<Self, Error> {
        let lines = Self::memory_lines(shape)?;
        Self::in_memory(shape, memory::zeroed(lines)?)
    }
}

impl<M: AsMut<[Line]>> Sampler<M> {
    /// The lines of 64 bytes that [`Sampler::in_memory`] needs.
    ///
    /// # Errors
    /// [`Error::Usage`] if a size is not 1 to 2¹⁶, [`Error::Environment`] if so much cannot be addressed.
    pub fn memory_lines(shape: GeneratorShape) -> Result<usize, Error> {
        let sizes = shape.sizes()?;
        arena_lines(&sizes)?;
        Ok(SamplerLayout::new(&sizes).lines)
    }

    /// A generator of these sizes in the caller's memory on the fastest backend, all parameters 0.
    ///
    /// # Errors
    /// As [`Sampler::memory_lines`]; [`Error::Environment`] if `memory` is shorter.
    pub fn in_memory(shape: GeneratorShape, mut memory: M) -> Result<Self, Error> {
        if memory.as_mut().len() < Self::memory_lines(shape)? {
            return Err(Error::environment("the arena is shorter than memory_lines"));
        }
        memory.as_mut().fill(Line::filled(0.0));
        Ok(Sampler { sizes: shape.sizes()?, isa: Isa::best(), memory })
    }

    /// Sets a parameter tensor of the generator from its values, row-major.
    ///
    /// # Errors
    /// [`Error::Input`] if it is not the generator's, `values` has another length, or a value is beyond ±2²⁰.
    pub fn set(
        &mut self,
        tensor: Tensor,
        values: impl ExactSizeIterator<Item = f32> + Clone,
    ) -> Result<(), Error> {
        let layout = SamplerLayout::new(&self.sizes);
        let place = match tensor {
            Tensor::GeneratorHiddenWeight => layout.w1,
            Tensor::GeneratorHiddenBias => layout.b1,
            Tensor::GeneratorOutWeight => layout.w2,
            Tensor::GeneratorOutBias => layout.b2,
            _ => return Err(Error::input(tensor.name(), "not a tensor of the generator")),
        };
        let mut stored = Carver::new(self.memory.as_mut()).mat::<f32>(place);
        if values.len() != stored.rows() * stored.cols() {
            return Err(Error::input(tensor.name(), "another number of values than its sizes say"));
        }
        if !values.clone().all(|x| Part::Parameter.admits(x)) {
            return Err(Error::input(tensor.name(), "a value is beyond ±2^20 or not a number"));
        }
        let columns = stored.cols();
        for (n, x) in values.enumerate() {
            stored.row_mut(n / columns)[n % columns] = x;
        }
        Ok(())
    }

    /// Chooses the backend. The bits are the same.
    pub fn set_isa(&mut self, isa: Isa) {
        self.isa = isa;
    }

    /// As [`Trainer::sample`](crate::Trainer::sample).
    ///
    /// # Errors
    /// [`Error::Usage`] if `out` is not a whole number of images; [`Error::Environment`] if a worker's floating-point unit is in
    /// another mode than the default, or a worker has not come to an end.
    pub fn sample(&mut self, team: &impl Team, seed: u64, first: u64, out: &mut [u8]) -> Result<(), Error> {
        self.sample_class(team, seed, first, None, out)
    }

    /// As [`Trainer::sample_class`](crate::Trainer::sample_class).
    ///
    /// # Errors
    /// As [`Sampler::sample`]; [`Error::Usage`] if there is no such class.
    pub fn sample_class(
        &mut self,
        team: &impl Team,
        seed: u64,
        first: u64,
        class: Option<usize>,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let wanted = Wanted { noise: Noise::Seed(seed), first, class, classes: self.sizes.classes };
        self.make(team, wanted, out)
    }

    /// As [`Trainer::generate`](crate::Trainer::generate).
    ///
    /// # Errors
    /// As [`Sampler::sample_class`]; [`Error::Usage`] if `z` is of another number of images, or a value is beyond ±2²⁰.
    pub fn generate(
        &mut self,
        team: &impl Team,
        z: &[f32],
        class: Option<usize>,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let wanted = Wanted { noise: Noise::Given(z), first: 0, class, classes: self.sizes.classes };
        self.make(team, wanted, out)
    }

    fn make(&mut self, team: &impl Team, wanted: Wanted<'_>, out: &mut [u8]) -> Result<(), Error> {
        if !out.len().is_multiple_of(self.sizes.pixels) {
            return Err(Error::usage("out", "expected a whole number of images"));
        }
        let (layout, mut carve) = (SamplerLayout::new(&self.sizes), Carver::new(self.memory.as_mut()));
        let [w1, b1, w2, b2, z, h, y] =
            [layout.w1, layout.b1, layout.w2, layout.b2, layout.z, layout.h, layout.y]
                .map(|place| carve.mat(place));
        let weights = Weights { w1: w1.view(), b1: b1.row(0), w2: w2.view(), b2: b2.row(0) };
        let room = Room { z, h, y, terms: carve.lists(layout.by_unit) };
        let ops = Ops { isa: self.isa, zeros: Zeros::LeftOut, watch: None };
        generator::sample(team, &ops, weights, room, wanted, out)
    }
}

/// Makes images in the arena of a trainer: of the average of its parameters, if there is one.
pub(super) fn from_arena(
    sizes: &Sizes,
    isa: Isa,
    memory: &mut [Line],
    team: &impl Team,
    wanted: Wanted<'_>,
    out: &mut [u8],
) -> Result<(), Error> {
    if !out.len().is_multiple_of(sizes.pixels) {
        return Err(Error::usage("out", "expected a whole number of images"));
    }
    let layout = Layout::new(sizes);
    let own = OwnLayout::new(sizes, sizes.pixels, sizes.discriminator_inputs());
    let part = if sizes.averaged { Part::Average } else { Part::Parameter };
    let (shared, memory) = memory.split_at_mut(layout.own);
    let (mut shared, mut memory) = (Carver::new(shared), Carver::new(memory));
    let [w1, b1, w2_t, b2] = core::array::from_fn(|i| shared.mat::<f32>(layout.tensors[i][part as usize]));
    let mut w2 = memory.mat(own.w2);
    isa.run(Transpose { from: w2_t.view(), to: w2.reborrow() });
    let weights = Weights { w1: w1.view(), b1: b1.row(0), w2: w2.view(), b2: b2.row(0) };
    let (z, h, y) = (shared.mat(layout.z), shared.mat(layout.h), memory.mat(own.dy));
    let room = Room { z, h, y, terms: memory.lists(own.by_unit) };
    generator::sample(team, &Ops { isa, zeros: Zeros::LeftOut, watch: None }, weights, room, wanted, out)
}
