//! Module enrich.
