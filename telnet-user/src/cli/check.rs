//! `telnet-monitor check`: validate rules and show what they make the kernel report.

use std::io::{self, Write as _};

use super::{
    NOTHING_WANTED, Rules, asks_for_protocol, complain, counts, exit, print, printable,
    settings::{self, ConfigArgs},
};
use crate::{
    config::{Flood, Loaded, Sink, Stream, Target},
    rules::Rule,
    sink::Sinks,
};

/// What to check.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Prints every rule with its kernel filter, how many there are, and where documents go when there
/// is a configuration file; problems are on standard error.
pub(super) fn main(args: &Args) -> u8 {
    let Some(Loaded { config, file }) = args.config.read() else {
        return exit::INVALID;
    };
    // What the agent, which runs as root, would refuse.
    let report = settings::report(&config, file.is_some(), file.is_some());
    let flood = file.as_ref().map(|_| config.flood);
    let sinks = file.map_or_else(Vec::new, |_| config.sinks);
    let broken = sinks
        .iter()
        .filter_map(|sink| Sinks::check(sink, &config.spool).err());
    let broken = broken
        .map(|error| complain(&format!("error: {error}")))
        .count();
    let (counts, has_errors) = (counts(&report), report.has_errors());
    let rules = Rules {
        rules: report.rules,
    };
    // Rules without a configuration may be some of those that an agent has.
    let is_blind = flood.is_some() && !has_errors && rules.wanted().is_empty();
    if is_blind {
        complain(&format!("error: {NOTHING_WANTED}"));
    }
    let code = if has_errors || broken > 0 || is_blind {
        exit::INVALID
    } else {
        exit::OK
    };
    print(
        describe(&rules, &counts, flood, &sinks).map(|()| code),
        exit::INVALID,
    )
}

fn describe(rules: &Rules, counts: &str, flood: Option<Flood>, sinks: &[Sink]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for rule in &rules.rules {
        writeln!(out, "{}", printable(&sentence(rule)))?;
    }
    writeln!(out, "{counts}")?;
    writeln!(out, "kernel filter: {}", rules.wanted())?;
    if rules.ask_for_protocol() {
        writeln!(
            out,
            "network.protocol: the first bytes of these sessions are looked at in the kernel; every \
             packet of the host is held against them"
        )?;
    }
    match flood {
        Some(Flood { burst: 0, .. }) => writeln!(out, "flood: every connection is told")?,
        Some(Flood {
            burst,
            per_minute,
            sources,
        }) => writeln!(
            out,
            "flood: {burst} connections of an address are told at once, then {per_minute} a minute; \
             {sources} addresses apart"
        )?,
        None => {}
    }
    for sink in sinks {
        let Sink {
            name,
            streams,
            target,
        } = sink;
        writeln!(out, "sink {name}: {} <- {streams}", place(target))?;
    }
    for stream in Stream::ALL {
        if !sinks.is_empty() && !sinks.iter().any(|sink| sink.streams.contains(stream)) {
            writeln!(out, "no sink takes {stream}")?;
        }
    }
    out.flush()
}

/// Where a sink's documents go.
fn place(target: &Target) -> String {
    let place = match target {
        Target::Stdout(_) => return target.kind().to_owned(),
        Target::File(file) => file.path.display().to_string(),
        Target::Journald(journald) => journald.socket.display().to_string(),
        Target::Syslog(syslog) => syslog.address.to_string(),
        Target::Elasticsearch(elasticsearch) => elasticsearch.nodes.join(", "),
    };
    format!("{} {}", target.kind(), printable(&place))
}

fn sentence(rule: &Rule) -> String {
    format!(
        "{} ({}, version {}, {}): {}{}{}",
        rule.name,
        rule.rule_id,
        rule.version,
        if rule.enabled { "enabled" } else { "disabled" },
        rule.wanted(),
        if asks_for_protocol(rule) {
            "; asks for the protocol"
        } else {
            ""
        },
        if rule.response.is_some() {
            "; wants its sessions closed"
        } else {
            ""
        },
    )
}
