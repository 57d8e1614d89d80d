//! Every kernel equals `reference` bit for bit, on every backend that this CPU has: around the block boundaries, on
//! misaligned slices, with −0, subnormals, underflow and values at the engine's bounds, and with padding full of NaN
//! that must not leak. One suite, instantiated per backend at the end.

mod backends;

use std::path::Path;

use duel::Isa;
use duel::kernels::adam::AdamStep;
use duel::kernels::cases::{self, Case, ENTRIES, Entry, Operand, Role, Shape, Values, Written};
use duel::kernels::lists::{List, ListsMut, MOST_TERMS, PAIR};
use duel::kernels::reference::AdamRates;
use duel::kernels::tiles::{Mat, MatMut};

/// Operands one f32 off alignment, three NaNs between their rows, each with a payload of its own: one that came from
/// elsewhere shows. The values are in ±1 with zeros, −0, subnormals and values that underflow when multiplied; what
/// `change` makes of the ith value is used. The same operand is made whenever it is asked for.
struct Source<F> {
    seed: u64,
    change: F,
}

impl<F: Fn(Role, usize, f32) -> f32> Values for Source<F> {
    fn matrix(&mut self, role: Role, rows: usize, cols: usize) -> Operand {
        let mut poison = (role as u32) << 16;
        let next_poison = || {
            poison += 1;
            f32::from_bits(0x7FC0_0000 | poison)
        };
        let stride = cols + 3;
        let mut data = vec![0.0; 1 + rows * stride];
        data.fill_with(next_poison);
        let mut state = self.seed << 8 | role as u64;
        for i in 0..rows {
            for j in 0..cols {
                data[1 + i * stride + j] = (self.change)(role, i * cols + j, next_value(&mut state));
            }
        }
        Operand { data, offset: 1, rows, cols, stride }
    }
}

fn next_value(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let bits = (*state >> 33) as u32;
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

/// Some terms of products are zero. Some pixels, and some whole vectors of them, are beyond the cut of the output sigmoid; logits saturate.
fn usual(role: Role, i: usize, x: f32) -> f32 {
    match role {
        Role::Left if i * 7 % 10 > 6 => [0.0, -0.0][i % 2],
        Role::Changed if (i / 16).is_multiple_of(3) => -30.0,
        Role::Changed => 20.0 * x,
        Role::Logit | Role::Argument => 110.0 * x,
        _ => x,
    }
}

const ROWS: [usize; 6] = [1, 2, 3, 5, 7, 13];
const COLS: [usize; 13] = [1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 129, 257];
const TERMS: [usize; 8] = [1, 2, 127, 128, 129, 256, 257, 513];

/// Shapes of kernels that are no products: around vectors, squares, pairs, and blocks of columns and terms.
const SHAPES: [(usize, usize); 34] = [
    (1, 1),
    (1, 7),
    (1, 8),
    (1, 9),
    (1, 15),
    (1, 16),
    (1, 17),
    (1, 64),
    (1, 255),
    (1, 299),
    (2, 9),
    (5, 30),
    (5, 128),
    (6, 64),
    (7, 9),
    (7, 33),
    (8, 8),
    (8, 16),
    (8, 130),
    (9, 33),
    (12, 7),
    (13, 65),
    (16, 16),
    (16, 64),
    (17, 33),
    (17, 128),
    (31, 63),
    (33, 129),
    (37, 100),
    (48, 32),
    (128, 5),
    (128, 18),
    (130, 16),
    (257, 35),
];

/// What a case writes on a backend.
fn bits_on(isa: Isa, case: &mut Case) -> Vec<u32> {
    case.reset();
    case.run(isa);
    case.bits()
}

fn equals_the_reference(isa: Isa, entry: &Entry, shape: Shape) {
    for variant in 0..entry.variants {
        let seed = (shape.rows * 1_000 + shape.cols * 7 + shape.terms) as u64;
        let mut case = (entry.make)(shape, variant, &mut Source { seed, change: usual });
        let same = bits_on(isa, &mut case) == bits_on(Isa::Reference, &mut case);
        assert!(same, "{}: {}, variant {variant}, {shape:?}", isa.name(), entry.name);
    }
}

fn products_equal_the_reference_around_every_block_boundary(isa: Isa) {
    for entry in ENTRIES.iter().filter(|entry| entry.terms) {
        for rows in ROWS {
            for cols in COLS {
                for terms in TERMS {
                    equals_the_reference(isa, entry, Shape { rows, cols, terms });
                }
            }
        }
    }
}

fn other_kernels_equal_the_reference(isa: Isa) {
    for entry in ENTRIES.iter().filter(|entry| !entry.terms) {
        for (rows, cols) in SHAPES {
            equals_the_reference(isa, entry, Shape { rows, cols, terms: 0 });
        }
    }
}

/// The case of an entry that is known to exist.
fn case(name: &str, variant: usize, shape: Shape, values: &mut dyn Values) -> Case {
    (cases::named(name).unwrap().make)(shape, variant, values)
}

fn leaving_out_zero_terms_changes_no_bit(isa: Isa) {
    let shapes = COLS.map(|n| (3, n, 40));
    let around_blocks =
        [(1, 1, 1), (9, 257, 130), (4, 128, 784), (66, 71, 129), (2, 784, 257), (65, 24, 128)];
    // Every width of a panel, up to a panel's remainder.
    let widths = (1..=17).map(|vectors| (2, 8 * vectors, 20));
    for (rows, cols, terms) in shapes.into_iter().chain(around_blocks).chain(widths) {
        for black in [0, 3, 10] {
            let shape = Shape { rows, cols, terms };
            let change = |role, i: usize, x| {
                if role == Role::Left && i * 7 % 10 < black { [0.0, -0.0][i % 2] } else { x }
            };
            let mut source = Source { seed: 3, change };
            // From zero, and going on; over lists of rows, and of columns.
            for (dense, variant, listed) in [
                ("product by rows", 0, 0),
                ("product by rows", 1, 1),
                ("product by columns", 0, 2),
                ("product by columns", 1, 3),
            ] {
                let expected = bits_on(Isa::Reference, &mut case(dense, variant, shape, &mut source));
                let mut case = case("product over lists", listed, shape, &mut source);
                for isa in [isa, Isa::Reference] {
                    let same = bits_on(isa, &mut case) == expected;
                    assert!(same, "{} {dense} {shape:?}, {black} tenths black", isa.name());
                }
            }
        }
    }
}

/// The lists that a case wrote: places, and the bits of the values of each pair.
fn lists_of(case: &Case) -> Vec<(Vec<u16>, Vec<[u32; PAIR]>)> {
    let mut lists = Vec::new();
    case.written(&mut |written| match written {
        Written::Number(len) => lists.push((Vec::with_capacity(len as usize), Vec::new())),
        Written::Places(places) => lists.last_mut().unwrap().0.extend(places),
        Written::Values(values) => {
            let pairs = values.as_chunks().0.iter();
            lists.last_mut().unwrap().1.extend(pairs.map(|pair| pair.map(f32::to_bits)));
        }
    });
    lists
}

fn lists_hold_the_terms_that_are_not_zero(isa: Isa) {
    for ((rows, cols), black) in SHAPES.into_iter().flat_map(|shape| [(shape, 0), (shape, 3), (shape, 10)]) {
        let change = |_, at: usize, x| {
            let (i, k) = (at / cols, at % cols);
            if (i * 3 + k * 7) % 10 < black { [0.0, -0.0][(i + k) % 2] } else { x }
        };
        let mut source = Source { seed: 9, change };
        let x = source.matrix(Role::Left, rows, cols);
        for (variant, rows, terms) in [(0, rows, cols), (1, cols, rows)] {
            let shape = Shape { rows: x.rows, cols: x.cols, terms: 0 };
            let mut case = case("lists of terms", variant, shape, &mut source);
            case.run(isa);
            let lists = lists_of(&case);
            assert_eq!(lists.len(), rows.div_ceil(PAIR));
            for (g, (index, value)) in lists.iter().enumerate() {
                // A row beyond the last is the last once more.
                let at = |i: usize, k: usize| {
                    let (i, k) = if variant == 0 { (i, k) } else { (k, i) };
                    x.mat().row(i)[k]
                };
                let pair = |k: u16| [PAIR * g, (PAIR * g + 1).min(rows - 1)].map(|i| at(i, k.into()));
                let expected: Vec<u16> =
                    (0..terms as u16).filter(|&k| pair(k).iter().any(|&x| x != 0.0)).collect();
                assert_eq!(index, &expected, "{} pair {g} of {rows}×{terms}", isa.name());
                let expected: Vec<_> = index.iter().map(|&k| pair(k).map(f32::to_bits)).collect();
                assert_eq!(value, &expected, "{} pair {g} of {rows}×{terms}", isa.name());
            }
        }
    }
}

#[test]
fn a_row_has_no_more_terms_than_a_list_can_count() {
    let x = vec![1.0; MOST_TERMS + 1];
    let list = |terms: usize, isa: Isa| {
        let (mut index, mut value, mut len) = (vec![0; terms], vec![[0.0; PAIR]; terms], [0]);
        let lists = ListsMut::new(&mut index, &mut value, &mut len, 1, terms);
        isa.run(List { x: Mat::new(&x, 1, terms, terms), columns: false, lists });
        index
    };
    for isa in Isa::available() {
        assert!(list(MOST_TERMS, isa).into_iter().eq(0..=u16::MAX));
        assert!(std::panic::catch_unwind(|| list(MOST_TERMS + 1, isa)).is_err(), "{}", isa.name());
    }
}

fn images_are_bytes_times_the_factor(isa: Isa) {
    let bytes = |_, i: usize, _| f32::from_bits((i as u32 % 256) << 8);
    let mut case =
        case("image", 0, Shape { rows: 1, cols: 300, terms: 0 }, &mut Source { seed: 0, change: bytes });
    case.run(isa);
    for (i, x) in case.bits()[1..=300].iter().enumerate() {
        assert_eq!(*x, ((i % 256) as f32 * (1.0 / 255.0)).to_bits(), "{} byte {i}", isa.name());
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
    let (m, n, k) = (37, 75, 140);
    let mut source = Source { seed: 5, change: usual };
    let (x, right) = (source.matrix(Role::Left, m, k), source.matrix(Role::Right, k, n));
    let shape = Shape { rows: m, cols: n, terms: k };
    let got = bits_on(Isa::best(), &mut case("product by rows", 0, shape, &mut source));
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

/// A table that somebody forgot to extend would hide a kernel from every check that goes over it. `Peak` is left out: it
/// takes no operands and writes nothing.
#[test]
fn every_kernel_has_a_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernels");
    let cases = std::fs::read_to_string(folder.join("cases.rs")).unwrap();
    let mut kernels = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for (_, rest) in
            text.match_indices("impl Kernel for ").map(|(at, found)| text.split_at(at + found.len()))
        {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            let has = cases.contains(&format!("isa.run({name} {{"));
            assert!(has || name == "Peak", "no case in cases.rs runs {name}");
            kernels += 1;
        }
    }
    assert!(kernels > 10, "only {kernels} kernels were seen");
}

fn power(n: i32) -> f32 {
    f32::from_bits(((127 + n) as u32) << 23)
}

/// Values where the proof of finiteness ends: parameters of 2²⁰, hidden values below 2³⁷, gradients of 2⁵⁴ and more.
fn products_at_the_bounds_stay_finite_and_equal_the_reference(isa: Isa) {
    let shape = Shape { rows: 7, cols: 70, terms: 300 };
    for (large, small) in [(20, 0), (37, 20), (54, 37), (54, 20)] {
        // Every second one at the bound itself, all of one sign, so that sums grow as far as they can.
        let change = |role, i: usize, x| {
            let bound = power(if role == Role::Right { small } else { large });
            if i.is_multiple_of(2) { bound } else { x * bound }
        };
        let mut case = case("product by rows", 0, shape, &mut Source { seed: 8, change });
        let got = bits_on(isa, &mut case);
        assert!(got == bits_on(Isa::Reference, &mut case), "{}: 2^{large} by 2^{small}", isa.name());
        let finite = got.iter().filter(|&&bits| f32::from_bits(bits).is_finite()).count();
        assert_eq!(finite, shape.rows * shape.cols, "{}: 2^{large} by 2^{small}", isa.name());
    }
}

/// Adam at the bounds, and on both sides of each threshold below which a value is zero.
fn moments_at_the_bounds_equal_the_reference(isa: Isa) {
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
                other_kernels_equal_the_reference
                leaving_out_zero_terms_changes_no_bit
                lists_hold_the_terms_that_are_not_zero
                images_are_bytes_times_the_factor
                a_parameter_out_of_bounds_is_reported_in_every_lane
                products_at_the_bounds_stay_finite_and_equal_the_reference
                moments_at_the_bounds_equal_the_reference;
        )+}
    };
}
suite! { wide avx2 avx512 }
