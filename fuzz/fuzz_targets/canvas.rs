//! A PNG of any bytes, or one of ours that is damaged, is no canvas, or one of as many pixels as it says that is read again from
//! what is written of it.

#![no_main]

use duel::export::grid::Canvas;
use duel::export::png;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Ours { width: u8, pixels: Vec<u8>, turned: Vec<u16> },
}

const MOST: usize = 4096;

fuzz_target!(|input: Input| {
    let bytes = match input {
        Input::Bytes(bytes) => bytes,
        Input::Ours { width, mut pixels, turned } => {
            let width = width as usize + 1;
            pixels.resize((pixels.len() / width).clamp(1, MOST / width) * width, 0);
            let canvas = Canvas { width, height: pixels.len() / width, pixels };
            let mut bytes = Vec::new();
            png::write(&canvas, &mut bytes).unwrap();
            let read = png::decode(&bytes, canvas.pixels.len()).unwrap();
            assert!((read.width, read.height, &read.pixels) == (canvas.width, canvas.height, &canvas.pixels));
            for bit in turned {
                let bit = bit as usize % (8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            bytes
        }
    };
    let Some(read) = png::decode_within(&bytes, MOST) else { return };
    assert!(read.pixels.len() == read.width * read.height && read.pixels.len() <= MOST);
    assert!(
        png::decode(&bytes, read.pixels.len()).is_some()
            && png::decode(&bytes, read.pixels.len() + 1).is_none()
    );
    let mut again = Vec::new();
    png::write(&read, &mut again).unwrap();
    assert_eq!(png::decode(&again, read.pixels.len()).unwrap().pixels, read.pixels);
});
