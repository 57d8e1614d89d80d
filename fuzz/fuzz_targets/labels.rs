//! Labels of any bytes, beside images of any of the names that they have, are refused as bad input, or are one for each image, and no
//! more classes than a byte has.

#![no_main]

mod shared;

use duel::Dataset;
use duel::data::labels::Labels;
use libfuzzer_sys::fuzz_target;

/// Names of images, and of their labels.
const NAMES: [(&str, &str); 4] = [
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("train-images.idx3-ubyte", "train-labels.idx1-ubyte.gz"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    ("samples-ubyte", "samples-labels-ubyte"),
];

fuzz_target!(|input: (u8, &[u8])| {
    let (count, bytes) = (input.0 as usize, input.1);
    let (images, labels) = NAMES[count % NAMES.len()];
    let header = [0x803, count as u32, 1, 1].map(u32::to_be_bytes);
    let images = shared::file(images, &[header.as_flattened(), &vec![7; count]].concat());
    let labels = shared::file(labels, bytes);

    // As a file, which may be compressed, and as bytes that are not.
    let read = Labels::read(&labels, count);
    for read in [&read, &Labels::from_bytes(bytes.to_vec(), count)] {
        match read {
            Err(error) => assert!(shared::is_about_input(error), "{error}"),
            Ok(labels) => {
                assert_eq!(labels.all().len(), count);
                assert!(
                    labels.classes() <= 256
                        && labels.all().iter().all(|&label| (label as usize) < labels.classes())
                );
            }
        }
    }
    if count > 0 {
        let data = Dataset::read(&images).unwrap().labelled();
        match (read, data) {
            (Ok(labels), Ok(data)) => assert_eq!(data.images().labels(), Some(labels.all())),
            (Err(_), Err(error)) => assert!(shared::is_about_input(&error), "{error}"),
            (read, data) => panic!("{:?} {:?}", read.err(), data.err()),
        }
    }
    std::fs::remove_file(labels).unwrap();
});
