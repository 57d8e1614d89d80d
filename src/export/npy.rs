//! NumPy's files: noise that is read, images that are written. By the `npyz` crate. Uses [`error`](crate::error) and `memory`.

use std::io::{Result, Write};

use npyz::{NpyFile, NpyHeader, Order, TypeChar, WriterBuilder};

use crate::error::Error;
use crate::memory;

/// The longest header that is read, and its most brackets: NumPy's has about 120 bytes and two pairs.
const MOST: (usize, usize) = (10_000, 32);

/// The bound of noise, as of parameters.
const LARGEST: f32 = 1_048_576.0;

/// Noise vectors, row by row, of a file's bytes: f32 \[n, latent] of either byte order, in C's or Fortran's. `source` names the file.
///
/// # Errors
/// [`Error::Input`] if they are not such a file's, or a value is beyond ±2²⁰; [`Error::Environment`] if there is no memory for them.
pub fn noise(bytes: &[u8], latent: usize, source: &str) -> std::result::Result<Vec<f32>, Error> {
    let bad = |problem: String| Error::input(source.to_string(), problem);
    let not_whole = |error: std::io::Error| bad(format!("not a whole NumPy file: {error}"));
    let length = match bytes.get(6) {
        Some(1) => at_8(bytes).map(|length| 10 + u16::from_le_bytes(length) as usize),
        Some(_) => at_8(bytes).map(|length| 12 + u32::from_le_bytes(length) as usize),
        None => None,
    };
    let header = length.and_then(|length| bytes.get(..length.min(bytes.len()))).unwrap_or_default();
    if header.len() > MOST.0 || header.iter().filter(|byte| b"([{".contains(byte)).count() > MOST.1 {
        return Err(bad("not a NumPy file of numbers: its header is too long".to_string()));
    }
    let mut rest = bytes;
    let header = NpyHeader::from_reader(&mut rest).map_err(not_whole)?;
    let (shape, order) = (header.shape().to_vec(), header.order());
    let kind = header.dtype();
    let is_f32 = matches!(&kind, npyz::DType::Plain(kind) if kind.type_char() == TypeChar::Float && kind.size_field() == 4);
    let [count, columns] = shape[..] else {
        return Err(bad(format!(
            "expected float32 [n, {latent}], not an array of {} dimensions",
            shape.len()
        )));
    };
    if !is_f32 || columns != latent as u64 {
        return Err(bad(format!("expected float32 [n, {latent}], not {} {shape:?}", kind.descr())));
    }
    if count.checked_mul(4 * columns) != Some(rest.len() as u64) {
        let problem = format!("its header says {shape:?}, and {} bytes follow", rest.len());
        return Err(bad(problem));
    }
    let (count, mut z) = (count as usize, memory::zeroed::<f32>(rest.len() / 4)?.into_vec());
    let values = NpyFile::with_header(header, rest).data::<f32>().map_err(|error| bad(error.to_string()))?;
    for (i, (value, to)) in values.zip(&mut z).enumerate() {
        *to = value.map_err(not_whole)?;
        if to.is_nan() || to.abs() > LARGEST {
            return Err(bad(format!("value {i} is {to}, expected numbers within ±2^20")));
        }
    }
    if order == Order::Fortran {
        z = (0..count * latent).map(|i| z[i % latent * count + i / latent]).collect();
    }
    Ok(z)
}

/// The bytes from the eighth on.
fn at_8<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.get(8..)?.first_chunk().copied()
}

/// Writes images as u8 \[count, height, width], whose bytes `fill` writes.
///
/// # Errors
/// Those of `out` and `fill`.
pub fn write_images(
    out: &mut dyn Write,
    sizes: [usize; 3],
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let shape = sizes.map(|size| size as u64);
    // The header alone: the bytes of a u8 array are its values.
    let mut header = Vec::new();
    let options = npyz::WriteOptions::<u8>::new().default_dtype().shape(&shape).writer(&mut header);
    drop(options.begin_nd());
    out.write_all(&header)?;
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
        ] {
            assert!(matches!(read(&bytes), Err(Error::Input { .. })), "{:?}", &bytes[..bytes.len().min(20)]);
        }
    }

    #[test]
    fn images_are_numpys() {
        let mut bytes = Vec::new();
        write_images(&mut bytes, [2, 1, 3], |out| out.write_all(&[1, 2, 3, 4, 5, 6])).unwrap();
        let array = NpyFile::new(&bytes[..]).unwrap();
        assert_eq!(array.shape(), [2, 1, 3]);
        assert_eq!(array.into_vec::<u8>().unwrap(), [1, 2, 3, 4, 5, 6]);
    }
}
