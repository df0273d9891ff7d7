//! The document about one decision: what was asked, what was decided, what came of it.
//!
//! It is an event of its own (`event.category: intrusion_detection`), not of the network: rules
//! about connections, Elastic's own among them, do not match it a second time.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Decision, Outcome};
use crate::{
    alert::{Alert, sha256_hex},
    json::Indexed,
};

/// `event.action` of all of them.
const ACTION: &str = "session_close";
/// Length of ids of events, in hex digits.
const ID_DIGITS: usize = 32;

/// The document about the decision on the session of `event` that `alert` led to. The fields of the event
/// are kept, but for `event.*`, which is about the decision.
pub fn document(event: &Indexed, alert: &Alert, decision: &Decision, now: Timestamp) -> Value {
    let Value::Object(mut fields) = event.to_value() else {
        return Value::Null;
    };
    let of_event = fields.remove("event").unwrap_or_default();
    let alert = alert.value();
    let told = Told::of(decision);
    let id = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let alert_id = alert
        .pointer("/kibana/alert/uuid")
        .map(id)
        .unwrap_or_default();
    let mut digest = sha256_hex(&format!("{ACTION}|{alert_id}"));
    digest.truncate(ID_DIGITS);
    let mut about = Map::new();
    about.insert("id".to_owned(), json!(digest));
    about.insert("kind".to_owned(), json!("event"));
    about.insert("category".to_owned(), json!(["intrusion_detection"]));
    about.insert("type".to_owned(), json!([told.type_]));
    about.insert("action".to_owned(), json!(ACTION));
    if let Some(outcome) = told.outcome {
        about.insert("outcome".to_owned(), json!(outcome));
    }
    about.insert("reason".to_owned(), json!(told.reason));
    about.insert("created".to_owned(), json!(format!("{now:.9}")));
    for key in ["module", "dataset", "ingested"] {
        if let Some(value) = of_event.get(key) {
            about.insert(key.to_owned(), value.clone());
        }
    }
    fields.insert("@timestamp".to_owned(), json!(format!("{now:.9}")));
    fields.insert("event".to_owned(), Value::Object(about));
    if let Some(rule) = alert.get("rule") {
        fields.insert("rule".to_owned(), rule.clone());
    }
    if let Some(Value::Object(telnet)) = fields.get_mut("telnet") {
        let response = json!({"verdict": told.verdict, "alert_id": alert_id});
        telnet.insert("response".to_owned(), response);
    }
    Value::Object(fields)
}

/// A decision in the words of documents.
#[derive(Debug, PartialEq, Eq)]
struct Told<'a> {
    /// `telnet.response.verdict`.
    verdict: &'static str,
    /// `event.type`.
    type_: &'static str,
    /// `event.outcome`; absent when nothing was tried.
    outcome: Option<&'static str>,
    /// `event.reason`.
    reason: &'a str,
}

impl<'a> Told<'a> {
    fn of(decision: &'a Decision) -> Self {
        let (verdict, type_, outcome, reason) = match decision {
            Decision::Close(Outcome::Closed) => {
                ("close", "denied", Some("success"), "the session was closed")
            }
            Decision::Close(Outcome::Gone) => {
                let reason = "the session had ended before";
                ("close", "info", Some("failure"), reason)
            }
            Decision::Close(Outcome::Failed(reason)) => {
                ("close", "info", Some("failure"), reason.as_str())
            }
            Decision::DryRun => {
                let reason = "the session would be closed; this is a dry run";
                ("dry_run", "info", None, reason)
            }
            Decision::Refuse(refusal) => ("refuse", "info", None, refusal.as_str()),
        };
        Self {
            verdict,
            type_,
            outcome,
            reason,
        }
    }
}
