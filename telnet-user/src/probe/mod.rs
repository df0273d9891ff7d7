//! Module probe.
