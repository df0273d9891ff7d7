//! Tests of the whole module through its public interface.

mod cases;
mod explaining;
mod grammar;
mod loading;
mod properties;
mod semantics;
