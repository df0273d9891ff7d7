mod broken;
mod files;
mod findings;
mod ndjson;

use super::{LoadReport, Problem, Source, load};
use crate::{rules::tests::file, source::Level};

/// Loads `text` as the file `a.toml`.
fn toml(text: &str) -> LoadReport {
    load(&[Source::Text {
        name: "a.toml".to_owned(),
        text: text.to_owned(),
    }])
}

fn rendered(report: &LoadReport) -> String {
    report
        .problems
        .iter()
        .map(Problem::render)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A rule file in which the line that starts with `key` is replaced by `line`.
fn with(key: &str, line: &str) -> String {
    let text = file("");
    let replaced = text
        .lines()
        .map(|old| if old.starts_with(key) { line } else { old });
    replaced.collect::<Vec<_>>().join("\n")
}

/// Asserts that `report` has exactly one problem: its level, path and a part of its message.
fn one(report: &LoadReport, level: Level, path: &str, message: &str, case: &str) {
    let [problem] = report.problems.as_slice() else {
        panic!("{case}: expected one problem\n{}", rendered(report));
    };
    assert_eq!(
        (problem.level, problem.path.as_str()),
        (level, path),
        "{case}: {problem}"
    );
    assert!(problem.message.contains(message), "{case}: {problem}");
    assert!(problem.position.is_some(), "{case}");
    let runs = usize::from(level == Level::Warning);
    assert_eq!(report.rules.len(), runs, "{case}: {problem}");
    assert_eq!(report.broken, usize::from(level == Level::Error), "{case}");
    assert_eq!(
        report.unsupported,
        usize::from(level == Level::Unsupported),
        "{case}"
    );
}
