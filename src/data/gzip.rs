//! Bytes that may be gzip. Uses the `flate2` crate.

use std::io::{BufRead, Cursor, Error, ErrorKind, Read, Result};

use flate2::bufread::GzDecoder;

/// How gzip begins.
pub const MAGIC: [u8; 2] = [0x1F, 0x8B];
/// Bytes that a byte of gzip can become at most: deflate's longest copy is 258 bytes, its shortest code 2 bits.
pub const LARGEST_RATIO: u64 = 1_032;

/// `bytes`, decompressed on the way where they begin with gzip's magic number; and whether they do.
///
/// # Errors
/// Those of `bytes`.
pub fn reader<'a>(mut bytes: impl BufRead + 'a) -> Result<(Box<dyn Read + 'a>, bool)> {
    // Of a pipe the second byte may come later than the first.
    let mut begin = Vec::with_capacity(MAGIC.len());
    bytes.by_ref().take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    let zipped = begin == MAGIC;
    let bytes = Cursor::new(begin).chain(bytes);
    match zipped {
        true => Ok((Box::new(Members { member: Some(GzDecoder::new(bytes)), later: false }), true)),
        false => Ok((Box::new(bytes), false)),
    }
}

/// The members of a gzip file, one after the other; none when all are read. (`flate2`'s own reader of several members takes
/// the zeros of a tape or a block device after the last one for a damaged member; gzip, Python and libarchive do not.)
struct Members<R> {
    member: Option<GzDecoder<R>>,
    /// Whether it is not the first.
    later: bool,
}

/// What follows the data is no gzip.
fn others() -> Error {
    Error::new(ErrorKind::InvalidData, "other bytes follow the end of the gzip data")
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let read = match member.read(to) {
                Err(_) if self.later && member.header().is_none() => return Err(others()),
                read => read?,
            };
            if read > 0 || to.is_empty() {
                return Ok(read);
            }
            self.member = self.member.take().map(|member| next(member.into_inner())).transpose()?.flatten();
            self.later = true;
        }
        Ok(0)
    }
}

/// The member that follows, perhaps after zeros; none at the end.
fn next<R: BufRead>(mut bytes: R) -> Result<Option<GzDecoder<R>>> {
    loop {
        let ahead = bytes.fill_buf()?;
        let zeros = ahead.iter().take_while(|&&byte| byte == 0).count();
        match &ahead[zeros..] {
            [] if zeros == 0 => return Ok(None),
            [] => bytes.consume(zeros),
            // The second byte may not be there yet.
            begin if zeros == 0 && begin.starts_with(&MAGIC[..begin.len().min(MAGIC.len())]) => {
                return Ok(Some(GzDecoder::new(bytes)));
            }
            _ if zeros > 0 => bytes.consume(zeros),
            _ => return Err(others()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Through buffers of every size, so that every boundary is met.
    fn read(bytes: &[u8]) -> Option<Vec<u8>> {
        let all = [1, 2, 3, 5, 64, 4096].map(|size| {
            let mut to = Vec::new();
            let (mut reader, _) = reader(BufReader::with_capacity(size, bytes)).unwrap();
            reader.read_to_end(&mut to).is_ok().then_some(to)
        });
        assert!(all.iter().all(|one| *one == all[0]));
        all[0].clone()
    }

    #[test]
    fn zeros_between_and_after_members_are_no_damage_and_other_bytes_are() {
        let (a, b) = (member(b"ab"), member(b"c"));
        let zeros = [0; 700];
        assert_eq!(read(&a), Some(b"ab".to_vec()));
        assert_eq!(read(&[&a[..], &b].concat()), Some(b"abc".to_vec()));
        assert_eq!(read(&[&a[..], &zeros].concat()), Some(b"ab".to_vec()));
        assert_eq!(read(&[&a[..], &zeros[..1], &b, &zeros].concat()), Some(b"abc".to_vec()));
        for tail in [&b"\n"[..], b"x", b"\x1F", b"\x1F\x8B", b"\0\0\0\n", &b[..5]] {
            assert_eq!(read(&[&a[..], tail].concat()), None, "{tail:?}");
        }
        assert_eq!(read(&a[..a.len() - 1]), None);
    }
}
