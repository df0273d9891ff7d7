//! `telnet-monitor check`: validate rules and show what they make the kernel report.

use std::io::{self, Write as _};

use super::{RuleArgs, exit};

/// What to check.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    rules: RuleArgs,
}

/// Prints every rule with its kernel filter; problems are on standard error.
pub(super) fn main(args: &Args) -> u8 {
    let Some(rules) = args.rules.load() else {
        return exit::INVALID;
    };
    let mut lines: Vec<String> = rules
        .rules
        .iter()
        .map(|rule| {
            format!(
                "{} ({}, version {}, {}): {}",
                super::printable(&rule.name),
                super::printable(&rule.rule_id),
                rule.version,
                if rule.enabled { "enabled" } else { "disabled" },
                rule.ports(),
            )
        })
        .collect();
    lines.push(format!("kernel filter: {}\n", rules.ports()));
    let text = lines.join("\n");
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => exit::OK,
        Err(error) => {
            super::complain(&format!("cannot write to standard output: {error}"));
            exit::INVALID
        }
    }
}
