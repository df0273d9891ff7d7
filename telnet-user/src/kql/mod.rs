//! Module kql.
