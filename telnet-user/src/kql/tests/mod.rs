//! Tests of the whole module through its public interface.

mod allocations;
mod cases;
mod explaining;
mod grammar;
mod loading;
mod properties;
