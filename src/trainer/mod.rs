//! Training: [`Trainer::step_watched`] is the algorithm on one screen. Uses everything above it: `config`, `parallel`,
//! `kernels`, `rng`, `data`, `model`.
//!
//! # The state before the first step
//!
//! The tensors in canonical order, numbered from 0: `generator.hidden.weight` \[latent, hidden\], `generator.hidden.bias`,
//! `generator.out.weight` \[hidden, pixels\], `generator.out.bias`, `discriminator.hidden.weight` \[pixels, hidden\],
//! `discriminator.hidden.bias`, `discriminator.out.weight` \[hidden, 1\], `discriminator.out.bias`. The weight at place i
//! (0, 2, 4 or 6) takes normals of [`Purpose::Init`]\(i) row by row, both of a pair in turn, the last one's second left out
//! where their number is odd; σ = 1/√(fan_in/2) in f64, fan_in being its rows. Biases and all moments are 0.
//!
//! # Step t, counted from 1
//!
//! Rules are those of [`reference`](mod@crate::kernels::reference). A product of matrices `·` is rule 2's chain, in
//! ascending k, stored as `acc + 0`; everything else is elementwise, each operation rounded, none fused. b is the batch
//! size as f32. Settings are f32s too.
//!
//! ```text
//! x, z     images of the batch, in its order, f32(byte)·f32(1/255); row i of z, from 0: uniforms of Noise(t, i)
//! h        = relu(z·W1 + b1)                    W1, b1, W2, b2: the generator's
//! y        = output_sigmoid(h·W2 + b2)
//! r        = relu(x·V1 + c1)                    V1, c1, V2, c2: the discriminator's
//! f        = relu(y·V1 + c1)
//! l_r, l_f = r·V2 + c2, f·V2 + c2               one logit per row
//! d_r      = flush(−σ(−l_r) / b)                flush(x): +0 where |x| < 2⁻⁵⁶, else x
//! d_f      = flush(σ(l_f) / b)                  for the discriminator
//! d_g      = flush(−σ(−l_f) / b)                for the generator
//! dr[i, k] = d_r[i]·V2[k] + 0                   where r[i, k] > 0, else +0
//! df[i, k] = d_f[i]·V2[k] + 0                   where f[i, k] > 0, else +0
//! dg[i, k] = d_g[i]·V2[k] + 0                   where f[i, k] > 0, else +0
//! dy       = (dg·V1ᵀ)·s + 0, s = y(1 − y)       +0 where s is 0
//! dh       = dy·W2ᵀ                             where h > 0, else +0
//!
//! gradients, from these values and the parameters before the step:
//! V1, V2   = one chain over the rows of (x, dr) and then of (y, df); of (r, d_r) and then of (f, d_f)
//! W1, W2   = zᵀ·dh, hᵀ·dy
//! biases   = plain adds from +0 over ascending rows: c1 of dr and on over df; c2 of d_r and on over d_f; b1 of dh;
//!            b2 of dy
//! ```
//!
//! Then every parameter takes Adam's update ([`adam`](crate::kernels::reference::adam)) with the constants of step t.

mod phase;
mod sampler;
mod state;

use core::sync::atomic::{AtomicBool, Ordering};

pub use phase::{Phase, Watch, Work};
pub use sampler::Sampler;
pub use state::Digest;

use crate::config::Config;
use crate::data::Images;
use crate::data::PIXEL;
use crate::data::batches::Epoch;
use crate::error::Error;
use crate::kernels::Isa;
use crate::kernels::gemm::Left;
use crate::kernels::reference::AdamRates;
use crate::kernels::tiles::{Line, MatMut};
use crate::model::discriminator;
use crate::model::generator::{self, Sampling};
use crate::model::layers;
pub use crate::model::layers::Zeros;
use crate::model::layout::{Arena, Part, Sizes, Tensor, TensorView, arena_lines};
use crate::model::loss;
use crate::model::update::Update;
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

    /// One step: both gradients from the parameters before it, then both updates. Allocates nothing, and takes about
    /// 50 KB of stack on each thread.
    ///
    /// # Errors
    /// [`Error::Diverged`], then and at every later call.
    pub fn step<J: Join>(&mut self, join: &J) -> Result<StepStats, Error> {
        self.step_watched(join, &())
    }

    /// As [`Trainer::step`], and tells `watch` which phase has just ended and what it did. The phases of one thread
    /// ([`Serial`](crate::Serial)) come one after the other.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_watched<J: Join, W: Watch>(&mut self, join: &J, watch: &W) -> Result<StepStats, Error> {
        self.check()?;
        let step = self.step + 1;
        let (isa, zeros, config, images) = (self.isa, self.zeros, &self.config, self.images);
        let Arena {
            g_hidden_weight,
            g_hidden_bias,
            g_out_weight,
            g_out_bias,
            d_hidden_weight,
            d_hidden_bias,
            d_out_weight_t,
            d_out_bias,
            order,
            batch,
            mut g_out_weight_t,
            mut d_hidden_weight_t,
            mut real,
            mut z,
            mut g_hidden,
            mut fake,
            mut d_hidden_real,
            mut d_hidden_fake,
            mut rows,
            mut dd_hidden_real,
            mut dd_hidden_fake,
            mut dg_d_hidden,
            mut d_fake,
            mut dg_hidden,
            mut by_image,
            mut real_by_pixel,
            mut fake_by_pixel,
            mut g_hidden_by_image,
            mut g_hidden_by_unit,
            mut dg_d_hidden_by_image,
            d_g_out_bias,
            d_g_hidden_bias,
            d_d_hidden_bias,
        } = Arena::carve(self.memory.as_mut(), &self.sizes);

        let (d_weight, d_bias) = (d_hidden_weight.p.view(), d_hidden_bias.p.row(0));
        let (g_weight, g_bias) = (g_out_weight.p.view(), g_out_bias.p.row(0));
        let (out_weight, out_bias) = (d_out_weight_t.p.row(0), d_out_bias.p.row(0)[0]);
        self.epoch.batch(step, config.seed, order, batch);

        join.join(
            // Real images: through the discriminator, and back to its hidden layer.
            || {
                expand(join, images, batch, real.reborrow());
                watch.done(Phase::Images, || Work::values(batch.len() * images.size()));
                let x = layers::rows(join, zeros, real.view(), by_image.reborrow());
                watch.done(Phase::Lists, || Work::values(x.terms()));
                layers::hidden_forward(join, isa, x, d_weight, d_bias, d_hidden_real.reborrow());
                watch.done(Phase::RealForward, || Work::product(x, d_weight));
                let hidden = d_hidden_real.view();
                discriminator::logits(join, isa, hidden, out_weight, out_bias, rows.logits_real);
                loss::backward(isa, rows.logits_real, true, rows.loss_real, rows.d_real.row_mut(0));
                let (d_row, d_hidden) = (rows.d_real.row(0), dd_hidden_real.reborrow());
                discriminator::hidden_backward(join, isa, d_row, out_weight, hidden, d_hidden);
                watch.done(Phase::Losses, || Work::values(3 * batch.len() * hidden.cols()));
                layers::transposed(join, isa, d_weight, d_hidden_weight_t.reborrow());
                watch.done(Phase::Transpose, || Work::values(2 * d_weight.rows() * d_weight.cols()));
            },
            // Noise: through the generator.
            || {
                generator::noise(join, config.seed, |row| Purpose::Noise(step, row), z.reborrow());
                watch.done(Phase::Noise, || Work::values(z.rows() * z.cols()));
                let (z, weight, bias) =
                    (Left::Rows(z.view()), g_hidden_weight.p.view(), g_hidden_bias.p.row(0));
                layers::hidden_forward(join, isa, z, weight, bias, g_hidden.reborrow());
                watch.done(Phase::HiddenForward, || Work::product(z, weight));
                let hidden = layers::rows(join, zeros, g_hidden.view(), g_hidden_by_image.reborrow());
                watch.done(Phase::Lists, || Work::values(hidden.terms()));
                layers::pixels_forward(join, isa, hidden, g_weight, g_bias, fake.reborrow());
                watch.done(Phase::PixelsForward, || Work::product(hidden, g_weight));
                layers::transposed(join, isa, g_weight, g_out_weight_t.reborrow());
                watch.done(Phase::Transpose, || Work::values(2 * g_weight.rows() * g_weight.cols()));
            },
        );

        // Generated images: through the discriminator, and back for both losses.
        let (fake, g_hidden) = (fake.view(), g_hidden.view());
        let x = layers::rows(join, zeros, fake, by_image.reborrow());
        watch.done(Phase::Lists, || Work::values(x.terms()));
        layers::hidden_forward(join, isa, x, d_weight, d_bias, d_hidden_fake.reborrow());
        watch.done(Phase::FakeForward, || Work::product(x, d_weight));
        let hidden = d_hidden_fake.view();
        discriminator::logits(join, isa, hidden, out_weight, out_bias, rows.logits_fake);
        loss::backward(isa, rows.logits_fake, false, rows.loss_fake, rows.d_fake.row_mut(0));
        loss::backward(isa, rows.logits_fake, true, rows.loss_generator, rows.d_generator.row_mut(0));
        let (d_row, d_hidden) = (rows.d_fake.row(0), dd_hidden_fake.reborrow());
        discriminator::hidden_backward(join, isa, d_row, out_weight, hidden, d_hidden);
        let (d_row, d_hidden) = (rows.d_generator.row(0), dg_d_hidden.reborrow());
        discriminator::hidden_backward(join, isa, d_row, out_weight, hidden, d_hidden);
        watch.done(Phase::Losses, || Work::values(5 * batch.len() * hidden.cols()));

        // Nothing reads a weight from here on: what goes backward takes the transposed copies.
        let rates = AdamRates::new(config.learning_rate, config.beta1, config.beta2, config.epsilon, step);
        let diverged = AtomicBool::new(false);
        let update = Update { isa, rates, diverged: &diverged };
        join.join(
            // The discriminator's update, each gradient one chain over the real rows, then the generated ones.
            || {
                let x_real = layers::columns(join, zeros, real.view(), real_by_pixel.reborrow());
                let x_fake = layers::columns(join, zeros, fake, fake_by_pixel.reborrow());
                watch.done(Phase::Lists, || Work::values(x_real.terms() + x_fake.terms()));
                let (d_real, d_fake) = (dd_hidden_real.view(), dd_hidden_fake.view());
                let rows_of = [(x_real, d_real), (x_fake, d_fake)];
                update.weight(join, d_hidden_weight, &rows_of);
                watch.done(Phase::DiscriminatorUpdate, || Work::update(&rows_of));
                update.bias(d_hidden_bias, d_d_hidden_bias, &[d_real, d_fake]);
                let (d_real, d_fake) = (rows.d_real.view(), rows.d_fake.view());
                let hidden =
                    [(Left::Rows(d_real), d_hidden_real.view()), (Left::Rows(d_fake), d_hidden_fake.view())];
                update.weight(join, d_out_weight_t, &hidden);
                let d_logits = d_real.row(0).iter().chain(d_fake.row(0));
                update.bias(d_out_bias, &mut [d_logits.fold(0.0, |sum: f32, &d| sum + d)], &[]);
                watch.done(Phase::Biases, || Work::values(4 * batch.len() * hidden[0].1.cols()));
            },
            // Back through the discriminator and the generator, and the generator's update.
            || {
                let d_hidden = layers::rows(join, zeros, dg_d_hidden.view(), dg_d_hidden_by_image.reborrow());
                watch.done(Phase::Lists, || Work::values(d_hidden.terms()));
                let weight_t = d_hidden_weight_t.view();
                layers::pixels_backward(join, isa, d_hidden, weight_t, fake, d_fake.reborrow());
                watch.done(Phase::PixelsBackward, || Work::product(d_hidden, weight_t));
                let d_fake = d_fake.view();
                join.join(
                    || {
                        let g_hidden_t = layers::columns(join, zeros, g_hidden, g_hidden_by_unit.reborrow());
                        watch.done(Phase::Lists, || Work::values(g_hidden_t.terms()));
                        update.weight(join, g_out_weight, &[(g_hidden_t, d_fake)]);
                        watch.done(Phase::OutputUpdate, || Work::update(&[(g_hidden_t, d_fake)]));
                        update.bias(g_out_bias, d_g_out_bias, &[d_fake]);
                        watch.done(Phase::Biases, || Work::values(batch.len() * d_fake.cols()));
                    },
                    || {
                        let d_pixels = layers::rows(join, zeros, d_fake, by_image.reborrow());
                        watch.done(Phase::Lists, || Work::values(d_pixels.terms()));
                        let (weight_t, d_hidden) = (g_out_weight_t.view(), dg_hidden.reborrow());
                        layers::hidden_backward(join, isa, d_pixels, weight_t, g_hidden, d_hidden);
                        watch.done(Phase::HiddenBackward, || Work::product(d_pixels, weight_t));
                        let (z, d_hidden) = (Left::Columns(z.view()), dg_hidden.view());
                        update.weight(join, g_hidden_weight, &[(z, d_hidden)]);
                        watch.done(Phase::HiddenUpdate, || Work::update(&[(z, d_hidden)]));
                        update.bias(g_hidden_bias, d_g_hidden_bias, &[d_hidden]);
                        watch.done(Phase::Biases, || Work::values(batch.len() * d_hidden.cols()));
                    },
                );
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
            g_out_weight,
            g_out_bias,
            z,
            g_hidden,
            g_hidden_by_image,
            fake,
            ..
        } = Arena::carve(self.memory.as_mut(), &self.sizes);
        let mut sampling = Sampling {
            hidden_weight: g_hidden_weight.p.view(),
            hidden_bias: g_hidden_bias.p.row(0),
            out_weight: g_out_weight.p.view(),
            out_bias: g_out_bias.p.row(0),
            z,
            hidden: g_hidden,
            hidden_lists: g_hidden_by_image,
            fake,
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

/// The batch's images, a pixel as its byte times [`PIXEL`].
fn expand<J: Join>(join: &J, images: Images<'_>, batch: &[u32], real: MatMut<'_>) {
    for_each_block(join, real, 32, &|first, mut real: MatMut<'_>| {
        for row in 0..real.rows() {
            let image = images.image(batch[first + row] as usize);
            real.row_mut(row).iter_mut().zip(image).for_each(|(x, &byte)| *x = byte as f32 * PIXEL);
        }
    });
}
