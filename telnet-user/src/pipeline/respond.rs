//! Sessions that rules want closed.

use tracing::{info, warn};

use super::{Enrich, Now, Output, Pipeline};
use crate::{
    alert::Alert,
    response::{Asking, Decision, Outcome, Response, Verdict},
    rules::{ResponseAction, Rule},
    session::{Fact, Observation, Session},
    sink::{Document, Kind},
};

/// Rules that run, as the responder knows them.
pub(super) fn asking<'r>(rules: impl Iterator<Item = &'r Rule>) -> impl Iterator<Item = Asking> {
    rules.map(|rule| Asking {
        id: rule.rule_id.clone(),
        name: rule.name.clone(),
        asks: rule.response == Some(ResponseAction::CloseSession),
        wanted: rule.wanted(),
    })
}

impl<E: Enrich> Pipeline<E> {
    /// Does what the rules of `alerts`, which are on `observation`, ask for, at once, and says so.
    pub(super) fn respond(
        &mut self,
        observation: &Observation,
        alerts: &[Alert],
        now: &Now,
    ) -> Vec<Output> {
        let Some(session) = open_session(observation) else {
            return Vec::new();
        };
        let mut outputs = Vec::new();
        for alert in alerts {
            let judged = self.responder.judge(&alert.rule_id, session, now.boot);
            let Some((verdict, rule_name)) = judged else {
                continue;
            };
            let decision = match verdict {
                Verdict::Close => {
                    let outcome = self.enrich.close(session);
                    self.responder.note(&outcome);
                    Decision::Close(outcome)
                }
                Verdict::DryRun => Decision::DryRun,
                Verdict::Refuse(refusal) => Decision::Refuse(refusal),
            };
            log(&decision, session, &alert.rule_id);
            if self.options.making.emit.alerts {
                let response = Response {
                    rule_id: alert.rule_id.clone(),
                    rule_name,
                    alert_id: alert.id.to_string(),
                    decision,
                };
                let document = self.enrich.response(session, &response, now);
                let document = Document::new(Kind::Response, document.into_text());
                outputs.push(Output::Document(document));
            }
        }
        outputs
    }
}

/// The session of an observation, while it is open.
fn open_session(observation: &Observation) -> Option<&Session> {
    let session = match observation {
        Observation::Session { session, fact, .. } => match fact {
            Fact::Accepted
            | Fact::Established
            | Fact::Bypassed
            | Fact::LoggedIn
            | Fact::LoginFailed
            | Fact::Identified => session,
            Fact::Attempted | Fact::Failed(_) | Fact::Closed(..) => return None,
        },
        Observation::Program { session, .. } => session,
        Observation::ListenerOpened { .. } | Observation::ListenerClosed { .. } => return None,
    };
    // What its processes do may be told when it is over.
    session.closed.is_none().then_some(session)
}

fn log(decision: &Decision, session: &Session, rule: &str) {
    let peer = session.remote;
    match decision {
        Decision::Close(Outcome::Closed) => info!(%peer, rule, "session closed"),
        Decision::Close(Outcome::Gone) => info!(%peer, rule, "session not closed: it had ended"),
        Decision::Close(Outcome::Failed(reason)) => {
            warn!(%peer, rule, reason, "session not closed");
        }
        Decision::DryRun => info!(%peer, rule, "session would be closed: dry run"),
        Decision::Refuse(refusal) => {
            info!(%peer, rule, reason = refusal.as_str(), "session left open");
        }
    }
}
