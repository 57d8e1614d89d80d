//! A file is refused as bad input, or read to exactly its images, from memory, from a stream and from a folder alike; what is read can
//! be written and read again.

#![no_main]

mod shared;

use duel::export::idx;
use duel::{Dataset, Error, Images};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let images = match Images::from_idx(bytes) {
        Ok(images) => Some(images),
        Err(Error::Input { .. }) => None,
        Err(other) => panic!("{other}"),
    };
    let path = shared::file("train-images-idx3-ubyte", bytes);
    for read in [
        Dataset::open(path.parent().unwrap()),
        Dataset::from_reader(bytes, Some(bytes.len() as u64), "memory".as_ref()),
        // Of a stream there is but the header's word: what it claims is asked for.
        Dataset::from_reader(bytes, images.is_none().then_some(bytes.len() as u64), "memory".as_ref()),
    ] {
        match read {
            Ok(data) => {
                // What is compressed is for another target.
                let Some(images) = images else { return assert_eq!(bytes[..2], [0x1F, 0x8B]) };
                assert_eq!([data.images().count(), data.images().size()], [images.count(), images.size()]);
                assert!((0..images.count()).all(|i| data.images().image(i) == images.image(i)));
            }
            Err(error) => assert!(images.is_none() && shared::is_about_input(&error), "{error}"),
        }
    }
    let Some(images) = images else { return };

    let pixels: Vec<u8> = (0..images.count()).flat_map(|i| images.image(i)).copied().collect();
    assert_eq!(pixels, bytes[16..]);
    assert_eq!(images.size(), images.height() * images.width());
    assert_eq!(images.skip(1).count(), images.count() - 1);
    assert_eq!(images.take(1).count(), 1);

    let shape = [images.count(), images.height(), images.width()].map(|n| n as u32);
    let mut written = Vec::new();
    idx::write(&mut written, false, &shape, |out| out.write_all(&pixels)).unwrap();
    assert_eq!(written, bytes);
});
