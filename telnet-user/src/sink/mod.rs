//! Module sink.
