//! What a setting is. Each is declared once, in a `settings!` block: name, type, default, range and help. Its flag, its
//! key in a file of settings, its line in a checkpoint, its help with the default, its check and its comparison follow from
//! that. Uses [`error`](crate::error).

use core::fmt;

use crate::error::Error;

/// How a value stands in a file of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// Quoted text.
    Text,
    /// A list of whole numbers.
    Integers,
    /// true or false.
    Boolean,
}

/// A type that a setting can have.
pub trait Value: Sized {
    /// How it stands in a file.
    const KIND: Kind;
    /// Reads text, such as that of a flag.
    fn read(text: &str) -> Option<Self>;
    /// Writes text that [`Value::read`] reads back to the bit.
    ///
    /// # Errors
    /// If no text does that, or `to` fails.
    fn write(&self, to: &mut dyn fmt::Write) -> fmt::Result;
}

macro_rules! plain_values {
    ($($type:ty: $kind:ident),+) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::$kind;
            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn write(&self, to: &mut dyn fmt::Write) -> fmt::Result {
                write!(to, "{self}")
            }
        }
    )+};
}
plain_values!(usize: Integer, u64: Integer, bool: Boolean);

impl Value for f32 {
    const KIND: Kind = Kind::Float;
    /// No number but 0 itself is read as 0, and that without a sign: it would be another setting by its text alone.
    fn read(text: &str) -> Option<Self> {
        let digits = text.split(['e', 'E']).next().unwrap_or_default();
        let is_zero = !digits.contains(|c: char| ('1'..='9').contains(&c));
        text.parse().ok().filter(|&number: &f32| number != 0.0 || is_zero).map(|number| number + 0.0)
    }
    fn write(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        write!(to, "{}", self + 0.0)
    }
}

/// What is said about a setting.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name: the flag without its hyphens, and the key.
    pub name: &'static str,
    /// What stands for the value in help.
    pub placeholder: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Which values it can have.
    pub expected: &'static str,
    /// How it stands in a file.
    pub kind: Kind,
}

/// A setting of a struct `S`.
#[derive(Clone, Copy, Debug)]
pub struct Setting<S: 'static> {
    /// What is said about it.
    pub about: About,
    #[doc(hidden)]
    pub read: fn(&mut S, &str) -> bool,
    #[doc(hidden)]
    pub write: fn(&S, &mut dyn fmt::Write) -> fmt::Result,
    #[doc(hidden)]
    pub in_range: fn(&S) -> bool,
}

impl<S> Setting<S> {
    /// Reads a value; where it is refused, nothing is changed.
    ///
    /// # Errors
    /// [`Error::Usage`] if `text` is no such value, or out of range.
    pub fn set(&self, of: &mut S, text: &str) -> Result<(), Error> {
        if (self.read)(of, text) { Ok(()) } else { Err(self.refused()) }
    }

    /// Checks a value that was set without asking.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is out of range.
    pub fn check(&self, of: &S) -> Result<(), Error> {
        if (self.in_range)(of) { Ok(()) } else { Err(self.refused()) }
    }

    fn refused(&self) -> Error {
        Error::usage(self.about.name, self.about.expected)
    }

    /// The value as text.
    #[cfg(feature = "std")]
    pub fn get(&self, of: &S) -> String {
        let mut text = String::new();
        // A value that no text stands for is refused when it is written, and shown as nothing.
        let _ = (self.write)(of, &mut text);
        text
    }
}

/// A field's name as flags and keys are written.
#[doc(hidden)]
pub const fn kebab<const N: usize>(name: &str) -> [u8; N] {
    let (mut bytes, mut i) = ([0; N], 0);
    while i < N {
        bytes[i] = if name.as_bytes()[i] == b'_' { b'-' } else { name.as_bytes()[i] };
        i += 1;
    }
    bytes
}

/// The values that a setting can have: a range, or a list.
#[doc(hidden)]
pub trait Values<T> {
    fn holds(&self, value: &T) -> bool;
}

macro_rules! ranges {
    ($($range:ident),+) => {$(
        impl<T: PartialOrd> Values<T> for core::ops::$range<T> {
            fn holds(&self, value: &T) -> bool {
                self.contains(value)
            }
        }
    )+};
}
ranges!(Range, RangeFrom, RangeInclusive);

impl<T> Values<T> for core::ops::RangeFull {
    fn holds(&self, _: &T) -> bool {
        true
    }
}

impl<T: PartialEq, const N: usize> Values<T> for [T; N] {
    fn holds(&self, value: &T) -> bool {
        self.contains(value)
    }
}

/// Declares a struct of settings: `/// help` and `name: type = default, "PLACEHOLDER", range or list, "expected …";` for each. It
/// gets its fields with their docs, `Default`, `SETTINGS` with a [`Setting`] for each, and `set` and `validate` over them.
macro_rules! settings {
    ($(#[$meta:meta])* pub struct $struct:ident {$(
        #[doc = $help:literal]
        $name:ident: $type:ty = $default:expr, $placeholder:literal, $range:expr, $expected:literal;
    )+}) => {
        $(#[$meta])*
        pub struct $struct {$(
            #[doc = concat!($help, ": ", $expected, ". Default `", stringify!($default), "`.")]
            pub $name: $type,
        )+}

        impl Default for $struct {
            fn default() -> Self {
                $struct { $($name: $default,)+ }
            }
        }

        impl $struct {
            /// Each setting, in the order of the fields.
            pub const SETTINGS: &'static [$crate::settings::Setting<$struct>] = &[$(
                $crate::settings::Setting {
                    about: $crate::settings::About {
                        name: {
                            const NAME: &[u8; stringify!($name).len()] = &$crate::settings::kebab(stringify!($name));
                            match core::str::from_utf8(NAME) {
                                Ok(name) => name,
                                Err(_) => unreachable!(),
                            }
                        },
                        placeholder: $placeholder,
                        help: $help.trim_ascii_start(),
                        expected: $expected,
                        kind: <$type as $crate::settings::Value>::KIND,
                    },
                    read: |settings, text| match <$type as $crate::settings::Value>::read(text) {
                        Some(value) if $crate::settings::Values::holds(&$range, &value) => {
                            settings.$name = value;
                            true
                        }
                        _ => false,
                    },
                    write: |settings, to| $crate::settings::Value::write(&settings.$name, to),
                    in_range: |settings| $crate::settings::Values::holds(&$range, &settings.$name),
                },
            )+];

            /// Sets what is called `name` from text; false if nothing is.
            ///
            /// # Errors
            /// [`Error::Usage`](crate::Error::Usage) if it cannot have that value; nothing is changed then.
            pub fn set(&mut self, name: &str, text: &str) -> Result<bool, $crate::Error> {
                match Self::SETTINGS.iter().find(|setting| setting.about.name == name) {
                    Some(setting) => setting.set(self, text).map(|()| true),
                    None => Ok(false),
                }
            }

            /// Checks every setting against its range.
            ///
            /// # Errors
            /// [`Error::Usage`](crate::Error::Usage) naming the first setting that is out of range.
            pub fn validate(&self) -> Result<(), $crate::Error> {
                Self::SETTINGS.iter().try_for_each(|setting| setting.check(self))
            }
        }
    };
}
pub(crate) use settings;
