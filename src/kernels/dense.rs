//! What a dense layer is beside its products: images, activations and their gradients, logits, losses, bias gradients. Uses `reference`, `vector`, `tiles` and `math`.

use super::math;
use super::reference::{self, SMALLEST_GRADIENT};
use super::tiles::{Mat, MatMut};
use super::vector::{Kernel, Vector};

/// `x[i][j] = f(i, j.., x[i][j])`.
#[inline(always)]
fn each<V: Vector>(v: V, x: &mut MatMut<'_>, f: impl Fn(usize, usize, V::F32) -> V::F32) {
    for i in 0..x.rows() {
        // One call of `f`, so that it is inlined and compiled with the features of `v`.
        for (n, chunk) in x.row_mut(i).chunks_mut(V::LANES).enumerate() {
            let y = f(i, n * V::LANES, v.load(chunk));
            v.store(chunk, y);
        }
    }
}

/// `x[i][j] = f(i, j, x[i][j])`, by scalars.
fn each_scalar(x: &mut MatMut<'_>, f: impl Fn(usize, usize, f32) -> f32) {
    for i in 0..x.rows() {
        x.row_mut(i).iter_mut().enumerate().for_each(|(j, x)| *x = f(i, j, *x));
    }
}

/// `x[i][j] = relu(x[i][j] + bias[j])`: a hidden layer after its product.
#[derive(Debug)]
pub struct HiddenActivation<'a> {
    /// rows × hidden.
    pub x: MatMut<'a>,
    /// One per column.
    pub bias: &'a [f32],
}

impl Kernel for HiddenActivation<'_> {
    type Output = ();

    fn reference(mut self) {
        each_scalar(&mut self.x, |_, j, x| reference::relu(x + self.bias[j]));
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        each(v, &mut self.x, |_, j, x| math::relu(v, v.add(x, v.load(&self.bias[j..]))));
    }
}

/// `x[i][j] = output_sigmoid(x[i][j] + bias[j])`: generated pixels after their product.
#[derive(Debug)]
pub struct PixelActivation<'a> {
    /// rows × pixels.
    pub x: MatMut<'a>,
    /// One per column.
    pub bias: &'a [f32],
}

impl Kernel for PixelActivation<'_> {
    type Output = ();

    fn reference(mut self) {
        each_scalar(&mut self.x, |_, j, x| reference::output_sigmoid(x + self.bias[j]));
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        each(v, &mut self.x, |_, j, x| {
            let x = v.add(x, v.load(&self.bias[j..]));
            // Late in a run half of the pixels are black, whole vectors of them: the step is 1.02 times as fast for it.
            if v.all(v.le(x, v.splat(reference::OUTPUT_CUT))) {
                return v.splat(0.0);
            }
            math::output_sigmoid(v, x)
        });
    }
}

/// `d[i][j] = d[i][j]·s + 0` with `s = y(1 − y)`, and +0 where s is 0: the gradient through the output sigmoid.
#[derive(Debug)]
pub struct PixelBackward<'a> {
    /// The gradient, rows × pixels.
    pub d: MatMut<'a>,
    /// The pixels that [`PixelActivation`] made, of the gradient's shape.
    pub y: Mat<'a>,
}

impl Kernel for PixelBackward<'_> {
    type Output = ();

    fn reference(mut self) {
        each_scalar(&mut self.d, |i, j, d| {
            let y = self.y.row(i)[j];
            let s = y * (1.0 - y);
            if s <= 0.0 { 0.0 } else { d * s + 0.0 }
        });
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        let zero = v.splat(0.0);
        each(v, &mut self.d, |i, j, d| {
            let y = v.load(&self.y.row(i)[j..]);
            let s = v.mul(y, v.sub(v.splat(1.0), y));
            v.select(v.le(s, zero), zero, v.add(v.mul(d, s), zero))
        });
    }
}

/// `d[i][j]` stays where `h[i][j] > 0` and is else +0: the gradient through a hidden layer's ReLU.
#[derive(Debug)]
pub struct HiddenBackward<'a> {
    /// The gradient, rows × hidden.
    pub d: MatMut<'a>,
    /// The hidden values, of the gradient's shape.
    pub h: Mat<'a>,
}

impl Kernel for HiddenBackward<'_> {
    type Output = ();

    fn reference(mut self) {
        each_scalar(&mut self.d, |i, j, d| if self.h.row(i)[j] > 0.0 { d } else { 0.0 });
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        let zero = v.splat(0.0);
        each(v, &mut self.d, |i, j, d| v.select(v.lt(zero, v.load(&self.h.row(i)[j..])), d, zero));
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
    pub dlogits: &'a mut [f32],
}

impl Kernel for CrossEntropy<'_> {
    type Output = ();

    fn reference(self) {
        for (i, &logit) in self.logits.iter().enumerate() {
            let (loss, derivative) = reference::cross_entropy(logit, self.real);
            self.loss[i] = loss;
            self.dlogits[i] = reference::flush(derivative / self.count, SMALLEST_GRADIENT);
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
            v.store(&mut self.dlogits[i..], math::flush(v, derivative, SMALLEST_GRADIENT));
        }
    }
}

/// `d[i][k] = dlogits[i]·weight[k] + 0` where `h[i][k] > 0`, else +0: the gradient of a hidden layer below one logit.
#[derive(Debug)]
pub struct LogitBackward<'a> {
    /// ∂loss/∂logit per row.
    pub dlogits: &'a [f32],
    /// Weights, hidden.
    pub weight: &'a [f32],
    /// Hidden values, rows × hidden.
    pub h: Mat<'a>,
    /// The gradient, rows × hidden.
    pub d_hidden: MatMut<'a>,
}

impl Kernel for LogitBackward<'_> {
    type Output = ();

    fn reference(mut self) {
        for i in 0..self.h.rows() {
            for k in 0..self.h.cols() {
                let d = self.dlogits[i] * self.weight[k] + 0.0;
                self.d_hidden.row_mut(i)[k] = if self.h.row(i)[k] > 0.0 { d } else { 0.0 };
            }
        }
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        let zero = v.splat(0.0);
        for i in 0..self.h.rows() {
            let d_logit = v.splat(self.dlogits[i]);
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

/// `x[j] = bytes[j]·factor`: an image.
#[derive(Debug)]
pub struct Expand<'a> {
    /// A pixel each.
    pub bytes: &'a [u8],
    /// The factor.
    pub factor: f32,
    /// As many.
    pub x: &'a mut [f32],
    /// What will be expanded soon: images lie anywhere in a memory that no cache holds.
    pub ahead: &'a [u8],
}

impl Kernel for Expand<'_> {
    type Output = ();

    fn reference(self) {
        self.x.iter_mut().zip(self.bytes).for_each(|(x, &byte)| *x = byte as f32 * self.factor);
    }

    /// Bytes are converted by vectors, and those of a later image asked for: 0.88 of the time that scalars take for the phase,
    /// 0.2% of a step (Zen 3, AVX2).
    #[inline(always)]
    fn vector<V: Vector>(self, v: V) {
        for line in self.ahead.chunks(64) {
            v.prefetch(line.as_ptr().cast());
        }
        let factor = v.splat(self.factor);
        let mut x = self.x.chunks_exact_mut(V::LANES);
        let mut bytes = self.bytes.chunks_exact(V::LANES);
        for (x, bytes) in (&mut x).zip(&mut bytes) {
            // SAFETY: a chunk has LANES bytes.
            v.store(x, v.mul(unsafe { v.load_bytes(bytes.as_ptr()) }, factor));
        }
        let rest = x.into_remainder().iter_mut().zip(bytes.remainder());
        rest.for_each(|(x, &byte)| *x = byte as f32 * self.factor);
    }
}

/// `bytes[j]` = the probability `p[j]` as a byte: generated pixels as an image.
#[derive(Debug)]
pub struct Quantize<'a> {
    /// A probability each.
    pub p: &'a [f32],
    /// As many.
    pub bytes: &'a mut [u8],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    fn reference(self) {
        self.bytes.iter_mut().zip(self.p).for_each(|(byte, &p)| *byte = reference::pixel_byte(p));
    }

    /// The compiler makes vectors of it, as wide as those of `v`: 0.95 of the instructions of sampling (AVX2).
    #[inline(always)]
    fn vector<V: Vector>(self, _: V) {
        self.bytes.iter_mut().zip(self.p).for_each(|(byte, &p)| *byte = reference::pixel_byte(p));
    }
}
