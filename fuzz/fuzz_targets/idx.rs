//! A file is refused as bad input, or read to exactly its images; what is read can be written and read again.

#![no_main]

use duel::export::idx;
use duel::{Dataset, Error, Images};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let images = match Images::from_idx(bytes) {
        Ok(images) => images,
        Err(Error::Input { .. }) => return,
        Err(other) => panic!("{other}"),
    };
    let pixels: Vec<u8> = (0..images.count()).flat_map(|i| images.image(i)).copied().collect();
    assert_eq!(pixels, bytes[16..]);
    assert_eq!(images.size(), images.height() * images.width());
    assert_eq!(images.skip(1).count(), images.count() - 1);

    let shape = [images.count(), images.height(), images.width()].map(|n| n as u32);
    let mut written = Vec::new();
    idx::write(&mut written, false, &shape, |out| out.write_all(&pixels)).unwrap();
    assert_eq!(written, bytes);
    let read = Dataset::from_reader(&written[..], Some(written.len() as u64), "memory".as_ref()).unwrap();
    assert_eq!(read.images().count(), images.count());
});
