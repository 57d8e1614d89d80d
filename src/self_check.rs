//! What each function and kernel of the engine makes of fixed inputs, as a digest, to be compared with the published one.

use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use crate::kernels::cases::{ENTRIES, Entry, Operand, Role, Shape, Values, Written};
use crate::kernels::gemm::{Left, Product, Start};
use crate::kernels::reference;
use crate::kernels::tiles::{Mat, MatMut};
use crate::rng::{Purpose, Stream};
use crate::{Digest, Error, Isa, Serial, Trainer, golden};

/// Name and digest of everything that a backend computes, in the order from the smallest to the largest.
pub fn kernels(isa: Isa) -> impl Iterator<Item = (&'static str, Digest)> {
    ENTRIES.iter().map(move |entry| {
        let mut out = Sha256::new();
        for (shape, variant) in inputs(entry) {
            let mut case = (entry.make)(shape, variant, &mut Published);
            case.run(isa);
            case.written(&mut |written| match written {
                Written::Values(values) => push(&mut out, values),
                Written::Places(places) => places.iter().for_each(|k| out.update(k.to_le_bytes())),
                Written::Number(number) => out.update(number.to_le_bytes()),
            });
        }
        (entry.name, Digest(out.finalize().into()))
    })
}

fn push(out: &mut Sha256, values: &[f32]) {
    values.iter().for_each(|x| out.update(x.to_bits().to_le_bytes()));
}

/// The shapes and variants whose results a digest is made of, in order.
fn inputs(entry: &Entry) -> Vec<(Shape, usize)> {
    /// Around the widths of tiles and blocks.
    const SHAPES: [(usize, usize); 4] = [(7, 37), (66, 130), (1, 8), (13, 257)];
    let terms: &[usize] = if entry.terms { &[1, 40, 300] } else { &[0] };
    let shapes = match entry.name {
        "exp" | "sigmoid" | "output sigmoid" | "softplus" | "bytes" => {
            vec![Shape { rows: 1, cols: arguments().count(), terms: 0 }]
        }
        "cross entropy" => vec![Shape { rows: 1_000, cols: 1_000, terms: 0 }],
        _ => {
            let all = SHAPES.iter().flat_map(|&(rows, cols)| terms.iter().map(move |&k| (rows, cols, k)));
            all.map(|(rows, cols, terms)| Shape { rows, cols, terms }).collect()
        }
    };
    // Lists of columns are an entry of their own, and a product does not know of what its lists are.
    let variants = if entry.name == "product over lists" { 2 } else { entry.variants };
    let mut inputs: Vec<_> =
        shapes.iter().flat_map(|&shape| (0..variants).map(move |variant| (shape, variant))).collect();
    if entry.name == "adam" {
        inputs.sort_by_key(|&(_, variant)| variant);
    }
    inputs
}

/// The published inputs: numbers of many magnitudes below 1, a quarter of them ±0, from a stream of the role's number.
struct Published;

impl Values for Published {
    fn matrix(&mut self, role: Role, rows: usize, cols: usize) -> Operand {
        let mut data = vec![0.0; rows * cols];
        match role {
            Role::Argument => data = arguments().collect(),
            Role::Bias => data.fill(0.25),
            _ => {
                Stream::new(1, Purpose::Sample(role as u64)).fill_uniform(&mut data);
                data.iter_mut().for_each(|x| *x = spread(*x));
            }
        }
        if role == Role::Logit {
            data.iter_mut().for_each(|x| *x *= 110.0);
        }
        Operand::packed(rows, cols, data)
    }
}

/// Every exponent, both signs, 50,000 significands.
fn arguments() -> impl Iterator<Item = f32> {
    (0..=u32::MAX).step_by(85_899).map(f32::from_bits).filter(|x| !x.is_nan())
}

/// A number of another magnitude, or ±0, by its own low bits.
fn spread(x: f32) -> f32 {
    let bits = x.to_bits();
    let zero = if bits & 1 == 0 { 0.0 } else { -0.0 };
    if (bits >> 1).is_multiple_of(4) { zero } else { x / (1 << ((bits >> 3) % 12)) as f32 }
}

/// Triples of "emulated fma".
pub const TRIPLES: usize = 1 << 20;

/// The emulated fma on triples of any bits, and ln on numbers of many magnitudes: scalar functions, the same for all
/// backends.
pub fn scalars() -> [(&'static str, Digest); 2] {
    let mut fma = Sha256::new();
    for i in 0..TRIPLES {
        let [x, y, z] = triple(i as u64);
        let sum = reference::fma(x, y, z);
        push(&mut fma, &[if sum.is_nan() { f32::NAN } else { sum }]);
    }
    let mut ln = Sha256::new();
    // Every 2⁴³rd positive normal number.
    for k in f64::MIN_POSITIVE.to_bits() >> 43..f64::INFINITY.to_bits() >> 43 {
        let bits = k << 43;
        ln.update(reference::ln(f64::from_bits(bits ^ bits >> 20)).to_bits().to_le_bytes());
    }
    [("emulated fma", fma), ("ln", ln)].map(|(name, out)| (name, Digest(out.finalize().into())))
}

/// The ith triple: any bit patterns, and products whose sum cancels.
fn triple(i: u64) -> [f32; 3] {
    let mut state = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let [x, y, z] = [(); 3].map(|()| {
        state = (state ^ state >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31);
        f32::from_bits((state >> 32) as u32)
    });
    match i % 4 {
        0 => [x, y, -(x * y)],
        1 => [x, y, (x * y) * f32::from_bits((127 + z.to_bits() % 32) << 23)],
        _ => [x, y, z],
    }
}

/// Whether one backend computes here what was published: each kernel, and the small networks, on the calling thread. It takes about
/// a second.
///
/// # Errors
/// [`Error::Mismatch`] naming the first thing that differs.
pub fn check(isa: Isa) -> Result<(), Error> {
    let compare = |what: &str, is: Digest, expected: Option<Digest>| match expected {
        Some(expected) if is == expected => Ok(()),
        _ => Err(Error::mismatch(format!("{}: {what}: {is} is not the published digest", isa.name()))),
    };
    for (name, digest) in kernels(isa).chain(scalars()) {
        compare(name, digest, golden::kernel(name))?;
    }
    for case in &golden::SMALL_NETS {
        let [mut pixels, mut labels] = case.bytes().map(|bytes| vec![0; bytes]);
        let mut trainer = Trainer::new(case.config.clone(), case.images(&mut pixels, &mut labels)?)?;
        trainer.set_isa(isa);
        for &(step, expected) in case.digests {
            let left = step - trainer.steps_done();
            trainer.run(&Serial, left, |_| ControlFlow::Continue(()))?;
            compare(case.name, trainer.digest()?, Some(expected))?;
        }
    }
    Ok(())
}

/// How many triples the instruction of `isa` and the emulation were compared on; an error says which one differs.
pub fn compare_fma(isa: Isa) -> Result<usize, String> {
    /// A tile of this many by this many triples at a time: x by row, y by column.
    const SIDE: usize = 512;
    const ROUNDS: usize = 32;
    for round in 0..ROUNDS {
        let of = |i: usize| triple((round * SIDE * SIDE + i) as u64);
        let (x, y): (Vec<f32>, Vec<f32>) = (0..SIDE).map(|i| (of(i)[0], of(SIDE + i)[1])).unzip();
        // Half of the sums cancel but for the last bits of the product.
        let z: Vec<f32> = (0..SIDE * SIDE)
            .map(|i| if i % 2 == 0 { -(x[i / SIDE] * y[i % SIDE]) } else { of(i)[2] })
            .collect();
        let mut sums = z.clone();
        isa.run(Product {
            left: Left::Rows(Mat::new(&x, SIDE, 1, 1)),
            right: Mat::new(&y, 1, SIDE, SIDE),
            out: MatMut::new(&mut sums, SIDE, SIDE, SIDE),
            start: Start::Partial,
        });
        for (i, sum) in sums.iter().enumerate() {
            let (x, y, z) = (x[i / SIDE], y[i % SIDE], z[i]);
            let emulated = reference::fma(x, y, z) + 0.0;
            if sum.to_bits() != emulated.to_bits() && !(sum.is_nan() && emulated.is_nan()) {
                return Err(format!("fma({x:e}, {y:e}, {z:e}) is {sum:e}, emulated {emulated:e}"));
            }
        }
    }
    Ok(ROUNDS * SIDE * SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_on_every_backend_is_as_published() {
        let all = Isa::available().flat_map(|isa| kernels(isa).map(move |kernel| (isa.name(), kernel)));
        let all = all.chain(scalars().map(|scalar| ("all", scalar)));
        let wrong: Vec<_> = all
            .filter(|(_, (name, digest))| golden::kernel(name) != Some(*digest))
            .map(|(isa, (name, digest))| format!("{isa}: {name}: {digest}\n"))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.concat());
    }

    #[test]
    fn the_best_backend_is_checked_as_good() {
        check(Isa::best()).unwrap();
    }
}
