//! What an event changes about its alert: severity, risk score, rule name.

use serde_json::{Value, json};

use super::field;
use super::rule::{Rule, Severity, SeverityMapping};
use crate::json::{Node, View};

impl Rule {
    /// Severity of an alert on `event`: the highest one whose mapping applies,
    /// else the rule's.
    pub fn severity_for<'e>(&self, event: impl Into<Node<'e>>) -> Severity {
        let event = event.into();
        let applying = self
            .severity_mapping
            .iter()
            .filter(|mapping| applies(mapping, event));
        applying
            .map(|mapping| mapping.severity)
            .max()
            .unwrap_or(self.severity)
    }

    /// Risk score of an alert on `event`: the largest number in 0..100 in the
    /// mapped field, else the rule's.
    pub fn risk_score_for<'e>(&self, event: impl Into<Node<'e>>) -> Value {
        let event = event.into();
        let values = self
            .risk_score_field
            .iter()
            .flat_map(|name| field::values(event, name));
        let scores = values
            .filter_map(number)
            .filter(|score| (0.0..=100.0).contains(score));
        let Some(score) = scores.reduce(f64::max) else {
            return json!(self.risk_score);
        };
        let whole = (0..=100_u8).find(|whole| f64::from(*whole).total_cmp(&score).is_eq());
        whole.map_or_else(|| json!(score), |whole| json!(whole))
    }

    /// Rule name of an alert on `event`: the override field's text, else the rule's.
    pub fn name_for<'e>(&'e self, event: impl Into<Node<'e>>) -> &'e str {
        let event = event.into();
        let values = self
            .rule_name_override
            .iter()
            .flat_map(|name| field::values(event, name));
        let mut texts = values
            .filter_map(Node::as_str)
            .filter(|text| !text.trim().is_empty());
        texts.next().unwrap_or(&self.name)
    }
}

/// Whether any value of the mapped field equals the mapping's. `event.severity`
/// is a number in ECS and compares as one.
fn applies(mapping: &SeverityMapping, event: Node<'_>) -> bool {
    let expected: Option<f64> = mapping.value.trim().parse().ok();
    field::values(event, &mapping.field)
        .into_iter()
        .any(|value| {
            if mapping.field == "event.severity"
                && let (Some(found), Some(expected)) = (number(value), expected)
            {
                return found.total_cmp(&expected).is_eq();
            }
            field::scalar_text(value) == mapping.value
        })
}

/// A number, also one written as text.
fn number(value: Node<'_>) -> Option<f64> {
    match value.view() {
        View::Number(number) => number.as_f64(),
        View::Text(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite()),
        View::Null | View::Bool(_) | View::Array(_) | View::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Severity, tests::rule};

    #[test]
    fn severity_takes_the_highest_that_applies() {
        let rule = rule(
            r#"
            [[rule.severity_mapping]]
            field = "event.severity"
            operator = "equals"
            value = "21"
            severity = "low"
            [[rule.severity_mapping]]
            field = "user.name"
            operator = "equals"
            value = "root"
            severity = "critical"
            "#,
        );
        let cases = [
            (json!({}), Severity::Medium),
            (json!({"event": {"severity": 21}}), Severity::Low),
            (json!({"event": {"severity": "21"}}), Severity::Low),
            (json!({"event": {"severity": 22}}), Severity::Medium),
            (
                json!({"event": {"severity": 21}, "user.name": ["a", "root"]}),
                Severity::Critical,
            ),
            (json!({"user": {"name": "Root"}}), Severity::Medium),
        ];
        for (event, expected) in cases {
            assert_eq!(rule.severity_for(&event), expected, "{event}");
        }
    }

    #[test]
    fn risk_score_takes_the_largest_in_range() {
        let rule = rule(
            r#"
            [[rule.risk_score_mapping]]
            field = "event.risk_score"
            operator = "equals"
            value = ""
            "#,
        );
        let cases = [
            (json!({}), json!(47)),
            (
                json!({"event": {"risk_score": [3, "73.5", 101, -1]}}),
                json!(73.5),
            ),
            (json!({"event.risk_score": "100"}), json!(100)),
            (json!({"event": {"risk_score": "high"}}), json!(47)),
            (json!({"event": {"risk_score": "NaN"}}), json!(47)),
        ];
        for (event, expected) in cases {
            assert_eq!(rule.risk_score_for(&event), expected, "{event}");
        }
    }

    #[test]
    fn name_override_needs_a_text() {
        let rule = rule("rule_name_override = \"message\"\n");
        assert_eq!(rule.name_for(&json!({"message": "m"})), "m");
        assert_eq!(rule.name_for(&json!({"message": 5})), rule.name);
        assert_eq!(rule.name_for(&json!({"message": " "})), rule.name);
    }
}
