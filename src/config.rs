//! Every size and hyperparameter that the bits of a run depend on. Uses [`error`](crate::error) and
//! [`settings`](mod@crate::settings).

use crate::error::Error;
use crate::settings::settings;

/// The largest latent size, hidden size, batch size and number of pixels per image: 2¹⁶.
pub const MAX_SIZE: usize = 1 << 16;

/// The longest run in steps, 2⁴⁷: every place in its stream of images is a number of 64 bits.
pub const MAX_STEPS: u64 = 1 << 47;

/// The smallest ε, 2⁻⁴⁰: below it √v + ε could vanish beside a flushed v, and the update would leave the proof of
/// finiteness.
const LEAST_EPSILON: f32 = f32::from_bits((127 - 40) << 23);

settings! {
    /// The settings of a run that its bits depend on. The defaults are the tutorial's.
    ///
    /// Together with the data, a step number and [`BITS_VERSION`](crate::BITS_VERSION) they determine every bit of the
    /// state.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Config {
        /// Length of a noise vector
        latent_size: usize = 100, "N", 1..=MAX_SIZE, "expected 1 to 65536";
        /// Hidden units of the generator
        generator_hidden: usize = 256, "N", 1..=MAX_SIZE, "expected 1 to 65536";
        /// Hidden units of the discriminator
        discriminator_hidden: usize = 256, "N", 1..=MAX_SIZE, "expected 1 to 65536";
        /// Images of each kind, real and generated, per step
        batch_size: usize = 128, "N", 1..=MAX_SIZE, "expected 1 to 65536";
        /// Adam's step size
        learning_rate: f32 = 2e-4, "X", 0.0..=f32::MAX, "expected a finite number, 0 or above";
        /// Adam's decay of the first moment
        beta1: f32 = 0.9, "X", 0.0..1.0, "expected 0 or above and below 1";
        /// Adam's decay of the second moment
        beta2: f32 = 0.999, "X", 0.0..1.0, "expected 0 or above and below 1";
        /// Adam's epsilon
        epsilon: f32 = 1e-8, "X", LEAST_EPSILON..=1.0, "expected 2^-40 (9.1e-13) to 1";
        /// Give both networks the class of each image, from the labels beside the images: a conditional GAN
        labels: bool = false, "true|false", .., "expected true or false";
        /// Images that the discriminator judges side by side: several, and it sees when they are all alike
        pack: usize = 1, "P", [1, 2, 4], "expected 1, 2 or 4";
        /// How much of an average of the generator's parameters each step keeps: 0.999 smooths their last thousand; 0: no average
        average: f32 = 0.0, "A", 0.0..1.0, "expected 0 or above and below 1";
        /// Images held out at the start of the data set
        validation: usize = 5_000, "N", .., "expected a number, 0 or above";
        /// Seed of all randomness
        seed: u64 = 42, "S", .., "expected 0 to 18446744073709551615";
    }
}

/// Settings under a name.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The name.
    pub name: &'static str,
    /// Names and values: of all settings that the presets differ in.
    pub settings: [(&'static str, &'static str); 5],
}

/// The named settings.
pub const PRESETS: [Preset; 4] = [
    preset("tutorial", ["false", "1", "0", "256", "256"]),
    preset("labelled", ["true", "1", "0.999", "256", "256"]),
    preset("large", ["true", "1", "0.999", "1024", "512"]),
    preset("packed", ["false", "2", "0.999", "256", "256"]),
];

const fn preset(name: &'static str, values: [&'static str; 5]) -> Preset {
    let [labels, pack, average, generator, discriminator] = values;
    let settings = [
        ("labels", labels),
        ("pack", pack),
        ("average", average),
        ("generator-hidden", generator),
        ("discriminator-hidden", discriminator),
    ];
    Preset { name, settings }
}

impl Preset {
    /// The one called `name`.
    ///
    /// # Errors
    /// [`Error::Usage`] if none is.
    pub fn named(name: &str) -> Result<Preset, Error> {
        let found = PRESETS.into_iter().find(|preset| preset.name == name);
        found.ok_or(Error::usage("preset", "expected tutorial, labelled, large or packed"))
    }
}

impl Config {
    /// The settings called `name`, the others being the defaults.
    ///
    /// # Errors
    /// As [`Preset::named`].
    pub fn preset(name: &str) -> Result<Config, Error> {
        let mut config = Config::default();
        for (name, text) in Preset::named(name)?.settings {
            config.set(name, text)?;
        }
        Ok(config)
    }

    /// Whether a batch is a whole number of packs.
    pub fn packs_are_whole(&self) -> bool {
        self.batch_size.is_multiple_of(self.pack)
    }
}

#[cfg(feature = "std")]
impl Config {
    /// Every setting by its name, in a form that [`Config::from_pairs`] reads back to the bit.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        Self::SETTINGS.iter().map(|setting| (setting.about.name, setting.get(self)))
    }

    /// The settings whose values `get` finds by their names. What it does not find has its default, as it had when there was
    /// no such setting.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the first setting that is malformed or out of range.
    pub fn from_pairs<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Config, Error> {
        let mut config = Config::default();
        for setting in Self::SETTINGS {
            if let Some(text) = get(setting.about.name) {
                setting.set(&mut config, text)?;
            }
        }
        Ok(config)
    }
}
