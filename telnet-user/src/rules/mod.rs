//! Module rules.
