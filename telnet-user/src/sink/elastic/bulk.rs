//! What a bulk request says, and what its answer means. Pure.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    config,
    sink::{document::Kind, fields::text, spool::Entry},
};

/// Longest part of an error that is kept.
const REASON_CHARS: usize = 2_000;

/// Data streams by what goes there.
#[derive(Debug)]
pub(super) struct Streams {
    alerts: Stream,
    events: Stream,
    health: Stream,
}

/// A data stream, `TYPE-DATASET-NAMESPACE`.
#[derive(Debug)]
struct Stream {
    name: String,
    /// `data_stream.*`, which the mapping of a data stream holds constant.
    fields: Value,
}

impl Stream {
    fn new(name: &str) -> Self {
        let mut parts = name.splitn(3, '-');
        let [kind, dataset, namespace] = [(); 3].map(|()| parts.next().unwrap_or_default());
        Self {
            name: name.to_owned(),
            fields: json!({"type": kind, "dataset": dataset, "namespace": namespace}),
        }
    }
}

impl Streams {
    pub(super) fn new(config: &config::Elasticsearch) -> Self {
        Self {
            alerts: Stream::new(&config.alerts_stream),
            events: Stream::new(&config.events_stream),
            health: Stream::new(&config.health_stream),
        }
    }

    /// What the document of `entry` asks of the cluster.
    pub(super) fn item(&self, entry: &Entry) -> serde_json::Result<Item> {
        let mut document: Value = serde_json::from_slice(&entry.body)?;
        let stream = match entry.kind {
            // A response is no alert, and has the fields of the event.
            Kind::Event | Kind::Response => &self.events,
            Kind::Alert | Kind::Update => &self.alerts,
            // A record about matches is no alert: it would be one more in every count.
            Kind::Summary | Kind::Health => &self.health,
        };
        let id = match entry.kind {
            Kind::Alert | Kind::Update => text(&document, "/kibana/alert/uuid"),
            Kind::Event | Kind::Summary | Kind::Health | Kind::Response => {
                text(&document, "/event/id")
            }
        };
        let id = id.map_or_else(|| content_id(&entry.body), str::to_owned);
        if let Value::Object(fields) = &mut document {
            fields.insert("data_stream".to_owned(), stream.fields.clone());
        }
        Ok(Item {
            index: stream.name.clone(),
            id,
            document,
            action: match entry.kind {
                Kind::Update => Action::CreateOrUpdate,
                Kind::Event | Kind::Alert | Kind::Summary | Kind::Health | Kind::Response => {
                    Action::Create
                }
            },
        })
    }
}

/// The id of a document that has none: the same document, the same id.
fn content_id(body: &[u8]) -> String {
    let digits = Sha256::digest(body)
        .into_iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

/// One document on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    index: String,
    id: String,
    document: Value,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Store it, unless it is there.
    Create,
    /// Store it; when it is there, change it.
    CreateOrUpdate,
    /// Change it.
    Update,
}

impl Item {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn index(&self) -> &str {
        &self.index
    }

    pub(super) const fn document(&self) -> &Value {
        &self.document
    }

    /// The change of a document that is in the backing index `index`.
    pub(super) fn into_update(self, index: String) -> Self {
        Self {
            index,
            action: Action::Update,
            ..self
        }
    }
}

/// The body of a request: an action and a document a line each.
pub(super) fn encode(items: &[Item]) -> String {
    let mut out = String::new();
    for item in items {
        let target = json!({"_index": item.index, "_id": item.id});
        let lines = match item.action {
            Action::Create | Action::CreateOrUpdate => [
                json!({"create": target}).to_string(),
                item.document.to_string(),
            ],
            Action::Update => [
                json!({"update": target}).to_string(),
                format!("{{\"doc\":{}}}", item.document),
            ],
        };
        for line in lines {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is in the cluster.
    Stored,
    /// An earlier state of it is, in this backing index.
    Changed(String),
    /// Not now, for this reason.
    Later(String),
    /// Never.
    Refused {
        /// Status of the item, as HTTP has them.
        status: u16,
        /// What the cluster said.
        reason: Value,
    },
}

/// Tells what became of each item.
///
/// # Errors
///
/// When the answer is not one to this request.
pub(super) fn judge(items: Vec<Item>, answer: &[u8]) -> Result<Vec<(Item, Verdict)>, String> {
    let answer: Value = serde_json::from_slice(answer)
        .map_err(|error| format!("the answer is not JSON: {error}"))?;
    let results = answer.get("items").and_then(Value::as_array);
    let results = results.ok_or("the answer has no items")?;
    if results.len() != items.len() {
        return Err(format!(
            "{} answers to {} documents",
            results.len(),
            items.len()
        ));
    }
    let mut verdicts = Vec::with_capacity(items.len());
    for (item, result) in items.into_iter().zip(results) {
        let result = result.as_object().and_then(|result| result.values().next());
        let verdict = result.and_then(|result| verdict(&item, result));
        let verdict = verdict.ok_or("an item of the answer has no status")?;
        verdicts.push((item, verdict));
    }
    Ok(verdicts)
}

fn verdict(item: &Item, result: &Value) -> Option<Verdict> {
    let status = result.get("status")?.as_u64()?;
    let status = u16::try_from(status).ok()?;
    let error = result.get("error");
    let kind = error.and_then(|error| text(error, "/type")).unwrap_or("");
    let index = || {
        let of_error = error.and_then(|error| text(error, "/index"));
        of_error.or_else(|| text(result, "/_index"))
    };
    Some(match (status, item.action) {
        (200..=299, _) | (409, Action::Create) => Verdict::Stored,
        (409, Action::CreateOrUpdate) => match index() {
            Some(index) => Verdict::Changed(index.to_owned()),
            None => Verdict::Refused {
                status,
                reason: shortened(error),
            },
        },
        // Somebody else changed it at the same time.
        (409, Action::Update) | (429 | 500..=599, _) => {
            Verdict::Later(format!("{status} {kind}").trim_end().to_owned())
        }
        // The data stream is not set up, or not allowed yet: the operator can mend that.
        (404, _) if kind == "index_not_found_exception" => {
            Verdict::Later(format!("no data stream {}", item.index))
        }
        (401 | 403, _) => Verdict::Later(format!("{status} {kind} on {}", item.index)),
        _ => Verdict::Refused {
            status,
            reason: shortened(error),
        },
    })
}

/// The error, not longer than anybody reads.
fn shortened(error: Option<&Value>) -> Value {
    let error = error.cloned().unwrap_or(Value::Null);
    let text = error.to_string();
    if text.chars().nth(REASON_CHARS).is_none() {
        return error;
    }
    Value::String(text.chars().take(REASON_CHARS).collect())
}
