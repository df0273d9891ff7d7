use std::fs;

use super::{Source, load, rendered};
use crate::rules::tests::file;
use crate::rules::{Options, load_with};

fn numbered(number: u32) -> String {
    file("")
        .replace("000000000001", &format!("{number:012}"))
        .replace("Test rule", &format!("Test rule {number}"))
}

#[test]
fn a_folder_is_searched_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("b/deep")).unwrap();
    fs::create_dir(path(".git")).unwrap();
    fs::write(path("c.toml"), numbered(3)).unwrap();
    fs::write(path("a.TOML"), numbered(1)).unwrap();
    fs::write(path("b/deep/x.toml"), numbered(2)).unwrap();
    fs::write(path(".git/h.toml"), numbered(9)).unwrap();
    fs::write(path(".hidden.toml"), "broken").unwrap();
    fs::write(path("README.md"), "text").unwrap();
    std::os::unix::fs::symlink(folder.path(), path("b/loop")).unwrap();
    let report = load(&[Source::Path(folder.path().to_owned())]);
    let mut names: Vec<&str> = report.rules.iter().map(|rule| rule.name.as_str()).collect();
    names.dedup();
    assert_eq!(names[..3], ["Test rule 1", "Test rule 2", "Test rule 3"]);
    assert!(
        rendered(&report).contains("nested deeper"),
        "{}",
        rendered(&report)
    );
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_loads() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.toml"), b"name = \"x\"\n# caf\xe9\n").unwrap();
    fs::write(path("b.toml"), format!("\u{feff}{}", numbered(1))).unwrap();
    std::os::unix::fs::symlink(path("nowhere"), path("c.toml")).unwrap();
    fs::write(path("d.toml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    let report = load(&[Source::Path(folder.path().to_owned())]);
    assert_eq!(
        (report.rules.len(), report.broken),
        (1, 3),
        "{}",
        rendered(&report)
    );
    let text = rendered(&report);
    for part in [
        "a.toml:2:6: not UTF-8",
        "c.toml: cannot be read",
        "d.toml: 1048577 bytes",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn with_streams_given_a_rule_must_search_one() {
    let text = file("index = [\"auditbeat-*\", \"logs-*\"]\n");
    let loaded = |stream: &str| {
        let source = Source::Text {
            name: "a.toml".to_owned(),
            text: text.clone(),
        };
        let options = Options {
            streams: vec![stream.to_owned()],
            ..Options::default()
        };
        load_with(&[source], &options)
    };
    assert!(loaded("logs-network_traffic.telnet-default").rules[0].enabled);
    let other = loaded("telnet");
    assert!(!other.rules[0].enabled && !other.has_errors());
    assert!(
        rendered(&other).contains("none of the streams"),
        "{}",
        rendered(&other)
    );
}

#[test]
fn paths_that_hold_no_rules() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), "x").unwrap();
    let cases = [
        (folder.path().to_owned(), "holds no .toml or .ndjson file"),
        (folder.path().join("a.yaml"), "ends in .toml or .ndjson"),
        (folder.path().join("missing"), "cannot be read"),
        ("/dev/null".into(), "ends in .toml or .ndjson"),
    ];
    for (path, message) in cases {
        let report = load(&[Source::Path(path)]);
        assert!(
            report.has_errors() && rendered(&report).contains(message),
            "{}",
            rendered(&report)
        );
    }
}
