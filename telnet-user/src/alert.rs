//! Module alert.
