//! What all alerts of a rule have in common, as text.

use serde_json::Value;

use super::{Settings, rule_fields};
use crate::json::Object;
use crate::rules::Rule;

/// The parts of a rule's alerts that no event changes, written once.
#[derive(Clone, Debug)]
pub struct Template {
    /// `rule.*`, for alerts with the rule's own name.
    rule: String,
    /// `threat.*`; absent without a mapping.
    threat: Option<String>,
    /// The members of `kibana.alert.rule` apart from `name` and `execution`.
    kibana: String,
}

impl Template {
    /// The parts for the alerts of `rule`.
    pub fn new(rule: &Rule, settings: &Settings) -> Self {
        let threat = rule_fields::ecs_threat(rule);
        let kibana = Value::Object(rule_fields::kibana(rule, settings)).to_string();
        let inner = kibana
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        Self {
            rule: rule_fields::ecs_rule(rule, &rule.name).to_string(),
            threat: (!threat.is_null()).then(|| threat.to_string()),
            kibana: inner.unwrap_or_default().to_owned(),
        }
    }

    /// Bytes of all parts.
    pub(super) fn len(&self) -> usize {
        let threat = self.threat.as_ref().map_or(0, String::len);
        self.rule.len() + threat + self.kibana.len()
    }

    /// Adds `rule`, called `name`.
    pub(super) fn rule(&self, out: &mut Object<'_>, rule: &Rule, name: &str) {
        if name == rule.name {
            out.raw("rule", &self.rule);
        } else {
            out.value("rule", &rule_fields::ecs_rule(rule, name));
        }
    }

    /// Adds `threat`, if the rule maps to one.
    pub(super) fn threat(&self, out: &mut Object<'_>) {
        if let Some(threat) = &self.threat {
            out.raw("threat", threat);
        }
    }

    /// Adds the members of `kibana.alert.rule`.
    pub(super) fn kibana(&self, out: &mut Object<'_>) {
        out.members(&self.kibana);
    }
}
