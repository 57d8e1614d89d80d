//! Handles that say when they are in use: a second call at the same time, from another thread or from a callback, is refused.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use duel::Error;

use crate::arguments::put;

/// What a handle points to.
pub(crate) struct Handle<T> {
    busy: AtomicBool,
    inner: UnsafeCell<T>,
}

/// The one who may use a handle's contents.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn enter<'a>(busy: &'a AtomicBool, what: &'static str) -> Result<Busy<'a>, Error> {
    if busy.swap(true, Ordering::Acquire) {
        return Err(Error::usage(
            what,
            "in use by another call, expected to be called when that has returned",
        ));
    }
    Ok(Busy(busy))
}

impl<T> Handle<T> {
    pub(crate) fn new(inner: T) -> Handle<T> {
        Handle { busy: AtomicBool::new(false), inner: UnsafeCell::new(inner) }
    }

    /// Works with what the handle has; none is null.
    pub(crate) fn with<R>(
        handle: Option<&Handle<T>>,
        what: &'static str,
        work: impl FnOnce(&mut T) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let handle = handle.ok_or(Error::usage(what, "is null"))?;
        let _busy = enter(&handle.busy, what)?;
        // SAFETY: nobody else has it until `_busy` is dropped.
        work(unsafe { &mut *handle.inner.get() })
    }

    /// Takes it from everybody, for good.
    pub(crate) fn close(&self, what: &'static str) -> Result<(), Error> {
        enter(&self.busy, what).map(std::mem::forget)
    }
}

/// What a program has pointers to.
pub(crate) trait Opaque {
    /// What it is called in messages.
    const NAME: &'static str;
    /// What it has.
    type Inner;
    /// The handle in it.
    fn handle(&self) -> &Handle<Self::Inner>;

    /// Works with what `this` has.
    ///
    /// # Safety
    /// `this` is null, or was made by the library and not freed.
    unsafe fn with<R>(
        this: *const Self,
        work: impl FnOnce(&mut Self::Inner) -> Result<R, Error>,
    ) -> Result<R, Error> {
        // SAFETY: the caller's promise.
        Handle::with(unsafe { this.as_ref() }.map(Self::handle), Self::NAME, work)
    }

    /// Makes one, and puts it where the caller wants it.
    ///
    /// # Safety
    /// `to` is null or good for a pointer.
    unsafe fn hand_over(self, to: *mut *mut Self) -> Result<(), Error>
    where
        Self: Sized,
    {
        // SAFETY: the caller's promise.
        unsafe { put(to, std::ptr::null_mut(), Self::NAME)? };
        // SAFETY: the caller's promise.
        unsafe { put(to, Box::into_raw(Box::new(self)), Self::NAME) }
    }

    /// Frees it; null is nothing to free.
    ///
    /// # Safety
    /// As [`Opaque::with`].
    unsafe fn free(this: *mut Self) -> Result<(), Error>
    where
        Self: Sized,
    {
        // SAFETY: the caller's promise.
        if let Some(used) = unsafe { this.as_ref() } {
            used.handle().close(Self::NAME)?;
            // SAFETY: it was made by `hand_over`, and nobody has it.
            drop(unsafe { Box::from_raw(this) });
        }
        Ok(())
    }
}

/// Declares handles: the type in C, what it is called, what it has.
macro_rules! opaque {
    ($type:ident, $name:literal, $inner:ty) => {
        impl $crate::handle::Opaque for $type {
            const NAME: &'static str = $name;
            type Inner = $inner;
            fn handle(&self) -> &$crate::handle::Handle<$inner> {
                &self.0
            }
        }
    };
}
pub(crate) use opaque;
