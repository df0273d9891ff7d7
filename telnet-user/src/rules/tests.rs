use super::{Level, Rule, Source, load};

/// A rule file with the least that is required and `extra` lines in `[rule]`.
pub(crate) fn file(extra: &str) -> String {
    let from = if extra.contains("from = ") {
        ""
    } else {
        "from = \"now-9m\"\n"
    };
    format!(
        r#"[metadata]
creation_date = "2026/01/01"
updated_date = "2026/01/01"
maturity = "production"

[rule]
rule_id = "00000000-0000-4000-8000-000000000001"
name = "Test rule"
description = "For tests"
author = ["test"]
severity = "medium"
risk_score = 47
type = "query"
language = "kuery"
query = "destination.port:23"
{from}{extra}"#
    )
}

/// The rule of [`file`].
pub(crate) fn rule(extra: &str) -> Rule {
    let text = file(extra);
    let mut report = load(&[Source::Text {
        name: "test.toml".to_owned(),
        text,
    }]);
    let errors: Vec<_> = report
        .problems
        .iter()
        .filter(|p| p.level != Level::Warning)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    report.rules.remove(0)
}
