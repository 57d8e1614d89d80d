//! The one error type. Its variants say who is at fault, because that is what a caller acts on.
//! Uses nothing else of the crate.

use core::fmt::{self, Write};

/// Text of an error: built where there is an allocator, fixed where there is none.
#[cfg(feature = "std")]
pub type Text = std::borrow::Cow<'static, str>;
/// Text of an error: built where there is an allocator, fixed where there is none.
#[cfg(not(feature = "std"))]
pub type Text = &'static str;

/// Why an operation failed, by who is at fault.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range: the caller's mistake.
    Usage {
        /// The setting, as the [`Config`](crate::Config) field or the flag is called.
        setting: Text,
        /// What it is and what was expected.
        problem: Text,
    },
    /// The data are malformed or too small.
    Input {
        /// The file, or what else the data came from.
        source: Text,
        /// What is wrong and what was expected.
        problem: Text,
    },
    /// A file is missing, unreadable or unwritable, or the device is full.
    #[cfg(feature = "std")]
    Io {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// Training left the finite: after the update of `step` a parameter was beyond ±2²⁰, or a parameter or moment
    /// was not finite.
    Diverged {
        /// The step, counted from 1.
        step: u64,
    },
    /// What was recomputed is not what was published or recorded.
    Mismatch {
        /// What differs from what.
        problem: Text,
    },
    /// This machine lacks something that was asked for.
    Environment {
        /// What is missing.
        problem: Text,
    },
}

impl Error {
    /// The process exit code of this error: 2 usage, 3 input, 4 I/O, 5 diverged, 6 environment, 7 mismatch.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage { .. } => 2,
            Error::Input { .. } => 3,
            #[cfg(feature = "std")]
            Error::Io { .. } => 4,
            Error::Diverged { .. } => 5,
            Error::Environment { .. } => 6,
            Error::Mismatch { .. } => 7,
        }
    }

    /// A bad setting.
    pub fn usage(setting: impl Into<Text>, problem: impl Into<Text>) -> Self {
        Error::Usage { setting: setting.into(), problem: problem.into() }
    }

    /// Bad data.
    pub fn input(source: impl Into<Text>, problem: impl Into<Text>) -> Self {
        Error::Input { source: source.into(), problem: problem.into() }
    }

    /// Something that this machine lacks.
    pub fn environment(problem: impl Into<Text>) -> Self {
        Error::Environment { problem: problem.into() }
    }

    /// Something recomputed that differs.
    pub fn mismatch(problem: impl Into<Text>) -> Self {
        Error::Mismatch { problem: problem.into() }
    }

    /// A failed file operation on `path`. Memory that is lacking is the machine's fault, not the file's; an error of this type
    /// that went through an [`io::Error`](std::io::Error) is itself again.
    #[cfg(feature = "std")]
    pub fn io(path: impl Into<std::path::PathBuf>, error: std::io::Error) -> Self {
        let path = path.into();
        match error.downcast::<Error>() {
            Ok(own) => own,
            Err(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
                Error::environment(format!("{}: {error}", path.display()))
            }
            Err(error) => Error::Io { path, error },
        }
    }
}

/// Bytes of an error's text, about: a file may have one name or number of many millions.
const LONGEST: usize = 10_000;

/// Whether a character is none to be seen: what a terminal may obey, what ends a line, and what turns the text around it.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// A text as an error shows it.
#[cfg(feature = "std")]
pub fn one_line(text: String) -> String {
    Error::mismatch(text).to_string()
}

/// Writes on one line whatever a file or its name says: hidden characters are U+FFFD, and what is longer than so many bytes is cut.
struct OneLine<'a, 'f> {
    to: &'a mut fmt::Formatter<'f>,
    left: usize,
    is_cut: bool,
}

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars().map(|c| if is_hidden(c) { '\u{FFFD}' } else { c }) {
            match self.left.checked_sub(c.len_utf8()) {
                _ if self.is_cut => {}
                Some(left) => {
                    self.left = left;
                    self.to.write_char(c)?;
                }
                None => {
                    self.is_cut = true;
                    self.to.write_str(" …")?;
                }
            }
        }
        Ok(())
    }
}

/// On one line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = OneLine { to: f, left: LONGEST, is_cut: false };
        match self {
            Error::Usage { setting, problem } => write!(f, "{setting}: {problem}"),
            Error::Input { source, problem } => write!(f, "{source}: {problem}"),
            #[cfg(feature = "std")]
            Error::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Error::Diverged { step } => write!(
                f,
                "training diverged at step {step}: a parameter is beyond ±2^20, or a parameter or moment is not finite"
            ),
            Error::Environment { problem } | Error::Mismatch { problem } => write!(f, "{problem}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            #[cfg(feature = "std")]
            Error::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_without_anything_that_a_terminal_obeys() {
        let hostile = "a\nb\u{1b}[2Jc\r\u{202E}";
        let shown = "a\u{FFFD}b\u{FFFD}[2Jc\u{FFFD}\u{FFFD}";
        for error in [
            Error::usage(hostile, hostile),
            Error::input(hostile, hostile),
            Error::io(hostile, std::io::Error::other(hostile)),
        ] {
            assert_eq!(error.to_string(), format!("{shown}: {shown}"));
        }
        for error in [Error::mismatch(hostile), Error::environment(hostile)] {
            assert_eq!(error.to_string(), shown);
        }
        for (source, is_cut) in [("u", false), ("ü", true), ("\n", true)] {
            let text = Error::input(source.repeat(LONGEST - 3), "a").to_string();
            assert!(text.len() <= LONGEST + " …".len() && text.ends_with(" …") == is_cut);
        }
        assert!(Error::input("u".repeat(LONGEST), "a").to_string().ends_with("u …"));
    }
}
