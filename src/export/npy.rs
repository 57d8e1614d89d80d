//! NumPy's files: noise that is read, images that are written. A header is a dictionary as Python writes it, and NumPy writes but
//! one kind of them, so no parser of Python is needed. Uses [`error`](crate::error) and `memory`.

use std::io::{Result, Write};

use crate::error::Error;
use crate::memory;

/// What a file begins with.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Where the data of a file that is written begin: a multiple of 64, as NumPy wants it.
const ALIGNED: usize = 128;
/// Bytes of a header, at most: NumPy itself reads no longer ones unless it is told to.
const LONGEST: usize = 10_000;
/// The bound of noise, as of parameters.
const LARGEST: f32 = 1_048_576.0;

/// What a header says of an array.
struct Header<'a> {
    /// The kind of its numbers.
    descr: &'a str,
    /// Whether the first index is the fastest.
    fortran: bool,
    shape: Vec<usize>,
}

/// A file's header, and its data.
fn parts(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_first_chunk::<2>()?;
    let (length, rest) = match version[0] {
        1 => rest.split_first_chunk().map(|(length, rest)| (u16::from_le_bytes(*length) as usize, rest))?,
        2 | 3 => {
            rest.split_first_chunk().map(|(length, rest)| (u32::from_le_bytes(*length) as usize, rest))?
        }
        _ => return None,
    };
    if length > LONGEST {
        return None;
    }
    let (text, data) = rest.split_at_checked(length)?;
    let text = std::str::from_utf8(text).ok()?.trim();
    let mut left = text.strip_prefix('{')?;
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    loop {
        left = left.trim_start_matches([' ', ',']);
        if left == "}" {
            return Some((Header { descr: descr?, fortran: fortran?, shape: shape? }, data));
        }
        let (key, value) = quoted(left)?;
        let value = value.trim_start().strip_prefix(':')?.trim_start();
        left = match key {
            "descr" => {
                let (kind, left) = quoted(value)?;
                descr = Some(kind);
                left
            }
            "fortran_order" => {
                let word = if value.starts_with("True") { "True" } else { "False" };
                fortran = Some(word == "True");
                value.strip_prefix(word)?
            }
            "shape" => {
                let (sizes, left) = value.strip_prefix('(')?.split_once(')')?;
                let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
                shape = Some(sizes.map(|size| size.parse().ok()).collect::<Option<Vec<usize>>>()?);
                left
            }
            _ => return None,
        };
    }
}

/// A string in quotes without any in it, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    text[1..].split_once(quote)
}

/// Noise vectors, row by row, of a file's bytes: f32 \[n, latent] of either byte order, in C's or Fortran's. `source` names the file.
///
/// # Errors
/// [`Error::Input`] if they are not such a file's, or a value is beyond ±2²⁰; [`Error::Environment`] if there is no memory for them.
pub fn noise(bytes: &[u8], latent: usize, source: &str) -> std::result::Result<Vec<f32>, Error> {
    let bad = |problem: String| Error::input(source.to_string(), problem);
    let Some((Header { descr, fortran, shape }, data)) = parts(bytes) else {
        return Err(bad(format!("not a file of NumPy's, expected one with float32 [n, {latent}]")));
    };
    let number: fn([u8; 4]) -> f32 = match descr {
        "<f4" => f32::from_le_bytes,
        ">f4" => f32::from_be_bytes,
        _ => return Err(bad(format!("expected float32 [n, {latent}], not {descr} {shape:?}"))),
    };
    let count = match shape[..] {
        [count, columns] if columns == latent => count,
        _ => return Err(bad(format!("expected float32 [n, {latent}], not {shape:?}"))),
    };
    if count.checked_mul(4 * latent) != Some(data.len()) {
        return Err(bad(format!("its header says {shape:?}, and {} bytes follow", data.len())));
    }
    let mut z = memory::zeroed::<f32>(count * latent)?.into_vec();
    for (i, &word) in data.as_chunks().0.iter().enumerate() {
        let value = number(word);
        if value.is_nan() || value.abs() > LARGEST {
            return Err(bad(format!("value {i} is {value}, expected numbers within ±2^20")));
        }
        z[if fortran { i % count * latent + i / count } else { i }] = value;
    }
    Ok(z)
}

/// Writes images as u8 \[count, height, width], whose bytes `fill` writes.
///
/// # Errors
/// Those of `out` and `fill`.
pub fn write_images(
    out: &mut dyn Write,
    [count, height, width]: [usize; 3],
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, {height}, {width}), }}");
    let length = ALIGNED - MAGIC.len() - 4;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&(length as u16).to_le_bytes())?;
    writeln!(out, "{text:<width$}", width = length - 1)?;
    fill(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> std::result::Result<Vec<f32>, Error> {
        noise(bytes, 2, "z.npy")
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{header:<117}\n");
        [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn noise_is_read_in_any_order() {
        let values = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let little: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let big: Vec<u8> = values.iter().flat_map(|x| x.to_be_bytes()).collect();
        let of = |kind: &str, order: &str, data: &[u8]| {
            read(&file(&format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': (3, 2), }}"), data))
        };
        assert_eq!(of("<f4", "False", &little).unwrap(), values);
        assert_eq!(of(">f4", "False", &big).unwrap(), values);
        assert_eq!(of("<f4", "True", &little).unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        // Another order of keys, other quotes, no commas at the ends.
        let other = "{\"shape\": (3,2), 'fortran_order':False,'descr' : '<f4'}";
        assert_eq!(read(&file(other, &little)).unwrap(), values);
        assert_eq!(
            read(&file("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2), }", &[])).unwrap(),
            [0f32; 0]
        );
        for (kind, data) in
            [("<f8", &little), ("<i4", &little), ("|O", &little), ("<f4", &little[..20].to_vec())]
        {
            assert!(matches!(of(kind, "False", data), Err(Error::Input { .. })), "{kind}");
        }
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let shape = |shape: &str| {
            file(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"), &[0; 24])
        };
        for bytes in [
            vec![],
            b"\x93NUMPY".to_vec(),
            b"\x93NUMPY\x01".to_vec(),
            b"\x93NUMPY\x02".to_vec(),
            b"\x93NUMPY\x01\x00\xff\xff".to_vec(),
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
            b"\x93NUMPY\x03\x00\xff".to_vec(),
            b"PK\x03\x04 a zip file".to_vec(),
            shape("(2, 3)"),
            shape("(6,)"),
            shape("(1, 3, 2)"),
            shape("(9223372036854775807, 2)"),
            shape("(-3, 2)"),
            file(&"(".repeat(60_000), &[]),
            file("{'descr': '<f4', 'fortran_order': False, }", &[]),
            file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 2), }", &[0; 24]),
            file("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (3, 2), }", &[0; 24]),
            file("{'é': 1}", &[]),
            file("{", &[]),
        ] {
            assert!(matches!(read(&bytes), Err(Error::Input { .. })), "{:?}", &bytes[..bytes.len().min(20)]);
        }
    }

    #[test]
    fn images_are_numpys() {
        let mut bytes = Vec::new();
        write_images(&mut bytes, [2, 1, 3], |out| out.write_all(&[1, 2, 3, 4, 5, 6])).unwrap();
        let (header, data) = parts(&bytes).unwrap();
        assert_eq!((header.descr, header.fortran, &header.shape[..]), ("|u1", false, &[2, 1, 3][..]));
        assert_eq!((data, bytes.len() - data.len()), (&[1, 2, 3, 4, 5, 6][..], 128));
    }
}
