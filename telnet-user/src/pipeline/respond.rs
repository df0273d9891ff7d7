//! Sessions that rules want closed.

use tracing::{info, warn};

use super::{Enrich, Now, Output, Pipeline};
use crate::{
    alert::Alert,
    json::Indexed,
    response::{Decision, Outcome, Verdict, audit},
    session::{Fact, Observation, Session},
    sink::{Document, Kind},
};

impl<E: Enrich> Pipeline<E> {
    /// Does what the rules of `alerts` ask for, at once, and says so. `event` is what they are on,
    /// of `observation`.
    pub(super) fn respond(
        &mut self,
        observation: &Observation,
        event: &Indexed,
        alerts: &[Alert],
        now: &Now,
    ) -> Vec<Output> {
        let Some(session) = open_session(observation) else {
            return Vec::new();
        };
        let mut outputs = Vec::new();
        for alert in alerts {
            let Some(verdict) = self.responder.judge(&alert.rule_id, session, now.boot) else {
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
                let document = audit::document(event, alert, &decision, now.wall).to_string();
                outputs.push(Output::Document(Document::new(Kind::Response, document)));
            }
        }
        outputs
    }
}

/// The session of an observation after which it is still open.
fn open_session(observation: &Observation) -> Option<&Session> {
    match observation {
        Observation::Session { session, fact, .. } => match fact {
            Fact::Accepted
            | Fact::Established
            | Fact::Bypassed
            | Fact::LoggedIn
            | Fact::LoginFailed => Some(session),
            Fact::Attempted | Fact::Failed(_) | Fact::Closed(..) => None,
        },
        Observation::Program { session, .. } => Some(session),
        Observation::ListenerOpened { .. } | Observation::ListenerClosed { .. } => None,
    }
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
