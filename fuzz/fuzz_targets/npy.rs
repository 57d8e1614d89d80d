//! NumPy's file of any bytes, or of any header and numbers, is refused as bad input, or read to as many numbers as it has.

#![no_main]

mod shared;

use duel::export::npy;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Text { version: u8, header: String, data: Vec<u8> },
    Array { kind: u8, fortran: bool, shape: Vec<u8>, data: Vec<u8> },
}

fuzz_target!(|input: Input| {
    let whole = |version: u8, header: &str, data: &[u8]| {
        let length = header.len().min(u16::MAX as usize);
        let length = if version == 1 {
            (length as u16).to_le_bytes().to_vec()
        } else {
            (length as u32).to_le_bytes().to_vec()
        };
        [&b"\x93NUMPY"[..], &[version, 0], &length, header.as_bytes(), data].concat()
    };
    let (bytes, data) = match input {
        Input::Bytes(bytes) => (bytes.clone(), bytes),
        Input::Text { version, header, data } => (whole(version % 4, &header, &data), data),
        Input::Array { kind, fortran, shape, data } => {
            let kind = ["<f4", ">f4", "=f4", "<f8", "|u1", "<i4", "|O", "<c8"][kind as usize % 8];
            let shape: String = shape.iter().map(|size| format!("{size}, ")).collect();
            let fortran = if fortran { "True" } else { "False" };
            let header = format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': ({shape}), }}\n");
            (whole(1, &header, &data), data)
        }
    };
    for latent in [1, 2, 3, 100] {
        match npy::noise(&bytes, latent, "file") {
            Err(error) => assert!(shared::is_about_input(&error), "{error}"),
            Ok(z) => {
                assert!(z.len() % latent == 0 && 4 * z.len() <= data.len().max(bytes.len()));
                assert!(z.iter().all(|x| x.abs() <= 1_048_576.0));
            }
        }
    }
});
