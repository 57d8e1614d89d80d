//! The two networks: their tensors and memory, their forward and backward passes, the losses. Uses `kernels`,
//! [`parallel`](crate::parallel), `rng`, `data` and [`config`](crate::config).
//!
//! Each network is a hidden and an output layer. The generator's output layer and the discriminator's hidden layer are
//! shared out by pixels: an owner has the rows of their weights that belong to its pixels, and so everything about those
//! pixels. A row of an operand is an image, and its zeros (black pixels, hidden units that did not fire) are left out
//! wherever that is the faster way. The files in reading order; each uses only those before it:
//!
//! - [`sizes`]: the sizes of a run, and how its work is shared out
//! - [`tensor`]: the eight tensors
//! - [`places`]: places in the arena
//! - [`layout`]: where everything lies there
//! - [`phase`]: what a step consists of
//! - [`layers`]: what the layers of both networks have in common
//! - `pack`: images side by side
//! - [`update`]: gradients of parameters, and Adam
//! - [`loss`]: the losses
//! - [`generator`]: the generator
//! - [`discriminator`]: the discriminator

/// An enum whose variants have names: each is stated once, in order.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $enum:ident {$($(#[$doc:meta])* $variant:ident = $name:literal,)+}) => {
        $(#[$meta])*
        pub enum $enum {$($(#[$doc])* $variant,)+}

        impl $enum {
            /// All of them, in order.
            pub const ALL: [$enum; [$($name),+].len()] = [$($enum::$variant),+];

            /// Its name, in files and tables.
            pub const fn name(self) -> &'static str {
                match self {
                    $($enum::$variant => $name,)+
                }
            }
        }
    };
}

pub mod discriminator;
pub mod generator;
pub mod layers;
pub mod layout;
pub mod loss;
mod pack;
pub mod phase;
pub mod places;
pub mod sizes;
pub mod tensor;
pub mod update;
