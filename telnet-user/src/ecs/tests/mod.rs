//! Documents from facts.
