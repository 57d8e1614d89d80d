//! Pointers of the caller's as what they point to: each is checked for null here, and for its size.

use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::slice;

use duel::{Config, Digest, Error, Line, Part, Tensor};

fn null(name: &'static str) -> Error {
    Error::usage(name, "is null")
}

/// # Safety
/// `from` is null or good for `count` values, as long as the slice is used.
pub(crate) unsafe fn values<'a, T>(
    from: *const T,
    count: usize,
    name: &'static str,
) -> Result<&'a [T], Error> {
    fits::<T>(count, name)?;
    match count {
        0 => Ok(&[]),
        _ if from.is_null() => Err(null(name)),
        _ if !from.is_aligned() => Err(Error::usage(name, "is not aligned")),
        // SAFETY: the caller's promise.
        _ => Ok(unsafe { slice::from_raw_parts(from, count) }),
    }
}

/// Where values go; it may be memory that was never written.
///
/// # Safety
/// As [`values`], and nobody else uses them.
pub(crate) unsafe fn places<'a, T>(
    to: *mut T,
    count: usize,
    name: &'static str,
) -> Result<&'a mut [MaybeUninit<T>], Error> {
    fits::<T>(count, name)?;
    match count {
        0 => Ok(&mut []),
        _ if to.is_null() => Err(null(name)),
        _ if !to.is_aligned() => Err(Error::usage(name, "is not aligned")),
        // SAFETY: the caller's promise.
        _ => Ok(unsafe { slice::from_raw_parts_mut(to.cast(), count) }),
    }
}

/// The same, all of them `value`.
pub(crate) fn filled<T: Copy>(places: &mut [MaybeUninit<T>], value: T) -> &mut [T] {
    places.fill(MaybeUninit::new(value));
    // SAFETY: each has been written.
    unsafe { places.assume_init_mut() }
}

/// Refuses what is written to if it overlaps what is read.
pub(crate) fn apart<T, U>(from: *const T, count: usize, to: *const U, places: usize) -> Result<(), Error> {
    fits::<T>(count, "count")?;
    fits::<U>(places, "bytes")?;
    let (read, written) = (count * size_of::<T>(), places * size_of::<U>());
    let begins_in = |a: usize, b: usize, bytes: usize| a.wrapping_sub(b) < bytes;
    let (from, to) = (from.addr(), to.addr());
    if read > 0 && written > 0 && (begins_in(from, to, written) || begins_in(to, from, read)) {
        return Err(Error::usage("pixels", "overlap what they are made of"));
    }
    Ok(())
}

/// No object is larger than half of the address space.
fn fits<T>(count: usize, name: &'static str) -> Result<(), Error> {
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(Error::usage(name, "is larger than any memory")),
    }
}

/// Puts a result where the caller wants it.
///
/// # Safety
/// `to` is null or good for a value.
pub(crate) unsafe fn put<T>(to: *mut T, value: T, name: &'static str) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { place(to, name) }?.write(value);
    Ok(())
}

/// Where the caller wants a result.
///
/// # Safety
/// As [`put`], as long as the place is used.
pub(crate) unsafe fn place<'a, T>(to: *mut T, name: &'static str) -> Result<&'a mut MaybeUninit<T>, Error> {
    // SAFETY: the caller's promise.
    match unsafe { places(to, 1, name) }? {
        [place] => Ok(place),
        _ => unreachable!("one was asked for"),
    }
}

/// # Safety
/// `from` is null or a text that ends with a zero byte.
pub(crate) unsafe fn text<'a>(from: *const c_char, name: &'static str) -> Result<&'a str, Error> {
    if from.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(from) };
    text.to_str().map_err(|_| Error::usage(name, "is not UTF-8"))
}

/// A path: any bytes where the system takes those, UTF-8 elsewhere.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn path(from: *const c_char, name: &'static str) -> Result<PathBuf, Error> {
    if from.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(from) };
    if bytes.is_empty() {
        return Err(Error::usage(name, "is empty, expected a path"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Ok(std::ffi::OsStr::from_bytes(bytes.to_bytes()).into())
    }
    #[cfg(not(unix))]
    bytes.to_str().map(PathBuf::from).map_err(|_| Error::usage(name, "is not UTF-8"))
}

/// Settings from `NAME=VALUE NAME=VALUE …`; null and an empty text are the defaults. `preset=NAME` comes before all others.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn settings(from: *const c_char) -> Result<Config, Error> {
    // SAFETY: the caller's promise.
    let text = if from.is_null() { "" } else { unsafe { text(from, "settings") }? };
    let pairs = text.split_ascii_whitespace().map(|pair| {
        let words =
            || Error::usage("settings", format!("{pair:?}, expected NAME=VALUE with a space between two"));
        pair.split_once('=').ok_or_else(words)
    });
    let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
    let presets = pairs.iter().filter(|(name, _)| *name == "preset");
    let mut config =
        presets.map(|(_, name)| Config::preset(name)).next_back().unwrap_or(Ok(Config::default()))?;
    for (name, value) in pairs.into_iter().filter(|(name, _)| *name != "preset") {
        if !config.set(name, value)? {
            let names: Vec<_> = Config::SETTINGS.iter().map(|setting| setting.about.name).collect();
            let problem = format!("no such setting, expected preset or one of {}", names.join(", "));
            return Err(Error::usage(name.to_string(), problem));
        }
    }
    Ok(config)
}

/// The tensor, and the part of it, that a checkpoint calls `name`.
pub(crate) fn named(name: &str) -> Result<(Tensor, Part), Error> {
    let ends = [(".adam_m", Part::AdamM), (".adam_v", Part::AdamV), (".average", Part::Average)];
    let end = ends.iter().find_map(|&(end, part)| Some((name.strip_suffix(end)?, part)));
    let (tensor, part) = end.unwrap_or((name, Part::Parameter));
    let tensor = Tensor::ALL.into_iter().find(|of| of.name() == tensor);
    let words =
        || Error::usage("name", format!("{name:?}, expected that of a tensor such as generator.out.weight"));
    Ok((tensor.ok_or_else(words)?, part))
}

/// Lines of 64 bytes: the library's, or the caller's.
pub(crate) enum Memory {
    Own(Box<[Line]>),
    Callers(&'static mut [Line]),
}

impl Memory {
    /// `lines` lines: those at `memory`, or if that is null, new ones.
    ///
    /// # Safety
    /// `memory` is null or good for `bytes` bytes, which nobody else uses as long as what is made with it lives.
    pub(crate) unsafe fn new(memory: *mut c_void, bytes: usize, lines: usize) -> Result<Memory, Error> {
        let wanted = lines * size_of::<Line>();
        if memory.is_null() {
            return Ok(Memory::Own(duel::memory::zeroed(lines)?));
        }
        if !memory.cast::<Line>().is_aligned() || bytes < wanted {
            let problem = format!("{bytes} bytes, expected {wanted} at a multiple of {}", align_of::<Line>());
            return Err(Error::usage("memory", problem));
        }
        // SAFETY: the caller's promise.
        let memory = unsafe { places(memory.cast::<Line>(), lines, "memory") }?;
        Ok(Memory::Callers(filled(memory, Line::filled(0.0))))
    }
}

impl AsRef<[Line]> for Memory {
    fn as_ref(&self) -> &[Line] {
        match self {
            Memory::Own(lines) => lines,
            Memory::Callers(lines) => lines,
        }
    }
}

impl AsMut<[Line]> for Memory {
    fn as_mut(&mut self) -> &mut [Line] {
        match self {
            Memory::Own(lines) => lines,
            Memory::Callers(lines) => lines,
        }
    }
}

/// Bytes of the text of a digest: "sha256:", 64 digits, and a zero.
pub const DUEL_DIGEST_BYTES: usize = 72;

/// Writes a digest as text.
///
/// # Safety
/// `to` is null or good for `bytes` bytes.
pub(crate) unsafe fn text_out(digest: Digest, to: *mut c_char, bytes: usize) -> Result<(), Error> {
    if bytes != DUEL_DIGEST_BYTES {
        return Err(Error::usage(
            "bytes",
            format!("{bytes}, expected DUEL_DIGEST_BYTES, {DUEL_DIGEST_BYTES}"),
        ));
    }
    // SAFETY: the caller's promise.
    let to = filled(unsafe { places(to.cast::<u8>(), bytes, "text") }?, 0);
    let text = digest.to_string();
    to[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

/// The class that a number of the caller's stands for.
pub(crate) fn class(number: i32) -> Result<Option<usize>, Error> {
    match number {
        -1 => Ok(None),
        _ => usize::try_from(number).map(Some).map_err(|_| Error::usage("class", "expected a class, or -1")),
    }
}
