//! Only the bench in `benches/` is of interest.
