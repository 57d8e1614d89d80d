//! The step as an owner of pixels runs it. Uses `kernels`, `data`, `model` and [`parallel`](crate::parallel); what the
//! lines compute is said in [`trainer`](super), by the same names.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};

use super::StepStats;
use crate::config::Config;
use crate::data::Images;
use crate::data::batches::Epoch;
use crate::kernels::gemm::Start;
use crate::kernels::reference::AdamRates;
use crate::kernels::relay::{Seat, Seats, Turn, flag_lines};
use crate::kernels::tiles::{Line, Mat, MatMut};
use crate::model::layers::{Ops, Terms};
use crate::model::layout::{Carver, Layout, OwnLayout, TensorMut};
use crate::model::phase::Phase;
use crate::model::sizes::Sizes;
use crate::model::update::Adam;
use crate::model::{discriminator, generator};
use crate::parallel::{Meeting, Stopped};

/// What the owners of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub config: &'a Config,
    pub images: Images<'a>,
    pub ops: Ops<'a>,
    pub meeting: &'a Meeting,
    /// Whether a parameter has left its bounds.
    pub diverged: &'a AtomicBool,
    /// The first step and the last one.
    pub first: u64,
    pub last: u64,
}

/// What goes from owner to owner: the chains from the first to the last, everything else from the last one to all.
#[derive(Debug)]
struct Relays<'a> {
    batch: Seat<'a, u32>,
    h: Seat<'a>,
    v2: Seat<'a>,
    r: Seat<'a>,
    d_r: Seat<'a>,
    f: Seat<'a>,
    d_f: Seat<'a>,
    dh: Seat<'a>,
}

/// An owner of pixels: everything about them lies in memory of its own.
#[derive(Debug)]
pub(super) struct Owner<'a> {
    run: Run<'a>,
    first_pixel: usize,
    /// Whether it is in the first half of the chains: see [`Owner::step`].
    early: bool,
    generator: generator::Output<'a>,
    discriminator: discriminator::Hidden<'a>,
    /// Terms of x, then of y, then of dy, by image.
    by_image: Terms<'a>,
    /// Terms of h, then of dg, by image.
    by_unit: Terms<'a>,
    adam: Adam<'a>,
    relays: Relays<'a>,
    /// With the last owner.
    ends: Option<Ends<'a>>,
    /// The first step after which a parameter of this owner's was out of bounds.
    pub diverged: Option<u64>,
    /// Steps done, counted from the run's first.
    pub done: u64,
}

/// What is not about single pixels: the outer ends of both networks, the stream of batches, and the host's callback.
pub(super) struct Ends<'a> {
    generator: generator::Hidden<'a>,
    discriminator: discriminator::Output<'a>,
    epoch: &'a mut Epoch,
    order: MatMut<'a, u32>,
    each: &'a mut (dyn FnMut(StepStats) -> ControlFlow<()> + Send),
}

impl core::fmt::Debug for Ends<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ends").field("generator", &self.generator).finish_non_exhaustive()
    }
}

impl Owner<'_> {
    /// Runs from the first step to the last one, or to where the callback breaks off.
    pub fn run(&mut self) {
        let Ok(presence) = self.run.meeting.join() else { return };
        let _ = self.steps();
        presence.leave();
    }

    fn steps(&mut self) -> Result<(), Stopped> {
        let Run { config, diverged, first, .. } = self.run;
        if let Some(ends) = &mut self.ends {
            ends.announce(&self.run, &mut self.relays.batch, Some(first))?;
        }
        loop {
            let t = first + self.done;
            let Config { learning_rate, beta1, beta2, epsilon, .. } = *config;
            self.adam.rates = AdamRates::new(learning_rate, beta1, beta2, epsilon, t);
            if !self.step(t)? {
                return Ok(());
            }
            self.done += 1;
            if self.adam.diverged && self.diverged.is_none() {
                self.diverged = Some(t);
                diverged.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Step `t`; false if there is none.
    ///
    /// Early owners go on with the chains before they turn to what can wait (terms by pixel, V1's update), because others
    /// wait for them; late ones do that while they wait for the chains.
    fn step(&mut self, t: u64) -> Result<bool, Stopped> {
        let Owner { run, generator: g, discriminator: d, relays: to, ends, by_image, by_unit, adam, .. } =
            self;
        let (ops, meeting, early) = (&run.ops, run.meeting, self.early);

        let batch = to.batch.read(meeting)?;
        let Some(images) = images_of(batch.view()) else { return Ok(false) };
        d.expand(ops, run.images, images, self.first_pixel);
        drop(batch);
        if let Some(ends) = ends {
            to.h.write(meeting, |_, h| ends.generator.forward(ops, run.config.seed, t, h))?;
            to.v2.write(meeting, |_, v2| copy(ends.discriminator.weight_t.p.view(), v2))?;
        }

        // r = relu(x·V1 + c1), l_r, d_r
        by_image.list_rows(ops, d.x.view());
        to.r.write(meeting, |turn, mut r| {
            let x = by_image.of_rows(d.x.view()).sub_rows(turn.row, turn.rows);
            d.forward(ops, Phase::RealForward, x, start(turn), r.reborrow());
            ends.iter_mut().for_each(|ends| ends.discriminator.real(ops, turn, r.reborrow()));
        })?;
        if let Some(ends) = ends {
            to.d_r.write(meeting, |_, d_r| copy(ends.discriminator.d_logits.view().sub_rows(0, 1), d_r))?;
        }
        d.transpose(ops);
        d.x_by_pixel.list_columns(ops, d.x.view());
        g.transpose(ops);

        // y = output_sigmoid(h·W2 + b2), f = relu(y·V1 + c1), l_f, d_f, d_g
        let h = to.h.read(meeting)?;
        by_unit.list_rows(ops, h.view());
        g.forward(ops, by_unit.of_rows(h.view()));
        by_image.list_rows(ops, g.y.view());
        if !early {
            d.y_by_pixel.list_columns(ops, g.y.view());
        }
        to.f.write(meeting, |turn, mut f| {
            let y = by_image.of_rows(g.y.view()).sub_rows(turn.row, turn.rows);
            d.forward(ops, Phase::FakeForward, y, start(turn), f.reborrow());
            ends.iter_mut().for_each(|ends| ends.discriminator.fake(ops, turn, f.reborrow()));
        })?;
        if let Some(ends) = ends {
            to.d_f.write(meeting, |_, d_f| copy(ends.discriminator.d_logits.view().sub_rows(1, 2), d_f))?;
            let next = ends.report(run, t);
            ends.announce(run, &mut to.batch, next)?;
        }
        if early {
            d.y_by_pixel.list_columns(ops, g.y.view());
        }

        // dr, df, dg
        let (v2, r, d_r) = (to.v2.read(meeting)?, to.r.read(meeting)?, to.d_r.read(meeting)?);
        d.backward_real(ops, d_r.view(), v2.view(), r.view());
        let (f, d_f) = (to.f.read(meeting)?, to.d_f.read(meeting)?);
        d.backward_fake(ops, d_f.view(), v2.view(), f.view());
        if let Some(ends) = ends {
            let (values, gradients) = ([r.view(), f.view()], [d.dr.view(), d.df.view()]);
            ends.discriminator.update(ops, adam, values, gradients);
        }
        drop((v2, r, d_r, f, d_f));
        if !early {
            d.update(ops, adam, g.y.view());
        }

        // dy = (dg·V1ᵀ)·y(1 − y), dh = dy·W2ᵀ where h > 0; nothing reads a weight any more
        by_unit.list_rows(ops, d.dg.view());
        g.backward(ops, by_unit.of_rows(d.dg.view()), d.weight_t.view());
        by_image.list_rows(ops, g.dy.view());
        to.dh.write(meeting, |turn, mut dh| {
            let dy = by_image.of_rows(g.dy.view()).sub_rows(turn.row, turn.rows);
            g.hidden_backward(ops, dy, start(turn), dh.reborrow());
            if turn.last {
                generator::relu_backward(ops, h.view().sub_rows(turn.row, turn.rows), dh);
            }
        })?;
        if early {
            d.update(ops, adam, g.y.view());
        }
        g.update(ops, adam, h.view(), &mut d.x_by_pixel);
        drop(h);
        if let Some(ends) = ends {
            ends.generator.update(ops, adam, to.dh.read(meeting)?.view());
        }
        Ok(true)
    }
}

impl Ends<'_> {
    /// Tells the host what step `t` has come to. The next step is none where that was the last one, where the host breaks
    /// off, and where the step before has diverged: of that the host is told by the run's error.
    fn report(&mut self, run: &Run<'_>, t: u64) -> Option<u64> {
        // All owners are in this step, so whoever diverged in the one before has said so.
        if run.diverged.load(Ordering::Relaxed) {
            return None;
        }
        let [generator_loss, discriminator_loss] = self.discriminator.mean_losses();
        let go_on = (self.each)(StepStats { step: t, generator_loss, discriminator_loss });
        (t < run.last && go_on.is_continue()).then_some(t + 1)
    }

    /// Announces the images of step `next`, or that there is none: then those of the last step stay where they are.
    fn announce(
        &mut self,
        run: &Run<'_>,
        batch: &mut Seat<'_, u32>,
        next: Option<u64>,
    ) -> Result<(), Stopped> {
        batch.write(run.meeting, |_, mut batch| {
            let [count, images @ ..] = batch.row_mut(0) else { unreachable!("it holds the count at least") };
            *count = if next.is_some() { images.len() as u32 } else { 0 };
            if let Some(next) = next {
                self.epoch.batch(next, run.config.seed, self.order.row_mut(0), images);
            }
        })
    }
}

/// The images that are announced.
pub(super) fn images_of(batch: Mat<'_, u32>) -> Option<&[u32]> {
    let (count, images) = batch.row(0).split_first()?;
    (*count > 0).then_some(images)
}

fn start(turn: Turn) -> Start {
    if turn.first { Start::Zero } else { Start::Partial }
}

fn copy(from: Mat<'_>, mut to: MatMut<'_>) {
    (0..to.rows()).for_each(|i| to.row_mut(i).copy_from_slice(from.row(i)));
}

/// The arena of a run, shared out among its owners.
pub(super) struct Shares<'a> {
    run: Run<'a>,
    sizes: Sizes,
    owners: usize,
    /// The next owner.
    owner: usize,
    /// Rows of pixels that are left.
    generator_weight: Option<TensorMut<'a>>,
    generator_bias: Option<TensorMut<'a>>,
    discriminator_weight: Option<TensorMut<'a>>,
    relays: AllRelays<'a>,
    ends: Option<Ends<'a>>,
    memory: Carver<'a>,
}

/// The relays, before their seats are taken.
struct AllRelays<'a> {
    batch: Seats<'a, u32>,
    h: Seats<'a>,
    v2: Seats<'a>,
    r: Seats<'a>,
    d_r: Seats<'a>,
    f: Seats<'a>,
    d_f: Seats<'a>,
    dh: Seats<'a>,
}

impl<'a> Shares<'a> {
    /// Shares out `memory` among so many owners.
    pub fn new(
        run: Run<'a>,
        sizes: &Sizes,
        owners: usize,
        memory: &'a mut [Line],
        epoch: &'a mut Epoch,
        each: &'a mut (dyn FnMut(StepStats) -> ControlFlow<()> + Send),
    ) -> Shares<'a> {
        let (layout, mut carve) = (Layout::new(sizes), Carver::new(memory));
        let [w1, b1, w2_t, b2, v1, c1, v2_t, c2] = layout.tensors.map(|tensor| carve.tensor(tensor));
        let order = carve.mat(layout.order);
        let batch = carve.mat(layout.batch);
        let z = carve.mat(layout.z);
        let [h, r, f, dh, v2, d_r, d_f] =
            [layout.h, layout.r, layout.f, layout.dh, layout.v2, layout.d_r, layout.d_f]
                .map(|place| carve.mat(place));
        let [logits, losses, d_logits, db1, dc1] =
            [layout.logits, layout.losses, layout.d_logits, layout.db1, layout.dc1]
                .map(|place| carve.mat(place));
        let mut flags = Carver::new(carve.lines(layout.flags));
        let (blocks, last) = (sizes.blocks(owners), owners - 1);
        let mut lines = |blocks: usize| flags.lines(flag_lines(owners, blocks));
        let relays = AllRelays {
            // From the last owner to all.
            batch: Seats::new(batch, lines(1), (owners, 1), last, 0),
            h: Seats::new(h, lines(1), (owners, 1), last, 0),
            v2: Seats::new(v2, lines(1), (owners, 1), last, 0),
            d_r: Seats::new(d_r, lines(1), (owners, 1), last, 0),
            d_f: Seats::new(d_f, lines(1), (owners, 1), last, 0),
            // From owner to owner, and then to all, or to the last one alone.
            r: Seats::new(r, lines(blocks), (owners, blocks), 0, 0),
            f: Seats::new(f, lines(blocks), (owners, blocks), 0, 0),
            dh: Seats::new(dh, lines(blocks), (owners, blocks), 0, last),
        };
        let ends = Ends {
            generator: generator::Hidden { weight: w1, bias: b1, z, dbias: db1 },
            discriminator: discriminator::Output {
                hidden_bias: c1,
                weight_t: v2_t,
                bias: c2,
                logits,
                losses,
                d_logits,
                dhidden_bias: dc1,
            },
            epoch,
            order,
            each,
        };
        Shares {
            run,
            sizes: *sizes,
            owners,
            owner: 0,
            generator_weight: Some(w2_t),
            generator_bias: Some(b2),
            discriminator_weight: Some(v1),
            relays,
            ends: Some(ends),
            memory: carve,
        }
    }
}

/// The owners, one after the other.
impl<'a> Iterator for Shares<'a> {
    type Item = Owner<'a>;

    fn next(&mut self) -> Option<Owner<'a>> {
        if self.owner == self.owners {
            return None;
        }
        let pixels = self.sizes.pixels_of(self.owner, self.owners);
        self.owner += 1;
        let own = OwnLayout::new(&self.sizes, pixels.len());
        let (weight_t, rest) = self.generator_weight.take()?.split_rows(pixels.len());
        self.generator_weight = Some(rest);
        let (bias, rest) = self.generator_bias.take()?.split_cols(pixels.len());
        self.generator_bias = Some(rest);
        let (d_weight, rest) = self.discriminator_weight.take()?.split_rows(pixels.len());
        self.discriminator_weight = Some(rest);
        let (mut carve, all) = (Carver::new(self.memory.lines(own.lines)), &mut self.relays);
        let [w2, v1_t, x, y, dy] = [own.w2, own.v1_t, own.x, own.y, own.dy].map(|place| carve.mat(place));
        let [dr, df, dg, db2, gradient] =
            [own.dr, own.df, own.dg, own.db2, own.gradient].map(|place| carve.mat(place));
        let [by_image, by_unit, x_by_pixel, y_by_pixel] =
            [own.by_image, own.by_unit, own.x_by_pixel, own.y_by_pixel]
                .map(|place| Terms::new(carve.lists(place)));
        Some(Owner {
            run: self.run,
            first_pixel: pixels.start,
            early: 2 * (self.owner - 1) < self.owners,
            generator: generator::Output { weight_t, bias, weight: w2, y, dy, dbias: db2 },
            discriminator: discriminator::Hidden {
                weight: d_weight,
                weight_t: v1_t,
                x,
                x_by_pixel,
                y_by_pixel,
                dr,
                df,
                dg,
            },
            by_image,
            by_unit,
            adam: Adam { rates: AdamRates::new(0.0, 0.0, 0.0, 1.0, 1), gradient, diverged: false },
            relays: Relays {
                batch: all.batch.seat(),
                h: all.h.seat(),
                v2: all.v2.seat(),
                r: all.r.seat(),
                d_r: all.d_r.seat(),
                f: all.f.seat(),
                d_f: all.d_f.seat(),
                dh: all.dh.seat(),
            },
            ends: if self.owner == self.owners { self.ends.take() } else { None },
            diverged: None,
            done: 0,
        })
    }
}
