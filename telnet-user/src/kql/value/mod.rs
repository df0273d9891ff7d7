//! Values and how two of them compare, one file per ECS type family.

pub(super) mod date;
mod date_math;
pub(super) mod ip;
pub(super) mod number;
pub(super) mod text;
