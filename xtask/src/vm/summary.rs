//! What came of all guests, on one page.

use std::collections::BTreeMap;

use anyhow::bail;

use super::{
    matrix::Outcome,
    plan::{AUTO, HOOKS, KERNEL, REFUSALS},
    verdict::{Suite, Verdict},
};

/// Servers that tests are named after, the longest name first because one contains the other, and
/// what stands for tests with a server of their own or none.
const SERVERS: [&str; 5] = ["xinetd", "inetd", "busybox", "systemd", OTHERS];
const OTHERS: &str = "others";

/// Prints the tables and the closing line; an error when one test anywhere did not pass.
pub(super) fn print(outcomes: &[Outcome]) -> anyhow::Result<()> {
    println!();
    for line in table(outcomes) {
        println!("{line}");
    }
    println!();
    let (mut passed, mut failed, mut defects) = (0, 0, 0);
    for outcome in outcomes {
        for line in details(outcome) {
            println!("{line}");
        }
        for suite in &outcome.report.suites {
            passed += suite.count(Verdict::Passed);
            failed += suite.count(Verdict::Failed);
        }
        defects += outcome.defects.len();
    }
    println!();
    let failures = failed + defects;
    let verdict = if failures == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failures} failed, in virtual machines");
    if failed + defects > 0 {
        bail!("{failed} tests failed in virtual machines, and {defects} other defects were found");
    }
    Ok(())
}

/// Kernel by hook by server.
fn table(outcomes: &[Outcome]) -> Vec<String> {
    let mut lines = vec![line("kernel", "hook", SERVERS.map(str::to_owned))];
    for outcome in outcomes {
        let suites = outcome.report.suites.iter();
        for suite in suites.filter(|suite| ![KERNEL, REFUSALS].contains(&suite.name.as_str())) {
            // A whole system's agent chooses by itself.
            let hook = HOOKS.iter().find(|hook| **hook == suite.name);
            let servers = by_server(suite);
            let cells = SERVERS.map(|server| servers.get(server).map_or_else(String::new, cell));
            lines.push(line(&outcome.guest.label, hook.unwrap_or(&AUTO), cells));
        }
    }
    lines
}

fn line(kernel: &str, hook: &str, cells: [String; SERVERS.len()]) -> String {
    let mut line = format!("{kernel:<16} {hook:<14}");
    for cell in cells {
        line.extend([format!("{cell:<14}")]);
    }
    line.trim_end().to_owned()
}

/// Passed tests and all tests.
type Count = (usize, usize);

fn by_server(suite: &Suite) -> BTreeMap<&'static str, Count> {
    let mut counts = BTreeMap::new();
    for (test, verdict) in &suite.tests {
        let server = SERVERS.iter().find(|server| test.contains(*server));
        let count: &mut Count = counts.entry(server.copied().unwrap_or(OTHERS)).or_default();
        count.0 += usize::from(*verdict == Verdict::Passed);
        count.1 += 1;
    }
    counts
}

fn cell(count: &Count) -> String {
    match *count {
        (passed, all) if passed == all => format!("ok {all}"),
        (passed, all) => format!("FAILED {}/{all}", all - passed),
    }
}

/// One guest: how long it took, what its kernel lacks, and all that is wrong.
fn details(outcome: &Outcome) -> Vec<String> {
    let suites = outcome.report.suites.iter().map(in_short);
    let mut lines = vec![format!(
        "{:<16} {:<18} {:>4} s   {}",
        outcome.guest.label,
        outcome.release,
        outcome.time.as_secs(),
        suites.collect::<Vec<_>>().join(", ")
    )];
    let lacks = outcome.guest.expected.lacks.iter();
    lines.extend(lacks.map(|lack| format!("    {lack}")));
    for suite in &outcome.report.suites {
        let failed = suite.tests.iter().filter(|(_, v)| *v == Verdict::Failed);
        lines.extend(failed.map(|(test, _)| format!("    {} {test} FAILED", suite.name)));
    }
    let console = outcome.console.display();
    let defects = outcome.defects.iter();
    lines.extend(defects.map(|defect| format!("    {defect} (see {console})")));
    lines
}

fn in_short(suite: &Suite) -> String {
    let Suite { name, tests, .. } = suite;
    match suite.count(Verdict::Failed) {
        0 if suite.defect().is_some() => format!("{name} INCOMPLETE"),
        0 => format!("{name} {} ok", tests.len()),
        failed => format!("{name} {failed} of {} FAILED", tests.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_under_the_server_of_their_name() {
        let mut report = super::super::verdict::Report::default();
        for line in [
            "@begin auto",
            "test owners::telnetd_under_xinetd_is_the_handler ... ok",
            "test owners::telnetd_under_inetd_is_the_handler ... FAILED",
            "test detect::inetutils_session_is_alerted ... ok",
        ] {
            report.line(line);
        }
        let suite = report.suites.first().unwrap();
        let counts = by_server(suite);
        let expected = [("inetd", (0, 1)), (OTHERS, (1, 1)), ("xinetd", (1, 1))];
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(cell(&(1, 1)), "ok 1");
        assert_eq!(cell(&(2, 3)), "FAILED 1/3");
    }
}
