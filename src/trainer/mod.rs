//! Training: [`Trainer::step`] is the algorithm on one screen. Uses everything above it: `config`, `parallel`,
//! `kernels`, `rng`, `data`, `model`.

mod sampler;
mod state;

use core::sync::atomic::{AtomicBool, Ordering};

pub use sampler::Sampler;
pub use state::Digest;

use crate::config::Config;
use crate::data::Images;
use crate::data::batches::Epoch;
use crate::error::Error;
use crate::kernels::Isa;
use crate::kernels::dense::ColumnSums;
use crate::kernels::lists::{ListsMut, PIXEL};
use crate::kernels::reference::AdamRates;
use crate::kernels::tiles::{Line, MatMut, transpose};
use crate::model::discriminator::{self, Real};
use crate::model::generator::{self, Sampling};
use crate::model::layout::{Arena, Part, Sizes, Tensor, TensorView, arena_lines};
use crate::model::loss;
use crate::model::update::{Update, real_logit_gradient, real_weight_gradient};
use crate::parallel::{Join, for_each_block};
use crate::rng::Purpose;

/// What a step reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepStats {
    /// The step, counted from 1.
    pub step: u64,
    /// Mean of −log D(G(z)) before the step's update.
    pub generator_loss: f32,
    /// Mean of −log D(x) − log(1 − D(G(z))) before the step's update.
    pub discriminator_loss: f32,
}

/// What to do with terms of a sum that are exactly zero. The bits are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// Leave them out.
    LeftOut,
    /// Add them.
    Kept,
}

/// A run: two networks, their optimisers, and the place in the stream of batches.
///
/// `M` is the arena: `Box<[Line]>` from [`Trainer::new`], or memory of the caller's from [`Trainer::in_memory`].
#[derive(Debug)]
pub struct Trainer<'a, M> {
    config: Config,
    isa: Isa,
    zeros: Zeros,
    sizes: Sizes,
    images: Images<'a>,
    epoch: Epoch,
    step: u64,
    diverged: bool,
    memory: M,
}

#[cfg(feature = "std")]
impl<'a> Trainer<'a, Box<[Line]>> {
    /// A run at step 0 on the fastest backend, with an arena of its own.
    ///
    /// # Errors
    /// As [`Trainer::in_memory`].
    pub fn new(config: Config, images: Images<'a>) -> Result<Self, Error> {
        let lines = Self::memory_lines(&config, images)?;
        let memory = bytemuck::try_zeroed_slice_box(lines)
            .map_err(|()| Error::environment(format!("no memory for {lines} × 64 bytes")))?;
        Self::in_memory(config, images, memory)
    }
}

impl<'a, M: AsMut<[Line]>> Trainer<'a, M> {
    /// The lines of 64 bytes that [`Trainer::in_memory`] needs; `images` is the whole set, held-out images included.
    ///
    /// # Errors
    /// As [`Trainer::in_memory`].
    pub fn memory_lines(config: &Config, images: Images<'_>) -> Result<usize, Error> {
        arena_lines(&Self::sizes(config, images)?)
    }

    fn sizes(config: &Config, images: Images<'_>) -> Result<Sizes, Error> {
        config.validate()?;
        let count = images.count().saturating_sub(config.validation);
        if count == 0 {
            return Err(Error::input("images", "no more of them than validation holds out"));
        }
        if count < config.batch_size {
            return Err(Error::input("images", "after validation fewer are left than batch-size"));
        }
        Ok(Sizes::new(config, images.size(), count))
    }

    /// A run at step 0 in the caller's memory, on the fastest backend. The first `config.validation` images are left
    /// alone.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting out of range, [`Error::Input`] if there are too few images,
    /// [`Error::Environment`] if `memory` is too short.
    pub fn in_memory(config: Config, images: Images<'a>, mut memory: M) -> Result<Self, Error> {
        let sizes = Self::sizes(&config, images)?;
        if memory.as_mut().len() < arena_lines(&sizes)? {
            return Err(Error::environment("the arena is shorter than memory_lines"));
        }
        Arena::carve(memory.as_mut(), &sizes).initialise(config.seed);
        let images = images.skip(config.validation);
        let mut trainer = Trainer {
            config,
            isa: Isa::Reference,
            zeros: Zeros::LeftOut,
            sizes,
            images,
            epoch: Epoch::default(),
            step: 0,
            diverged: false,
            memory,
        };
        trainer.set_isa(Isa::best());
        Ok(trainer)
    }

    /// Chooses the backend. The bits are the same; `reference` also keeps zeros, by definition.
    pub fn set_isa(&mut self, isa: Isa) {
        self.isa = isa;
        self.zeros = if isa == Isa::Reference { Zeros::Kept } else { Zeros::LeftOut };
    }

    /// Chooses what becomes of zero terms, to measure what leaving them out gains.
    pub fn set_zeros(&mut self, zeros: Zeros) {
        self.zeros = zeros;
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// The backend.
    pub fn isa(&self) -> Isa {
        self.isa
    }
    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }
    /// Pixels per image.
    pub fn image_size(&self) -> usize {
        self.sizes.pixels
    }
    /// The images that it trains on, without those held out.
    pub fn images(&self) -> Images<'a> {
        self.images
    }

    /// One step: both gradients from the parameters before it, then both updates. Allocates nothing.
    ///
    /// # Errors
    /// [`Error::Diverged`], then and at every later call.
    pub fn step<J: Join>(&mut self, join: &J) -> Result<StepStats, Error> {
        self.check()?;
        let step = self.step + 1;
        let (isa, config) = (self.isa, &self.config);
        let Arena {
            g_hidden_weight,
            g_hidden_bias,
            g_out_weight_t,
            g_out_bias,
            mut d_hidden_weight,
            d_hidden_bias,
            d_out_weight_t,
            d_out_bias,
            mut z,
            order,
            batch,
            mut real,
            mut real_by_image,
            mut real_by_pixel,
            mut g_hidden,
            mut g_hidden_t,
            mut fake_t,
            mut d_hidden_real,
            mut d_hidden_fake,
            mut rows,
            mut dd_hidden_real,
            mut dd_hidden_fake,
            mut dg_d_hidden,
            mut dg_d_hidden_t,
            mut d_fake_t,
            mut dg_hidden,
            mut partial,
            partial_latent,
            mut partial_out,
            d_g_out_bias,
            d_g_hidden_bias,
            d_d_hidden_bias,
        } = Arena::carve(self.memory.as_mut(), &self.sizes);

        let (d_weight, d_bias) = (d_hidden_weight.p.view(), d_hidden_bias.p.row(0));
        let (out_weight, out_bias) = (d_out_weight_t.p.row(0), d_out_bias.p.row(0)[0]);
        let (g_weight_t, zeros, images) = (g_out_weight_t.p.view(), self.zeros, self.images);
        self.epoch.batch(step, config.seed, order, batch);

        join.join(
            // Real images: through the discriminator and back, to its gradients' chains over the real rows.
            || {
                let real = match zeros {
                    Zeros::Kept => {
                        expand(images, batch, &mut real);
                        Real::Dense(real.view())
                    }
                    Zeros::LeftOut => {
                        list(join, images, batch, real_by_image.reborrow());
                        real_by_pixel.set_transpose(real_by_image.view());
                        Real::Lists { by_image: real_by_image.view(), by_pixel: real_by_pixel.view() }
                    }
                };
                discriminator::hidden_forward_real(
                    join,
                    isa,
                    real,
                    d_weight,
                    d_bias,
                    d_hidden_real.reborrow(),
                );
                let hidden = d_hidden_real.view();
                discriminator::logits(join, isa, hidden, out_weight, out_bias, rows.logits_real);
                loss::backward(isa, rows.logits_real, true, rows.loss_real, rows.d_real.row_mut(0));
                let (d_logits, d_hidden) = (rows.d_real.view(), &mut dd_hidden_real);
                let d_row = d_logits.row(0);
                discriminator::hidden_backward(join, isa, d_row, out_weight, hidden, d_hidden.reborrow());
                real_weight_gradient(join, isa, real, d_hidden.view(), partial.reborrow());
                real_logit_gradient(isa, d_logits, hidden, partial_out.reborrow());
                d_d_hidden_bias.fill(0.0);
                isa.run(ColumnSums { x: d_hidden.view(), sums: d_d_hidden_bias });
            },
            // Noise: through the generator.
            || {
                generator::noise(join, config.seed, |row| Purpose::Noise(step, row), z.reborrow());
                let (weight, bias) = (g_hidden_weight.p.view(), g_hidden_bias.p.row(0));
                generator::hidden_forward(join, isa, z.view(), weight, bias, g_hidden.reborrow());
                let (hidden, hidden_t, bias) = (g_hidden.view(), g_hidden_t.reborrow(), g_out_bias.p.row(0));
                generator::out_forward(join, isa, hidden, hidden_t, g_weight_t, bias, fake_t.reborrow());
            },
        );

        // Generated images: through the discriminator, and back for both losses.
        let fake = fake_t.view();
        discriminator::hidden_forward_fake(join, isa, fake, d_weight, d_bias, d_hidden_fake.reborrow());
        let hidden = d_hidden_fake.view();
        discriminator::logits(join, isa, hidden, out_weight, out_bias, rows.logits_fake);
        loss::backward(isa, rows.logits_fake, false, rows.loss_fake, rows.d_fake.row_mut(0));
        loss::backward(isa, rows.logits_fake, true, rows.loss_generator, rows.d_generator.row_mut(0));
        let (d_logits, d_hidden) = (rows.d_fake.view(), &mut dd_hidden_fake);
        discriminator::hidden_backward(join, isa, d_logits.row(0), out_weight, hidden, d_hidden.reborrow());
        let (d_row, dg) = (rows.d_generator.row(0), &mut dg_d_hidden);
        discriminator::hidden_backward(join, isa, d_row, out_weight, hidden, dg.reborrow());
        transpose(dg.view(), dg_d_hidden_t.reborrow());

        // From here on a weight is updated as soon as nothing needs its old value.
        let rates = AdamRates::new(config.learning_rate, config.beta1, config.beta2, config.epsilon, step);
        let diverged = AtomicBool::new(false);
        let update = Update { isa, rates, diverged: &diverged };
        let (by_fake, d_pixels) = ((fake, d_hidden.view()), (d_fake_t.reborrow(), &mut *d_g_out_bias));
        let (weight, chains) = (d_hidden_weight.reborrow(), partial.reborrow());
        update.pixels_backward_then_weight(join, weight, chains, by_fake, dg_d_hidden_t.view(), d_pixels);
        let (d_pixels, g_h) = (d_fake_t.view(), g_hidden.view());
        join.join(
            || generator::hidden_backward(join, isa, d_pixels, g_weight_t, g_h, dg_hidden.reborrow()),
            || {
                isa.run(ColumnSums { x: d_hidden.view(), sums: d_d_hidden_bias });
                update.bias(d_hidden_bias, d_d_hidden_bias);
                update.logit_weight(d_out_weight_t, partial_out, d_logits, hidden);
                let terms = rows.d_real.row(0).iter().chain(d_logits.row(0));
                update.bias(d_out_bias, &[terms.fold(0.0, |sum: f32, &d| sum + d)]);
            },
        );
        join.join(
            || update.weight(join, g_out_weight_t, partial, d_pixels, g_h),
            || {
                update.bias(g_out_bias, d_g_out_bias);
                update.weight_by_rows(join, g_hidden_weight, partial_latent, z.view(), dg_hidden.view());
                d_g_hidden_bias.fill(0.0);
                isa.run(ColumnSums { x: dg_hidden.view(), sums: d_g_hidden_bias });
                update.bias(g_hidden_bias, d_g_hidden_bias);
            },
        );
        let generator_loss = loss::mean(&[rows.loss_generator], batch.len());
        let discriminator_loss = loss::mean(&[rows.loss_real, rows.loss_fake], batch.len());

        self.step = step;
        self.diverged = diverged.load(Ordering::Relaxed);
        self.check()?;
        Ok(StepStats { step, generator_loss, discriminator_loss })
    }

    /// Generates images `first..first + out.len()/image_size` of the samples of `seed`, a byte per pixel, white ink on
    /// black as in MNIST. An image depends on the weights, the seed and its index alone.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence; [`Error::Usage`] if `out` is not a whole number of images.
    pub fn sample<J: Join>(&mut self, join: &J, seed: u64, first: u64, out: &mut [u8]) -> Result<(), Error> {
        self.check()?;
        let pixels = self.sizes.pixels;
        if !out.len().is_multiple_of(pixels) {
            return Err(Error::usage("out", "expected a whole number of images"));
        }
        let Arena {
            g_hidden_weight,
            g_hidden_bias,
            g_out_weight_t,
            g_out_bias,
            z,
            g_hidden,
            g_hidden_t,
            fake_t,
            ..
        } = Arena::carve(self.memory.as_mut(), &self.sizes);
        let mut sampling = Sampling {
            hidden_weight: g_hidden_weight.p.view(),
            hidden_bias: g_hidden_bias.p.row(0),
            out_weight_t: g_out_weight_t.p.view(),
            out_bias: g_out_bias.p.row(0),
            z,
            hidden: g_hidden,
            hidden_t: g_hidden_t,
            fake_t,
        };
        sampling.run(join, self.isa, seed, first, out);
        Ok(())
    }

    /// The digest of the state: SHA-256 of its canonical form, see [`Trainer::state_bytes`].
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn digest(&mut self) -> Result<Digest, Error> {
        self.check()?;
        Ok(state::digest(self.step, &mut Arena::carve(self.memory.as_mut(), &self.sizes)))
    }

    /// Bytes of a state in its canonical form: the step as u64, then all parameters, all first moments and all second
    /// moments as f32, little-endian; each G before D, layer by layer, weight before bias, row-major.
    pub fn state_bytes(&mut self) -> usize {
        state::length(&mut Arena::carve(self.memory.as_mut(), &self.sizes))
    }

    /// Hands the state in its canonical form to `sink`, piece by piece: [`Trainer::state_bytes`] in all.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn save(&mut self, sink: impl FnMut(&[u8])) -> Result<(), Error> {
        self.check()?;
        state::save(self.step, &mut Arena::carve(self.memory.as_mut(), &self.sizes), sink);
        Ok(())
    }

    /// Goes on from a state in its canonical form: the next steps are those that the saved run would have taken, if
    /// settings and data are the same.
    ///
    /// # Errors
    /// [`Error::Input`] if it has another length, or a value that no step can leave behind; nothing is changed then.
    pub fn load(&mut self, state: &[u8]) -> Result<(), Error> {
        self.step = state::load(state, &mut Arena::carve(self.memory.as_mut(), &self.sizes))?;
        self.diverged = false;
        Ok(())
    }

    /// The discriminator's mean probability of a real image being real, and of a generated one, in the last step,
    /// before its update: mean σ(logit), ascending adds in f64, rounded once. 0 before the first step.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn mean_probabilities(&mut self) -> Result<(f32, f32), Error> {
        self.check()?;
        let rows = Arena::carve(self.memory.as_mut(), &self.sizes).rows;
        Ok((loss::mean_probability(rows.logits_real), loss::mean_probability(rows.logits_fake)))
    }

    /// Calls `look` with the parameters or a moment of a tensor.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn tensor<R>(
        &mut self,
        tensor: Tensor,
        part: Part,
        look: impl FnOnce(TensorView<'_>) -> R,
    ) -> Result<R, Error> {
        self.check()?;
        Ok(look(Arena::carve(self.memory.as_mut(), &self.sizes).view(tensor, part)))
    }

    /// Calls `look` with everything that the last step left in memory: noise, batch, hidden values, gradients.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn arena<R>(&mut self, look: impl FnOnce(&mut Arena<'_>) -> R) -> Result<R, Error> {
        self.check()?;
        Ok(look(&mut Arena::carve(self.memory.as_mut(), &self.sizes)))
    }

    fn check(&self) -> Result<(), Error> {
        if self.diverged { Err(Error::Diverged { step: self.step }) } else { Ok(()) }
    }
}

/// The non-zero pixels of the batch's images.
fn list<J: Join>(join: &J, images: Images<'_>, batch: &[u32], lists: ListsMut<'_>) {
    for_each_block(join, lists, 16, &|first, mut lists: ListsMut<'_>| {
        for row in 0..lists.len.len() {
            lists.set_image(row, images.image(batch[first + row] as usize));
        }
    });
}

/// The batch's images with their zeros.
fn expand(images: Images<'_>, batch: &[u32], real: &mut MatMut<'_>) {
    for (row, &image) in batch.iter().enumerate() {
        for (x, &pixel) in real.row_mut(row).iter_mut().zip(images.image(image as usize)) {
            *x = pixel as f32 * PIXEL;
        }
    }
}
