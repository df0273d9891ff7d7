//! Live tests: as root, in namespaces of their own, against the agent that
//! `TELNET_MONITOR_BIN` names.

#[cfg(test)]
mod canary;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod detect;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod filter;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod loss;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod pretty;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod response;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod service;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod sessions_command;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod types_hidden;

/// Name of [`rule_file`]'s rule.
#[cfg(test)]
const RULE_NAME: &str = "Port of the live test";

/// A rule file that the agent must take, with this query.
#[cfg(test)]
fn rule_file(query: &str) -> String {
    format!(
        r#"[metadata]
creation_date = "2026/01/01"
updated_date = "2026/01/01"
maturity = "production"

[rule]
author = ["live test"]
description = "Matches the port that a live test uses."
index = ["logs-*"]
language = "kuery"
license = "MIT"
max_signals = 1000
name = "{RULE_NAME}"
risk_score = 73
rule_id = "5b0ef3a4-2f3b-4f39-9d0c-6a5a7f0f2323"
severity = "high"
type = "query"
query = '''
event.category:(network or network_traffic) and network.transport:tcp
  and {query}
'''
"#
    )
}
