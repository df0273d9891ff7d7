//! ECS `related.*`.

use std::{borrow::Cow, net::IpAddr};

use serde::Serialize;

/// ECS `related.*`: what to pivot on, each value once.
#[derive(Debug, Default, Serialize)]
pub(super) struct Related<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ip: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) user: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hosts: Vec<Cow<'a, str>>,
}

impl Related<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.ip.is_empty() && self.user.is_empty() && self.hosts.is_empty()
    }
}

/// Adds a value that is not there yet.
pub(super) fn push_new<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}
