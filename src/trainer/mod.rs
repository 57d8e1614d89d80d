//! Training: `owner.rs` has the step on one screen, as the owner of some pixels runs it. Uses everything above it: `config`,
//! `parallel`, `kernels`, `rng`, `data`, `model`. The files in reading order; each uses only those before it:
//!
//! - `state`: a state as bytes, and its digest
//! - `sampler`: samples without a run
//! - `owner`: the step
//!
//! # The state before the first step
//!
//! The tensors in canonical order, numbered from 0: `generator.hidden.weight` \[latent + classes, hidden\],
//! `generator.hidden.bias`, `generator.out.weight` \[hidden, pixels\], `generator.out.bias`,
//! `discriminator.hidden.weight` \[pack · (pixels + classes), hidden\], `discriminator.hidden.bias`,
//! `discriminator.out.weight` \[hidden, 1\], `discriminator.out.bias`. The weight at place i (0, 2, 4 or 6) takes normals
//! of [`Purpose::Init`](crate::rng::Purpose::Init)\(i) row by row, both of a pair in turn, the
//! last one's second left out where their number is odd; σ = 1/√(fan_in/2) in f64, fan_in being its rows. Biases and all
//! moments are 0.
//!
//! # Step t, counted from 1
//!
//! Rules are those of [`reference`](mod@crate::kernels::reference). A product of matrices `·` is rule 2's chain, in
//! ascending k, stored as `acc + 0`; everything else is elementwise, each operation rounded, none fused. b is the number of
//! rows of the discriminator, batch size / pack, as f32. Settings are f32s too.
//!
//! ```text
//! x, z     images of the batch, in its order, f32(byte)·f32(1/255); row i of z, from 0: uniforms of Noise(t, i)
//!          (with labels and packs: see below)
//! h        = relu(z·W1 + b1)                    W1, b1, W2, b2: the generator's
//! y        = output_sigmoid(h·W2 + b2)
//! r        = relu(x·V1 + c1)                    V1, c1, V2, c2: the discriminator's
//! f        = relu(y·V1 + c1)
//! l_r, l_f = r·V2 + c2, f·V2 + c2               one logit per row
//! dl_r     = flush(−σ(−l_r) / b)                flush(x): +0 where |x| < 2⁻⁵⁶, else x
//! dl_f     = flush(σ(l_f) / b)                  for the discriminator
//! dl_g     = flush(−σ(−l_f) / b)                for the generator
//! dr[i, k] = dl_r[i]·V2[k] + 0                  where r[i, k] > 0, else +0
//! df[i, k] = dl_f[i]·V2[k] + 0                  where f[i, k] > 0, else +0
//! dg[i, k] = dl_g[i]·V2[k] + 0                  where f[i, k] > 0, else +0
//! dy       = (dg·V1ᵀ)·s + 0, s = y(1 − y)       +0 where s is 0
//! dh       = dy·W2ᵀ                             where h > 0, else +0
//!
//! gradients, from these values and the parameters before the step:
//! V1, V2   = one chain over the rows of (x, dr) and then of (y, df); of (r, dl_r) and then of (f, dl_f)
//! W1, W2   = zᵀ·dh, hᵀ·dy
//! biases   = plain adds from +0 over ascending rows: c1 of dr and on over df; c2 of dl_r and on over dl_f; b1 of dh;
//!            b2 of dy
//! ```
//!
//! Then every parameter takes Adam's update ([`adam`](crate::kernels::reference::adam)) with the constants of step t.
//!
//! # Labels, packs, averages
//!
//! With `labels` there are as many classes as one more than the largest label of the whole data set. A row of z has a
//! column more for each class, after the noise: 1 for the class of the row, 0 for the others. The class of row i, from 0,
//! is the output i, from 0, of the stream Class(t), made a number [`below`](crate::rng::Stream::below) the number of
//! classes. The discriminator's inputs are the pixels and then a column for each class: of a real image 1 for its label, of
//! a generated one 1 for the class in its row of z.
//!
//! With `pack` P, which divides the batch size, the discriminator judges P images at once: its row i has the images iP to
//! iP + P − 1, in such an order that column c of image iP + k, of its pixels and then its classes, is the input cP + k. It
//! has batch/P rows, and b is batch/P; losses and mean probabilities are means over these rows. dy comes apart in the same
//! way, before dh and the gradients are made of it. Columns of classes have no dy.
//!
//! With `average` A each of the generator's parameters has an average, which starts as the parameter does, and after every
//! update is [`average`](crate::kernels::reference::average) of the new parameter with 1 − A, one f32 subtraction. Nothing
//! else depends on it.

mod owner;
mod sampler;
mod state;

use core::ops::ControlFlow;
use core::sync::atomic::AtomicBool;

pub use owner::StepStats;
pub use sampler::{GeneratorShape, Sampler};
pub use state::LastStep;

use crate::config::Config;
use crate::data::batches::Epoch;
use crate::data::{AsImages, Images};
use crate::digest::{Digest, Digests};
use crate::error::Error;
use crate::kernels::Isa;
use crate::kernels::float_mode;
use crate::kernels::tiles::{Line, Mat};
#[cfg(feature = "std")]
use crate::memory;
use crate::model::generator::{Noise, Wanted};
use crate::model::layers::Ops;
pub use crate::model::layers::Zeros;
use crate::model::layout::{Layout, arena_lines};
use crate::model::loss;
pub use crate::model::phase::{Phase, Watch, Work};
use crate::model::sizes::Sizes;
use crate::model::tensor::{Part, Tensor, TensorView};
use crate::parallel::{MOST_WORKERS, Meeting, Team};
use owner::{Common, Owner, Shares};

/// A run: two networks, their optimisers, and the place in the stream of batches.
///
/// `D` has the images: [`Images`], which are borrowed, or what owns them, such as a [`Dataset`](crate::Dataset). `M` is the arena:
/// `Box<[Line]>` from [`Trainer::new`], or memory of the caller's from [`Trainer::in_memory`].
#[derive(Debug)]
pub struct Trainer<D, M> {
    config: Config,
    isa: Isa,
    /// As it was chosen, if it was.
    zeros: Option<Zeros>,
    owners: usize,
    sizes: Sizes,
    data: D,
    epoch: Epoch,
    step: u64,
    condition: Condition,
    memory: M,
}

/// What can be done with a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Good,
    Diverged,
    /// A worker has panicked in the middle of a step.
    Torn,
}

#[cfg(feature = "std")]
impl<D: AsImages> Trainer<D, Box<[Line]>> {
    /// A run at step 0 on the fastest backend, with an arena of its own.
    ///
    /// # Errors
    /// As [`Trainer::in_memory`].
    pub fn new(config: Config, data: D) -> Result<Self, Error> {
        let lines = Self::memory_lines(&config, &data)?;
        Self::in_memory(config, data, memory::zeroed(lines)?)
    }
}

impl<D: AsImages, M: AsRef<[Line]> + AsMut<[Line]>> Trainer<D, M> {
    /// The lines of 64 bytes that [`Trainer::in_memory`] needs.
    ///
    /// # Errors
    /// As [`Trainer::in_memory`].
    pub fn memory_lines(config: &Config, data: &D) -> Result<usize, Error> {
        arena_lines(&Sizes::of(config, data.as_images())?)
    }

    /// A run at step 0 in the caller's memory, on the fastest backend. The first `config.validation` images are left
    /// alone.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting out of range, [`Error::Input`] if there are too few images or labels are missing,
    /// [`Error::Environment`] if `memory` is too short, or this thread's floating-point unit is in another mode than the
    /// default.
    pub fn in_memory(config: Config, data: D, mut memory: M) -> Result<Self, Error> {
        float_mode::check()?;
        let sizes = Sizes::of(&config, data.as_images())?;
        let lines = arena_lines(&sizes)?;
        if memory.as_mut().len() < lines || memory.as_ref().len() < lines {
            return Err(Error::environment("the arena is shorter than memory_lines"));
        }
        Layout::new(&sizes).initialise(memory.as_mut(), config.seed);
        Ok(Trainer {
            config,
            isa: Isa::best(),
            zeros: None,
            owners: sizes.useful_owners(),
            sizes,
            data,
            epoch: Epoch::default(),
            step: 0,
            condition: Condition::Good,
            memory,
        })
    }

    /// Chooses the backend. The bits are the same.
    pub fn set_isa(&mut self, isa: Isa) {
        self.isa = isa;
    }

    /// Chooses what becomes of zero terms, on any backend, to measure what leaving them out gains. Unless it is chosen,
    /// `reference` keeps them, by definition, and the others leave them out.
    pub fn set_zeros(&mut self, zeros: Zeros) {
        self.zeros = Some(zeros);
    }

    fn zeros(&self) -> Zeros {
        let by_definition = if self.isa == Isa::Reference { Zeros::Kept } else { Zeros::LeftOut };
        self.zeros.unwrap_or(by_definition)
    }

    /// One step: both gradients from the parameters before it, then both updates. Allocates nothing on its own (a team may,
    /// when it is entered), and takes at most 64 KiB of stack on each thread of an optimised build, whatever the sizes.
    ///
    /// Who has several threads gains most by [`Trainer::run`], which enters the team once for many steps.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn step(&mut self, team: &impl Team) -> Result<StepStats, Error> {
        let mut stats = StepStats { step: self.step, generator_loss: 0.0, discriminator_loss: 0.0 };
        self.run(team, 1, |report| {
            stats = report;
            ControlFlow::Continue(())
        })?;
        Ok(stats)
    }

    /// So many steps, or fewer if `each` breaks off. It is told of every step when its losses are known, which is before
    /// its updates; a step after which it breaks off is finished, and no other begun. It runs on one of the team's threads,
    /// while the others go on with the step, and wait for it in the end: it must not itself wait for the team's threads.
    ///
    /// # Errors
    /// [`Error::Diverged`], then and at every later call; [`Error::Environment`] if a worker of the team does not come, or its
    /// floating-point unit is in another mode than the default, in which case nothing has happened, or has panicked, in which
    /// case the state is lost.
    pub fn run(
        &mut self,
        team: &impl Team,
        steps: u64,
        mut each: impl FnMut(StepStats) -> ControlFlow<()> + Send,
    ) -> Result<(), Error> {
        self.run_watched(team, steps, &mut each, None)
    }

    /// As [`Trainer::run`], and tells `watch` which phase of a step has just ended and what it did, on the thread that ended
    /// it. With [`Serial`](crate::Serial) phases come one after the other.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run_watched(
        &mut self,
        team: &impl Team,
        steps: u64,
        each: &mut (dyn FnMut(StepStats) -> ControlFlow<()> + Send),
        watch: Option<&dyn Watch>,
    ) -> Result<(), Error> {
        self.check()?;
        if steps == 0 {
            return Ok(());
        }
        let n = self.useful_workers(team.workers());
        let (meeting, diverged) = (Meeting::new(n), AtomicBool::new(false));
        let run = Common {
            config: &self.config,
            images: self.data.as_images().skip(self.config.validation),
            ops: Ops { isa: self.isa, zeros: self.zeros(), watch },
            meeting: &meeting,
            diverged: &diverged,
            first: self.step + 1,
            last: self.step.saturating_add(steps),
        };
        let memory = self.memory.as_mut();
        let mut shares = Shares::new(&run, &self.sizes, n, memory, &mut self.epoch, each);
        let mut owners = [const { None }; MOST_WORKERS];
        for (place, owner) in owners.iter_mut().zip(shares.owners()) {
            *place = Some(owner);
        }
        // Until all have come back: a panic leaves this function here.
        self.condition = Condition::Torn;
        team.run(&mut owners[..n], |owner: &mut Option<Owner<'_>>| owner.iter_mut().for_each(Owner::run));
        let owners = owners.iter().flatten();
        let done = owners.clone().map(|owner| owner.done).min().unwrap_or(0);
        let diverged = owners.filter_map(|owner| owner.diverged).min();
        if meeting.failed() {
            return self.check();
        }
        self.condition = Condition::Good;
        if meeting.refused() {
            return Err(float_mode::error());
        }
        if meeting.missed() {
            return Err(Error::environment("not all workers of the team came within 10 seconds"));
        }
        self.step += done;
        if let Some(step) = diverged {
            (self.step, self.condition) = (step, Condition::Diverged);
        }
        self.check()
    }

    /// Generates images `first..first + out.len()/image_size` of the samples of `seed`, a byte per pixel, white ink on
    /// black as in MNIST. An image depends on the weights, the seed and its index alone. If there is an average of the weights, it is
    /// that. Of a conditional generator image i is of class i mod [`Trainer::classes`].
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence; [`Error::Usage`] if `out` is not a whole number of images; [`Error::Environment`] if
    /// a worker's floating-point unit is in another mode than the default, or a worker has not come to an end.
    pub fn sample(&mut self, team: &impl Team, seed: u64, first: u64, out: &mut [u8]) -> Result<(), Error> {
        self.sample_class(team, seed, first, None, out)
    }

    /// As [`Trainer::sample`], all images of one class.
    ///
    /// # Errors
    /// As [`Trainer::sample`]; [`Error::Usage`] if there is no such class.
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

    /// Generates the images of the caller's own noise: `z` has as many values for each as the setting `latent_size` says, from
    /// \[−1, 1) where it should be as in training. Otherwise as [`Trainer::sample_class`], whose image i is the one of
    /// [`sample_noise`](crate::rng::sample_noise) of its seed and i.
    ///
    /// # Errors
    /// As [`Trainer::sample_class`]; [`Error::Usage`] if `z` is of another number of images, or a value is beyond ±2²⁰.
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
        self.check()?;
        sampler::from_arena(&self.sizes, self.isa, self.memory.as_mut(), team, wanted, out)
    }

    /// Shares steps out among so many workers at most, however little each then has to do, as long as it has three cache
    /// lines of pixels on average: to measure what sharing out gains. The bits are the same.
    pub fn set_owners(&mut self, owners: usize) {
        self.owners = owners.clamp(1, self.sizes.most_owners());
    }

    /// Goes on from a state in its canonical form: the next steps are those that the saved run would have taken, if
    /// settings and data are the same. The average, if there is one, comes with it.
    ///
    /// # Errors
    /// [`Error::Input`] if it has another length, or a value that no step can leave behind; nothing is changed then.
    pub fn load(&mut self, state: &[u8]) -> Result<(), Error> {
        self.step = state::load(state, &self.sizes, self.memory.as_mut())?;
        if self.condition == Condition::Torn {
            self.epoch = Epoch::default();
        }
        self.condition = Condition::Good;
        Ok(())
    }
}

/// What can be read.
impl<D: AsImages, M: AsRef<[Line]>> Trainer<D, M> {
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
    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> usize {
        size_of_val(self.memory.as_ref())
    }
    /// Pixels per image.
    pub fn image_size(&self) -> usize {
        self.sizes.pixels
    }
    /// Classes that it can be asked for; 0 if it is not conditional.
    pub fn classes(&self) -> usize {
        self.sizes.classes
    }
    /// How many of so many workers have something to do in a step: each has three cache lines of pixels on average (48, where the last
    /// line is whole) and 2 million floating-point operations; there are 16 at most. Sharing out less work would slow it down.
    pub fn useful_workers(&self, workers: usize) -> usize {
        self.owners.min(workers).max(1)
    }
    /// The images that it trains on, without those held out.
    pub fn images(&self) -> Images<'_> {
        self.data.as_images().skip(self.config.validation)
    }
    /// What has the images, those held out included.
    pub fn data(&self) -> &D {
        &self.data
    }

    /// The digest of the state: SHA-256 of its canonical form, see [`Trainer::state_bytes`], without the average.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn digest(&self) -> Result<Digest, Error> {
        self.check()?;
        Ok(state::digest(self.step, &self.layout(), self.memory.as_ref()))
    }

    /// The digest of the average of the generator's parameters: SHA-256 of its four tensors as [`Trainer::save`] writes them.
    /// None if there is no average.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn average_digest(&self) -> Result<Option<Digest>, Error> {
        self.check()?;
        Ok(state::average_digest(&self.layout(), self.memory.as_ref()))
    }

    /// Both digests.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn digests(&self) -> Result<Digests, Error> {
        Ok(Digests { state: self.digest()?, average: self.average_digest()? })
    }

    /// Bytes of a state in its canonical form: the step as u64, then all parameters, all first moments and all second
    /// moments as f32, little-endian; each G before D, layer by layer, weight before bias, row-major. If there is an average of
    /// the generator's parameters, its four tensors follow in the same order.
    pub fn state_bytes(&self) -> usize {
        state::length(&self.sizes)
    }

    /// Hands the state in its canonical form, and the average, to `sink`, piece by piece: [`Trainer::state_bytes`] in all.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn save(&self, sink: impl FnMut(&[u8])) -> Result<(), Error> {
        self.check()?;
        state::save(self.step, &self.layout(), self.memory.as_ref(), sink);
        Ok(())
    }

    /// The discriminator's mean probability of a real image being real, and of a generated one, in the last step that this
    /// trainer took, before its update: mean σ(logit), ascending adds in f64, rounded once. ½ before the first step, whose
    /// logits are 0.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence; [`Error::Environment`] if this thread's floating-point unit is in another mode than
    /// the default.
    pub fn mean_probabilities(&self) -> Result<(f32, f32), Error> {
        float_mode::check()?;
        let LastStep { l_r, l_f, .. } = self.last_step()?;
        Ok((loss::mean_probability(l_r), loss::mean_probability(l_f)))
    }

    /// The parameters, a moment or the average of a tensor.
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence; [`Error::Usage`] for an average that there is none of.
    pub fn tensor(&self, tensor: Tensor, part: Part) -> Result<TensorView<'_>, Error> {
        self.check()?;
        if part == Part::Average && !(self.sizes.averaged && tensor.is_generators()) {
            return Err(Error::usage("average", "expected a tensor that there is an average of"));
        }
        Ok(self.layout().view(self.memory.as_ref(), tensor, part))
    }

    /// What the last step has left in memory beside the state. It means nothing before the first step, and no noise and
    /// hidden values of the generator after [`Trainer::sample`].
    ///
    /// # Errors
    /// [`Error::Diverged`] after divergence.
    pub fn last_step(&self) -> Result<LastStep<'_>, Error> {
        self.check()?;
        let (layout, memory) = (self.layout(), self.memory.as_ref());
        let logits: Mat<'_> = layout.logits.of(memory);
        Ok(LastStep {
            batch: &layout.batch.of(memory).row(0)[1..],
            z: layout.z.of(memory),
            h: layout.h.of(memory),
            r: layout.r.of(memory),
            f: layout.f.of(memory),
            l_r: logits.row(0),
            l_f: logits.row(1),
        })
    }

    fn layout(&self) -> Layout {
        Layout::new(&self.sizes)
    }

    fn check(&self) -> Result<(), Error> {
        match self.condition {
            Condition::Good => Ok(()),
            Condition::Diverged => Err(Error::Diverged { step: self.step }),
            Condition::Torn => {
                Err(Error::environment("a worker panicked in the middle of a step: the state is lost"))
            }
        }
    }
}
