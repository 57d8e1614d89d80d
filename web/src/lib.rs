//! The engine for a page: a generator, and a training, behind functions of numbers.
//!
//! A page writes what a call reads into the bytes that [`room`] returns, calls, and reads what came of it from [`result`],
//! [`result_len`] bytes. Numbers are little-endian, and places in memory are valid until the next call. A call returns 0, or the
//! code of an error as `duel` exits with, and then the result is its message. Nothing is imported; a panic is a trap. One
//! instance is one page's: what it holds lies in a thread's own variable.

use std::cell::RefCell;

use duel::model::tensor::Tensor;
use duel::{AsImages, Config, Error, GeneratorShape, Images, Line, Sampler, Serial, Trainer};

type Arena = Box<[Line]>;

/// What an instance holds.
#[derive(Default)]
struct Page {
    room: Vec<u8>,
    result: Vec<u8>,
    config: Config,
    generator: Option<(Sampler<Arena>, GeneratorShape)>,
    trainer: Option<Trainer<Digits, Arena>>,
}

thread_local! {
    static PAGE: RefCell<Page> = RefCell::default();
}

/// Images that a trainer owns, and their labels, one byte each, if there are any.
struct Digits {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    height: usize,
    width: usize,
}

impl Digits {
    fn check(&self) -> Result<Images<'_>, Error> {
        let images = Images::new(&self.pixels, self.height, self.width)?;
        if self.labels.is_empty() { Ok(images) } else { images.labelled(&self.labels) }
    }
}

impl AsImages for Digits {
    fn as_images(&self) -> Images<'_> {
        self.check().expect("they were checked when they came")
    }
}

fn arena(lines: usize) -> Arena {
    vec![Line::filled(0.0); lines].into()
}

fn floats(bytes: &[u8]) -> impl ExactSizeIterator<Item = f32> + Clone {
    bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word))
}

/// Calls with the room's content, keeps what it appends as the result, or the error's message.
fn call(f: impl FnOnce(&mut Page, Vec<u8>, &mut Vec<u8>) -> Result<(), Error>) -> i32 {
    PAGE.with_borrow_mut(|page| {
        let (room, mut result) = (std::mem::take(&mut page.room), Vec::new());
        let code = match f(page, room, &mut result) {
            Ok(()) => 0,
            Err(error) => {
                result = error.to_string().into_bytes();
                error.exit_code().into()
            }
        };
        page.result = result;
        code
    })
}

fn none_yet(what: &'static str) -> Error {
    Error::usage(what, "there is none yet")
}

/// Room for `len` bytes that the next call reads.
#[unsafe(no_mangle)]
pub extern "C" fn room(len: usize) -> *mut u8 {
    PAGE.with_borrow_mut(|page| {
        page.room = vec![0; len];
        page.room.as_mut_ptr()
    })
}

/// Where the result of the last call lies.
#[unsafe(no_mangle)]
pub extern "C" fn result() -> *const u8 {
    PAGE.with_borrow(|page| page.result.as_ptr())
}

/// The bytes of the result of the last call.
#[unsafe(no_mangle)]
pub extern "C" fn result_len() -> usize {
    PAGE.with_borrow(|page| page.result.len())
}

/// A generator, from its four tensors in the room: of the hidden layer weight [latent + classes, hidden] and bias, of the output
/// weight [hidden, pixels] and bias.
#[unsafe(no_mangle)]
pub extern "C" fn generator(latent: usize, classes: usize, hidden: usize, pixels: usize) -> i32 {
    call(|page, room, _| {
        let shape = GeneratorShape { latent, classes, hidden, pixels };
        let lines = Sampler::<Arena>::memory_lines(shape)?;
        let sizes = [(latent + classes) * hidden, hidden, hidden * pixels, pixels];
        // A file may claim any sizes: there is no room for them before their values are there.
        if room.len() / 4 < sizes.iter().sum() {
            return Err(Error::usage("tensors", "too few values"));
        }
        let mut sampler = Sampler::in_memory(shape, arena(lines))?;
        let tensors = [
            Tensor::GeneratorHiddenWeight,
            Tensor::GeneratorHiddenBias,
            Tensor::GeneratorOutWeight,
            Tensor::GeneratorOutBias,
        ];
        let mut rest = &room[..];
        for (tensor, size) in tensors.into_iter().zip(sizes) {
            let (values, more) = rest.split_at(4 * size);
            sampler.set(tensor, floats(values))?;
            rest = more;
        }
        page.generator = Some((sampler, shape));
        Ok(())
    })
}

/// The noise of `count` samples of a seed from the `first` on, as `duel sample` draws them: f32 [count, latent].
#[unsafe(no_mangle)]
pub extern "C" fn noise(seed: u64, first: u64, count: usize) -> i32 {
    call(|page, _, result| {
        let (_, shape) = page.generator.as_ref().ok_or(none_yet("generator"))?;
        let mut z = vec![0.0; shape.latent];
        for index in 0..count {
            duel::rng::sample_noise(seed, first.wrapping_add(index as u64), &mut z);
            result.extend(z.iter().flat_map(|x| x.to_le_bytes()));
        }
        Ok(())
    })
}

/// Images of the noise in the room, f32 [count, latent], of a class if it is 0 or above: u8 [count, pixels], white on black.
#[unsafe(no_mangle)]
pub extern "C" fn generate(class: i32) -> i32 {
    call(|page, room, result| {
        let (sampler, shape) = page.generator.as_mut().ok_or(none_yet("generator"))?;
        let z: Vec<f32> = floats(&room).collect();
        result.resize(bytes(&[z.len() / shape.latent, shape.pixels])?, 0);
        sampler.generate(&Serial, &z, class.try_into().ok(), result)
    })
}

/// Changes a setting of the next training: in the room its name and value as the program's flags have them, between them a space.
#[unsafe(no_mangle)]
pub extern "C" fn setting() -> i32 {
    call(|page, room, _| {
        let text = String::from_utf8_lossy(&room);
        let (name, value) =
            text.split_once(' ').ok_or(Error::usage("setting", "expected a name and a value"))?;
        match page.config.set(name, value)? {
            true => Ok(()),
            false => Err(Error::usage("setting", "there is none of this name")),
        }
    })
}

/// So many bytes.
fn bytes(sizes: &[usize]) -> Result<usize, Error> {
    let bytes = sizes.iter().try_fold(1, |bytes: usize, &size| bytes.checked_mul(size));
    bytes
        .filter(|&bytes| bytes <= isize::MAX as usize)
        .ok_or(Error::usage("count", "more than any memory holds"))
}

/// A training at step 0 on `count` images in the room, u8 [count, height, width], and their labels, u8 \[count], if it has them.
#[unsafe(no_mangle)]
pub extern "C" fn train(count: usize, height: usize, width: usize) -> i32 {
    call(|page, mut pixels, _| {
        let bytes = bytes(&[count, height, width])?;
        if pixels.len() < bytes {
            return Err(Error::usage("images", "fewer bytes than their sizes say"));
        }
        let labels = pixels.split_off(bytes);
        let digits = Digits { pixels, labels, height, width };
        digits.check()?;
        let lines = Trainer::<_, Arena>::memory_lines(&page.config, &digits)?;
        page.trainer = Some(Trainer::in_memory(page.config.clone(), digits, arena(lines))?);
        Ok(())
    })
}

/// One step: the losses before it, of the generator and of the discriminator, f32 \[2].
#[unsafe(no_mangle)]
pub extern "C" fn step() -> i32 {
    call(|page, _, result| {
        let stats = page.trainer.as_mut().ok_or(none_yet("training"))?.step(&Serial)?;
        result.extend(stats.generator_loss.to_le_bytes());
        result.extend(stats.discriminator_loss.to_le_bytes());
        Ok(())
    })
}

/// The state's digest as text.
#[unsafe(no_mangle)]
pub extern "C" fn digest() -> i32 {
    call(|page, _, result| {
        result.extend(page.trainer.as_ref().ok_or(none_yet("training"))?.digest()?.to_string().bytes());
        Ok(())
    })
}

/// The training's samples of a seed, of a class if it is 0 or above, from the first on: u8 [count, height, width].
#[unsafe(no_mangle)]
pub extern "C" fn samples(seed: u64, class: i32, count: usize) -> i32 {
    call(|page, _, result| {
        let trainer = page.trainer.as_mut().ok_or(none_yet("training"))?;
        result.resize(bytes(&[count, trainer.image_size()])?, 0);
        trainer.sample_class(&Serial, seed, 0, class.try_into().ok(), result)
    })
}

/// Whether every kernel here computes what was published, and the emulated fma what the definition says: on how many triples.
#[cfg(feature = "verify")]
#[unsafe(no_mangle)]
pub extern "C" fn verify() -> i32 {
    call(|_, _, result| {
        let isa = duel::Isa::best();
        duel::self_check::check(isa)?;
        let triples = duel::self_check::compare_fma(isa).map_err(Error::mismatch)?;
        result.extend(format!("{}: {triples} triples", isa.name()).bytes());
        Ok(())
    })
}
