//! The generator: z → h = relu(z·W1 + b1) → y = output_sigmoid(h·W2 + b2). Uses `kernels`, `rng`,
//! [`parallel`](crate::parallel), `layers`, `places`, `pack`, `update` and `phase`.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::layers::{Ops, Terms, multiply, start};
use super::pack::{unweave, weave};
use super::phase::{Phase, Work};
use super::places::TensorMut;
use super::tensor::Part;
use super::update::Adam;
use crate::error::Error;
use crate::kernels::dense::{HiddenActivation, HiddenBackward, PixelActivation, PixelBackward, Quantize};
use crate::kernels::float_mode;
use crate::kernels::gemm::{Left, Start};
use crate::kernels::lists::{ListsMut, PAIR};
use crate::kernels::relay::Turn;
use crate::kernels::tiles::{Mat, MatMut};
use crate::kernels::transpose::Transpose;
use crate::parallel::{MOST_WORKERS, Team};
use crate::rng::{Purpose, Stream};

/// Row i of `z` = uniforms of the stream `purpose(i)`, and in one of so many last columns, that of its class, a 1.
fn draw(
    ops: &Ops<'_>,
    seed: u64,
    purpose: impl Fn(u64) -> Purpose,
    (classes, mut class): (usize, impl FnMut(u64) -> usize),
    z: &mut MatMut<'_>,
) {
    let latent = z.cols() - classes;
    for row in 0..z.rows() {
        let (noise, one_hot) = z.row_mut(row).split_at_mut(latent);
        Stream::new(seed, purpose(row as u64)).fill_uniform(noise);
        if classes > 0 {
            one_hot.fill(0.0);
            one_hot[class(row as u64)] = 1.0;
        }
    }
    ops.done(Phase::Noise, || Work::values(z.rows() * z.cols()));
}

/// Row i of `z` = the noise of the i-th image, and a 1 in the column of its class.
fn given(noise: &[f32], classes: usize, class: impl Fn(u64) -> usize, z: &mut MatMut<'_>) {
    let latent = z.cols() - classes;
    for (row, noise) in noise.chunks_exact(latent).enumerate() {
        let (own, one_hot) = z.row_mut(row).split_at_mut(latent);
        own.copy_from_slice(noise);
        if classes > 0 {
            one_hot.fill(0.0);
            one_hot[class(row as u64)] = 1.0;
        }
    }
}

/// `h = relu(z·W1 + b1)`.
fn hidden_forward(ops: &Ops<'_>, z: Mat<'_>, w1: Mat<'_>, b1: &[f32], h: MatMut<'_>) {
    multiply(ops, Left::Rows(z), w1, h, Start::Zero, |piece, x| {
        ops.isa.run(HiddenActivation { x, bias: piece.columns(b1) });
    });
    ops.done(Phase::HiddenForward, || Work::product(Left::Rows(z), w1));
}

/// `y = output_sigmoid(h·W2 + b2)`.
fn output_forward(ops: &Ops<'_>, h: Left<'_>, w2: Mat<'_>, b2: &[f32], y: MatMut<'_>) {
    multiply(ops, h, w2, y, Start::Zero, |piece, x| {
        ops.isa.run(PixelActivation { x, bias: piece.columns(b2) });
    });
    ops.done(Phase::PixelsForward, || Work::product(h, w2));
}

/// The hidden layer.
#[derive(Debug)]
pub struct Hidden<'a> {
    /// W1, [latent + classes, hidden].
    pub weight: TensorMut<'a>,
    /// b1, one row.
    pub bias: TensorMut<'a>,
    /// Noise and classes, [batch, latent + classes].
    pub z: MatMut<'a>,
    /// Number of classes.
    pub classes: usize,
    /// Gradient of b1, one row.
    pub dbias: MatMut<'a>,
}

impl Hidden<'_> {
    /// Draws noise and classes of step `t`, and makes `h[batch, hidden]` of them.
    pub fn forward(&mut self, ops: &Ops<'_>, seed: u64, t: u64, h: MatMut<'_>) {
        let (mut stream, classes) = (Stream::new(seed, Purpose::Class(t)), self.classes);
        draw(ops, seed, |row| Purpose::Noise(t, row), (classes, |_| stream.below(classes)), &mut self.z);
        hidden_forward(ops, self.z.view(), self.weight.p.view(), self.bias.p.row(0), h);
    }

    /// The classes of the generated images, [batch, classes]: a 1 in each row.
    pub fn one_hot(&self) -> Mat<'_> {
        self.z.view().sub_cols(self.z.cols() - self.classes, self.classes)
    }

    /// Both updates, from `dh[batch, hidden]`, the gradient by h before its ReLU.
    pub fn update(&mut self, ops: &Ops<'_>, adam: &mut Adam<'_>, dh: Mat<'_>) {
        let gradient = [(Left::Columns(self.z.view()), dh)];
        adam.weight(ops, self.weight.reborrow(), &gradient);
        ops.done(Phase::HiddenUpdate, || Work::update(&gradient));
        adam.bias(ops, self.bias.reborrow(), self.dbias.row_mut(0), &[dh]);
        ops.done(Phase::Biases, || Work::values(dh.rows() * dh.cols()));
    }
}

/// An owner's pixels of the output layer.
#[derive(Debug)]
pub struct Output<'a> {
    /// W2 transposed, [pixels, hidden].
    pub weight_t: TensorMut<'a>,
    /// b2, one row.
    pub bias: TensorMut<'a>,
    /// W2 as it is before the step, [hidden, pixels].
    pub weight: MatMut<'a>,
    /// Generated images, and with the last owner their classes, as the discriminator sees them: [rows, inputs].
    pub y: MatMut<'a>,
    /// Gradient by y before its sigmoid, [rows, pack · pixels]; empty where each image is judged alone.
    pub dy_packed: MatMut<'a>,
    /// The same image by image, [batch, pixels].
    pub dy: MatMut<'a>,
    /// Gradient of b2, one row.
    pub dbias: MatMut<'a>,
    /// Terms of y, then of dy, by row.
    pub by_image: Terms<'a>,
    /// Terms of y, then of dy, by column.
    pub by_pixel: Terms<'a>,
    /// Terms of h, then of dg, by row.
    pub by_unit: Terms<'a>,
    /// Images that are judged side by side.
    pub pack: usize,
}

impl Output<'_> {
    /// Copies W2, transposed, before anything changes it.
    pub fn transpose(&mut self, ops: &Ops<'_>) {
        let from = self.weight_t.p.view();
        ops.isa.run(Transpose { from, to: self.weight.reborrow() });
        ops.done(Phase::Transpose, || Work::values(2 * from.rows() * from.cols()));
    }

    /// Puts the classes of the generated images, [batch, classes], beside their pixels.
    pub fn label(&mut self, classes: Mat<'_>) {
        let (pack, pixels) = (self.pack, self.pack * self.dy.cols());
        for i in 0..classes.rows() {
            let columns = self.y.row_mut(i / pack)[pixels..].chunks_exact_mut(pack);
            columns.zip(classes.row(i)).for_each(|(column, &one)| column[i % pack] = one);
        }
    }

    /// `y = output_sigmoid(h·W2 + b2)`, h [batch, hidden].
    pub fn forward(&mut self, ops: &Ops<'_>, h: Mat<'_>) {
        let (pack, pixels) = (self.pack, self.dy.cols());
        self.by_unit.list_rows(ops, h);
        let (h, weight, bias) = (self.by_unit.of_rows(h), self.weight.view(), self.bias.p.row(0));
        if pack == 1 {
            output_forward(ops, h, weight, bias, self.y.reborrow().split_cols(pixels).0);
        } else {
            // Image by image first, in memory that is not used yet.
            output_forward(ops, h, weight, bias, self.dy.reborrow());
            for row in 0..self.y.rows() {
                let image = |k: usize| self.dy.row(pack * row + k);
                weave(pack, image, &mut self.y.row_mut(row)[..pack * pixels]);
            }
            ops.done(Phase::PixelsForward, || Work::values(2 * self.dy.rows() * pixels));
        }
        self.by_image.list_rows(ops, self.y.view());
    }

    /// y as the left operand of a product, a row for each of the discriminator's.
    pub fn images(&self) -> Left<'_> {
        self.by_image.of_rows(self.y.view())
    }

    /// Lists y's terms by column, for [`Output::pixels`].
    pub fn list_pixels(&mut self, ops: &Ops<'_>) {
        self.by_pixel.list_columns(ops, self.y.view());
    }

    /// y transposed as the left operand of a product, a row for each of the discriminator's inputs.
    pub fn pixels(&self) -> Left<'_> {
        self.by_pixel.of_columns(self.y.view())
    }

    /// `dy = (dg·V1ᵀ)·y(1 − y)`: through the discriminator's hidden layer, V1ᵀ [hidden, pack · pixels], and the sigmoid.
    pub fn backward(&mut self, ops: &Ops<'_>, dg: Mat<'_>, v1_t: Mat<'_>) {
        let pack = self.pack;
        self.by_unit.list_rows(ops, dg);
        let (dg, y) = (self.by_unit.of_rows(dg), self.y.view().sub_cols(0, v1_t.cols()));
        let dy = if pack == 1 { &mut self.dy } else { &mut self.dy_packed };
        multiply(ops, dg, v1_t, dy.reborrow(), Start::Zero, |piece, d| {
            ops.isa.run(PixelBackward { d, y: piece.of(y) });
        });
        ops.done(Phase::PixelsBackward, || Work::product(dg, v1_t));
        if pack > 1 {
            for image in 0..self.dy.rows() {
                let woven = self.dy_packed.row(image / pack);
                unweave(pack, image % pack, woven, self.dy.row_mut(image));
            }
            ops.done(Phase::PixelsBackward, || Work::values(2 * self.dy.rows() * self.dy.cols()));
        }
        self.by_image.list_rows(ops, self.dy.view());
    }

    /// The chain `dh = dy·W2ᵀ` over these pixels, for some rows of a batch; where it ends, dh stays where h > 0.
    pub fn hidden_backward(&self, ops: &Ops<'_>, turn: Turn, h: Mat<'_>, mut dh: MatMut<'_>) {
        let dy = self.by_image.of_rows(self.dy.view()).sub_rows(turn.row, turn.rows);
        let weight_t = self.weight_t.p.view();
        multiply(ops, dy, weight_t, dh.reborrow(), start(turn), |_, _| ());
        if turn.last {
            ops.isa.run(HiddenBackward { d: dh, h: h.sub_rows(turn.row, turn.rows) });
        }
        ops.done(Phase::HiddenBackward, || Work::product(dy, weight_t));
    }

    /// Both updates, from h [batch, hidden] and dy.
    pub fn update(&mut self, ops: &Ops<'_>, adam: &mut Adam<'_>, h: Mat<'_>) {
        let dy = self.dy.view();
        self.by_pixel.list_columns(ops, dy);
        let gradient = [(self.by_pixel.of_columns(dy), h)];
        adam.weight(ops, self.weight_t.reborrow(), &gradient);
        ops.done(Phase::OutputUpdate, || Work::update(&gradient));
        adam.bias(ops, self.bias.reborrow(), self.dbias.row_mut(0), &[dy]);
        ops.done(Phase::Biases, || Work::values(dy.rows() * dy.cols()));
    }
}

/// The parameters of a generator.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// W1, [latent + classes, hidden].
    pub w1: Mat<'a>,
    /// b1, one per hidden unit.
    pub b1: &'a [f32],
    /// W2, [hidden, pixels].
    pub w2: Mat<'a>,
    /// b2, one per pixel.
    pub b2: &'a [f32],
}

/// Room for some images on their way.
#[derive(Debug)]
pub struct Room<'a> {
    /// [images, latent + classes].
    pub z: MatMut<'a>,
    /// [images, hidden].
    pub h: MatMut<'a>,
    /// Terms of h by image.
    pub terms: ListsMut<'a>,
    /// [images, pixels].
    pub y: MatMut<'a>,
}

impl<'a> Room<'a> {
    /// Room for so many images, an even number, and the rest.
    fn split(self, images: usize) -> (Room<'a>, Room<'a>) {
        let ((z, z_rest), (h, h_rest)) = (self.z.split_rows(images), self.h.split_rows(images));
        let ((terms, terms_rest), (y, y_rest)) = (self.terms.split_rows(images), self.y.split_rows(images));
        (Room { z, h, terms, y }, Room { z: z_rest, h: h_rest, terms: terms_rest, y: y_rest })
    }
}

/// What samples are made of.
#[derive(Clone, Copy, Debug)]
pub enum Noise<'a> {
    /// The samples of this seed.
    Seed(u64),
    /// The caller's own, [images, latent].
    Given(&'a [f32]),
}

/// Which samples.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Their noise.
    pub noise: Noise<'a>,
    /// The first one.
    pub first: u64,
    /// The class of all; else that of sample i is i mod `classes`.
    pub class: Option<usize>,
    /// How many classes there are; 0 if none.
    pub classes: usize,
}

/// A worker's part of some samples.
struct Sampling<'a> {
    room: Room<'a>,
    wanted: Wanted<'a>,
    /// Where the images go.
    out: &'a mut [u8],
}

/// Writes samples into `out`, a whole number of images, a byte per pixel. Workers share no row.
///
/// # Errors
/// [`Error::Usage`] if there is no such class, or the noise is of another number of images or a value beyond ±2²⁰, up to which no
/// sum overflows; [`Error::Environment`] if a worker's floating-point unit is in another mode than the default, or a worker has not
/// come to an end.
pub fn sample(
    team: &impl Team,
    ops: &Ops<'_>,
    weights: Weights<'_>,
    room: Room<'_>,
    wanted: Wanted<'_>,
    out: &mut [u8],
) -> Result<(), Error> {
    if wanted.class.is_some_and(|class| class >= wanted.classes) {
        return Err(Error::usage("class", "expected a class of a conditional generator's, counted from 0"));
    }
    let (rows, pixels, latent) = (room.z.rows(), room.y.cols(), room.z.cols() - wanted.classes);
    let images = out.len() / pixels;
    if let Noise::Given(z) = wanted.noise {
        if Some(z.len()) != images.checked_mul(latent) {
            return Err(Error::usage("z", "expected as many values as the noise of these images has"));
        }
        if !z.iter().all(|&x| Part::Parameter.admits(x)) {
            return Err(Error::usage("z", "expected numbers from -2^20 to 2^20"));
        }
    }
    let n = team.workers().min(MOST_WORKERS).min(images).min(rows / PAIR).max(1);
    let (mut room, mut out) = (Some(room), out);
    let mut parts: [_; MOST_WORKERS] = core::array::from_fn(|w| {
        let rows = if w + 1 < n { rows / n / PAIR * PAIR } else { room.as_ref()?.z.rows() };
        let (own, rest) = room.take()?.split(rows);
        room = (w + 1 < n).then_some(rest);
        // The product of the two can be more than a usize of 32 bits.
        let [from, to] = [w, w + 1].map(|w| (images as u64 * w as u64 / n as u64) as usize);
        let (images, rest) = core::mem::take(&mut out).split_at_mut((to - from) * pixels);
        out = rest;
        let noise = match wanted.noise {
            Noise::Given(z) => Noise::Given(&z[from * latent..to * latent]),
            seed => seed,
        };
        let wanted = Wanted { noise, first: wanted.first.wrapping_add(from as u64), ..wanted };
        Some(Sampling { room: own, wanted, out: images })
    });
    let (refused, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    team.run(&mut parts[..n], |part| match part.take() {
        Some(part) if float_mode::is_default() => {
            part.run(ops, weights);
            done.fetch_add(1, Ordering::Relaxed);
        }
        Some(_) => refused.store(true, Ordering::Relaxed),
        None => {}
    });
    match done.into_inner() {
        _ if refused.into_inner() => Err(float_mode::error()),
        done if done < n => Err(Error::environment("not all workers of the team have done their part")),
        _ => Ok(()),
    }
}

impl Sampling<'_> {
    /// Makes the images, as many at a time as there is room for.
    fn run(self, ops: &Ops<'_>, Weights { w1, b1, w2, b2 }: Weights<'_>) {
        let Sampling { room: Room { mut z, mut h, terms, mut y }, wanted, out } = self;
        let Wanted { noise, mut first, class, classes } = wanted;
        let (mut terms, rows, pixels, latent) = (Terms::new(terms), z.rows(), y.cols(), z.cols() - classes);
        for (batch, images) in out.chunks_mut(rows * pixels).enumerate() {
            let count = images.len() / pixels;
            let (mut z, mut h, mut y) =
                (z.sub_rows_mut(0, count), h.sub_rows_mut(0, count), y.sub_rows_mut(0, count));
            let index = |row| first.wrapping_add(row);
            let class = |row| class.unwrap_or_else(|| (index(row) % classes as u64) as usize);
            match noise {
                Noise::Seed(seed) => {
                    draw(ops, seed, |row| Purpose::Sample(index(row)), (classes, class), &mut z);
                }
                Noise::Given(all) => {
                    given(&all[batch * rows * latent..][..count * latent], classes, class, &mut z)
                }
            }
            hidden_forward(ops, z.view(), w1, b1, h.reborrow());
            terms.list_rows(ops, h.view());
            output_forward(ops, terms.of_rows(h.view()), w2, b2, y.reborrow());
            for (row, image) in images.chunks_exact_mut(pixels).enumerate() {
                ops.isa.run(Quantize { p: y.row(row), bytes: image });
            }
            first = first.wrapping_add(count as u64);
        }
    }
}
