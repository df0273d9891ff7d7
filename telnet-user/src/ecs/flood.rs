//! The summary of a flood as an event.

use serde::Serialize;

use super::{
    Context, action,
    document::{Document, Span, long},
    network::{Endpoint, Network},
};
use crate::flood::{Flood, Phase};

/// `telnet.flood.*`.
#[derive(Debug, Serialize)]
pub(super) struct FloodFields {
    id: String,
    phase: &'static str,
    connections: u64,
    shed: u64,
    rate: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_logins: Option<u64>,
}

impl<'a> Document<'a> {
    /// What a source did beyond its budget.
    pub(super) fn flood(context: &Context<'a>, flood: &Flood) -> Self {
        let mut verdict = action::flood(flood.source.outcome);
        verdict.is_end = flood.phase == Phase::Ended;
        let ids = context.scope.flood(flood);
        let span = Span {
            start: Some(flood.start),
            time: flood.last,
            is_measured: flood.phase != Phase::Began,
        };
        let network = Network::connections(flood.source.direction, flood.source.ip);
        let mut document = Self::new(context, verdict, ids.event, &span, network);
        document.source = Endpoint::common(flood.source.ip, None);
        document.destination = Endpoint::common(flood.ip.map(|ip| ip.to_canonical()), flood.port);
        document.telnet.netns = flood.source.netns;
        document.telnet.flood = Some(FloodFields {
            id: ids.object,
            phase: flood.phase.as_str(),
            connections: long(flood.connections),
            shed: long(flood.shed),
            rate: long(flood.rate),
            failed_logins: Some(long(flood.failed_logins)).filter(|failed| *failed > 0),
        });
        document.relate(context);
        document
    }
}
