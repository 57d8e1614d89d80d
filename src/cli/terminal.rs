//! What a person sees: results on stdout, bars, notes, numbers, pictures.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use console::Term;
use duel::Error;
use duel::error::is_hidden;
use duel::export::grid::Canvas;
use duel::files::parent;
use duel::run::Observer;
pub use duel::run::diff::{counted, grouped};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::signals::{self, Signals};

/// A line that may repeat what a file says, or what it is called, without anything that a terminal would obey.
pub fn plain(line: &str) -> String {
    line.replace(|c: char| is_hidden(c) && c != '\t', "\u{FFFD}")
}

/// Results, on stdout.
pub fn print(text: &str) -> Result<(), Error> {
    let text = text.replace(|c: char| is_hidden(c) && c != '\t' && c != '\n', "\u{FFFD}");
    say(&mut std::io::stdout(), &text).map_err(|error| Error::io("stdout", error))
}

/// A line on stderr.
pub fn note(line: &str) {
    let _ = say(&mut std::io::stderr(), &(plain(line) + "\n"));
}

/// Writes a text, as far as the stream takes it before a signal comes that asks this process to end: whoever has stopped reading, or
/// the terminal, does not keep it from that.
#[cfg(unix)]
fn say(
    stream: &mut (impl Write + std::io::IsTerminal + std::os::fd::AsFd),
    text: &str,
) -> std::io::Result<()> {
    // A pipe that takes anything takes as much at once; a terminal may have room for a byte.
    let piece = if stream.is_terminal() { 1 } else { 4_096 };
    for bytes in text.as_bytes().chunks(piece) {
        if !until_signal(|| takes(stream, A_MOMENT)) {
            return Err(std::io::Error::other("takes nothing, and a signal has come"));
        }
        stream.write_all(bytes)?;
        stream.flush()?;
    }
    Ok(())
}
/// Writes a text.
#[cfg(not(unix))]
fn say(stream: &mut impl Write, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// Whether a stream takes something within that time. One that is broken does: to say so.
#[cfg(unix)]
fn takes(stream: &impl std::os::fd::AsFd, within: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{OFlags, fcntl_getfl};
    let within = Timespec { tv_sec: within.as_secs() as _, tv_nsec: within.subsec_nanos() as _ };
    match poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&within)) {
        // One that is only read never does, and writing there fails at once.
        Ok(0) => fcntl_getfl(stream).is_ok_and(|flags| !flags.intersects(OFlags::WRONLY | OFlags::RDWR)),
        Ok(_) => true,
        Err(error) => error != rustix::io::Errno::INTR,
    }
}
/// Elsewhere it cannot be asked.
#[cfg(not(unix))]
fn takes<T>(_: &T, _: Duration) -> bool {
    true
}

/// Between two looks at the signals.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Waits until something is taken; false where a signal comes first.
fn until_signal(takes: impl Fn() -> bool) -> bool {
    loop {
        if takes() {
            return true;
        }
        if signals::caught().is_some() {
            return false;
        }
    }
}

/// As [`duel::files::write_new`]; where a signal comes meanwhile, nothing is left behind, and the process ends with its code.
pub fn write_new(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Error> {
    let signals = Signals::listen()?;
    let written = duel::files::write_new(path, |file| fill(&mut Heeding { file, signals: &signals }));
    match (&written, signals.caught()) {
        (Err(_), Some((signal, code))) => {
            note!("Stopped by {signal}: {} is not written", path.display());
            std::process::exit(code.into())
        }
        _ => written,
    }
}

/// Writes as long as no signal has come.
struct Heeding<'a> {
    file: &'a mut dyn Write,
    signals: &'a Signals,
}

impl Write for Heeding<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.signals.caught() {
            Some((signal, _)) => Err(std::io::Error::other(signal)),
            None => self.file.write(bytes),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Refuses a file that is there, or has no name of such an end, and makes its folder.
pub fn new_file(flag: &'static str, path: &Path, extensions: &[&str]) -> Result<(), Error> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if !extensions.contains(&extension) {
        return Err(Error::usage(flag, format!("expected NAME.{}", extensions.join(" or NAME."))));
    }
    if is_there(path) {
        return Err(Error::usage(flag, format!("{} exists, expected a new file", path.display())));
    }
    let folder = parent(path);
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))
}

/// Whether a name is taken, if only by a link that leads to nothing.
pub fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A path as a word of a shell's command line, of bash where it is not plain text.
pub fn shell_word(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:@%+,-".contains(byte);
    match path.to_str() {
        // No flag.
        _ if bytes.starts_with(b"-") => shell_word(&Path::new(".").join(path)),
        Some(text) if !text.is_empty() && bytes.iter().all(plain) => text.to_string(),
        Some(text) if !text.contains(is_hidden) => format!("'{}'", text.replace('\'', "'\\''")),
        _ => {
            let escaped = |&byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", byte as char),
                b' '..=b'~' => (byte as char).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", bytes.iter().map(escaped).collect::<String>())
        }
    }
}

/// How far something is: a bar on a terminal, else a line every ten seconds. What is quick shows nothing.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// What is counted, and what is done with it.
    what: &'static str,
    since: Mutex<Since>,
    /// Steps that the bar has not been told of.
    unseen: AtomicU64,
    /// Whether a bar is drawn.
    drawn: AtomicBool,
}

/// From when on, and from which step on; and when a line was last written.
#[derive(Debug)]
struct Since {
    started: Instant,
    step: u64,
    noted: Instant,
}

impl Progress {
    /// `steps trained`, `images compared`; [`Observer::begin`] says how many.
    pub fn of(what: &'static str) -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(
            ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} · {per_sec} · {eta} left {msg}")
                .expect("the template is fixed"),
        );
        let now = Instant::now();
        let since = Mutex::new(Since { started: now, step: 0, noted: now });
        Progress { bar, what, since, unseen: AtomicU64::new(0), drawn: AtomicBool::new(false) }
    }

    /// So many steps, of which `from` are done.
    pub fn start(&self, from: u64, steps: u64) {
        if Term::stderr().is_term() && steps - from > 200 {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.drawn.store(!self.bar.is_hidden(), Ordering::Relaxed);
        }
        self.bar.set_length(steps);
        self.bar.set_position(from);
        self.bar.reset_eta();
        let now = Instant::now();
        *self.since.lock().expect("nothing panics while it is held") =
            Since { started: now, step: from, noted: now };
    }

    /// `done` steps are done; a bar shows `message`.
    pub fn at(&self, done: u64, message: impl FnOnce() -> String) {
        if !self.can_draw() {
            return;
        }
        self.bar.set_position(done);
        if done.is_multiple_of(50) && self.is_drawn() {
            self.bar.set_message(message());
        }
        self.note_now_and_then();
    }

    fn is_drawn(&self) -> bool {
        self.drawn.load(Ordering::Relaxed)
    }

    /// Whether a bar can be told at once: whoever stops the terminal does not stop the work, which may have to be saved.
    fn can_draw(&self) -> bool {
        !self.is_drawn() || takes(&std::io::stderr(), Duration::ZERO)
    }

    fn note_now_and_then(&self) {
        if !self.is_drawn()
            && let Ok(mut since) = self.since.try_lock()
            && since.noted.elapsed() > Duration::from_secs(10)
            && takes(&std::io::stderr(), Duration::ZERO)
        {
            since.noted = Instant::now();
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let rate = (done - since.step) as f64 / since.started.elapsed().as_secs_f64();
            let left = all.saturating_sub(done) as f64 / rate;
            let (done, all) = (grouped(done), grouped(all));
            note!("{done} of {all} {} · {rate:.0}/s · {left:.0} s left", self.what);
        }
    }

    /// So many steps are done already.
    pub fn skip(&self, steps: u64) {
        self.bar.inc(steps);
    }

    /// Prints without disturbing the bar; none where a signal comes before that can be.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> Option<R> {
        // Waited for here, where nobody waits for the bar.
        until_signal(|| !self.is_drawn() || takes(&std::io::stderr(), A_MOMENT))
            .then(|| self.bar.suspend(print))
    }
}

impl Observer for Progress {
    fn note(&self, text: &str) {
        self.suspend(|| note!("{text}"));
    }
    fn begin(&self, steps: u64) {
        self.start(0, steps);
    }
    fn step(&self) {
        self.unseen.fetch_add(1, Ordering::Relaxed);
        if self.can_draw() {
            self.bar.inc(self.unseen.swap(0, Ordering::Relaxed));
        }
        self.note_now_and_then();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.can_draw() {
            self.bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        self.bar.finish_and_clear();
    }
}

/// Shows such a picture, on stderr.
pub fn draw(picture: &str) {
    let _ = say(&mut std::io::stderr(), picture);
}

/// The canvas as lines for `term`, shrunk by a whole factor to its width; nothing where it cannot be shown.
pub fn half_blocks(canvas: &Canvas, term: &Term) -> Option<String> {
    if !term.is_term() || !term.features().wants_emoji() && !term.features().colors_supported() {
        return None;
    }
    let (_, columns) = term.size_checked()?;
    let factor = canvas.width.div_ceil((columns as usize).clamp(1, 100));
    let (width, height) = (canvas.width / factor, canvas.height / factor);
    let coloured =
        term.features().colors_supported() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let grey = |x: usize, y: usize| -> u32 {
        if y >= height {
            return 255;
        }
        let rows = y * factor..(y + 1) * factor;
        let sum: u32 = rows
            .flat_map(|y| &canvas.pixels[y * canvas.width + x * factor..][..factor])
            .map(|&pixel| pixel as u32)
            .sum();
        sum / (factor * factor) as u32
    };
    let mut text = String::new();
    for y in (0..height).step_by(2) {
        for x in 0..width {
            let (top, bottom) = (grey(x, y), grey(x, y + 1));
            if coloured {
                // The 24 greys of the 256 colours.
                let (top, bottom) = (232 + top * 23 / 255, 232 + bottom * 23 / 255);
                text.push_str(&format!("\x1b[38;5;{top};48;5;{bottom}m▀"));
            } else {
                text.push(match (top < 128, bottom < 128) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
        }
        text.push_str(if coloured { "\x1b[0m\n" } else { "\n" });
    }
    Some(text)
}
