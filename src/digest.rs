//! SHA-256 of states, data and results. Uses nothing else of the crate.

use core::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256; displays as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "run",
    derive(serde::Deserialize, serde::Serialize),
    serde(try_from = "String", into = "String")
)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Reads what [`Display`](fmt::Display) writes; nothing if `text` is anything else.
    pub const fn parse(text: &str) -> Option<Digest> {
        let Some((prefix, digits)) = text.as_bytes().split_at_checked(7) else { return None };
        if !matches!(prefix, b"sha256:") || digits.len() != 64 {
            return None;
        }
        let (mut bytes, mut i) = ([0; 32], 0);
        while i < 64 {
            let digit = match digits[i] {
                digit @ b'0'..=b'9' => digit - b'0',
                digit @ b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            bytes[i / 2] = bytes[i / 2] << 4 | digit;
            i += 1;
        }
        Some(Digest(bytes))
    }
}

/// The digest of a state, and that of the average of the generator's parameters that goes with it, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Of the state.
    pub state: Digest,
    /// Of the average.
    pub average: Option<Digest>,
}

impl Digests {
    /// Whether `other` has them: the same state, and the same average if there is one here.
    pub fn found_in(&self, other: &Digests) -> bool {
        self.state == other.state && (self.average.is_none() || self.average == other.average)
    }
}

impl fmt::Display for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.state)?;
        self.average.map_or(Ok(()), |average| write!(f, ", average {average}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(feature = "run")]
impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(feature = "run")]
impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Digest, &'static str> {
        Digest::parse(&text).ok_or("expected sha256: and 64 hexadecimal digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_text_is_read_back() {
        let digest = Digest::of(b"abc");
        let text = digest.to_string();
        assert_eq!(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::parse(&text), Some(digest));
        for wrong in [
            &text[1..],
            &text[..70],
            &text.to_uppercase(),
            &text.replace('b', "g"),
            &(text.clone() + "0"),
            "",
        ] {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
    }
}
