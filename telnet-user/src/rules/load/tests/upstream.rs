use std::path::PathBuf;

use super::{Source, load, rendered};
use crate::source::Level;

/// The public repository is not part of this one (Elastic License 2.0).
#[test]
#[ignore = "needs DETECTION_RULES, the path of a copy of elastic/detection-rules"]
fn every_published_kuery_rule_loads() {
    let root = PathBuf::from(std::env::var_os("DETECTION_RULES").unwrap());
    let report = load(&["rules", "rules_building_block"].map(|name| Source::Path(root.join(name))));
    let count = |level| {
        report
            .problems
            .iter()
            .filter(|problem| problem.level == level)
            .count()
    };
    println!(
        "{} rules, {} broken, {} not supported, {} skipped, {} warnings",
        report.rules.len(),
        report.broken,
        report.unsupported,
        report.skipped,
        count(Level::Warning),
    );
    if let Some(level) = std::env::var_os("SHOW") {
        for problem in &report.problems {
            if problem.level.to_string() == level.to_string_lossy() {
                println!("{problem}");
            }
        }
    }
    assert_eq!(count(Level::Error), 0, "{}", rendered(&report));
    assert!(report.rules.len() > 400);
}
