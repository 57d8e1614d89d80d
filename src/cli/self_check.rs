//! What each function and kernel of the engine makes of fixed inputs, as a digest, to be compared with the published one.

use sha2::{Digest as _, Sha256};

use crate::kernels::adam::AdamStep;
use crate::kernels::dense::{
    ColumnSums, CrossEntropy, HiddenActivation, HiddenBackward, LogitBackward, Logits, PixelActivation,
    PixelBackward,
};
use crate::kernels::gemm::{Left, Product, Start};
use crate::kernels::lists::{List, ListsMut, PAIR};
use crate::kernels::math::{Apply, Function};
use crate::kernels::reference::{self, AdamRates};
use crate::kernels::tiles::{Mat, MatMut};
use crate::kernels::transpose::Transpose;
use crate::rng::{Purpose, Stream};
use crate::{Digest, Isa};

/// Name and digest of everything that a backend computes, in the order from the smallest part to the largest.
pub fn parts(isa: Isa) -> impl Iterator<Item = (&'static str, Digest)> {
    PARTS.into_iter().map(move |(name, part)| {
        let mut out = Out(Sha256::new());
        part(isa, &mut out);
        (name, Digest(out.0.finalize().into()))
    })
}

/// A function or kernel at work: writes its results.
type Part = fn(Isa, &mut Out);

const PARTS: [(&str, Part); 18] = [
    ("exp", |isa, out| function(isa, Function::Exp, out)),
    ("sigmoid", |isa, out| function(isa, Function::Sigmoid, out)),
    ("output sigmoid", |isa, out| function(isa, Function::OutputSigmoid, out)),
    ("softplus", |isa, out| function(isa, Function::Softplus, out)),
    ("product by rows", |isa, out| product(isa, By::Rows, out)),
    ("product by columns", |isa, out| product(isa, By::Columns, out)),
    ("lists of terms", lists),
    ("product over lists", |isa, out| product(isa, By::Lists, out)),
    ("hidden activation", |isa, out| {
        each_shape(out, |x, _, row| isa.run(HiddenActivation { x, bias: row }));
    }),
    ("pixel activation", |isa, out| each_shape(out, |x, _, row| isa.run(PixelActivation { x, bias: row }))),
    ("pixel backward", |isa, out| each_shape(out, |d, y, _| isa.run(PixelBackward { d, y }))),
    ("hidden backward", |isa, out| each_shape(out, |d, h, _| isa.run(HiddenBackward { d, h }))),
    ("logits", logits),
    ("cross entropy", cross_entropy),
    ("logit backward", |isa, out| {
        each_shape(out, |d_hidden, h, weight| {
            let d_logits = values(7, h.rows());
            isa.run(LogitBackward { d_logits: &d_logits, weight, h, d_hidden });
        });
    }),
    ("column sums", column_sums),
    ("transposition", |isa, out| {
        for (rows, cols) in SHAPES {
            let (from, mut to) = (values(1, rows * cols), vec![0.0; rows * cols]);
            let to_mat = MatMut::new(&mut to, cols, rows, rows);
            isa.run(Transpose { from: Mat::new(&from, rows, cols, cols), to: to_mat });
            out.push(&to);
        }
    }),
    ("adam", adam),
];

/// Around the widths of tiles and blocks.
const SHAPES: [(usize, usize); 4] = [(7, 37), (66, 130), (1, 8), (13, 257)];

/// Takes results.
struct Out(Sha256);

impl Out {
    fn push(&mut self, values: &[f32]) {
        values.iter().for_each(|x| self.0.update(x.to_bits().to_le_bytes()));
    }
}

/// Numbers of many magnitudes below 1, a quarter of them ±0.
fn values(which: u64, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Stream::new(1, Purpose::Sample(which)).fill_uniform(&mut values);
    for x in &mut values {
        let bits = x.to_bits();
        let zero = if bits & 1 == 0 { 0.0 } else { -0.0 };
        *x = if (bits >> 1).is_multiple_of(4) { zero } else { *x / (1 << ((bits >> 3) % 12)) as f32 };
    }
    values
}

fn function(isa: Isa, function: Function, out: &mut Out) {
    // Every exponent, both signs, 50,000 significands.
    let x: Vec<f32> = (0..=u32::MAX).step_by(85_899).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
    let mut y = vec![0.0; x.len()];
    isa.run(Apply { function, x: &x, y: &mut y });
    out.push(&y);
}

/// How a product takes its left operand.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Rows,
    Columns,
    Lists,
}

fn product(isa: Isa, by: By, out: &mut Out) {
    for (m, n) in SHAPES {
        for k in [1, 40, 300] {
            let (a, b) = (values(2, m * k), values(3, k * n));
            let pairs = m.div_ceil(PAIR);
            let (mut index, mut value, mut len) =
                (vec![0; pairs * k], vec![[0.0; PAIR]; pairs * k], vec![0; pairs]);
            let mut lists = ListsMut::new(&mut index, &mut value, &mut len, m, k);
            let left = match by {
                By::Rows => Left::Rows(Mat::new(&a, m, k, k)),
                By::Columns => Left::Columns(Mat::new(&a, k, m, m)),
                By::Lists => {
                    isa.run(List { x: Mat::new(&a, m, k, k), columns: false, lists: lists.reborrow() });
                    Left::Lists(lists.view())
                }
            };
            for start in [Start::Zero, Start::Partial] {
                let mut c = values(4, m * n);
                let right = Mat::new(&b, k, n, n);
                isa.run(Product { left, right, out: MatMut::new(&mut c, m, n, n), start });
                out.push(&c);
            }
        }
    }
}

/// The lists of rows and of columns: how many terms, which, and their values.
fn lists(isa: Isa, out: &mut Out) {
    for (rows, cols) in SHAPES {
        let x = values(2, rows * cols);
        for (columns, rows, terms) in [(false, rows, cols), (true, cols, rows)] {
            let pairs = rows.div_ceil(PAIR);
            let (mut index, mut value) = (vec![0; pairs * terms], vec![[0.0; PAIR]; pairs * terms]);
            let mut len = vec![0; pairs];
            let mut lists = ListsMut::new(&mut index, &mut value, &mut len, rows, terms);
            let x = Mat::new(&x, x.len() / cols, cols, cols);
            isa.run(List { x, columns, lists: lists.reborrow() });
            for pair in 0..pairs {
                let (index, value) = lists.view().pair(pair);
                out.0.update((index.len() as u32).to_le_bytes());
                index.iter().for_each(|k| out.0.update(k.to_le_bytes()));
                out.push(value.as_flattened());
            }
        }
    }
}

/// Calls `work` for matrices x and y of every shape and a row of values, and takes what becomes of x.
fn each_shape(out: &mut Out, work: impl Fn(MatMut<'_>, Mat<'_>, &[f32])) {
    for (rows, cols) in SHAPES {
        let (mut x, y, row) = (values(5, rows * cols), values(6, rows * cols), values(8, cols));
        work(MatMut::new(&mut x, rows, cols, cols), Mat::new(&y, rows, cols, cols), &row);
        out.push(&x);
    }
}

fn logits(isa: Isa, out: &mut Out) {
    for (rows, cols) in SHAPES {
        let (h, weight, mut logits) = (values(9, rows * cols), values(10, cols), vec![0.0; rows]);
        let h = Mat::new(&h, rows, cols, cols);
        isa.run(Logits { h, weight: &weight, bias: 0.25, logits: &mut logits });
        out.push(&logits);
    }
}

fn cross_entropy(isa: Isa, out: &mut Out) {
    let logits: Vec<f32> = values(11, 1_000).iter().map(|x| 110.0 * x).collect();
    for real in [true, false] {
        let (mut loss, mut d_logits) = (vec![0.0; 1_000], vec![0.0; 1_000]);
        let rows =
            CrossEntropy { logits: &logits, real, count: 1_000.0, loss: &mut loss, d_logits: &mut d_logits };
        isa.run(rows);
        out.push(&loss);
        out.push(&d_logits);
    }
}

fn column_sums(isa: Isa, out: &mut Out) {
    for (rows, cols) in SHAPES {
        let (x, mut sums) = (values(12, rows * cols), values(13, cols));
        isa.run(ColumnSums { x: Mat::new(&x, rows, cols, cols), sums: &mut sums });
        out.push(&sums);
    }
}

fn adam(isa: Isa, out: &mut Out) {
    for rates in [AdamRates::new(2e-4, 0.9, 0.999, 1e-8, 7), AdamRates::new(1e-3, 0.5, 0.25, 1e-8, 2)] {
        for (rows, cols) in SHAPES {
            let [mut p, mut m, mut v, g] = [14, 15, 16, 17].map(|which| values(which, rows * cols));
            v.iter_mut().for_each(|v| *v = v.abs());
            let mat = |x| MatMut::new(x, rows, cols, cols);
            let g = Mat::new(&g, rows, cols, cols);
            isa.run(AdamStep { p: mat(&mut p), m: mat(&mut m), v: mat(&mut v), g, rates });
            [p, m, v].iter().for_each(|x| out.push(x));
        }
    }
}

/// Triples that [`emulated_fma`] digests.
pub const TRIPLES: usize = 1 << 20;

/// The emulated fma on triples of any bits, and ln on numbers of many magnitudes: scalar functions, the same for all
/// backends.
pub fn scalar_parts() -> [(&'static str, Digest); 2] {
    let mut fma = Out(Sha256::new());
    for i in 0..TRIPLES {
        let [x, y, z] = triple(i as u64);
        let sum = reference::fma(x, y, z);
        fma.push(&[if sum.is_nan() { f32::NAN } else { sum }]);
    }
    let mut ln = Sha256::new();
    let positive = f64::MIN_POSITIVE.to_bits()..f64::INFINITY.to_bits();
    for bits in positive.step_by(1 << 43) {
        ln.update(reference::ln(f64::from_bits(bits ^ bits >> 20)).to_bits().to_le_bytes());
    }
    [("emulated fma", fma), ("ln", Out(ln))].map(|(name, out)| (name, Digest(out.0.finalize().into())))
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
    use crate::golden;

    #[test]
    fn every_part_of_every_backend_is_as_published() {
        let all = Isa::available().flat_map(|isa| parts(isa).map(move |part| (isa.name(), part)));
        let all = all.chain(scalar_parts().map(|part| ("all", part)));
        let wrong: Vec<_> = all
            .filter(|(_, (name, digest))| golden::part(name) != Some(&digest.to_string()))
            .map(|(isa, (name, digest))| format!("{isa}: {name}: {digest}\n"))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.concat());
    }
}
