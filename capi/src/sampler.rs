//! Samples of a trained generator.

use std::ffi::{c_char, c_void};

use duel::export::safetensors::Checkpoint;
use duel::run::recorded::Named;
use duel::{Error, GeneratorShape, Isa, Part, Sampler, Serial};

use crate::arguments::{Memory, apart, class, filled, named, path, places, put, text, values};
use crate::code::{duel_code, guard};
use crate::handle::{Handle, Opaque, opaque};

/// A generator that makes images, on the calling thread.
pub struct duel_sampler(Handle<Generator>);
opaque!(duel_sampler, "sampler", Generator);

pub(crate) struct Generator {
    sampler: Sampler<Memory>,
    shape: duel_shape,
}

/// The sizes of a generator.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct duel_shape {
    /// Values of noise per image.
    pub latent: usize,
    /// Classes that it can be asked for; 0 if it is not conditional.
    pub classes: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Pixels per column.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
}

impl From<duel_shape> for GeneratorShape {
    fn from(shape: duel_shape) -> GeneratorShape {
        let duel_shape { latent, classes, hidden, height, width } = shape;
        GeneratorShape { latent, classes, hidden, pixels: height.saturating_mul(width) }
    }
}

/// # Safety
/// `shape` is null or good for a value.
unsafe fn shape_of(shape: *const duel_shape) -> Result<duel_shape, Error> {
    // SAFETY: the caller's promise.
    unsafe { values(shape, 1, "shape") }.map(|shape| shape[0])
}

/// The generator of a checkpoint (safetensors), of a run's folder (the newest state in it) or of RUN@STEP, which is trained again if it
/// was not saved. Where there is an average of the parameters, it is that, unless `raw` is not 0. Writes the handle to *sampler.
///
/// # Safety
/// `file` is null or a text; `sampler` is null or good for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_sampler_open(
    file: *const c_char,
    raw: i32,
    sampler: *mut *mut duel_sampler,
) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let file = unsafe { path(file, "file") }?;
        let (_, checkpoint) = Named::parse(&file).state(None, Isa::best(), &Serial, &())?;
        let Checkpoint { height, width, classes, ref config, .. } = checkpoint;
        let (latent, hidden) = (config.latent_size, config.generator_hidden);
        let shape = duel_shape { latent, classes, hidden, height, width };
        let lines = Sampler::<Memory>::memory_lines(shape.into())?;
        // SAFETY: null is the library's own memory.
        let memory = unsafe { Memory::new(std::ptr::null_mut(), 0, lines) }?;
        let mut made = Sampler::in_memory(shape.into(), memory)?;
        for (tensor, values) in checkpoint.generator(raw != 0) {
            made.set(tensor, values.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)))?;
        }
        // SAFETY: the caller's promise.
        unsafe { duel_sampler(Handle::new(Generator { sampler: made, shape })).hand_over(sampler) }
    })
}

/// Writes to *bytes how much memory a generator of these sizes takes, see duel_sampler_new.
///
/// # Safety
/// `shape` is null or good for a value, `bytes` is null or good for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_sampler_memory(shape: *const duel_shape, bytes: *mut usize) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let lines = Sampler::<Memory>::memory_lines(shape_of(shape)?.into())?;
        put(bytes, lines * size_of::<duel::Line>(), "bytes")
    })
}

/// A generator of these sizes, all parameters 0. `memory` is null, and the library takes what it needs, or at a multiple of 64, with
/// the `memory_bytes` that duel_sampler_memory says: then it is the generator's until that is freed. Writes the handle to *sampler.
///
/// # Safety
/// `shape` is null or good for a value, `memory` is null or good for `memory_bytes` bytes, `sampler` is null or good for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_sampler_new(
    shape: *const duel_shape,
    memory: *mut c_void,
    memory_bytes: usize,
    sampler: *mut *mut duel_sampler,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let shape = shape_of(shape)?;
        let lines = Sampler::<Memory>::memory_lines(shape.into())?;
        let memory = Memory::new(memory, memory_bytes, lines)?;
        duel_sampler(Handle::new(Generator { sampler: Sampler::in_memory(shape.into(), memory)?, shape }))
            .hand_over(sampler)
    })
}

/// Sets a tensor of the generator, row-major: "generator.hidden.weight" (latent + classes by hidden), "generator.hidden.bias",
/// "generator.out.weight" (hidden by pixels) or "generator.out.bias".
///
/// # Safety
/// `sampler` is null or a handle, `name` is null or a text, `from` is null or good for `count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_sampler_set(
    sampler: *mut duel_sampler,
    name: *const c_char,
    from: *const f32,
    count: usize,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (name, from) = (text(name, "name")?, values(from, count, "from")?);
        match named(name)? {
            (tensor, Part::Parameter) => {
                duel_sampler::with(sampler, |generator| generator.sampler.set(tensor, from.iter().copied()))
            }
            _ => Err(Error::usage("name", "expected a tensor of the generator's parameters")),
        }
    })
}

/// Writes the sizes of the generator to *shape.
///
/// # Safety
/// `sampler` is null or a handle; `shape` is null or good for a value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_sampler_shape(
    sampler: *const duel_sampler,
    shape: *mut duel_shape,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe { put(shape, duel_sampler::with(sampler, |generator| Ok(generator.shape))?, "shape") })
}

/// As duel_trainer_sample.
///
/// # Safety
/// `sampler` is null or a handle; `pixels` is null or good for `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_sampler_sample(
    sampler: *mut duel_sampler,
    seed: u64,
    first: u64,
    label: i32,
    pixels: *mut u8,
    bytes: usize,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (label, pixels) = (class(label)?, places(pixels, bytes, "pixels")?);
        duel_sampler::with(sampler, |generator| {
            generator.sampler.sample_class(&Serial, seed, first, label, filled(pixels, 0))
        })
    })
}

/// As duel_trainer_generate.
///
/// # Safety
/// As duel_sampler_sample; `z` is null or good for `count` numbers, none of them in `pixels`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_sampler_generate(
    sampler: *mut duel_sampler,
    z: *const f32,
    count: usize,
    label: i32,
    pixels: *mut u8,
    bytes: usize,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        apart(z, count, pixels, bytes)?;
        let (z, pixels) = (values(z, count, "z")?, places(pixels, bytes, "pixels")?);
        let label = class(label)?;
        duel_sampler::with(sampler, |generator| {
            generator.sampler.generate(&Serial, z, label, filled(pixels, 0))
        })
    })
}

/// Frees a generator; null is nothing to free.
///
/// # Safety
/// `sampler` is null or a handle, which nobody uses after this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_sampler_free(sampler: *mut duel_sampler) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe { duel_sampler::free(sampler) })
}
