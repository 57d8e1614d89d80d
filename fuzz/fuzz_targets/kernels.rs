//! Any kernel, any shape and alignment, any values: each backend equals `reference` bit for bit and touches nothing
//! beside its output.

#![no_main]

use duel::Isa;
use duel::kernels::adam::AdamStep;
use duel::kernels::dense::{
    ColumnSums, CrossEntropy, HiddenActivation, HiddenBackward, LogitBackward, Logits, PixelActivation,
    PixelBackward,
};
use duel::kernels::gemm::{Left, Product, Start};
use duel::kernels::lists::{List, ListsMut, PAIR};
use duel::kernels::math::{Apply, Function};
use duel::kernels::reference::AdamRates;
use duel::kernels::tiles::{Mat, MatMut};
use duel::kernels::transpose::Transpose;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Which {
    Product,
    HiddenActivation,
    PixelActivation,
    PixelBackward,
    HiddenBackward,
    Transpose,
    Logits,
    CrossEntropy,
    LogitBackward,
    ColumnSums,
    AdamStep,
    Math,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operand {
    Rows,
    Columns,
    ListedRows,
    ListedColumns,
}

#[derive(Arbitrary, Debug)]
struct Input {
    which: Which,
    operand: Operand,
    partial: bool,
    rows: u8,
    cols: u8,
    terms: u16,
    offset: u8,
    gap: u8,
    step: u16,
    /// Bit patterns; those that are not finite lose their top exponent bit.
    values: Vec<u32>,
    /// What follows them: a generator of values of a common size.
    seed: u64,
}

/// The values of the input, then pseudo-random ones with zeros, −0, subnormals and values that underflow.
struct Values<'a> {
    given: std::slice::Iter<'a, u32>,
    state: u64,
}

impl Values<'_> {
    fn next(&mut self) -> f32 {
        if let Some(&bits) = self.given.next() {
            let x = f32::from_bits(bits);
            return if x.is_finite() { x } else { f32::from_bits(bits & !(1 << 30)) };
        }
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (self.state >> 33) as u32;
        let x = (bits >> 7) as f32 * (1.0 / 8_388_608.0) - 1.0;
        match bits % 32 {
            0..4 => 0.0,
            4 => -0.0,
            5 => f32::from_bits(bits >> 10),
            6 => x * 1e-25,
            _ => x,
        }
    }
    fn take(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// A matrix somewhere in memory, with NaN around and between its rows.
#[derive(Clone)]
struct Owned {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
    offset: usize,
    stride: usize,
}

impl Owned {
    fn new(rows: usize, cols: usize, input: &Input, values: &mut Values<'_>) -> Owned {
        let (offset, stride) = (input.offset as usize % 16, cols + input.gap as usize % 5);
        let mut data = vec![f32::NAN; offset + rows * stride + 16];
        for i in 0..rows {
            data[offset + i * stride..][..cols].copy_from_slice(&values.take(cols));
        }
        Owned { data, rows, cols, offset, stride }
    }
    fn mat(&self) -> Mat<'_> {
        Mat::new(&self.data[self.offset..], self.rows, self.cols, self.stride)
    }
    fn mat_mut(&mut self) -> MatMut<'_> {
        MatMut::new(&mut self.data[self.offset..], self.rows, self.cols, self.stride)
    }
    fn absolute(mut self) -> Owned {
        self.data.iter_mut().for_each(|x| *x = x.abs());
        self
    }
}

/// Bits, every NaN alike: values beyond the engine's bounds may make some, whose payload no backend promises.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

fuzz_target!(|input: Input| {
    let (m, n) = (input.rows as usize % 20 + 1, input.cols as usize % 150 + 1);
    let k = input.terms as usize % 530 + 1;
    let mut values = Values { given: input.values.iter(), state: input.seed };
    let start = if input.partial { Start::Partial } else { Start::Zero };
    let rates = AdamRates::new(2e-4, 0.9, 0.999, 1e-8, input.step as u64 + 1);
    let isas: Vec<Isa> = Isa::available().collect();

    let run: Box<dyn Fn(Isa) -> Vec<u32>> = match input.which {
        Which::Logits | Which::CrossEntropy | Which::LogitBackward | Which::ColumnSums => {
            let h = Owned::new(m, n, &input, &mut values);
            let (weight, row) = (values.take(n), values.take(m));
            let input = &input;
            Box::new(move |isa| match input.which {
                Which::Logits => {
                    let mut logits = vec![0.0; m];
                    isa.run(Logits { h: h.mat(), weight: &weight, bias: row[0], logits: &mut logits });
                    bits(&logits)
                }
                Which::CrossEntropy => {
                    let (mut loss, mut d) = (vec![0.0; n], vec![0.0; n]);
                    isa.run(CrossEntropy {
                        logits: &weight,
                        real: input.partial,
                        count: m as f32,
                        loss: &mut loss,
                        d_logits: &mut d,
                    });
                    bits(&[loss, d].concat())
                }
                Which::LogitBackward => {
                    let mut out = h.clone();
                    let d_hidden = out.mat_mut();
                    isa.run(LogitBackward { d_logits: &row, weight: &weight, h: h.mat(), d_hidden });
                    bits(&out.data)
                }
                _ => {
                    let mut sums = weight.clone();
                    isa.run(ColumnSums { x: h.mat(), sums: &mut sums });
                    bits(&sums)
                }
            })
        }
        Which::AdamStep => {
            let [p, m, v, g] = [(); 4].map(|()| Owned::new(m, n, &input, &mut values));
            let v = v.absolute();
            Box::new(move |isa| {
                let (mut p, mut m, mut v) = (p.clone(), m.clone(), v.clone());
                let (p_mat, m_mat, v_mat) = (p.mat_mut(), m.mat_mut(), v.mat_mut());
                let fine = isa.run(AdamStep { p: p_mat, m: m_mat, v: v_mat, g: g.mat(), rates });
                let mut all = bits(&[p.data, m.data, v.data].concat());
                all.push(fine as u32);
                all
            })
        }
        Which::Math => {
            let x = values.take(n);
            let function = Function::ALL[m % 4];
            Box::new(move |isa| {
                let mut y = vec![0.0; x.len()];
                isa.run(Apply { function, x: &x, y: &mut y });
                bits(&y)
            })
        }
        Which::Product => {
            let rows = Owned::new(m, k, &input, &mut values);
            let columns = Owned::new(k, m, &input, &mut values);
            let (right, out) = (Owned::new(k, n, &input, &mut values), Owned::new(m, n, &input, &mut values));
            let operand = input.operand;
            Box::new(move |isa| {
                let pairs = m.div_ceil(PAIR);
                let (mut index, mut value, mut len) =
                    (vec![0; pairs * k], vec![[0.0; PAIR]; pairs * k], vec![0; pairs]);
                let mut lists = ListsMut::new(&mut index, &mut value, &mut len, m, k);
                let left = match operand {
                    Operand::Rows => Left::Rows(rows.mat()),
                    Operand::Columns => Left::Columns(columns.mat()),
                    Operand::ListedRows => {
                        isa.run(List { x: rows.mat(), columns: false, lists: lists.reborrow() });
                        Left::Lists(lists.view())
                    }
                    Operand::ListedColumns => {
                        isa.run(List { x: columns.mat(), columns: true, lists: lists.reborrow() });
                        Left::Lists(lists.view())
                    }
                };
                let mut out = out.clone();
                isa.run(Product { left, right: right.mat(), out: out.mat_mut(), start });
                bits(&out.data)
            })
        }
        which => {
            let (x, y) = (Owned::new(m, n, &input, &mut values), Owned::new(m, n, &input, &mut values));
            let (bias, turned) = (values.take(n), Owned::new(n, m, &input, &mut values));
            Box::new(move |isa| {
                let mut out = if which == Which::Transpose { turned.clone() } else { x.clone() };
                let d = out.mat_mut();
                match which {
                    Which::HiddenActivation => isa.run(HiddenActivation { x: d, bias: &bias }),
                    Which::PixelActivation => isa.run(PixelActivation { x: d, bias: &bias }),
                    Which::PixelBackward => isa.run(PixelBackward { d, y: y.mat() }),
                    Which::HiddenBackward => isa.run(HiddenBackward { d, h: y.mat() }),
                    _ => isa.run(Transpose { from: y.mat(), to: d }),
                }
                bits(&out.data)
            })
        }
    };
    let expected = run(isas[0]);
    for &isa in &isas[1..] {
        assert_eq!(run(isa), expected, "{}", isa.name());
    }
});
