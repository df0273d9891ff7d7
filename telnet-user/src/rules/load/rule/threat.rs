//! The `threat` member: tactics, techniques and sub-techniques of a MITRE matrix.

use crate::rules::rule::{Reference, Technique, Threat};
use crate::source::{Level, Table};

/// Frameworks a rule may map to.
const FRAMEWORKS: [(&str, &str); 2] = [
    ("MITRE ATT&CK", "MITRE ATT&CK"),
    ("MITRE ATLAS", "MITRE ATLAS"),
];

/// Reads every entry of `threat`; an incomplete entry is reported and left out.
pub(super) fn read(rule: &Table<'_>) -> Vec<Threat> {
    rule.tables("threat").iter().filter_map(threat).collect()
}

fn threat(entry: &Table<'_>) -> Option<Threat> {
    let framework = entry.one_of("framework", &FRAMEWORKS);
    let tactic = if entry.has("tactic") {
        entry.table("tactic").and_then(|tactic| reference(&tactic))
    } else {
        entry.error("tactic", "missing required field tactic".to_owned());
        None
    };
    let techniques = entry
        .tables("technique")
        .iter()
        .filter_map(technique)
        .collect();
    Some(Threat {
        framework: framework?.to_owned(),
        tactic: tactic?,
        techniques,
    })
}

fn technique(entry: &Table<'_>) -> Option<Technique> {
    let subtechniques = entry
        .tables("subtechnique")
        .iter()
        .filter_map(reference)
        .collect();
    Some(Technique {
        entry: reference(entry)?,
        subtechniques,
    })
}

fn reference(entry: &Table<'_>) -> Option<Reference> {
    let id = entry.required("id");
    let name = entry.required("name");
    let reference = entry.required("reference");
    let (id, name, reference) = (id?, name?, reference?);
    if !reference.ends_with(&format!("/{}/", id.replace('.', "/"))) {
        let message = format!("the reference does not end in {}/", id.replace('.', "/"));
        entry.report(Level::Warning, "reference", message);
    }
    Some(Reference {
        id: id.to_owned(),
        name: name.to_owned(),
        reference: reference.to_owned(),
    })
}
