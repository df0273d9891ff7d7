use super::{Source, load};

#[test]
fn shipped_rules_load_without_a_finding() {
    let report = load(&[Source::Shipped]);
    let problems: Vec<String> = report
        .problems
        .iter()
        .map(|problem| problem.render())
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let first = &report.rules[0];
    assert_eq!(first.rule_id, "34fde489-94b0-4500-a76f-b8a157cf9269");
    assert_eq!(
        (first.version, first.risk_score, first.max_signals),
        (102, 47, 100)
    );
}
