//! Tests of the whole module through its public interface.

mod cases;
