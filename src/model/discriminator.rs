//! The discriminator: x → r = relu(x·V1 + c1) → l_r = r·V2 + c2 for real images, and y → f → l_f for generated ones. Uses
//! `kernels`, `data`, `layers`, `places`, `pack`, `loss`, `update` and `phase`.

use super::layers::{Ops, Terms, multiply, start};
use super::loss;
use super::pack::weave;
use super::phase::{Phase, Work};
use super::places::TensorMut;
use super::update::Adam;
use crate::data::{Images, PIXEL};
use crate::kernels::dense::{Expand, HiddenActivation, LogitBackward, Logits};
use crate::kernels::gemm::Left;
use crate::kernels::relay::Turn;
use crate::kernels::tiles::{Mat, MatMut};
use crate::kernels::transpose::Transpose;

/// An owner's pixels of the hidden layer.
#[derive(Debug)]
pub struct Hidden<'a> {
    /// The first of them.
    pub first_pixel: usize,
    /// Images that are judged side by side.
    pub pack: usize,
    /// V1, [inputs, hidden].
    pub weight: TensorMut<'a>,
    /// The rows of V1 that belong to pixels, transposed, as they are before the step: [hidden, pack · pixels].
    pub weight_t: MatMut<'a>,
    /// Room for the bytes of images side by side.
    pub bytes: MatMut<'a, u32>,
    /// Real images, and with the last owner their classes: [rows, inputs].
    pub x: MatMut<'a>,
    /// Terms of x by row.
    pub x_by_image: Terms<'a>,
    /// Terms of x by input.
    pub x_by_pixel: Terms<'a>,
    /// Gradient of D's loss by r before its ReLU, [rows, hidden].
    pub dr: MatMut<'a>,
    /// The same by f.
    pub df: MatMut<'a>,
    /// Gradient of G's loss by f before its ReLU, [rows, hidden].
    pub dg: MatMut<'a>,
}

impl Hidden<'_> {
    /// Takes these pixels of the images of a batch: x.
    pub fn expand(&mut self, ops: &Ops<'_>, images: Images<'_>, batch: &[u32]) {
        /// Images that are asked for ahead.
        const AHEAD: usize = 12;
        let (first, pack) = (self.first_pixel, self.pack);
        let cols = self.weight_t.cols();
        let bytes = |i: usize| &images.image(batch[i] as usize)[first..first + cols / pack];
        for row in 0..self.x.rows() {
            let at = row * pack;
            let ahead = bytes((at + AHEAD).min(batch.len() - 1));
            let (x, classes) = self.x.row_mut(row).split_at_mut(cols);
            let bytes = if pack == 1 {
                bytes(at)
            } else {
                let woven = &mut bytemuck::cast_slice_mut(self.bytes.row_mut(0))[..cols];
                weave(pack, |k| bytes(at + k), woven);
                woven
            };
            ops.isa.run(Expand { bytes, factor: PIXEL, x, ahead });
            if let Some(labels) = images.labels().filter(|_| !classes.is_empty()) {
                classes.fill(0.0);
                (0..pack).for_each(|k| classes[labels[batch[at + k] as usize] as usize * pack + k] = 1.0);
            }
        }
        ops.done(Phase::Images, || Work::values(self.x.rows() * cols));
        self.x_by_image.list_rows(ops, self.x.view());
    }

    /// What going back and the update will need: V1ᵀ, before anything changes V1, and x's terms by pixel.
    pub fn transpose(&mut self, ops: &Ops<'_>) {
        let from = self.weight.p.view().sub_rows(0, self.weight_t.cols());
        ops.isa.run(Transpose { from, to: self.weight_t.reborrow() });
        ops.done(Phase::Transpose, || Work::values(2 * from.rows() * from.cols()));
        self.x_by_pixel.list_columns(ops, self.x.view());
    }

    /// The chain `r = x·V1` over these pixels, for some rows of a batch.
    pub fn forward_real(&self, ops: &Ops<'_>, turn: Turn, r: MatMut<'_>) {
        self.forward(ops, Phase::RealForward, self.x_by_image.of_rows(self.x.view()), turn, r);
    }

    /// The chain `f = y·V1` over these pixels, for some rows of a batch.
    pub fn forward_fake(&self, ops: &Ops<'_>, turn: Turn, y: Left<'_>, f: MatMut<'_>) {
        self.forward(ops, Phase::FakeForward, y, turn, f);
    }

    fn forward(&self, ops: &Ops<'_>, phase: Phase, pixels: Left<'_>, turn: Turn, h: MatMut<'_>) {
        let (pixels, weight) = (pixels.sub_rows(turn.row, turn.rows), self.weight.p.view());
        multiply(ops, pixels, weight, h, start(turn), |_, _| ());
        ops.done(phase, || Work::product(pixels, weight));
    }

    /// `dr = dl_r·V2` where r > 0.
    pub fn backward_real(&mut self, ops: &Ops<'_>, dl_r: Mat<'_>, v2: Mat<'_>, r: Mat<'_>) {
        back(ops, dl_r.row(0), v2, r, self.dr.reborrow());
    }

    /// `df = dl_f·V2` and `dg = dl_g·V2` where f > 0; row 0 of `dl_f` is dl_f, row 1 is dl_g.
    pub fn backward_fake(&mut self, ops: &Ops<'_>, dl_f: Mat<'_>, v2: Mat<'_>, f: Mat<'_>) {
        back(ops, dl_f.row(0), v2, f, self.df.reborrow());
        back(ops, dl_f.row(1), v2, f, self.dg.reborrow());
    }

    /// V1's update, whose gradient is one chain over the rows of x and then of y.
    /// y is the left operand with a row for each input.
    pub fn update(&mut self, ops: &Ops<'_>, adam: &mut Adam<'_>, y: Left<'_>) {
        let x = self.x_by_pixel.of_columns(self.x.view());
        let gradient = [(x, self.dr.view()), (y, self.df.view())];
        adam.weight(ops, self.weight.reborrow(), &gradient);
        ops.done(Phase::DiscriminatorUpdate, || Work::update(&gradient));
    }
}

fn back(ops: &Ops<'_>, dlogits: &[f32], v2: Mat<'_>, h: Mat<'_>, d_hidden: MatMut<'_>) {
    ops.isa.run(LogitBackward { dlogits, weight: v2.row(0), h, d_hidden });
    ops.done(Phase::Losses, || Work::values(2 * h.rows() * h.cols()));
}

/// What follows the hidden layer's product: its bias and ReLU, the output layer, the losses.
#[derive(Debug)]
pub struct Output<'a> {
    /// c1, one row.
    pub hidden_bias: TensorMut<'a>,
    /// V2 transposed, one row.
    pub weight_t: TensorMut<'a>,
    /// c2, one value.
    pub bias: TensorMut<'a>,
    /// l_r, and l_f.
    pub logits: MatMut<'a>,
    /// D's loss terms of real images, of generated ones, and G's.
    pub losses: MatMut<'a>,
    /// dl_r, dl_f and dl_g.
    pub dlogits: MatMut<'a>,
    /// Gradient of c1, one row.
    pub dhidden_bias: MatMut<'a>,
}

impl Output<'_> {
    /// r from the finished chain of some rows; their logits, loss terms, and dl_r.
    pub fn real(&mut self, ops: &Ops<'_>, turn: Turn, r: MatMut<'_>) {
        self.logits(ops, 0, turn, r);
        self.loss(ops, (0, true, 0), turn);
    }

    /// f from the finished chain of some rows; their logits, both losses' terms, dl_f and dl_g.
    pub fn fake(&mut self, ops: &Ops<'_>, turn: Turn, f: MatMut<'_>) {
        self.logits(ops, 1, turn, f);
        self.loss(ops, (1, false, 1), turn);
        self.loss(ops, (1, true, 2), turn);
    }

    fn logits(&mut self, ops: &Ops<'_>, which: usize, turn: Turn, mut h: MatMut<'_>) {
        ops.isa.run(HiddenActivation { x: h.reborrow(), bias: self.hidden_bias.p.row(0) });
        let logits = &mut self.logits.row_mut(which)[turn.row..turn.row + turn.rows];
        let (weight, bias) = (self.weight_t.p.row(0), self.bias.p.row(0)[0]);
        ops.isa.run(Logits { h: h.view(), weight, bias, logits });
        ops.done(Phase::Losses, || Work::values(3 * h.rows() * h.cols()));
    }

    fn loss(&mut self, ops: &Ops<'_>, (logits, real, loss): (usize, bool, usize), turn: Turn) {
        let (rows, batch) = (turn.row..turn.row + turn.rows, self.logits.cols());
        let logits = &self.logits.row(logits)[rows.clone()];
        let (terms, d) = (self.losses.row_mut(loss), self.dlogits.row_mut(loss));
        loss::backward(ops.isa, logits, real, batch, &mut terms[rows.clone()], &mut d[rows]);
    }

    /// The generator's and the discriminator's mean loss.
    pub fn mean_losses(&self) -> [f32; 2] {
        let (losses, batch) = (self.losses.view(), self.losses.cols());
        [loss::mean(&[losses.row(2)], batch), loss::mean(&[losses.row(0), losses.row(1)], batch)]
    }

    /// The updates of c1, V2 and c2, whose gradients are one chain over the real rows and then the generated ones.
    pub fn update(
        &mut self,
        ops: &Ops<'_>,
        adam: &mut Adam<'_>,
        [r, f]: [Mat<'_>; 2],
        [dr, df]: [Mat<'_>; 2],
    ) {
        adam.bias(ops, self.hidden_bias.reborrow(), self.dhidden_bias.row_mut(0), &[dr, df]);
        let dlogits = self.dlogits.view();
        let [dl_r, dl_f] = [0, 1].map(|row| dlogits.sub_rows(row, 1));
        adam.weight(ops, self.weight_t.reborrow(), &[(Left::Rows(dl_r), r), (Left::Rows(dl_f), f)]);
        let dlogits = dl_r.row(0).iter().chain(dl_f.row(0));
        adam.row(ops, self.bias.reborrow(), &[dlogits.fold(0.0, |sum: f32, &d| sum + d)]);
        ops.done(Phase::Biases, || Work::values(4 * r.rows() * r.cols()));
    }
}
