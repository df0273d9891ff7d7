//! Names a rule file may use, and the nearest one to a name it may not.

/// Members of a rule, in TOML and in exports.
pub(crate) const RULE: &[&str] = &[
    "actions",
    "alert_suppression",
    "author",
    "building_block_type",
    "data_view_id",
    "description",
    "enabled",
    "exceptions_list",
    "false_positives",
    "filters",
    "from",
    "index",
    "interval",
    "investigation_fields",
    "language",
    "license",
    "max_signals",
    "meta",
    "name",
    "note",
    "query",
    "references",
    "related_integrations",
    "required_fields",
    "response_actions",
    "revision",
    "risk_score",
    "risk_score_mapping",
    "rule_id",
    "rule_name_override",
    "saved_id",
    "setup",
    "severity",
    "severity_mapping",
    "tags",
    "threat",
    "throttle",
    "timeline_id",
    "timeline_title",
    "timestamp_override",
    "timestamp_override_fallback_disabled",
    "to",
    "type",
    "version",
];

/// Further members that only Kibana writes; carried or ignored.
pub(crate) const EXPORTED: &[&str] = &[
    "created_at",
    "created_by",
    "execution_summary",
    "id",
    "immutable",
    "namespace",
    "outcome",
    "alias_target_id",
    "alias_purpose",
    "output_index",
    "rule_source",
    "updated_at",
    "updated_by",
];

/// Tables at the top of a TOML rule file.
pub(crate) const FILE: &[&str] = &["metadata", "rule", "transform"];

/// The name of `known` that `name` is most likely a misspelling of.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = name.chars().count().div_ceil(3).min(4);
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::{RULE, nearest};

    #[test]
    fn nearest_names() {
        let cases = [
            ("severty", Some("severity")),
            ("max_signal", Some("max_signals")),
            ("qurey", Some("query")),
            ("timestamp_overide", Some("timestamp_override")),
            ("zzzz", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, RULE), expected, "{name}");
        }
    }
}
