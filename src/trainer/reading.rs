//! What can be read of a trainer: its state, its digests, what its last step has left. Uses `model` and `state`.

use super::{Condition, Trainer, state};
use crate::config::Config;
use crate::data::Images;
use crate::digest::{Digest, Digests};
use crate::error::Error;
use crate::kernels::Isa;
use crate::kernels::float_mode;
use crate::kernels::tiles::{Line, Mat};
use crate::model::layout::Layout;
use crate::model::loss;
use crate::model::tensor::{Part, Tensor, TensorView};

/// What the last step has left in memory beside the state.
#[derive(Clone, Copy, Debug)]
pub struct LastStep<'a> {
    /// The numbers of its images among those that are trained on.
    pub batch: &'a [u32],
    /// Its noise and classes, [batch, latent + classes].
    pub z: Mat<'a>,
    /// The generator's hidden values, [batch, hidden].
    pub h: Mat<'a>,
    /// The discriminator's hidden values of real images, [rows, hidden]; a row has as many images as are judged together.
    pub r: Mat<'a>,
    /// The same of generated images.
    pub f: Mat<'a>,
    /// The logits of real images, one per row.
    pub l_r: &'a [f32],
    /// The same of generated images.
    pub l_f: &'a [f32],
}

/// What can be read.
impl<'a, M: AsRef<[Line]>> Trainer<'a, M> {
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
    pub fn images(&self) -> Images<'a> {
        self.images
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

    pub(super) fn layout(&self) -> Layout {
        Layout::new(&self.sizes)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        match self.condition {
            Condition::Good => Ok(()),
            Condition::Diverged => Err(Error::Diverged { step: self.step }),
            Condition::Torn => {
                Err(Error::environment("a worker panicked in the middle of a step: the state is lost"))
            }
        }
    }
}
