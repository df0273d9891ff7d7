//! What an alert says about its rule: `kibana.alert.rule.*`, and `rule.*` and
//! `threat.*` for tools that know ECS but not Kibana.

use serde_json::{Map, Value, json};

use super::Settings;
use crate::rules::{Reference, Rule, Threat, field};

/// Members of a rule file that an alert carries as fields of their own and that
/// are prose: not repeated in `kibana.alert.rule.parameters`.
const PROSE: [&str; 6] = [
    "description",
    "false_positives",
    "note",
    "references",
    "setup",
    "threat",
];

/// `kibana.alert.rule.*` apart from `name`, which an event can override, and
/// `execution`, which belongs to a run.
pub(super) fn kibana(rule: &Rule, settings: &Settings) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            out.insert(key.to_owned(), value);
        }
    };
    put("uuid", json!(rule.uuid));
    put("rule_id", json!(rule.rule_id));
    put("version", json!(rule.version.to_string()));
    put("revision", json!(rule.revision));
    put("type", json!("query"));
    put("rule_type_id", json!("siem.queryRule"));
    put("category", json!("Custom Query Rule"));
    put("consumer", json!("siem"));
    put("producer", json!("siem"));
    put("description", json!(rule.description));
    for key in ["note", "license", "timeline_id", "timeline_title"] {
        put(key, json!(rule.carried_string(key)));
    }
    for key in ["author", "tags", "references", "false_positives"] {
        put(key, json!(rule.carried_strings(key)));
    }
    for (key, default) in [("interval", "5m"), ("from", "now-6m"), ("to", "now")] {
        put(key, json!(rule.carried_string(key).unwrap_or(default)));
    }
    put("max_signals", json!(rule.max_signals));
    put("indices", json!(rule.index));
    put("timestamp_override", json!(rule.timestamp_override));
    put("threat", rule.threat.iter().map(threat).collect());
    for key in [
        "severity_mapping",
        "risk_score_mapping",
        "exceptions_list",
        "actions",
    ] {
        put(key, rule.raw.get(key).cloned().unwrap_or_else(|| json!([])));
    }
    put("enabled", json!(rule.enabled.to_string()));
    let immutable = rule
        .raw
        .get("immutable")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    put("immutable", json!(immutable.to_string()));
    for (at, by) in [("created_at", "created_by"), ("updated_at", "updated_by")] {
        put(at, json!(super::time(settings.loaded_at)));
        put(by, json!(settings.agent));
    }
    put("parameters", parameters(rule));
    out
}

/// The rule as loaded, without its prose.
fn parameters(rule: &Rule) -> Value {
    let kept = rule
        .raw
        .iter()
        .filter(|(key, _)| !PROSE.contains(&key.as_str()));
    Value::Object(
        kept.map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    )
}

fn threat(threat: &Threat) -> Value {
    let entry = |reference: &Reference| json!({"id": reference.id, "name": reference.name, "reference": reference.reference});
    let mut out = json!({"framework": threat.framework, "tactic": entry(&threat.tactic)});
    let techniques = threat.techniques.iter().map(|technique| {
        let mut out = entry(&technique.entry);
        if !technique.subtechniques.is_empty() {
            field::set(
                &mut out,
                "subtechnique",
                technique.subtechniques.iter().map(entry).collect(),
            );
        }
        out
    });
    if !threat.techniques.is_empty() {
        field::set(&mut out, "technique", techniques.collect());
    }
    out
}

/// ECS `rule.*`.
pub(super) fn ecs_rule(rule: &Rule, name: &str) -> Value {
    let mut out = json!({
        "id": rule.rule_id,
        "uuid": rule.uuid,
        "name": name,
        "description": rule.description,
        "version": rule.version.to_string(),
        "author": rule.carried_strings("author"),
    });
    if let Some(license) = rule.carried_string("license") {
        field::set(&mut out, "license", json!(license));
    }
    if let Some(reference) = rule.carried_strings("references").first() {
        field::set(&mut out, "reference", json!(reference));
    }
    out
}

/// ECS `threat.*`: parallel arrays over all entries; null without a mapping.
pub(super) fn ecs_threat(rule: &Rule) -> Value {
    let Some(first) = rule.threat.first() else {
        return Value::Null;
    };
    let tactics: Vec<&Reference> = rule.threat.iter().map(|threat| &threat.tactic).collect();
    let techniques = rule.threat.iter().flat_map(|threat| &threat.techniques);
    let (mut technique, mut subtechnique) = (Vec::new(), Vec::new());
    for entry in techniques {
        technique.push(&entry.entry);
        subtechnique.extend(&entry.subtechniques);
    }
    let mut out = json!({"framework": first.framework, "tactic": columns(&tactics)});
    if !technique.is_empty() {
        let mut techniques = columns(&technique);
        if !subtechnique.is_empty() {
            field::set(&mut techniques, "subtechnique", columns(&subtechnique));
        }
        field::set(&mut out, "technique", techniques);
    }
    out
}

/// Entries as one array for each property, each id once.
fn columns(entries: &[&Reference]) -> Value {
    let mut unique: Vec<&Reference> = Vec::new();
    for entry in entries {
        if unique.iter().all(|seen| seen.id != entry.id) {
            unique.push(entry);
        }
    }
    let column = |get: fn(&Reference) -> &String| -> Vec<&String> {
        unique.iter().map(|entry| get(entry)).collect()
    };
    json!({
        "id": column(|entry| &entry.id),
        "name": column(|entry| &entry.name),
        "reference": column(|entry| &entry.reference),
    })
}
