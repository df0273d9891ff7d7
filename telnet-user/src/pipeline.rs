//! Module pipeline.
