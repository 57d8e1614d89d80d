//! Labels of any bytes are refused as bad input, or are one for each image, and no more classes than a byte has.

#![no_main]

mod shared;

use duel::data::labels::Labels;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (count, bytes) = (input.0 as usize, input.1);
    // As a file, which may be compressed, and as bytes that are not.
    let path = shared::file("train-labels-idx1-ubyte", bytes);
    for read in [Labels::read(&path, count), Labels::from_bytes(bytes.to_vec(), count)] {
        match read {
            Err(error) => assert!(shared::is_about_input(&error), "{error}"),
            Ok(labels) => {
                assert_eq!(labels.all().len(), count);
                assert!(
                    labels.classes() <= 256
                        && labels.all().iter().all(|&label| (label as usize) < labels.classes())
                );
            }
        }
    }
});
