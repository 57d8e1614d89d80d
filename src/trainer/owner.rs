//! The step as an owner of pixels runs it. Uses `config`, `kernels`, `data`, `model` and [`parallel`](crate::parallel); what the
//! lines compute is said in [`trainer`](super), by the same names.
//!
//! # Who owns what
//!
//! A run on several threads is one program for each of them: work is owned. A cache line that two cores write, or that one
//! writes after the other one has read it, costs them many times as much as a line of their own, most of all where they share
//! no cache.
//!
//! ```text
//! every owner   a range of pixels, whole cache lines of them: the rows of V1 and of W2ᵀ, b2, their moments, copies of W2 and
//!               V1ᵀ as they are before the step; x, y, dy; dr, df, dg, for itself, of 3 numbers per image and a mask
//! the last one  fewer pixels, and what is not about pixels: batches, z, W1, b1, h; c1, V2, c2, logits, losses
//! ```
//!
//! So x, y, dy, both large products with pixels as results and both large updates are local. Three sums run over all pixels:
//! r, f and dh. Each is one chain (rule 2), so an owner goes on where the one before it stopped: the accumulators go from
//! owner to owner, a block of rows at a time, which makes the owners a pipeline.
//!
//! # Who waits for whom
//!
//! ```text
//!        first owner                  …    last owner
//! batch  ←──────────────────────────────── announced in the step before
//! x      own pixels                        own pixels; then z, h, a copy of V2 → all
//! r      chain ── block by block ─────────→ chain, relu, l_r, dl_r → all
//! y      needs h                           needs h
//! f      chain ── block by block ─────────→ chain, relu, l_f, dl_f, dl_g → all; the losses → the host; the next batch
//!        terms of y by pixel               (made before the chain came)
//! dr     needs r, dl_r, V2                 the same; then c1, V2, c2
//! df dg  needs f, dl_f, V2                 the same; then V1
//! dh     dy, chain ── block by block ─────→ dy, chain, relu
//!        V1, W2, b2                        W2, b2; then W1, b1 from dh
//! ```
//!
//! Nobody waits for a barrier. What a [`relay`](crate::kernels::relay) carries may be written again when all have read it.
//! One owner is the same program with nobody to wait for. How many there are changes no bit.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::config::Config;
use crate::data::Images;
use crate::data::batches::Epoch;
use crate::kernels::float_mode;
use crate::kernels::reference::AdamRates;
use crate::kernels::relay::{Relay, Seat, Seats, Turn, flag_lines};
use crate::kernels::tiles::{Line, Mat, MatMut};
use crate::model::layers::{Ops, Terms};
use crate::model::layout::{Layout, OwnLayout};
use crate::model::places::{Carver, TensorMut};
use crate::model::sizes::Sizes;
use crate::model::update::Adam;
use crate::model::{discriminator, generator};
use crate::parallel::{Meeting, Stopped};

/// What a step reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepStats {
    /// The step, counted from 1.
    pub step: u64,
    /// Mean of −log D(G(z)) before the step's update.
    pub generator_loss: f32,
    /// Mean of −log D(x) − log(1 − D(G(z))) before the step's update.
    pub discriminator_loss: f32,
}

/// What the owners of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common<'a> {
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
    dl_r: Seat<'a>,
    f: Seat<'a>,
    dl_f: Seat<'a>,
    dh: Seat<'a>,
}

/// An owner of pixels: everything about them lies in memory of its own.
#[derive(Debug)]
pub(super) struct Owner<'a> {
    run: &'a Common<'a>,
    /// Whether it is in the first half of the chains: see [`Owner::step`].
    early: bool,
    generator: generator::Output<'a>,
    discriminator: discriminator::Hidden<'a>,
    adam: Adam<'a>,
    relays: Relays<'a>,
    ends: Ends<'a>,
    /// Whether the team has called it.
    called: bool,
    /// The first step after which a parameter of this owner's was out of bounds.
    pub diverged: Option<u64>,
    /// Steps done, counted from the run's first.
    pub done: u64,
}

impl Owner<'_> {
    /// Runs from the first step to the last one, or to where the host breaks off. A second call does nothing.
    pub fn run(&mut self) {
        if core::mem::replace(&mut self.called, true) {
            return;
        }
        let Ok(presence) = self.run.meeting.join(float_mode::is_default()) else { return };
        let _ = self.steps();
        presence.leave();
    }

    fn steps(&mut self) -> Result<(), Stopped> {
        let Common { config, diverged, first, .. } = *self.run;
        self.ends.announce(self.run, Some(first), &mut self.relays.batch)?;
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
    /// Early owners go on with the chains before they turn to what can wait (y's terms by pixel, V1's update), because others
    /// wait for them; late ones do that while they wait for the chains.
    fn step(&mut self, t: u64) -> Result<bool, Stopped> {
        let Owner { run, early, generator: g, discriminator: d, adam, relays: to, ends, .. } = self;
        let (ops, early) = (&run.ops, *early);

        // x; z and h with the last owner
        let batch = to.batch.read()?;
        let Some(images) = images_of(batch.view()) else { return Ok(false) };
        d.expand(ops, run.images, images);
        drop(batch);
        ends.begin(run, t, g, &mut to.h, &mut to.v2)?;

        // r = relu(x·V1 + c1), l_r, dl_r
        to.r.write(|turn, mut r| {
            d.forward_real(ops, turn, r.reborrow());
            ends.real(ops, turn, r);
        })?;
        ends.post_real(&mut to.dl_r)?;
        d.transpose(ops);
        g.transpose(ops);

        // y = output_sigmoid(h·W2 + b2), f = relu(y·V1 + c1), l_f, dl_f, dl_g
        let h = to.h.read()?;
        g.forward(ops, h.view());
        if !early {
            g.list_pixels(ops);
        }
        to.f.write(|turn, mut f| {
            d.forward_fake(ops, turn, g.images(), f.reborrow());
            ends.fake(ops, turn, f);
        })?;
        ends.post_fake(run, t, &mut to.dl_f, &mut to.batch)?;
        if early {
            g.list_pixels(ops);
        }

        // dr, df, dg; c1, V2, c2 with the last owner
        let (v2, r, dl_r) = (to.v2.read()?, to.r.read()?, to.dl_r.read()?);
        d.backward_real(ops, dl_r.view(), v2.view(), r.view());
        let (f, dl_f) = (to.f.read()?, to.dl_f.read()?);
        d.backward_fake(ops, dl_f.view(), v2.view(), f.view());
        ends.update_discriminator(ops, adam, [r.view(), f.view()], [d.dr.view(), d.df.view()]);
        drop((v2, r, dl_r, f, dl_f));
        if !early {
            d.update(ops, adam, g.pixels());
        }

        // dy = (dg·V1ᵀ)·y(1 − y), dh = dy·W2ᵀ where h > 0; V1, W2, b2; W1, b1 with the last owner
        g.backward(ops, d.dg.view(), d.weight_t.view());
        to.dh.write(|turn, dh| g.hidden_backward(ops, turn, h.view(), dh))?;
        if early {
            d.update(ops, adam, g.pixels());
        }
        g.update(ops, adam, h.view());
        drop(h);
        ends.update_generator(ops, adam, &mut to.dh)?;
        Ok(true)
    }
}

/// What is not about single pixels: with the last owner. With the others these functions do nothing.
#[derive(Debug)]
struct Ends<'a>(Option<&'a mut Last<'a>>);

/// The outer ends of both networks, the stream of batches, and the host's callback.
pub(super) struct Last<'a> {
    generator: generator::Hidden<'a>,
    discriminator: discriminator::Output<'a>,
    epoch: &'a mut Epoch,
    order: MatMut<'a, u32>,
    each: &'a mut (dyn FnMut(StepStats) -> ControlFlow<()> + Send),
}

impl core::fmt::Debug for Last<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Last").field("generator", &self.generator).finish_non_exhaustive()
    }
}

impl Ends<'_> {
    /// Announces the images of step `next`, or that there is none: then those of the last step stay where they are.
    fn announce(
        &mut self,
        run: &Common<'_>,
        next: Option<u64>,
        batch: &mut Seat<'_, u32>,
    ) -> Result<(), Stopped> {
        let Some(last) = &mut self.0 else { return Ok(()) };
        batch.write(|_, mut batch| {
            let [count, images @ ..] = batch.row_mut(0) else { unreachable!("it holds the count at least") };
            *count = if next.is_some() { images.len() as u32 } else { 0 };
            if let Some(next) = next {
                last.epoch.batch(next, run.config.seed, last.order.row_mut(0), images);
            }
        })
    }

    /// z, h = relu(z·W1 + b1), the classes that are y's, and a copy of V2.
    fn begin(
        &mut self,
        run: &Common<'_>,
        t: u64,
        y: &mut generator::Output<'_>,
        h: &mut Seat<'_>,
        v2: &mut Seat<'_>,
    ) -> Result<(), Stopped> {
        let Some(last) = &mut self.0 else { return Ok(()) };
        h.write(|_, h| last.generator.forward(&run.ops, run.config.seed, t, h))?;
        y.label(last.generator.one_hot());
        v2.write(|_, v2| copy(last.discriminator.weight_t.p.view(), v2))
    }

    fn real(&mut self, ops: &Ops<'_>, turn: Turn, mut r: MatMut<'_>) {
        self.0.iter_mut().for_each(|last| last.discriminator.real(ops, turn, r.reborrow()));
    }

    fn post_real(&mut self, dl_r: &mut Seat<'_>) -> Result<(), Stopped> {
        let Some(last) = &mut self.0 else { return Ok(()) };
        dl_r.write(|_, dl_r| copy(last.discriminator.dlogits.view().sub_rows(0, 1), dl_r))
    }

    fn fake(&mut self, ops: &Ops<'_>, turn: Turn, mut f: MatMut<'_>) {
        self.0.iter_mut().for_each(|last| last.discriminator.fake(ops, turn, f.reborrow()));
    }

    /// dl_f and dl_g; then tells the host what step `t` has come to, and announces the next one. There is none where that was
    /// the last one, where the host breaks off, and where the step before has diverged: of that the host is told by the run's
    /// error.
    fn post_fake(
        &mut self,
        run: &Common<'_>,
        t: u64,
        dl_f: &mut Seat<'_>,
        batch: &mut Seat<'_, u32>,
    ) -> Result<(), Stopped> {
        let Some(last) = &mut self.0 else { return Ok(()) };
        dl_f.write(|_, dl_f| copy(last.discriminator.dlogits.view().sub_rows(1, 2), dl_f))?;
        // All owners are in this step, so whoever diverged in the one before has said so.
        if run.diverged.load(Ordering::Relaxed) {
            return self.announce(run, None, batch);
        }
        let [generator_loss, discriminator_loss] = last.discriminator.mean_losses();
        let go_on = (last.each)(StepStats { step: t, generator_loss, discriminator_loss }).is_continue();
        self.announce(run, (t < run.last && go_on).then_some(t + 1), batch)
    }

    fn update_discriminator(
        &mut self,
        ops: &Ops<'_>,
        adam: &mut Adam<'_>,
        values: [Mat<'_>; 2],
        gradients: [Mat<'_>; 2],
    ) {
        self.0.iter_mut().for_each(|last| last.discriminator.update(ops, adam, values, gradients));
    }

    fn update_generator(
        &mut self,
        ops: &Ops<'_>,
        adam: &mut Adam<'_>,
        dh: &mut Seat<'_>,
    ) -> Result<(), Stopped> {
        let Some(last) = &mut self.0 else { return Ok(()) };
        last.generator.update(ops, adam, dh.read()?.view());
        Ok(())
    }
}

/// The images that are announced.
pub(super) fn images_of(batch: Mat<'_, u32>) -> Option<&[u32]> {
    let (count, images) = batch.row(0).split_first()?;
    (*count > 0).then_some(images)
}

fn copy(from: Mat<'_>, mut to: MatMut<'_>) {
    (0..to.rows()).for_each(|i| to.row_mut(i).copy_from_slice(from.row(i)));
}

/// The arena of a run, with everything that is not about single pixels in its place.
pub(super) struct Shares<'a> {
    run: &'a Common<'a>,
    sizes: Sizes,
    owners: usize,
    generator_weight: TensorMut<'a>,
    generator_bias: TensorMut<'a>,
    discriminator_weight: TensorMut<'a>,
    batch: Relay<'a, u32>,
    /// h, v2, dl_r, dl_f, r, f, dh.
    relays: [Relay<'a>; 7],
    last: Last<'a>,
    memory: Carver<'a>,
}

impl<'a> Shares<'a> {
    /// Shares out `memory` among so many owners.
    pub fn new(
        run: &'a Common<'a>,
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
        let [h, r, f, dh, v2, dl_r, dl_f] =
            [layout.h, layout.r, layout.f, layout.dh, layout.v2, layout.dl_r, layout.dl_f]
                .map(|place| carve.mat(place));
        let [logits, losses, dlogits, db1, dc1] =
            [layout.logits, layout.losses, layout.dlogits, layout.db1, layout.dc1]
                .map(|place| carve.mat(place));
        let mut flags = Carver::new(carve.lines(layout.flags));
        let (blocks, last) = (sizes.blocks(owners), owners - 1);
        // From the last owner to all.
        let to_all = (owners, 1);
        let mut lines = |blocks| flags.lines(flag_lines(owners, blocks));
        let batch = Relay::new(batch, lines(1), to_all, last, 0, run.meeting);
        let [h, v2, dl_r, dl_f] =
            [h, v2, dl_r, dl_f].map(|matrix| Relay::new(matrix, lines(1), to_all, last, 0, run.meeting));
        // From owner to owner, and then to all, or to the last one alone.
        let [r, f, dh] = [(r, 0), (f, 0), (dh, last)].map(|(matrix, reader)| {
            Relay::new(matrix, lines(blocks), (owners, blocks), 0, reader, run.meeting)
        });
        let last = Last {
            generator: generator::Hidden { weight: w1, bias: b1, z, classes: sizes.classes, dbias: db1 },
            discriminator: discriminator::Output {
                hidden_bias: c1,
                weight_t: v2_t,
                bias: c2,
                logits,
                losses,
                dlogits,
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
            generator_weight: w2_t,
            generator_bias: b2,
            discriminator_weight: v1,
            batch,
            relays: [h, v2, dl_r, dl_f, r, f, dh],
            last,
            memory: carve,
        }
    }

    /// The owners, one after the other.
    pub fn owners(&'a mut self) -> impl Iterator<Item = Owner<'a>> {
        let Shares { run, sizes, owners, .. } = *self;
        let mut batch = Seats::of(&mut self.batch);
        let mut relays = self.relays.each_mut().map(Seats::of);
        let mut last = Some(&mut self.last);
        let mut weights = Some((
            self.generator_weight.reborrow(),
            self.generator_bias.reborrow(),
            self.discriminator_weight.reborrow(),
        ));
        let memory = &mut self.memory;
        (0..owners).map_while(move |owner| {
            let (pixels, inputs) = (sizes.pixels_of(owner, owners), sizes.inputs_of(owner, owners));
            let (w2_t, b2, v1) = weights.take()?;
            let (w2_t, w2_t_rest) = w2_t.split_rows(pixels.len());
            let (b2, b2_rest) = b2.split_cols(pixels.len());
            let (v1, v1_rest) = v1.split_rows(inputs.len());
            weights = Some((w2_t_rest, b2_rest, v1_rest));
            let own = OwnLayout::new(&sizes, pixels.len(), inputs.len());
            let mut carve = Carver::new(memory.lines(own.lines));
            let [w2, v1_t] = [own.w2, own.v1_t].map(|place| carve.mat(place));
            let bytes = carve.mat(own.bytes);
            let [x, y, dy_packed, dy] = [own.x, own.y, own.dy_packed, own.dy].map(|place| carve.mat(place));
            let [dr, df, dg, db2, gradient] =
                [own.dr, own.df, own.dg, own.db2, own.gradient].map(|place| carve.mat(place));
            let [x_by_image, x_by_pixel, by_image, by_pixel, by_unit] =
                [own.x_by_image, own.x_by_pixel, own.by_image, own.by_pixel, own.by_unit]
                    .map(|place| Terms::new(carve.lists(place)));
            let [h, v2, dl_r, dl_f, r, f, dh] = relays.each_mut().map(Seats::seat);
            Some(Owner {
                run,
                early: 2 * owner < owners,
                generator: generator::Output {
                    weight_t: w2_t,
                    bias: b2,
                    weight: w2,
                    y,
                    dy_packed,
                    dy,
                    dbias: db2,
                    by_image,
                    by_pixel,
                    by_unit,
                    pack: sizes.pack,
                },
                discriminator: discriminator::Hidden {
                    first_pixel: pixels.start,
                    pack: sizes.pack,
                    weight: v1,
                    weight_t: v1_t,
                    bytes,
                    x,
                    x_by_image,
                    x_by_pixel,
                    dr,
                    df,
                    dg,
                },
                adam: Adam::new(run.config.average, gradient),
                relays: Relays { batch: batch.seat(), h, v2, r, dl_r, f, dl_f, dh },
                ends: Ends(if owner + 1 == owners { last.take() } else { None }),
                called: false,
                diverged: None,
                done: 0,
            })
        })
    }
}
