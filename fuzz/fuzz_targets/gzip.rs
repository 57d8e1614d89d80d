//! What was compressed is read back, in one member or two; a damaged stream, or one with anything but zeros behind it, is refused or
//! read to the same images; memory stays within what the file can hold (the fuzzer's own limit watches it: a header may claim 2^48 bytes).

#![no_main]

use std::io::Write;

use duel::{Dataset, Error};
use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    /// What the header claims.
    count: u32,
    height: u8,
    width: u8,
    pixels: Vec<u8>,
    level: u8,
    /// Makes the header tell the truth.
    honest: bool,
    /// A bit to flip in the compressed stream, and bytes to cut off.
    flip: Option<u16>,
    cut: u8,
    /// Where a second member begins, and the zeros before it.
    member: Option<(u16, u8)>,
    /// What follows.
    after: Vec<u8>,
    /// Or these bytes after gzip's magic number, as they are.
    raw: Option<Vec<u8>>,
}

fn read(bytes: &[u8]) -> Option<Vec<u8>> {
    match Dataset::from_reader(bytes, Some(bytes.len() as u64), "memory".as_ref()) {
        Ok(data) => {
            let images = data.images();
            Some((0..images.count()).flat_map(|i| images.image(i)).copied().collect())
        }
        Err(Error::Input { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

fuzz_target!(|input: Input| {
    if let Some(raw) = &input.raw {
        read(&[&[0x1F, 0x8B], &raw[..]].concat());
        return;
    }
    let (height, width) = (input.height as usize, input.width as usize);
    let count =
        if input.honest { input.pixels.len() / (height * width).max(1) } else { input.count as usize };
    let pixels = if input.honest { &input.pixels[..count * height * width] } else { &input.pixels[..] };
    let mut plain = Vec::new();
    for word in [0x803, count as u32, height as u32, width as u32] {
        plain.extend(u32::to_be_bytes(word));
    }
    plain.extend(pixels);
    let compress = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(input.level as u32 % 10));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut stream = match input.member {
        None => compress(&plain),
        Some((at, zeros)) => {
            let (first, second) = plain.split_at(at as usize % (plain.len() + 1));
            [compress(first), vec![0; zeros as usize], compress(second)].concat()
        }
    };

    let expected = read(&plain);
    let well_formed = count > 0 && count * height * width == pixels.len() && height * width > 0;
    assert_eq!(expected.is_some(), well_formed);
    assert_eq!(read(&stream), expected, "compressed and plain differ");
    if !input.after.is_empty() {
        let read = read(&[&stream[..], &input.after].concat());
        let allowed = input.after.iter().all(|&byte| byte == 0);
        // It may be a member, or begin as one, after zeros; of nothing or of damage.
        assert!(if allowed { read == expected } else { read.is_none() || read == expected });
    }
    if let Some(flip) = input.flip {
        let bit = flip as usize % (8 * stream.len());
        stream[bit / 8] ^= 1 << (bit % 8);
        let got = read(&stream);
        assert!(got.is_none() || got == expected, "a flipped bit changed the images");
    }
    if input.cut > 0 {
        stream.truncate(stream.len().saturating_sub(input.cut as usize));
        let got = read(&stream);
        // The first member, if it is whole, is a file of its own.
        let allowed =
            input.member.is_some_and(|(at, _)| got == read(&plain[..at as usize % (plain.len() + 1)]));
        assert!(got.is_none() || allowed, "a truncated stream was read");
    }
});
