//! The rest of a dense layer: activations and their gradients at the end of a product, logits, losses, bias gradients.
//! Uses `isa`, `reference`, `vector`, `tiles`, `math` and `gemm`.

use super::gemm::{Epilogue, Product};
use super::isa::Isa;
use super::math;
use super::reference::{self, SMALLEST_GRADIENT};
use super::tiles::{Mat, MatMut};
use super::vector::{Kernel, Vector};

/// `h[i][j] = relu(chain + bias[j])`: a hidden layer.
#[derive(Debug)]
pub struct HiddenForward<'a> {
    /// One per column.
    pub bias: &'a [f32],
}

impl Epilogue for HiddenForward<'_> {
    const STORES: bool = true;
    fn run(isa: Isa, product: Product<'_, Self>) {
        isa.dispatch(product)
    }
    fn scalar(&mut self, _: usize, j: usize, acc: f32) -> f32 {
        reference::relu((acc + 0.0) + self.bias[j])
    }
    #[inline(always)]
    fn vector<V: Vector>(&mut self, v: V, _: usize, j: usize, acc: V::F32) -> V::F32 {
        math::relu(v, v.add(v.add(acc, v.splat(0.0)), v.load(&self.bias[j..])))
    }
}

/// `y[i][j] = output_sigmoid(chain + bias[i])`: generated pixels, a row per pixel.
#[derive(Debug)]
pub struct PixelForward<'a> {
    /// One per row.
    pub bias: &'a [f32],
}

impl Epilogue for PixelForward<'_> {
    const STORES: bool = true;
    fn run(isa: Isa, product: Product<'_, Self>) {
        isa.dispatch(product)
    }
    fn scalar(&mut self, i: usize, _: usize, acc: f32) -> f32 {
        reference::output_sigmoid((acc + 0.0) + self.bias[i])
    }
    #[inline(always)]
    fn vector<V: Vector>(&mut self, v: V, i: usize, _: usize, acc: V::F32) -> V::F32 {
        math::output_sigmoid(v, v.add(v.add(acc, v.splat(0.0)), v.splat(self.bias[i])))
    }
}

/// `d[i][j] = chain·s + 0` with `s = y(1 − y)`, and +0 where s is 0: the gradient through the output sigmoid.
#[derive(Debug)]
pub struct PixelBackward<'a> {
    /// The pixels that [`PixelForward`] made, of the gradient's shape.
    pub y: Mat<'a>,
}

impl Epilogue for PixelBackward<'_> {
    const STORES: bool = true;
    fn run(isa: Isa, product: Product<'_, Self>) {
        isa.dispatch(product)
    }
    fn scalar(&mut self, i: usize, j: usize, acc: f32) -> f32 {
        let y = self.y.row(i)[j];
        let s = y * (1.0 - y);
        if s <= 0.0 { 0.0 } else { (acc + 0.0) * s + 0.0 }
    }
    #[inline(always)]
    fn vector<V: Vector>(&mut self, v: V, i: usize, j: usize, acc: V::F32) -> V::F32 {
        let zero = v.splat(0.0);
        let y = v.load(&self.y.row(i)[j..]);
        let s = v.mul(y, v.sub(v.splat(1.0), y));
        v.select(v.le(s, zero), zero, v.add(v.mul(v.add(acc, zero), s), zero))
    }
}

/// `d[i][j] = chain` where `h[i][j] > 0`, else +0: the gradient through a hidden layer's ReLU.
#[derive(Debug)]
pub struct HiddenBackward<'a> {
    /// The hidden values, of the gradient's shape.
    pub h: Mat<'a>,
}

impl Epilogue for HiddenBackward<'_> {
    const STORES: bool = true;
    fn run(isa: Isa, product: Product<'_, Self>) {
        isa.dispatch(product)
    }
    fn scalar(&mut self, i: usize, j: usize, acc: f32) -> f32 {
        if self.h.row(i)[j] > 0.0 { acc + 0.0 } else { 0.0 }
    }
    #[inline(always)]
    fn vector<V: Vector>(&mut self, v: V, i: usize, j: usize, acc: V::F32) -> V::F32 {
        let zero = v.splat(0.0);
        let h = v.load(&self.h.row(i)[j..]);
        v.select(v.lt(zero, h), v.add(acc, zero), zero)
    }
}

/// `logit[i] = (chain over k of h[i][k]·weight[k]) + bias`, for every row i.
#[derive(Debug)]
pub struct Logits<'a> {
    /// Hidden values, rows × hidden.
    pub h: Mat<'a>,
    /// Weights, hidden.
    pub weight: &'a [f32],
    /// The bias.
    pub bias: f32,
    /// One per row.
    pub logits: &'a mut [f32],
}

impl Kernel for Logits<'_> {
    type Output = ();

    fn run_on(self, isa: Isa) {
        isa.dispatch(self)
    }

    fn reference(self) {
        for (i, logit) in self.logits.iter_mut().enumerate() {
            let h = self.h.row(i);
            *logit = (reference::chain(h.len(), 0.0, |k| h[k], |k| self.weight[k]) + 0.0) + self.bias;
        }
    }

    /// Eight rows at a time: eight independent chains hide the latency of the scalar fma.
    #[inline(always)]
    fn vector<V: Vector>(self, v: V) {
        const ROWS: usize = 8;
        let n = self.h.cols();
        assert!(self.logits.len() == self.h.rows() && self.weight.len() == n);
        for (block, logits) in self.logits.chunks_mut(ROWS).enumerate() {
            // Rows beyond the last repeat it; their chains are not stored.
            let rows: [&[f32]; ROWS] =
                core::array::from_fn(|r| self.h.row(block * ROWS + r.min(logits.len() - 1)));
            let mut acc = [0.0f32; ROWS];
            for (k, &w) in self.weight.iter().enumerate() {
                for (acc, row) in acc.iter_mut().zip(&rows) {
                    *acc = v.fma_scalar(row[k], w, *acc);
                }
            }
            for (logit, acc) in logits.iter_mut().zip(acc) {
                *logit = (acc + 0.0) + self.bias;
            }
        }
    }
}

/// For each logit the loss −log p(target), and its derivative divided by the number of rows; a derivative below 2⁻⁵⁶
/// is +0.
#[derive(Debug)]
pub struct CrossEntropy<'a> {
    /// Logits, one per row.
    pub logits: &'a [f32],
    /// The target: a real image, or a generated one.
    pub real: bool,
    /// The number of rows that the mean is taken over.
    pub count: f32,
    /// Loss per row.
    pub loss: &'a mut [f32],
    /// ∂(mean loss)/∂logit per row.
    pub d_logits: &'a mut [f32],
}

impl Kernel for CrossEntropy<'_> {
    type Output = ();

    fn run_on(self, isa: Isa) {
        isa.dispatch(self)
    }

    fn reference(self) {
        for (i, &logit) in self.logits.iter().enumerate() {
            let (loss, derivative) = reference::cross_entropy(logit, self.real);
            self.loss[i] = loss;
            self.d_logits[i] = reference::flush(derivative / self.count, SMALLEST_GRADIENT);
        }
    }

    #[inline(always)]
    fn vector<V: Vector>(self, v: V) {
        for i in (0..self.logits.len()).step_by(V::LANES) {
            let logit = v.load(&self.logits[i..]);
            let x = if self.real { v.neg(logit) } else { logit };
            let s = math::sigmoid(v, x);
            let derivative = v.div(if self.real { v.neg(s) } else { s }, v.splat(self.count));
            v.store(&mut self.loss[i..], math::softplus(v, x));
            v.store(&mut self.d_logits[i..], math::flush(v, derivative, SMALLEST_GRADIENT));
        }
    }
}

/// `d[i][k] = d_logits[i]·weight[k] + 0` where `h[i][k] > 0`, else +0: the gradient of a hidden layer below one logit.
#[derive(Debug)]
pub struct LogitBackward<'a> {
    /// ∂loss/∂logit per row.
    pub d_logits: &'a [f32],
    /// Weights, hidden.
    pub weight: &'a [f32],
    /// Hidden values, rows × hidden.
    pub h: Mat<'a>,
    /// The gradient, rows × hidden.
    pub d_hidden: MatMut<'a>,
}

impl Kernel for LogitBackward<'_> {
    type Output = ();

    fn run_on(self, isa: Isa) {
        isa.dispatch(self)
    }

    fn reference(mut self) {
        for i in 0..self.h.rows() {
            for k in 0..self.h.cols() {
                let d = self.d_logits[i] * self.weight[k] + 0.0;
                self.d_hidden.row_mut(i)[k] = if self.h.row(i)[k] > 0.0 { d } else { 0.0 };
            }
        }
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        let zero = v.splat(0.0);
        for i in 0..self.h.rows() {
            let d_logit = v.splat(self.d_logits[i]);
            let (h, out) = (self.h.row(i), self.d_hidden.row_mut(i));
            for k in (0..h.len()).step_by(V::LANES) {
                let d = v.add(v.mul(d_logit, v.load(&self.weight[k..])), zero);
                v.store(&mut out[k..], v.select(v.lt(zero, v.load(&h[k..])), d, zero));
            }
        }
    }
}

/// `sums[j] += x[i][j]` over ascending rows i: a hidden layer's bias gradient.
#[derive(Debug)]
pub struct ColumnSums<'a> {
    /// rows × columns.
    pub x: Mat<'a>,
    /// One per column.
    pub sums: &'a mut [f32],
}

impl Kernel for ColumnSums<'_> {
    type Output = ();

    fn run_on(self, isa: Isa) {
        isa.dispatch(self)
    }

    fn reference(self) {
        for i in 0..self.x.rows() {
            for (sum, &x) in self.sums.iter_mut().zip(self.x.row(i)) {
                *sum += x;
            }
        }
    }

    #[inline(always)]
    fn vector<V: Vector>(self, v: V) {
        for j in (0..self.x.cols()).step_by(V::LANES) {
            let mut acc = v.load(&self.sums[j..]);
            for i in 0..self.x.rows() {
                acc = v.add(acc, v.load(&self.x.row(i)[j..]));
            }
            v.store(&mut self.sums[j..], acc);
        }
    }
}

/// The sum of each row, adding ascending columns from +0: the bias gradient of pixels, a row per pixel. Eight rows at a
/// time hide the latency of the add; the order within a row is the definition's, on every backend.
pub fn row_sums(x: Mat<'_>, sums: &mut [f32]) {
    const ROWS: usize = 8;
    assert_eq!(sums.len(), x.rows());
    for (block, sums) in sums.chunks_mut(ROWS).enumerate() {
        let rows: [&[f32]; ROWS] = core::array::from_fn(|r| x.row(block * ROWS + r.min(sums.len() - 1)));
        let mut acc = [0.0f32; ROWS];
        for j in 0..x.cols() {
            for (acc, row) in acc.iter_mut().zip(&rows) {
                *acc += row[j];
            }
        }
        sums.copy_from_slice(&acc[..sums.len()]);
    }
}
