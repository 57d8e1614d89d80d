//! The sizes of a run, and how its work is shared out. Uses [`error`](crate::error), [`config`](crate::config), `data` and
//! [`parallel`](crate::parallel).

use core::ops::Range;

use crate::config::{Config, MAX_SIZE};
use crate::data::Images;
use crate::error::Error;
use crate::parallel::MOST_WORKERS;

/// Pixels are shared out by cache lines of f32s.
const LINE: usize = 16;
/// Lines of pixels that an owner should have at least, on average.
const OWNER_LINES: usize = 3;
/// Floating-point operations of a step, done densely, that an owner should have at least. With fewer, waiting for each
/// other costs more than a second pair of hands gains.
const OWNER_FLOP: u64 = 2_000_000;
/// Blocks of rows in which a chain goes from owner to owner, where there are several.
pub const BLOCKS: usize = 4;

/// The sizes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Noise per image.
    pub latent: usize,
    /// Classes; 0 without labels.
    pub classes: usize,
    /// Hidden units of the generator.
    pub generator_hidden: usize,
    /// Hidden units of the discriminator.
    pub discriminator_hidden: usize,
    /// Images per batch.
    pub batch: usize,
    /// Images that the discriminator judges side by side.
    pub pack: usize,
    /// Whether there is an average of the generator's parameters.
    pub averaged: bool,
    /// Pixels per image.
    pub pixels: usize,
    /// Training images.
    pub images: usize,
}

pub(super) const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}
pub(super) const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

impl Sizes {
    /// The sizes of `config` with `images` training images of `pixels` and `classes`.
    pub const fn new(config: &Config, pixels: usize, classes: usize, images: usize) -> Sizes {
        Sizes {
            latent: config.latent_size,
            classes: if config.labels { classes } else { 0 },
            generator_hidden: config.generator_hidden,
            discriminator_hidden: config.discriminator_hidden,
            batch: config.batch_size,
            pack: config.pack,
            averaged: config.average > 0.0,
            pixels,
            images,
        }
    }

    /// The sizes of a run with these settings on a whole set of images, those held out included.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting out of range; [`Error::Input`] if there are too few images, they have no labels though the
    /// settings want them, or a network would have more than 2¹⁶ inputs.
    pub fn of(config: &Config, images: Images<'_>) -> Result<Sizes, Error> {
        config.validate()?;
        let count = images.count().saturating_sub(config.validation);
        if count < config.batch_size {
            return Err(Error::input("images", too_few(images.count(), config)));
        }
        if !config.packs_are_whole() {
            return Err(Error::usage("pack", "expected a divisor of batch-size"));
        }
        if config.labels && images.labels().is_none() {
            return Err(Error::input("images", "expected labelled ones, as the setting labels asks for"));
        }
        let sizes = Sizes::new(config, images.size(), images.classes(), count);
        if sizes.generator_inputs().max(sizes.discriminator_inputs()) > MAX_SIZE {
            let problem =
                "of that many pixels and classes, as many as are judged together are more than 65536 inputs";
            return Err(Error::input("images", problem));
        }
        Ok(sizes)
    }

    /// Inputs of the generator: noise, and a column for each class.
    pub const fn generator_inputs(&self) -> usize {
        self.latent + self.classes
    }

    /// Inputs of the discriminator: of each pixel and then of each class a column for each of the images that are judged
    /// together.
    pub const fn discriminator_inputs(&self) -> usize {
        self.pack * (self.pixels + self.classes)
    }

    /// Rows of the discriminator in a batch.
    pub const fn rows(&self) -> usize {
        self.batch / self.pack
    }

    /// Floating-point operations of the products of a step for one row of the batch: for each pixel, and beside them.
    const fn flop(&self) -> (u64, u64) {
        let (g_hidden, d_hidden) = (self.generator_hidden as u64, self.discriminator_hidden as u64);
        (2 * (3 * g_hidden + 5 * d_hidden), 4 * self.generator_inputs() as u64 * g_hidden)
    }

    /// Floating-point operations of the ten products of a step, done densely.
    pub const fn dense_flop(&self) -> u64 {
        let (pixel, rest) = self.flop();
        self.batch as u64 * (self.pixels as u64 * pixel + rest)
    }

    /// The most owners that a step can have: each has three cache lines of pixels on average, and
    /// there are [`MOST_WORKERS`] at most.
    pub const fn most_owners(&self) -> usize {
        max(min(self.pixels.div_ceil(LINE) / OWNER_LINES, MOST_WORKERS), 1)
    }

    /// How many owners a step should have at most: each has two million operations, too.
    pub const fn useful_owners(&self) -> usize {
        let (by_work, most) = (self.dense_flop() / OWNER_FLOP, self.most_owners());
        max(if by_work < most as u64 { by_work as usize } else { most }, 1)
    }

    /// The first pixel of owner `owner` of `owners`: a multiple of a line. The last owner has fewer, because the hidden
    /// layer of the generator and the end of the discriminator are its own.
    const fn first_pixel(&self, owner: usize, owners: usize) -> usize {
        if owner == owners {
            return self.pixels;
        }
        let (pixel, rest) = self.flop();
        let lines = self.pixels.div_ceil(LINE);
        // What the last one has to do beside its pixels, in 256ths of a line of pixels; half as much again as its products
        // take is noise, Adam and losses.
        let beside = 256 * rest * 3 / 2 / (LINE as u64 * pixel);
        let line = owner as u64 * (256 * lines as u64 + beside) / owners as u64 / 256;
        // Everybody has a line.
        let most = lines - (owners - owner);
        LINE * max(if line < most as u64 { line as usize } else { most }, owner)
    }

    /// The pixels of owner `owner` of `owners`.
    pub const fn pixels_of(&self, owner: usize, owners: usize) -> Range<usize> {
        self.first_pixel(owner, owners)..self.first_pixel(owner + 1, owners)
    }

    /// The inputs of the discriminator that belong to those pixels; the columns of classes are the last owner's.
    pub const fn inputs_of(&self, owner: usize, owners: usize) -> Range<usize> {
        let Range { start, end } = self.pixels_of(owner, owners);
        let end = if owner + 1 == owners { end + self.classes } else { end };
        self.pack * start..self.pack * end
    }

    /// Blocks of rows of the chains that go from owner to owner.
    pub const fn blocks(&self, owners: usize) -> usize {
        if owners == 1 { 1 } else { min(BLOCKS, self.batch.div_ceil(2)) }
    }
}

/// Why so many images do not suffice.
#[cfg(feature = "std")]
fn too_few(images: usize, Config { validation, batch_size, .. }: &Config) -> crate::error::Text {
    let images = if images == 1 { "1 image".to_string() } else { format!("{images} images") };
    format!(
        "{images}, of which --validation {validation} are held out: expected at least --batch-size {batch_size} more"
    )
    .into()
}
#[cfg(not(feature = "std"))]
fn too_few(_: usize, _: &Config) -> crate::error::Text {
    "fewer images than validation holds out and batch-size takes"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_owner_has_lines_of_its_own_and_all_pixels_have_an_owner() {
        for pixels in [1, 16, 47, 48, 96, 141, 784, 1_000, 65_536] {
            for (latent, classes, pack) in [(1, 0, 1), (100, 256, 1), (65_536, 0, 2), (100, 10, 4)] {
                let sizes = Sizes {
                    latent,
                    classes,
                    generator_hidden: 256,
                    discriminator_hidden: 256,
                    batch: 128,
                    pack,
                    averaged: false,
                    pixels,
                    images: 1,
                };
                assert!((1..=sizes.most_owners()).contains(&sizes.useful_owners()));
                for owners in 1..=sizes.most_owners() {
                    let (mut next, mut next_input) = (0, 0);
                    for owner in 0..owners {
                        let own = sizes.pixels_of(owner, owners);
                        assert!(
                            own.start == next && own.end > next,
                            "{pixels}: {owner} of {owners}: {own:?}"
                        );
                        assert!(own.start.is_multiple_of(LINE));
                        let inputs = sizes.inputs_of(owner, owners);
                        assert!(inputs.start == next_input && inputs.start == pack * own.start);
                        assert!(inputs.len() >= pack * own.len());
                        (next, next_input) = (own.end, inputs.end);
                    }
                    assert_eq!((next, next_input), (pixels, pack * (pixels + classes)));
                }
            }
        }
    }
}
