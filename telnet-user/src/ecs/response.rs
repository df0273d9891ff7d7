//! A decision on a session that a rule wants closed, as an event.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    Context, action,
    document::{Document, Span, keyword},
    network::{Ends, Network},
};
use crate::{
    clock::BootTime,
    response::{Decision, Response},
    session::Session,
};

/// ECS `rule.*`: the rule that asked.
#[derive(Debug, Serialize)]
pub(super) struct RuleFields<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
}

/// `telnet.response.*`.
#[derive(Debug, Serialize)]
pub(super) struct ResponseFields<'a> {
    verdict: &'static str,
    alert_id: &'a str,
}

impl<'a> Document<'a> {
    /// What was decided on `session` at `time`.
    pub(super) fn response(
        context: &Context<'a>,
        session: &'a Session,
        response: &'a Response,
        time: BootTime,
    ) -> Self {
        let verdict = action::response(&response.decision);
        let fact = format!("{}|{}", verdict.fact, response.alert_id);
        let ids = context.scope.session(session, &fact, time);
        let span = Span {
            start: None,
            time,
            is_measured: false,
        };
        let ends = Ends::new(session, None);
        let network = Network::session(session, &ends, None);
        let mut document = Self::new(context, verdict, ids.event, &span, network);
        document.of_session(session, ends, ids.object);
        document.rule = Some(RuleFields {
            id: &response.rule_id,
            name: keyword(&response.rule_name),
        });
        document.telnet.response = Some(ResponseFields {
            verdict: match response.decision {
                Decision::Close(_) => "close",
                Decision::DryRun => "dry_run",
                Decision::Refuse(_) => "refuse",
            },
            alert_id: &response.alert_id,
        });
        document.relate(context);
        document
    }
}
