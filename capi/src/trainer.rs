//! Training.

use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;
use std::sync::Arc;

use duel::export::c;
use duel::export::safetensors::{Checkpoint, encode};
use duel::{Dataset, Error, Isa, StepStats, Trainer, files};

use crate::arguments::{
    Memory, apart, class, filled, named, path, place, places, put, settings, text, text_out, values,
};
use crate::code::{duel_code, guard};
use crate::data::{duel_data, shared};
use crate::handle::{Handle, Opaque, opaque};
use crate::sampler::duel_shape;
use crate::team::{Threads, duel_team};

/// A run: two networks, their optimisers, and the place in the stream of batches.
pub struct duel_trainer(Handle<Run>);
opaque!(duel_trainer, "trainer", Run);

pub(crate) struct Run {
    trainer: Trainer<Arc<Dataset>, Memory>,
    threads: Threads,
}

/// What a step reports.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct duel_stats {
    /// The step, counted from 1.
    pub step: u64,
    /// The generator's loss, before the step's update.
    pub generator_loss: f32,
    /// The discriminator's.
    pub discriminator_loss: f32,
}

impl From<StepStats> for duel_stats {
    fn from(StepStats { step, generator_loss, discriminator_loss }: StepStats) -> duel_stats {
        duel_stats { step, generator_loss, discriminator_loss }
    }
}

/// Told of each step of a run, when its losses are known, on one of the run's threads: it must not throw, and must not call the library
/// with the same trainer. The run ends after that step if it returns anything but 0.
pub type duel_callback = Option<unsafe extern "C" fn(user: *mut c_void, stats: *const duel_stats) -> i32>;

/// Writes to *bytes how much memory a trainer takes, see duel_trainer_new.
///
/// # Safety
/// `data` is null or a handle, `names_and_values` is null or a text, `bytes` is null or good for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_memory(
    data: *const duel_data,
    names_and_values: *const c_char,
    bytes: *mut usize,
) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (data, config) = unsafe { (shared(data)?, settings(names_and_values)?) };
        let lines = Trainer::<_, Memory>::memory_lines(&config, &data)?;
        // SAFETY: the caller's promise.
        unsafe { put(bytes, lines * size_of::<duel::Line>(), "bytes") }
    })
}

/// A run at step 0 on the fastest backend and one thread, the calling one. Writes the handle to *trainer.
///
/// Settings are those of the duel program, as NAME=VALUE with a space between two, such as "seed=7 batch-size=64" or
/// "preset=labelled"; null are the defaults, which are the tutorial's. `memory` is null, and the library takes what it needs, or at
/// a multiple of 64, with the `memory_bytes` that duel_trainer_memory says: then it is the trainer's until that is freed.
///
/// # Safety
/// `data` is null or a handle, `names_and_values` is null or a text, `memory` is null or good for `memory_bytes` bytes, `trainer` is
/// null or good for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_new(
    data: *const duel_data,
    names_and_values: *const c_char,
    memory: *mut c_void,
    memory_bytes: usize,
    trainer: *mut *mut duel_trainer,
) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (data, config) = unsafe { (shared(data)?, settings(names_and_values)?) };
        let lines = Trainer::<_, Memory>::memory_lines(&config, &data)?;
        // SAFETY: the caller's promise.
        let memory = unsafe { Memory::new(memory, memory_bytes, lines) }?;
        let run = Run { trainer: Trainer::in_memory(config, data, memory)?, threads: Threads::Calling };
        // SAFETY: the caller's promise.
        unsafe { duel_trainer(Handle::new(run)).hand_over(trainer) }
    })
}

/// Frees a trainer; null is nothing to free.
///
/// # Safety
/// `trainer` is null or a handle, which nobody uses after this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_free(trainer: *mut duel_trainer) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe { duel_trainer::free(trainer) })
}

/// Trains and samples on so many threads of the library's from now on; 0: as many as this process may use. At most 16 have something
/// to do. The bits are the same. They sleep between calls, and end when the trainer is freed or takes others.
///
/// # Safety
/// `trainer` is null or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_set_threads(trainer: *mut duel_trainer, threads: usize) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        duel_trainer::with(trainer, |run| Threads::of(threads).map(|threads| run.threads = threads))
    })
}

/// Trains and samples on the caller's threads from now on. The bits are the same. *team is copied.
///
/// # Safety
/// `trainer` is null or a handle; `team` is null or does what its documentation says, as long as the trainer has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_set_team(
    trainer: *mut duel_trainer,
    team: *const duel_team,
) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let team = unsafe { values(team, 1, "team") }?[0];
        // SAFETY: the caller's promise.
        unsafe { duel_trainer::with(trainer, |run| Threads::host(team).map(|threads| run.threads = threads)) }
    })
}

/// Chooses the backend: "reference", "wide", "avx2" or "avx512". The bits are the same.
///
/// # Safety
/// `trainer` is null or a handle, `isa` is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_set_isa(trainer: *mut duel_trainer, isa: *const c_char) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let isa = Isa::named(unsafe { text(isa, "isa") }?)?;
        // SAFETY: the caller's promise.
        unsafe {
            duel_trainer::with(trainer, |run| {
                run.trainer.set_isa(isa);
                Ok(())
            })
        }
    })
}

/// One step. Its losses go to *stats, which may be null.
///
/// # Safety
/// `trainer` is null or a handle; `stats` is null or good for a value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_step(trainer: *mut duel_trainer, stats: *mut duel_stats) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let to = if stats.is_null() { None } else { Some(place(stats, "stats")?) };
        let reported = duel_trainer::with(trainer, |run| run.trainer.step(&run.threads))?;
        if let Some(to) = to {
            to.write(reported.into());
        }
        Ok(())
    })
}

/// What a host is told through.
struct Listener {
    callback: unsafe extern "C" fn(*mut c_void, *const duel_stats) -> i32,
    user: *mut c_void,
}

// SAFETY: the documentation of `duel_callback` says that it is called on another thread, with `user`.
unsafe impl Send for Listener {}

impl Listener {
    fn tell(&self, stats: StepStats) -> ControlFlow<()> {
        let stats = stats.into();
        // SAFETY: the promise of the caller of `duel_trainer_run`.
        match unsafe { (self.callback)(self.user, &stats) } {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}

/// So many steps, or fewer if `callback`, which may be null, ends the run. Faster than single steps where there are several threads.
///
/// # Safety
/// `trainer` is null or a handle; `callback` is null or does what its documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_run(
    trainer: *mut duel_trainer,
    steps: u64,
    callback: duel_callback,
    user: *mut c_void,
) -> duel_code {
    guard(|| {
        let listener = callback.map(|callback| Listener { callback, user });
        let each = move |stats| match &listener {
            Some(listener) => listener.tell(stats),
            None => ControlFlow::Continue(()),
        };
        // SAFETY: the caller's promise.
        unsafe { duel_trainer::with(trainer, |run| run.trainer.run(&run.threads, steps, each)) }
    })
}

/// Writes to *steps how many steps are done.
///
/// # Safety
/// `trainer` is null or a handle; `steps` is null or good for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_steps(trainer: *const duel_trainer, steps: *mut u64) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe { put(steps, duel_trainer::with(trainer, |run| Ok(run.trainer.steps_done()))?, "steps") })
}

/// Writes the sizes of the generator to *shape.
///
/// # Safety
/// `trainer` is null or a handle; `shape` is null or good for a value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_shape(
    trainer: *const duel_trainer,
    shape: *mut duel_shape,
) -> duel_code {
    let of = |run: &mut Run| {
        let (config, images) = (run.trainer.config(), run.trainer.images());
        Ok(duel_shape {
            latent: config.latent_size,
            classes: run.trainer.classes(),
            hidden: config.generator_hidden,
            height: images.height(),
            width: images.width(),
        })
    };
    // SAFETY: the caller's promise.
    guard(|| unsafe { put(shape, duel_trainer::with(trainer, of)?, "shape") })
}

/// Writes the digest of the state as text: the SHA-256 of what duel_trainer_save_state writes, without the average.
///
/// # Safety
/// `trainer` is null or a handle; `text` is null or good for `bytes` bytes, which must be DUEL_DIGEST_BYTES.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_digest(
    trainer: *const duel_trainer,
    text: *mut c_char,
    bytes: usize,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe { text_out(duel_trainer::with(trainer, |run| run.trainer.digest())?, text, bytes) })
}

/// Writes the digest of the average of the generator's parameters as text; DUEL_USAGE if there is none.
///
/// # Safety
/// As duel_trainer_digest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_average_digest(
    trainer: *const duel_trainer,
    text: *mut c_char,
    bytes: usize,
) -> duel_code {
    let none = || Error::usage("average", "is not kept, expected the setting average=…");
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let digest = duel_trainer::with(trainer, |run| run.trainer.average_digest())?;
        text_out(digest.ok_or_else(none)?, text, bytes)
    })
}

/// Writes to `probabilities` two values: the discriminator's mean probability of a real image being real, and of a generated one, in the
/// last step that this trainer took.
///
/// # Safety
/// `trainer` is null or a handle; `probabilities` is null or good for two values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_mean_probabilities(
    trainer: *const duel_trainer,
    probabilities: *mut f32,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (real, generated) = duel_trainer::with(trainer, |run| run.trainer.mean_probabilities())?;
        put(probabilities.cast(), [real, generated], "probabilities")
    })
}

/// Writes images first, first + 1, … of the samples of `seed` to `pixels`, a byte per pixel, white on black: as many as `bytes` hold,
/// which must be a whole number of them. Image i depends on the weights (their average, if there is one), `seed` and i alone.
/// `label` is the class of all, or −1: then that of image i is i mod classes, if there are any. After an error `pixels`
/// have no meaning.
///
/// # Safety
/// `trainer` is null or a handle; `pixels` is null or good for `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_sample(
    trainer: *mut duel_trainer,
    seed: u64,
    first: u64,
    label: i32,
    pixels: *mut u8,
    bytes: usize,
) -> duel_code {
    guard(|| {
        let label = class(label)?;
        // SAFETY: the caller's promise.
        unsafe {
            let pixels = places(pixels, bytes, "pixels")?;
            duel_trainer::with(trainer, |run| {
                run.trainer.sample_class(&run.threads, seed, first, label, filled(pixels, 0))
            })
        }
    })
}

/// As duel_trainer_sample, of the caller's own noise: `z` has `count` numbers, as many for each image as the shape's latent says,
/// from −1 to 1 as in training.
///
/// # Safety
/// As duel_trainer_sample; `z` is null or good for `count` numbers, none of them in `pixels`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_generate(
    trainer: *mut duel_trainer,
    z: *const f32,
    count: usize,
    label: i32,
    pixels: *mut u8,
    bytes: usize,
) -> duel_code {
    guard(|| {
        let label = class(label)?;
        // SAFETY: the caller's promise.
        unsafe {
            apart(z, count, pixels, bytes)?;
            let (z, pixels) = (values(z, count, "z")?, places(pixels, bytes, "pixels")?);
            duel_trainer::with(trainer, |run| run.trainer.generate(&run.threads, z, label, filled(pixels, 0)))
        }
    })
}

/// Writes a tensor, row-major, to `to`, as many values as it has. Names are those of a checkpoint, such as "generator.out.weight",
/// "generator.out.weight.adam_m" and .adam_v for its moments, and .average.
///
/// # Safety
/// `trainer` is null or a handle, `name` is null or a text, `to` is null or good for `count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_tensor(
    trainer: *const duel_trainer,
    name: *const c_char,
    to: *mut f32,
    count: usize,
) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let (name, to) = unsafe { (text(name, "name")?, places(to, count, "to")?) };
        let (tensor, part) = named(name)?;
        // SAFETY: the caller's promise.
        unsafe {
            duel_trainer::with(trainer, |run| {
                let view = run.trainer.tensor(tensor, part)?;
                if view.count() != to.len() {
                    return Err(Error::usage("count", format!("{}, expected {}", to.len(), view.count())));
                }
                let mut places = to.iter_mut();
                view.each(|x| places.next().into_iter().for_each(|place| _ = place.write(x)));
                Ok(())
            })
        }
    })
}

/// Writes to *bytes how large a state is, the average included.
///
/// # Safety
/// `trainer` is null or a handle; `bytes` is null or good for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_state_bytes(
    trainer: *const duel_trainer,
    bytes: *mut usize,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        put(bytes, duel_trainer::with(trainer, |run| Ok(run.trainer.state_bytes()))?, "bytes")
    })
}

/// Writes the state to `state`, whose size must be that of duel_trainer_state_bytes: the step as u64, all parameters, first and
/// second moments as f32, and the average if there is one; little-endian, G before D, layer by layer, weight before bias, row-major.
///
/// # Safety
/// `trainer` is null or a handle; `state` is null or good for `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_save_state(
    trainer: *const duel_trainer,
    state: *mut u8,
    bytes: usize,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let state = places(state, bytes, "state")?;
        duel_trainer::with(trainer, |run| {
            let whole = run.trainer.state_bytes();
            if bytes != whole {
                return Err(Error::usage("bytes", format!("{bytes}, expected {whole}")));
            }
            let mut written = 0;
            run.trainer.save(|piece| {
                state[written..written + piece.len()].write_copy_of_slice(piece);
                written += piece.len();
            })
        })
    })
}

/// Goes on from a state that duel_trainer_save_state wrote: the next steps are those that the saved run would have taken, if settings
/// and data are the same. A trainer whose run has failed is good again.
///
/// # Safety
/// `trainer` is null or a handle; `state` is null or good for `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_load_state(
    trainer: *mut duel_trainer,
    state: *const u8,
    bytes: usize,
) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let state = values(state, bytes, "state")?;
        duel_trainer::with(trainer, |run| run.trainer.load(state))
    })
}

/// Writes a checkpoint (safetensors), which the duel program reads, too. The file is written whole or not at all.
///
/// # Safety
/// `trainer` is null or a handle; `file` is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_save(trainer: *const duel_trainer, file: *const c_char) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let file = unsafe { path(file, "file") }?;
        // SAFETY: the caller's promise.
        let bytes =
            unsafe { duel_trainer::with(trainer, |run| encode(&run.trainer, run.trainer.data().digest())) }?;
        files::write_whole(&file, |to| to.write_all(&bytes))
    })
}

/// Goes on from a checkpoint. Its settings and its data must be the trainer's.
///
/// # Safety
/// `trainer` is null or a handle; `file` is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_load(trainer: *mut duel_trainer, file: *const c_char) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let file = unsafe { path(file, "file") }?;
        let bytes = files::read(&file).map_err(|error| Error::io(&file, error))?;
        let checkpoint = Checkpoint::decode(&bytes, &file.display().to_string())?;
        // SAFETY: the caller's promise.
        unsafe {
            duel_trainer::with(trainer, |run| {
                let data = run.trainer.data().digest();
                checkpoint.resume(&mut run.trainer, data)
            })
        }
    })
}

/// Writes the generator as one file of C99 that needs nothing else. With `raw` (not 0) the parameters themselves where there is an
/// average of them.
///
/// # Safety
/// `trainer` is null or a handle; `file` is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_trainer_export_c(
    trainer: *const duel_trainer,
    file: *const c_char,
    raw: i32,
) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let file = unsafe { path(file, "file") }?;
        let of = |run: &mut Run| Checkpoint::of(&run.trainer, run.trainer.data().digest());
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { duel_trainer::with(trainer, of) }?;
        files::write_whole(&file, |to| c::write(&checkpoint, raw != 0, to))
    })
}
