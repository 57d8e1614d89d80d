//! Every kernel equals `reference` bit for bit, on every backend that this CPU has: around the block boundaries, on
//! misaligned slices, with −0, subnormals, underflow and values at the engine's bounds, and with padding full of NaN
//! that must not leak. One suite, instantiated per backend at the end.

mod backends;

use duel::Isa;
use duel::kernels::adam::AdamStep;
use duel::kernels::dense::{
    ColumnSums, CrossEntropy, Expand, HiddenActivation, HiddenBackward, LogitBackward, Logits,
    PixelActivation, PixelBackward,
};
use duel::kernels::gemm::{Left, Product, Start};
use duel::kernels::lists::{Count, List, ListsMut, PAIR};
use duel::kernels::reference::AdamRates;
use duel::kernels::tiles::{Mat, MatMut};
use duel::kernels::transpose::Transpose;

/// Values in ±1 with zeros, −0, subnormals and values that underflow when multiplied.
struct Values {
    state: u64,
    poison: u32,
}

impl Values {
    fn new(seed: u64) -> Values {
        Values { state: seed, poison: 0 }
    }
    fn next(&mut self) -> f32 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (self.state >> 33) as u32;
        let x = (bits >> 7) as f32 * (1.0 / 8_388_608.0) - 1.0;
        match bits % 32 {
            0 => 0.0,
            1 => -0.0,
            2 => f32::from_bits(bits >> 10),
            3 => x * 1e-25,
            4 => x * -1e-38,
            _ => x,
        }
    }
}

/// A matrix one f32 off alignment, three NaNs between its rows.
#[derive(Clone)]
struct Owned {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
}

impl Owned {
    fn new(rows: usize, cols: usize, values: &mut Values) -> Owned {
        // Every NaN has a payload of its own: one that came from elsewhere shows.
        let mut data: Vec<f32> = (0..1 + rows * (cols + 3))
            .map(|_| {
                values.poison = (values.poison + 1) % 0x40_0000;
                f32::from_bits(0x7FC0_0000 | values.poison)
            })
            .collect();
        for i in 0..rows {
            data[1 + i * (cols + 3)..][..cols].fill_with(|| values.next());
        }
        Owned { data, rows, cols }
    }
    fn mat(&self) -> Mat<'_> {
        Mat::new(&self.data[1..], self.rows, self.cols, self.cols + 3)
    }
    fn mat_mut(&mut self) -> MatMut<'_> {
        MatMut::new(&mut self.data[1..], self.rows, self.cols, self.cols + 3)
    }
    fn bits(&self) -> Vec<u32> {
        self.data.iter().map(|x| x.to_bits()).collect()
    }
}

const ROWS: [usize; 6] = [1, 2, 3, 5, 7, 13];
const COLS: [usize; 13] = [1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 129, 257];
const TERMS: [usize; 8] = [1, 2, 127, 128, 129, 256, 257, 513];

/// Runs a product on a backend: the bits of C.
fn product(isa: Isa, left: Left<'_>, right: &Owned, out: &Owned, start: Start) -> Vec<u32> {
    let mut out = out.clone();
    isa.run(Product { left, right: right.mat(), out: out.mat_mut(), start });
    out.bits()
}

/// Memory for lists of the non-zero terms of so many rows.
struct Terms {
    index: Vec<u16>,
    value: Vec<[f32; PAIR]>,
    len: Vec<u32>,
    rows: usize,
    capacity: usize,
}

impl Terms {
    fn new(rows: usize, capacity: usize) -> Terms {
        let pairs = rows.div_ceil(PAIR);
        let (index, value) = (vec![7; pairs * capacity], vec![[f32::NAN; PAIR]; pairs * capacity]);
        Terms { index, value, len: vec![9; pairs], rows, capacity }
    }
    fn lists(&mut self) -> ListsMut<'_> {
        ListsMut::new(&mut self.index, &mut self.value, &mut self.len, self.rows, self.capacity)
    }
}

fn products_equal_the_reference_around_every_block_boundary(isa: Isa) {
    let mut values = Values::new(1);
    for m in ROWS {
        for n in COLS {
            for k in TERMS {
                let (rows, columns) = (Owned::new(m, k, &mut values), Owned::new(k, m, &mut values));
                let (right, out) = (Owned::new(k, n, &mut values), Owned::new(m, n, &mut values));
                for left in [Left::Rows(rows.mat()), Left::Columns(columns.mat())] {
                    for start in [Start::Zero, Start::Partial] {
                        let run = |isa| product(isa, left, &right, &out, start);
                        assert_eq!(run(isa), run(Isa::Reference), "{} {m}×{n} over {k}", isa.name());
                    }
                }
            }
        }
    }
}

fn activations_equal_the_reference(isa: Isa) {
    let mut values = Values::new(2);
    for (m, n) in [(1, 1), (7, 33), (13, 65), (6, 64), (8, 130)] {
        let (mut x, y) = (Owned::new(m, n, &mut values), Owned::new(m, n, &mut values));
        // Some pixels, and some whole vectors of them, are beyond the cut of the output sigmoid.
        x.data.iter_mut().enumerate().for_each(|(i, x)| *x = if i / 16 % 3 == 0 { -30.0 } else { 20.0 * *x });
        let bias: Vec<f32> = (0..n).map(|_| values.next()).collect();
        macro_rules! same {
            (|$x:ident| $kernel:expr) => {{
                let run = |isa: Isa| {
                    let mut x = x.clone();
                    let $x = x.mat_mut();
                    isa.run($kernel);
                    x.bits()
                };
                assert_eq!(run(isa), run(Isa::Reference), "{} {m}×{n}", isa.name());
            }};
        }
        same!(|x| HiddenActivation { x, bias: &bias });
        same!(|x| PixelActivation { x, bias: &bias });
        same!(|d| PixelBackward { d, y: y.mat() });
        same!(|d| HiddenBackward { d, h: y.mat() });
    }
}

fn transposing_moves_bits(isa: Isa) {
    let mut values = Values::new(6);
    for (rows, cols) in [(1, 1), (8, 8), (16, 16), (17, 33), (128, 5), (5, 128), (48, 32), (31, 63)] {
        let from = Owned::new(rows, cols, &mut values);
        let mut to = Owned::new(cols, rows, &mut values);
        let before = to.clone();
        isa.run(Transpose { from: from.mat(), to: to.mat_mut() });
        for i in 0..rows {
            for j in 0..cols {
                assert_eq!(from.mat().row(i)[j].to_bits(), to.mat().row(j)[i].to_bits());
            }
        }
        let beside =
            |x: &Owned| x.bits().iter().filter(|&&b| f32::from_bits(b).is_nan()).copied().collect::<Vec<_>>();
        assert_eq!(beside(&to), beside(&before), "{}: between the rows", isa.name());
    }
}

fn leaving_out_zero_terms_changes_no_bit(isa: Isa) {
    let mut values = Values::new(3);
    let shapes = COLS.map(|n| (3, n, 40));
    let around_blocks =
        [(1, 1, 1), (9, 257, 130), (4, 128, 784), (66, 71, 129), (2, 784, 257), (65, 24, 128)];
    // Every width of a panel, up to a panel's remainder.
    let widths = (1..=17).map(|vectors| (2, 8 * vectors, 20));
    for (m, n, k) in shapes.into_iter().chain(around_blocks).chain(widths) {
        for black in [0, 3, 10] {
            let mut dense = Owned::new(m, k, &mut values);
            for (i, x) in dense.data.iter_mut().enumerate().filter(|(_, x)| !x.is_nan()) {
                *x = if i * 7 % 10 < black { [0.0, -0.0][i % 2] } else { *x };
            }
            let mut terms = Terms::new(m, k);
            isa.run(List { x: dense.mat(), columns: false, lists: terms.lists() });
            let lists = terms.lists().into_view();
            let (right, out) = (Owned::new(k, n, &mut values), Owned::new(m, n, &mut values));
            for start in [Start::Zero, Start::Partial] {
                let expected = product(Isa::Reference, Left::Rows(dense.mat()), &right, &out, start);
                for isa in [isa, Isa::Reference] {
                    let got = product(isa, Left::Lists(lists), &right, &out, start);
                    assert_eq!(got, expected, "{} {m}×{n} over {k}, {black} tenths black", isa.name());
                }
            }
        }
    }
}

fn lists_hold_the_terms_that_are_not_zero(isa: Isa) {
    let mut values = Values::new(9);
    let shapes =
        [(1, 1), (2, 9), (5, 30), (12, 7), (17, 128), (33, 129), (128, 18), (130, 16), (257, 35), (16, 64)];
    for ((rows, cols), black) in shapes.into_iter().flat_map(|shape| [(shape, 0), (shape, 3), (shape, 10)]) {
        let mut x = Owned::new(rows, cols, &mut values);
        for i in 0..rows {
            x.mat_mut().row_mut(i).iter_mut().enumerate().for_each(|(k, x)| {
                if (i * 3 + k * 7) % 10 < black {
                    *x = [0.0, -0.0][(i + k) % 2];
                }
            });
        }
        let (mut by_row, mut by_column) = (Terms::new(rows, cols), Terms::new(cols, rows));
        isa.run(List { x: x.mat(), columns: false, lists: by_row.lists() });
        isa.run(List { x: x.mat(), columns: true, lists: by_column.lists() });
        for columns in [false, true] {
            let count = |isa: Isa| isa.run(Count { x: x.mat(), columns });
            assert_eq!(count(isa), count(Isa::Reference), "{} {rows}×{cols}", isa.name());
        }
        let (by_row, by_column) = (by_row.lists().into_view(), by_column.lists().into_view());
        let at = |i: usize, k: usize| x.mat().row(i)[k];
        type At<'a> = &'a dyn Fn(usize, usize) -> f32;
        let transposed = |i, k| at(k, i);
        for (lists, rows, terms, at) in
            [(by_row, rows, cols, &at as At<'_>), (by_column, cols, rows, &transposed)]
        {
            for i in 0..rows {
                // The row that shares the list, if there is one.
                let (first, second) = (i / PAIR * PAIR, (i / PAIR * PAIR + 1).min(rows - 1));
                let (index, value) = lists.pair(i / PAIR);
                let expected: Vec<u16> = (0..terms as u16)
                    .filter(|&k| at(first, k.into()) != 0.0 || at(second, k.into()) != 0.0)
                    .collect();
                assert_eq!(index, expected, "{} row {i} of {rows}×{terms}", isa.name());
                let expected: Vec<u32> = index.iter().map(|&k| at(i, k.into()).to_bits()).collect();
                assert_eq!(value.iter().map(|pair| pair[i % PAIR].to_bits()).collect::<Vec<_>>(), expected);
            }
        }
    }
}

fn other_kernels_equal_the_reference(isa: Isa) {
    let rates = AdamRates::new(1e-3, 0.9, 0.999, 1e-8, 1);
    let mut values = Values::new(4);
    for (rows, n) in [(1, 1), (7, 9), (8, 16), (9, 33), (37, 100)] {
        let h = Owned::new(rows, n, &mut values);
        let moments = [(); 2].map(|()| Owned::new(rows, n, &mut values));
        let weight: Vec<f32> = (0..n).map(|_| values.next()).collect();
        let wide: Vec<f32> = (0..rows).map(|_| 110.0 * values.next()).collect();
        let run = |isa: Isa| {
            let mut logits = vec![0.0; rows];
            isa.run(Logits { h: h.mat(), weight: &weight, bias: 0.25, logits: &mut logits });
            let mut all = logits.clone();
            for (logits, real) in [(&logits, true), (&wide, true), (&wide, false)] {
                let (mut loss, mut d) = (vec![0.0; rows], vec![0.0; rows]);
                isa.run(CrossEntropy { logits, real, count: rows as f32, loss: &mut loss, d_logits: &mut d });
                all.extend(loss.iter().chain(&d));
            }
            let mut d_hidden = h.clone();
            let out = d_hidden.mat_mut();
            isa.run(LogitBackward { d_logits: &wide, weight: &weight, h: h.mat(), d_hidden: out });
            let mut sums = vec![0.0; n];
            isa.run(ColumnSums { x: h.mat(), sums: &mut sums });
            all.extend(&sums);
            // With a small β2 the second moment shows how g² was rounded.
            for rates in [rates, AdamRates::new(1e-3, 0.5, 0.25, 1e-8, 2)] {
                let (mut p, mut m, mut v) = (h.clone(), moments[0].clone(), moments[1].clone());
                v.data.iter_mut().for_each(|x| *x = x.abs());
                let (p_mat, m_mat, v_mat) = (p.mat_mut(), m.mat_mut(), v.mat_mut());
                assert!(isa.run(AdamStep { p: p_mat, m: m_mat, v: v_mat, g: h.mat(), rates }));
                all.extend(p.data.iter().chain(&m.data).chain(&v.data));
            }
            (all.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), d_hidden.bits())
        };
        assert_eq!(run(isa), run(Isa::Reference), "{} {rows}×{n}", isa.name());
    }
}

fn images_are_bytes_times_the_factor(isa: Isa) {
    let bytes: Vec<u8> = (0..=255).cycle().take(300).collect();
    for n in [1, 7, 8, 9, 15, 16, 17, 64, 255, 299] {
        // One off alignment, and something behind it.
        let mut x = vec![f32::NAN; n + 2];
        let ahead = &bytes[300 - n..];
        isa.run(Expand { bytes: &bytes[1..1 + n], factor: 1.0 / 255.0, x: &mut x[1..1 + n], ahead });
        for (&x, &byte) in x[1..1 + n].iter().zip(&bytes[1..]) {
            assert_eq!(x.to_bits(), (byte as f32 * (1.0 / 255.0)).to_bits(), "{}", isa.name());
        }
        assert!(x[0].is_nan() && x[n + 1].is_nan(), "{}: beside the image", isa.name());
    }
}

fn adam_on_slices(
    isa: Isa,
    p: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    g: &[f32],
    rates: AdamRates,
) -> bool {
    let n = g.len();
    let [p, m, v] = [p, m, v].map(|x| MatMut::new(x, 1, n, n));
    isa.run(AdamStep { p, m, v, g: Mat::new(g, 1, n, n), rates })
}

fn a_parameter_out_of_bounds_is_reported_in_every_lane(isa: Isa) {
    let rates = AdamRates::new(1e-3, 0.9, 0.999, 1e-8, 1);
    for isa in [isa, Isa::Reference] {
        for n in [1, 9, 16, 21] {
            for bad in 0..n {
                let run = |p_bad: f32, g_bad: f32| {
                    let (mut p, mut m, mut v, mut g) =
                        (vec![1.0; n], vec![0.0; n], vec![0.0; n], vec![1.0; n]);
                    (p[bad], g[bad]) = (p_bad, g_bad);
                    adam_on_slices(isa, &mut p, &mut m, &mut v, &g, rates)
                };
                assert!(run(1.0, 1.0) && run(1_048_575.0, 1.0), "{} lane {bad} of {n}", isa.name());
                assert!(!run(1_048_577.0, 1.0), "{} lane {bad} of {n}", isa.name());
                assert!(!run(1.0, 1e30), "{}: g² overflows, v is infinite", isa.name());
                assert!(!run(1.0, f32::NAN) && !run(f32::NAN, 1.0), "{}: not a number", isa.name());
            }
        }
    }
}

#[test]
fn products_agree_with_matrixmultiply() {
    let mut values = Values::new(5);
    let (m, n, k) = (37, 75, 140);
    let (x, right) = (Owned::new(m, k, &mut values), Owned::new(k, n, &mut values));
    let out = Owned::new(m, n, &mut values);
    let got = product(Isa::best(), Left::Rows(x.mat()), &right, &out, Start::Zero);
    let mut oracle = vec![0.0f64; m * n];
    let a: Vec<f64> = (0..m * k).map(|i| x.mat().row(i / k)[i % k] as f64).collect();
    let b: Vec<f64> = (0..k * n).map(|i| right.mat().row(i / n)[i % n] as f64).collect();
    // SAFETY: the three slices have m×k, k×n and m×n values, row-major.
    unsafe {
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), oracle.as_mut_ptr());
        matrixmultiply::dgemm(m, k, n, 1.0, a, k as isize, 1, b, n as isize, 1, 0.0, c, n as isize, 1);
    }
    for i in 0..m {
        for j in 0..n {
            let x = f32::from_bits(got[1 + i * (n + 3) + j]) as f64;
            assert!((x - oracle[i * n + j]).abs() < 1e-5, "{i} {j}");
        }
    }
}

/// Values where the proof of finiteness ends: parameters of 2²⁰, hidden values below 2³⁷, gradients of 2⁵⁴ and more.
fn values_at_the_bounds_stay_finite_and_equal_the_reference(isa: Isa) {
    let power = |n: i32| f32::from_bits(((127 + n) as u32) << 23);
    let mut values = Values::new(8);
    for (large, small) in [(20, 0), (37, 20), (54, 37), (54, 20)] {
        let (m, n, k) = (7, 70, 300);
        let mut scaled = |rows, cols, scale: i32| {
            let mut mat = Owned::new(rows, cols, &mut values);
            // Every second one at the bound itself, all of one sign, so that sums grow as far as they can.
            mat.data.iter_mut().enumerate().for_each(|(i, x)| {
                *x = if i % 2 == 0 && !x.is_nan() { power(scale) } else { *x * power(scale) };
            });
            mat
        };
        let (x, right, out) = (scaled(m, k, large), scaled(k, n, small), scaled(m, n, large));
        let run = |isa| product(isa, Left::Rows(x.mat()), &right, &out, Start::Zero);
        let got = run(isa);
        assert_eq!(got, run(Isa::Reference), "2^{large} by 2^{small}");
        for i in 0..m {
            let row = &got[1 + i * (n + 3)..][..n];
            assert!(row.iter().all(|&bits| f32::from_bits(bits).is_finite()), "2^{large} by 2^{small}");
        }
    }
    // Adam at the bounds, and on both sides of each threshold below which a value is zero.
    let edges = |n: i32| {
        [power(n), -power(n), f32::from_bits(power(n).to_bits() - 1), f32::from_bits(power(n).to_bits() + 1)]
    };
    let g: Vec<f32> = [-56, -57, -80, -120, -126, 0, 63, 64, 91].into_iter().flat_map(edges).collect();
    for m_start in [0.0, power(-80), -power(-81), power(20)] {
        for v_start in [0.0, power(-120), power(-119), power(40)] {
            for t in [1, 1_000_000] {
                let rates = AdamRates::new(2e-4, 0.9, 0.999, 1e-8, t);
                let run = |isa: Isa| {
                    let mut p: Vec<f32> = g.iter().map(|g| g.clamp(-power(20), power(20))).collect();
                    let (mut m, mut v) = (vec![m_start; g.len()], vec![v_start; g.len()]);
                    let fine = adam_on_slices(isa, &mut p, &mut m, &mut v, &g, rates);
                    let subnormal = m.iter().chain(&v).any(|x| x.is_subnormal());
                    assert!(!subnormal, "{}: a subnormal moment", isa.name());
                    ([p, m, v].concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>(), fine)
                };
                assert_eq!(run(isa), run(Isa::Reference), "m {m_start:e} v {v_start:e} step {t}");
            }
        }
    }
}

macro_rules! suite {
    ($($isa:ident: $($test:ident)+;)+) => {$(
        mod $isa {
            $(#[test]
            fn $test() {
                if let Some(isa) = crate::backends::backend(stringify!($isa)) {
                    super::$test(isa);
                }
            })+
        }
    )+};
    ($($isa:ident)+) => {
        suite! {$(
            $isa: products_equal_the_reference_around_every_block_boundary
                activations_equal_the_reference
                transposing_moves_bits
                leaving_out_zero_terms_changes_no_bit
                lists_hold_the_terms_that_are_not_zero
                images_are_bytes_times_the_factor
                other_kernels_equal_the_reference
                a_parameter_out_of_bounds_is_reported_in_every_lane
                values_at_the_bounds_stay_finite_and_equal_the_reference;
        )+}
    };
}
suite! { wide avx2 avx512 }
