//! Module ecs.
