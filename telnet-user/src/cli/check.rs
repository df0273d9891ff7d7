//! `telnet-monitor check`: validate rules and show what they make the kernel report.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use super::{Rules, counts, exit, load, print, printable};
use crate::rules::{self, Level, Rule};

/// What to check.
///
/// Exit code: 0 when every rule can run or is one that this agent does not support, 1 when
/// something is broken. Warnings do not fail.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Rule file or folder, instead of the embedded rules; may be given again.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Accept queries that Kibana accepts although they hardly mean what they say.
    #[arg(long)]
    lenient: bool,
}

/// Prints every rule with its kernel filter, and how many there are; problems are on standard
/// error.
pub(super) fn main(args: &Args) -> u8 {
    let options = rules::Options {
        lenient: args.lenient,
        ..rules::Options::default()
    };
    let report = load(&args.rules, &options, Level::Warning);
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
