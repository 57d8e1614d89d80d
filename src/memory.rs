//! Room for what is large. Memory that is lacking is an [`Error::Environment`], never bad data and never an abort. Uses
//! [`error`](crate::error).

use std::fs::read_to_string;
use std::path::Path;

use crate::error::Error;

/// Less than this is asked of the allocator alone.
const LARGE: usize = 64 << 20;

/// An empty vector with room for so many bytes, of `what`.
///
/// # Errors
/// [`Error::Environment`] if this process cannot have them.
pub fn room(bytes: usize, what: &str) -> Result<Vec<u8>, Error> {
    let lacking = |more: String| Error::environment(format!("{what}: no memory for {bytes} bytes{more}"));
    if let Some(available) = too_few(bytes) {
        return Err(lacking(format!(", {available} are available")));
    }
    let mut room = Vec::new();
    room.try_reserve_exact(bytes).map_err(|_| lacking(String::new()))?;
    Ok(room)
}

/// The bytes that are available, if they are fewer: a system that promises more than it has ends the process when the promise is
/// taken up.
fn too_few(bytes: usize) -> Option<u64> {
    if bytes > LARGE { available_bytes().filter(|&available| bytes as u64 > available) } else { None }
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
    let size = size_of::<T>();
    let lacking = |more: String| Error::environment(format!("no memory for {count} × {size} bytes{more}"));
    if let Some(available) = too_few(count.saturating_mul(size)) {
        return Err(lacking(format!(", {available} are available")));
    }
    bytemuck::try_zeroed_slice_box(count).map_err(|()| lacking(String::new()))
}

/// The bytes that a process can still have, where the operating system says it: on Linux.
pub fn available_bytes() -> Option<u64> {
    let text = read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim().strip_suffix(" kB")?;
    let of_all = 1_024 * kib.trim().parse::<u64>().ok()?;
    // The limits of a container, and of whatever it is in.
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let folders = groups.lines().filter_map(|line| {
        let (kind, path) = line.split_once(':')?.1.split_once(':')?;
        match kind {
            "" => Some(("/sys/fs/cgroup", path)),
            "memory" => Some(("/sys/fs/cgroup/memory", path)),
            _ => None,
        }
    });
    let left = folders.flat_map(|(root, path)| {
        Path::new(path.trim_start_matches('/'))
            .ancestors()
            .filter_map(|path| left_of(&Path::new(root).join(path)))
    });
    Some(left.fold(of_all, u64::min))
}

/// What a control group has left of its limit, if it has one, in either version of Linux's control groups: pages of files that were
/// read, and the system's notes on files, are in use only until someone wants their place.
fn left_of(group: &Path) -> Option<u64> {
    let number = |name| read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let (limit, used, files) = match number("memory.max").zip(number("memory.current")) {
        Some((limit, used)) => (limit, used, ["active_file ", "inactive_file ", "slab_reclaimable "]),
        None => (
            number("memory.limit_in_bytes")?,
            number("memory.usage_in_bytes")?,
            ["total_active_file ", "total_inactive_file ", "total_slab_reclaimable "],
        ),
    };
    let stat = read_to_string(group.join("memory.stat")).unwrap_or_default();
    let of = |line: &str| files.iter().find_map(|name| line.strip_prefix(name)?.parse::<u64>().ok());
    let files: u64 = stat.lines().filter_map(of).fold(0, u64::saturating_add);
    Some(limit.saturating_sub(used.saturating_sub(files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_what_its_limit_leaves() {
        let write = |folder: &Path, files: [(&str, &str); 3]| {
            for (name, text) in files {
                std::fs::write(folder.join(name), text).unwrap();
            }
        };
        let (dir, stat) = (
            tempfile::tempdir().unwrap(),
            "anon 500\nactive_file 30\ninactive_file 60\nslab_reclaimable 10\nfile 4000\n",
        );
        assert_eq!(left_of(dir.path()), None);
        write(dir.path(), [("memory.max", "max\n"), ("memory.current", "600\n"), ("memory.stat", stat)]);
        assert_eq!(left_of(dir.path()), None);
        write(dir.path(), [("memory.max", "1000\n"), ("memory.current", "600\n"), ("memory.stat", stat)]);
        assert_eq!(left_of(dir.path()), Some(500));
        write(dir.path(), [("memory.max", "400\n"), ("memory.current", "600\n"), ("memory.stat", stat)]);
        assert_eq!(left_of(dir.path()), Some(0));

        let (dir, stat) =
            (tempfile::tempdir().unwrap(), "active_file 1\ntotal_active_file 30\ntotal_inactive_file 70\n");
        let names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"];
        write(dir.path(), [(names[0], "1000\n"), (names[1], "600\n"), (names[2], stat)]);
        assert_eq!(left_of(dir.path()), Some(500));
    }

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
        // More than is free, though a system may well promise it: what is asked for is never touched here.
        if let Some(available) = available_bytes()
            && let Ok(twice) = usize::try_from(available.saturating_mul(2))
        {
            let error = zeroed::<u8>(twice).unwrap_err();
            assert!(error.to_string().contains("are available"), "{error}");
        }
    }
}
