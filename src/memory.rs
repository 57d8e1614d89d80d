//! Room for what is large. Memory that is lacking is an [`Error::Environment`], never bad data and never an abort. Uses
//! [`error`](crate::error).

use std::fs::read_to_string;

use crate::error::Error;

/// Less than this is asked of the allocator alone.
const LARGE: usize = 64 << 20;

/// An empty vector with room for so many bytes, of `what`.
///
/// # Errors
/// [`Error::Environment`] if this process cannot have them.
pub fn room(bytes: usize, what: &str) -> Result<Vec<u8>, Error> {
    let lacking =
        |more: String| Err(Error::environment(format!("{what}: no memory for {bytes} bytes{more}")));
    // A system that promises more than it has ends the process when the promise is taken up.
    if bytes > LARGE
        && let Some(available) = available_bytes()
        && bytes as u64 > available
    {
        return lacking(format!(", {available} are available"));
    }
    let mut room = Vec::new();
    if room.try_reserve_exact(bytes).is_err() { lacking(String::new()) } else { Ok(room) }
}

/// So many bytes of that value, of `what`.
///
/// # Errors
/// As [`room`].
pub fn filled(bytes: usize, value: u8, what: &str) -> Result<Vec<u8>, Error> {
    let mut room = room(bytes, what)?;
    room.resize(bytes, value);
    Ok(room)
}

/// So many zeros of a type that has them.
///
/// # Errors
/// [`Error::Environment`] if this process cannot have them.
pub fn zeroed<T: bytemuck::Zeroable>(count: usize) -> Result<Box<[T]>, Error> {
    bytemuck::try_zeroed_slice_box(count)
        .map_err(|()| Error::environment(format!("no memory for {count} × {} bytes", size_of::<T>())))
}

/// The bytes that a process can still have, where the operating system says it: on Linux.
pub fn available_bytes() -> Option<u64> {
    let text = read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim().strip_suffix(" kB")?;
    let of_all = 1_024 * kib.trim().parse::<u64>().ok()?;
    // The limits of a container.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().filter_map(|path| read_to_string(path).ok()?.trim().parse().ok()).min();
    Some(limit.map_or(of_all, |limit: u64| limit.min(of_all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_is_refused() {
        assert!(room(1_000, "test").unwrap().capacity() >= 1_000);
        for bytes in [usize::MAX, isize::MAX as usize, 1 << 47] {
            let error = room(bytes, "picture").unwrap_err();
            assert_eq!(error.exit_code(), 6);
            assert!(
                error.to_string().starts_with(&format!("picture: no memory for {bytes} bytes")),
                "{error}"
            );
        }
    }
}
