//! The two networks: their tensors and memory, their forward and backward passes, the losses. Uses `kernels`,
//! [`parallel`](crate::parallel), `rng` and [`config`](crate::config).
//!
//! Pixels are kept as rows: both large weights are stored `[pixels, hidden]`, generated images `[pixels, batch]`. Lanes
//! are hidden units or images, so a thread can own a range of pixels with its weights, moments and gradients.

pub mod discriminator;
pub mod generator;
pub mod layout;
pub mod loss;
pub mod update;

use crate::kernels::tiles::{Columns, MatMut};
use crate::parallel::{Join, for_each_block};

/// Rows of a batch that one piece of work takes: two tiles of six, and one more.
const ROW_BLOCK: usize = 18;
/// Pixels that one piece of work takes: eight tiles of six.
const PIXEL_BLOCK: usize = 48;
/// Hidden units that one piece of work takes: one panel of the widest tile.
const COLUMN_BLOCK: usize = 64;
/// Rows of a batch that one piece of such a panel takes: eleven tiles of six.
const TALL_ROW_BLOCK: usize = 66;

/// Calls `work(first_row, first_column, tile)` for tiles of `out`: panels of columns, cut again between rows.
fn for_each_tile<J: Join>(join: &J, out: MatMut<'_>, work: &(impl Fn(usize, usize, MatMut<'_>) + Sync)) {
    for_each_block(join, Columns(out), COLUMN_BLOCK, &|col, panel: Columns<'_>| {
        for_each_block(join, panel.0, TALL_ROW_BLOCK, &|row, tile: MatMut<'_>| work(row, col, tile));
    });
}
