//! Texts that a person wrote, such as rule files and the configuration: their values, where each
//! stands, and findings that point there.

mod doc;
mod nearest;
mod problem;
mod terminal;
mod trust;

pub(crate) use self::{
    doc::{Document, Findings, Path, Table},
    nearest::nearest,
    problem::shorten,
    terminal::{printable, steers},
};
pub use self::{
    problem::{Level, Position, Problem},
    trust::{TrustError, check_trusted, read_trusted},
};
