mod files;
mod findings;
mod ndjson;
mod upstream;

use super::{LoadReport, Problem, Source, load};

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
