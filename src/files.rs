//! Files and folders: written whole or not at all, on the disk as far as a file system can tell, listed. Uses
//! [`error`](crate::error) and `memory`.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{BufWriter, ErrorKind, IsTerminal, Read, Write};
use std::path::{Component, Path, PathBuf, Prefix};

use crate::error::Error;
use crate::memory;

/// The bytes of a regular file, as many as it says that it has: a pipe under its name would be waited for, and what grows, or a file
/// of the system's that says nothing of its length, may have no end.
///
/// # Errors
/// The operating system's, and if it is none; an [`Error::Environment`] within if there is no memory for it.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    regular(path)?;
    let file = File::open(path)?;
    let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut read = memory::room(bytes, &path.display().to_string()).map_err(std::io::Error::other)?;
    file.take(bytes as u64).read_to_end(&mut read)?;
    Ok(read)
}

/// Refuses what is neither a file nor a folder.
///
/// # Errors
/// The operating system's, and if it is none.
pub fn regular(path: &Path) -> std::io::Result<()> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() || kind.is_dir() {
        return Ok(());
    }
    Err(std::io::Error::new(ErrorKind::InvalidInput, "not a regular file"))
}

/// Refuses a path that a file gives, not a person, if it leads to a pipe or a device, which may be waited for, or to another machine,
/// which would be told who asks.
///
/// # Errors
/// As [`regular`], and if it does.
pub fn local(path: &Path) -> std::io::Result<()> {
    match path.components().next() {
        Some(Component::Prefix(prefix))
            if !matches!(prefix.kind(), Prefix::Disk(_) | Prefix::VerbatimDisk(_)) =>
        {
            Err(std::io::Error::new(ErrorKind::InvalidInput, "not on a disk of this machine"))
        }
        // The caller has that one.
        _ if path == Path::new("/dev/stdin") && !std::io::stdin().is_terminal() => Ok(()),
        _ => regular(path),
    }
}

/// Whether what is written to a file would be in another one, too: it is a link, or has other names, by hard links.
pub fn has_other_names(path: &Path) -> bool {
    #[cfg(unix)]
    let names = fs::metadata(path).map_or(1, |about| std::os::unix::fs::MetadataExt::nlink(&about));
    #[cfg(not(unix))]
    let names = 1;
    path.is_symlink() || names > 1
}

/// What is in a folder, by whole paths. (The standard library panics where a folder cannot be closed, as on a network that is
/// gone.)
///
/// # Errors
/// The operating system's.
pub fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    #[cfg(unix)]
    {
        use rustix::fs::{Dir, Mode, OFlags};
        use std::os::unix::ffi::OsStrExt;
        let mut paths = Vec::new();
        // A pipe of that name would be waited for.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for entry in Dir::new(rustix::fs::open(folder, flags, Mode::empty())?)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                paths.push(folder.join(name));
            }
        }
        Ok(paths)
    }
    #[cfg(not(unix))]
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

/// What the names of unfinished files begin and end with.
const UNFINISHED: (&str, &str) = ("unfinished-", ".duel");

/// Writes a whole file or none: `fill` writes to a temporary name in the same folder, which is then renamed; the bytes
/// and, where the file system can do that, the name are on the disk when this returns.
///
/// # Errors
/// [`Error::Io`] naming `path`; whatever `fill` returns.
pub fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Error> {
    write(path, fill, |part, whole| fs::rename(part, whole))
}

/// As [`write_whole`], but a file that has appeared under that name meanwhile stays.
///
/// # Errors
/// As [`write_whole`]; [`Error::Usage`] if one has.
pub fn write_new(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Error> {
    let written = write(path, fill, |part, whole| match fs::hard_link(part, whole) {
        Ok(()) => fs::remove_file(part),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links.
        Err(_) if whole.symlink_metadata().is_ok() => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(part, whole),
    });
    written.map_err(|error| match error {
        Error::Io { error, .. } if error.kind() == ErrorKind::AlreadyExists => {
            Error::usage(path.display().to_string(), "is there now, expected a new file: it stays as it is")
        }
        error => error,
    })
}

fn write(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    name_it: impl FnOnce(&Path, &Path) -> std::io::Result<()>,
) -> Result<(), Error> {
    let failed = |error| Error::io(path, error);
    let name = path.file_name().unwrap_or_default();
    let (folder, _open) = near(parent(path), name).map_err(failed)?;
    let (part, file) = unfinished(&folder).map_err(failed)?;
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(file);
        fill(&mut file)?;
        let file = file.into_inner()?;
        file.sync_all()?;
        // Elsewhere what is open has no other name; here it is open until it has it, so that nobody takes it for abandoned.
        #[cfg(not(unix))]
        drop(file);
        name_it(&part, &folder.join(name))
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&part);
        failed(error)
    })?;
    sync_folder(parent(path))
}

/// `folder` itself; or, where a path to it with a temporary name might be longer than a path can be, but one with `name` is not, a
/// short path to the folder, which is good as long as it is open.
fn near(folder: &Path, name: &OsStr) -> std::io::Result<(PathBuf, Option<File>)> {
    #[cfg(target_os = "linux")]
    {
        const LONG: usize = 4_000;
        let length = folder.as_os_str().len();
        if length > LONG && length + name.len() < 4_096 {
            use std::os::fd::AsRawFd;
            let open = File::open(folder)?;
            return Ok((format!("/proc/self/fd/{}", open.as_raw_fd()).into(), Some(open)));
        }
    }
    let _ = name;
    Ok((folder.to_path_buf(), None))
}

/// A new file under a name that no other process or thread writes to.
fn unfinished(folder: &Path) -> std::io::Result<(PathBuf, File)> {
    for n in 0u64.. {
        let more = if n == 0 { String::new() } else { format!("-{n}") };
        let (begin, end) = UNFINISHED;
        let part = folder.join(format!("{begin}{:x}{more}{end}", std::process::id()));
        match File::create_new(&part) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            file => {
                let file = file?;
                // Tells the processes of other containers that it is being written; not every file system has locks.
                #[cfg(unix)]
                let _ = file.try_lock();
                return Ok((part, file));
            }
        }
    }
    unreachable!("no folder has so many files")
}

/// Whether a file's name is that of an unfinished one.
pub fn is_unfinished(path: &Path) -> bool {
    writer_of(path).is_some()
}

/// Whether it is, and no process writes to it any more, as far as the system tells.
pub fn is_abandoned(path: &Path) -> bool {
    let Some(writer) = writer_of(path) else { return false };
    let locked = || regular(path).and_then(|()| File::open(path)).map(|file| file.try_lock_shared());
    if cfg!(unix) && matches!(locked(), Ok(Err(TryLockError::WouldBlock))) {
        return false;
    }
    let here = path.canonicalize().unwrap_or_default();
    match list(Path::new(&format!("/proc/{writer}/fd"))) {
        Ok(open) => !open.iter().any(|open| fs::read_link(open).is_ok_and(|file| file == here)),
        // Of another user's process it does not tell.
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// The process that an unfinished file is named after.
fn writer_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    let number = name.strip_prefix(UNFINISHED.0)?.strip_suffix(UNFINISHED.1)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut numbers = number.splitn(2, '-');
    let process = numbers.next().filter(|text| digits(text))?;
    u32::from_str_radix(process, 16).ok().filter(|_| numbers.all(digits))
}

/// The folder that `path` is in.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes sure, as far as the system can, that the names in a folder are on the disk. That is a safety measure beside writing:
/// many file systems cannot do it, and a folder may be one that can only be written.
///
/// # Errors
/// [`Error::Io`] if the disk fails.
pub fn sync_folder(path: &Path) -> Result<(), Error> {
    // Only Unix can open a folder for that.
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Err(error) if !cannot(&error) => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

/// Whether the error says that this place does not have, or forbids, the operation itself.
fn cannot(error: &std::io::Error) -> bool {
    // EBADF has no kind; its number is the same on every Unix.
    const EBADF: i32 = 9;
    let kinds = [
        ErrorKind::InvalidInput,
        ErrorKind::Unsupported,
        ErrorKind::PermissionDenied,
        ErrorKind::ReadOnlyFilesystem,
    ];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(EBADF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n".repeat(255));
        write_whole(&path, |file| file.write_all(b"first")).unwrap();
        let error = write_whole(&path, |file| file.write_all(b"sec").and(Err(ErrorKind::StorageFull.into())));
        assert_eq!(error.unwrap_err().exit_code(), 4);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(list(dir.path()).unwrap(), [path]);
        assert!(list(&dir.path().join("gone")).is_err());
    }

    #[test]
    fn a_file_that_no_memory_can_hold_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hole");
        File::create(&path).unwrap().set_len(1 << 43).unwrap();
        let error = Error::io(&path, read(&path).unwrap_err());
        assert!(matches!(error, Error::Environment { .. }), "{error}");
    }

    #[test]
    fn only_what_this_program_has_left_is_unfinished() {
        let own = ["unfinished-1f.duel", "a/unfinished-3-12.duel"];
        assert!(own.iter().all(|name| is_unfinished(Path::new(name))));
        let others = [
            "duel",
            "1f.duel",
            "unfinished-.duel",
            "unfinished-photo.duel",
            "unfinished-12.png",
            "unfinished-1-.duel",
        ];
        assert!(!others.iter().any(|name| is_unfinished(Path::new(name))));
    }
}
