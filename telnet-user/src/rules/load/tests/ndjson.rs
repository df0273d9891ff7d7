use jiff::Timestamp;
use serde_json::{Value, json};

use super::{LoadReport, Source, load, rendered};
use crate::source::{Level, Position};

fn ndjson(lines: &[Value]) -> LoadReport {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    load(&[Source::Text {
        name: "a.ndjson".to_owned(),
        text: text.join("\n"),
    }])
}

fn rule(id: &str, extra: &Value) -> Value {
    let mut rule = json!({
        "id": "so-1", "rule_id": id, "name": format!("rule {id}"), "description": "d",
        "type": "query", "query": "destination.port:23", "severity": "low", "risk_score": 21,
        "version": 3, "revision": 2, "enabled": true, "immutable": false, "updated_by": "x",
        "output_index": "", "rule_source": {"type": "internal"}, "from": "now-360s",
    });
    for (key, value) in extra.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

fn list(namespace: &str) -> Value {
    json!({"list_id": "l1", "type": "rule_default", "namespace_type": namespace, "name": "L"})
}

fn item(entries: &Value) -> Value {
    json!({
        "item_id": "i1", "list_id": "l1", "namespace_type": "single", "type": "simple",
        "name": "known hosts", "entries": entries,
    })
}

fn excepted(entries: &Value, event: &Value) -> bool {
    let refer = json!({"exceptions_list": [
        {"id": "x", "list_id": "l1", "type": "rule_default", "namespace_type": "single"}]});
    let report = ndjson(&[rule("r", &refer), list("single"), item(entries)]);
    assert!(report.problems.is_empty(), "{}", rendered(&report));
    report.rules[0]
        .exceptions
        .covering(event, Timestamp::UNIX_EPOCH)
        .is_some()
}

#[test]
fn an_export_with_everything() {
    let refer = json!({"exceptions_list": [
        {"id": "x", "list_id": "l1", "type": "rule_default", "namespace_type": "single"}]});
    let report = ndjson(&[
        rule("first", &json!({})),
        rule("second", &refer),
        list("single"),
        item(
            &json!([{"field": "user.name", "operator": "included", "type": "match", "value": "root"}]),
        ),
        json!({"id": "c", "attributes": {"actionTypeId": ".slack"}, "type": "action"}),
        json!({"exported_count": 5, "exported_rules_count": 2, "missing_rules": [],
               "exported_exception_list_count": 1, "exported_action_connector_count": 1}),
    ]);
    assert!(report.problems.is_empty(), "{}", rendered(&report));
    assert_eq!(report.rules.len(), 2);
    let first = &report.rules[0];
    assert_eq!(
        (first.version, first.revision, first.risk_score),
        (3, 2, 21)
    );
    assert_eq!(first.uuid.len(), 36);
    assert_ne!(first.uuid, report.rules[1].uuid);
    assert_eq!(
        (first.exceptions.len(), report.rules[1].exceptions.len()),
        (0, 1)
    );
}

#[test]
fn every_kind_of_entry() {
    let entry = |kind: &str, value: Value| json!([{"field": "source.ip", "operator": "included", "type": kind, "value": value}]);
    let event = json!({
        "source": {"ip": "10.1.2.3"}, "destination": {"port": 23}, "process": {"name": "a\"b\\c*"},
        "svc": [{"name": "ssh", "port": 22}, {"name": "telnet", "port": 23}],
    });
    let wildcard = |field: &str, pattern: &str| json!([{"field": field, "operator": "included", "type": "wildcard", "value": pattern}]);
    let nested = |name: &str| {
        json!([{"field": "svc", "type": "nested", "entries": [
            {"field": "name", "operator": "included", "type": "match", "value": name},
            {"field": "port", "operator": "excluded", "type": "match", "value": "22"},
        ]}])
    };
    let cases = [
        (entry("match", json!("10.1.2.3")), true),
        (entry("match", json!("10.0.0.0/8")), true),
        (entry("match", json!("10.1.2.4")), false),
        (entry("match_any", json!(["192.0.2.1", "10.1.2.3"])), true),
        (
            json!([{"field": "destination.port", "operator": "included", "type": "match", "value": "23"}]),
            true,
        ),
        (
            json!([{"field": "source.ip", "operator": "included", "type": "exists"}]),
            true,
        ),
        (
            json!([{"field": "user.name", "operator": "excluded", "type": "exists"}]),
            true,
        ),
        (
            json!([{"field": "user.name", "operator": "included", "type": "exists"}]),
            false,
        ),
        (
            json!([{"field": "process.name", "operator": "included", "type": "match", "value": "a\"b\\c*"}]),
            true,
        ),
        (
            json!([{"field": "process.name", "operator": "included", "type": "match", "value": "a*"}]),
            false,
        ),
        (wildcard("process.name", "a?b*"), true),
        (wildcard("process.name", "b*"), false),
        (nested("telnet"), true),
        (nested("ssh"), false),
    ];
    for (entries, expected) in cases {
        assert_eq!(excepted(&entries, &event), expected, "{entries}");
    }
    let two = json!([
        {"field": "source.ip", "operator": "included", "type": "exists"},
        {"field": "user.name", "operator": "included", "type": "exists"},
    ]);
    assert!(!excepted(&two, &event), "an item is an AND of its entries");
}

#[test]
fn an_item_that_cannot_be_evaluated_is_named() {
    let bad = [
        json!([{"field": "source.ip", "operator": "included", "type": "list", "list": {"id": "a", "type": "ip"}}]),
        json!([{"field": "source.ip", "operator": "included", "type": "match", "value": "not an address"}]),
        json!([{"field": "source.ip", "operator": "near", "type": "match", "value": "10.0.0.1"}]),
        json!([{"field": "source.ip", "operator": "included", "type": "fuzzy", "value": "10.0.0.1"}]),
        json!([]),
    ];
    for entries in bad {
        let report = ndjson(&[rule("r", &json!({})), item(&entries)]);
        let [problem] = report.problems.as_slice() else {
            panic!("{entries}: {}", rendered(&report))
        };
        assert_eq!(problem.level, Level::Warning);
        assert!(problem.message.contains("known hosts"), "{problem}");
        assert!(problem.message.contains("not applied"), "{problem}");
        assert_eq!(problem.position.unwrap().line, 2);
        assert_eq!(report.rules.len(), 1);
    }
}

#[test]
fn lists_are_joined_by_id_and_namespace() {
    let refer = json!({"exceptions_list": [
        {"id": "x", "list_id": "l1", "type": "rule_default", "namespace_type": "agnostic"}]});
    let report = ndjson(&[
        rule("r", &refer),
        list("single"),
        item(&json!([{"field": "a", "operator": "included", "type": "exists"}])),
    ]);
    assert!(
        rendered(&report).contains("no file holds exception list \"l1\""),
        "{}",
        rendered(&report)
    );
    assert_eq!(report.rules[0].exceptions.len(), 0);
}

#[test]
fn one_bad_line_never_stops_the_others() {
    let text = format!(
        "{}\n\n{{\"rule_id\": \n{}\n[1]\n{{\"a\":1}}\n{}\n",
        rule("one", &json!({})),
        rule(
            "two",
            &json!({"query": "destination.port:x", "severity": "no"})
        ),
        rule("three", &json!({})),
    );
    let report = load(&[Source::Text {
        name: "a.ndjson".to_owned(),
        text,
    }]);
    let ids: Vec<&str> = report
        .rules
        .iter()
        .map(|rule| rule.rule_id.as_str())
        .collect();
    assert_eq!(ids, ["one", "three"]);
    assert_eq!(report.rules[1].origin.line, 7);
    let lines: Vec<usize> = report
        .problems
        .iter()
        .map(|problem| problem.position.unwrap().line)
        .collect();
    assert_eq!(lines, [3, 4, 4, 5, 6], "{}", rendered(&report));
    let query = report
        .problems
        .iter()
        .find(|problem| problem.path == "query")
        .unwrap();
    let line = query.source_line.as_deref().unwrap();
    let Position { column, .. } = query.position.unwrap();
    assert_eq!(
        line.chars().nth(column - 1),
        Some('x'),
        "{}",
        query.render()
    );
}

#[test]
fn a_cut_export_is_noticed() {
    let report = ndjson(&[
        rule("r", &json!({})),
        json!({"exported_rules_count": 2, "missing_rules": [{"rule_id": "a"}]}),
    ]);
    let text = rendered(&report);
    assert!(
        text.contains("the export counts 2 rules, 1 were found"),
        "{text}"
    );
    assert!(text.contains("Kibana could not export 1 rules"), "{text}");
    assert_eq!(report.rules.len(), 1);
}

#[test]
fn ids_and_names_are_unique() {
    let report = ndjson(&[
        rule("a", &json!({})),
        rule("a", &json!({"name": "other"})),
        rule("b", &json!({"name": "rule a"})),
    ]);
    assert_eq!(report.rules.len(), 1);
    assert_eq!(report.broken, 2);
    let text = rendered(&report);
    assert!(
        text.contains("rule_id: rule_id is already used by the rule at a.ndjson:1 (value \"a\")"),
        "{text}"
    );
    assert!(
        text.contains("name is already used by the rule at a.ndjson:1 (value \"rule a\")"),
        "{text}"
    );
}

#[test]
fn filters_of_every_kind() {
    let event = json!({"user": {"name": "root"}, "destination": {"port": 23}, "file": {"path": "C:\\Windows\\x"}});
    let cases = include_str!("../../../../fixtures/rules/filters.ndjson");
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (filter, expected) = (&case["filter"], &case["match"]);
        let report = ndjson(&[rule("r", &json!({"filters": [filter]}))]);
        assert!(
            report.problems.is_empty(),
            "{filter}: {}",
            rendered(&report)
        );
        let found = report.rules[0].matches(&event, Timestamp::UNIX_EPOCH);
        assert_eq!(Value::Bool(found), *expected, "{filter}");
    }
    let alone = rule(
        "r",
        &json!({"query": "", "filters": [{"query": {"match_all": {}}}]}),
    );
    assert!(ndjson(&[alone]).rules[0].matches(&event, Timestamp::UNIX_EPOCH));
}

#[test]
fn a_filter_that_cannot_be_run_keeps_the_rule_from_running() {
    let bad = [
        json!({"query": {"geo_distance": {"distance": "1km"}}}),
        json!({"query": {"bool": {"should": [{"term": {"a": 1}}], "minimum_should_match": 2}}}),
        json!({"query": {"bool": {"should": [{"term": {"a": 1}}], "minimum_should_match": "75%"}}}),
        json!({"query": {"bool": {"should": [{"term": {"a": 1}}], "minimum_should_match": "-1"}}}),
        json!({"query": {"bool": {"should": [{"term": {"a": 1}}], "minimum_should_match": -1}}}),
        json!({"query": {"bool": {"should": [{"term": {"a": 1}}], "minimum_should_match": "2"}}}),
        json!({"query": {"bool": {"should": [{"term": {"a": 1}}], "minimum_should_match": true}}}),
        json!({"query": {"term": {"a": {"value": "B", "case_insensitive": true}}}}),
        json!({"query": {"term": {"a": {"value": "B", "fold": true}}}}),
        json!({"query": {"match": {"a": {"query": "b", "fuzziness": "AUTO"}}}}),
        json!({"query": {"match_phrase": {"a": {"query": "b", "value": "c"}}}}),
        json!({"query": {"wildcard": {"a": {"value": "B*", "case_insensitive": "true"}}}}),
        json!({"query": {"wildcard": {"a": {"value": "B*", "rewrite": "top_terms_1"}}}}),
        json!({"meta": {"type": "custom", "key": "a"}}),
        json!({"query": {"term": {"source.ip": "nowhere"}}}),
        json!({"query": {"range": {"a": {"about": 5}}}}),
        json!({}),
    ];
    for filter in bad {
        let report = ndjson(&[rule("r", &json!({"filters": [filter]}))]);
        assert_eq!(
            (report.rules.len(), report.unsupported),
            (0, 1),
            "{filter}: {}",
            rendered(&report)
        );
    }
}
