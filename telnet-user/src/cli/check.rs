//! `telnet-monitor check`: validate rules and show what they make the kernel report.

use std::io::{self, Write as _};

use super::{RuleArgs, Rules, counts, exit, print, printable};
use crate::rules::{Level, Rule};

/// What to check.
///
/// Exit code: 0 when every rule can run or is one that this agent does not support, 1 when
/// something is broken. Warnings do not fail.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    rules: RuleArgs,
}

/// Prints every rule with its kernel filter, and how many there are; problems are on standard
/// error.
pub(super) fn main(args: &Args) -> u8 {
    let report = args.rules.report(false, Level::Warning);
    let code = if report.has_errors() {
        exit::INVALID
    } else {
        exit::OK
    };
    let counts = counts(&report);
    let rules = Rules {
        rules: report.rules,
    };
    print(describe(&rules, &counts).map(|()| code), exit::INVALID)
}

fn describe(rules: &Rules, counts: &str) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for rule in &rules.rules {
        writeln!(out, "{}", printable(&sentence(rule)))?;
    }
    writeln!(out, "{counts}")?;
    writeln!(out, "kernel filter: {}", rules.ports())?;
    out.flush()
}

fn sentence(rule: &Rule) -> String {
    format!(
        "{} ({}, version {}, {}): {}",
        rule.name,
        rule.rule_id,
        rule.version,
        if rule.enabled { "enabled" } else { "disabled" },
        rule.ports(),
    )
}
