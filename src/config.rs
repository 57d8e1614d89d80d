//! Every size and hyperparameter of a run, validated once. Uses [`error`](crate::error) only.

use crate::error::Error;

/// The largest latent size, hidden size, batch size and number of pixels per image: 2¹⁶.
pub const MAX_SIZE: usize = 1 << 16;

/// The settings of a run. The defaults are the tutorial's.
///
/// Together with the data, a step number and [`BITS_VERSION`](crate::BITS_VERSION) they determine every bit of the
/// state.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Length of a noise vector z, 1..=2¹⁶. Default 100.
    pub latent_size: usize,
    /// Hidden units of the generator, 1..=2¹⁶. Default 256.
    pub generator_hidden: usize,
    /// Hidden units of the discriminator, 1..=2¹⁶. Default 256.
    pub discriminator_hidden: usize,
    /// Images of each kind, real and generated, per step, 1..=2¹⁶. Default 128.
    pub batch_size: usize,
    /// Adam's step size, finite and ≥ 0. Default 2e-4.
    pub learning_rate: f32,
    /// Adam's decay of the first moment, 0 ≤ β1 < 1. Default 0.9.
    pub beta1: f32,
    /// Adam's decay of the second moment, 0 ≤ β2 < 1. Default 0.999.
    pub beta2: f32,
    /// Adam's ε, 2⁻⁴⁰..=1. Default 1e-8.
    pub epsilon: f32,
    /// Images held out at the start of the data set. Default 5,000.
    pub validation: usize,
    /// Seed of all randomness. Default 42.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            latent_size: 100,
            generator_hidden: 256,
            discriminator_hidden: 256,
            batch_size: 128,
            learning_rate: 2e-4,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            validation: 5_000,
            seed: 42,
        }
    }
}

/// The longest run in steps, 2⁴⁷: every place in its stream of images is a number of 64 bits.
pub const MAX_STEPS: u64 = 1 << 47;

/// The length of the tutorial's run in steps.
pub const DEFAULT_STEPS: u64 = 70_000;

impl Config {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the first setting that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let sizes = [
            ("latent-size", self.latent_size),
            ("generator-hidden", self.generator_hidden),
            ("discriminator-hidden", self.discriminator_hidden),
            ("batch-size", self.batch_size),
        ];
        for (name, value) in sizes {
            if value == 0 || value > MAX_SIZE {
                return Err(Error::usage(name, "expected 1 to 65536"));
            }
        }
        if !(self.learning_rate >= 0.0 && self.learning_rate <= f32::MAX) {
            return Err(Error::usage("learning-rate", "expected a finite number, 0 or above"));
        }
        for (name, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::usage(name, "expected 0 or above and below 1"));
            }
        }
        // 2⁻⁴⁰: below it √v + ε could vanish beside a flushed v, and the update would leave the proof of finiteness.
        if !(f32::from_bits((127 - 40) << 23)..=1.0).contains(&self.epsilon) {
            return Err(Error::usage("epsilon", "expected 2^-40 (9.1e-13) to 1"));
        }
        Ok(())
    }
}

#[cfg(feature = "std")]
impl Config {
    /// Every setting by the name of its flag, in a form that [`Config::from_pairs`] reads back to the bit.
    pub fn pairs(&self) -> [(&'static str, String); 10] {
        [
            ("latent-size", self.latent_size.to_string()),
            ("generator-hidden", self.generator_hidden.to_string()),
            ("discriminator-hidden", self.discriminator_hidden.to_string()),
            ("batch-size", self.batch_size.to_string()),
            ("learning-rate", self.learning_rate.to_string()),
            ("beta1", self.beta1.to_string()),
            ("beta2", self.beta2.to_string()),
            ("epsilon", self.epsilon.to_string()),
            ("validation", self.validation.to_string()),
            ("seed", self.seed.to_string()),
        ]
    }

    /// The settings whose values `get` finds by the names of their flags.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the first setting that is missing, malformed or out of range.
    pub fn from_pairs<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Config, Error> {
        fn parse<T: std::str::FromStr>(name: &'static str, text: Option<&str>) -> Result<T, Error> {
            text.and_then(|text| text.parse().ok()).ok_or_else(|| Error::usage(name, "missing or malformed"))
        }
        let config = Config {
            latent_size: parse("latent-size", get("latent-size"))?,
            generator_hidden: parse("generator-hidden", get("generator-hidden"))?,
            discriminator_hidden: parse("discriminator-hidden", get("discriminator-hidden"))?,
            batch_size: parse("batch-size", get("batch-size"))?,
            learning_rate: parse("learning-rate", get("learning-rate"))?,
            beta1: parse("beta1", get("beta1"))?,
            beta2: parse("beta2", get("beta2"))?,
            epsilon: parse("epsilon", get("epsilon"))?,
            validation: parse("validation", get("validation"))?,
            seed: parse("seed", get("seed"))?,
        };
        config.validate()?;
        Ok(config)
    }
}
