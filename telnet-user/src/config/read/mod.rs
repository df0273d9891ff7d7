//! From the text of a configuration file to a [`Config`]; everything wrong is found at once.

mod keys;
mod remote;
mod sinks;
mod values;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path as FilePath, PathBuf},
    time::Duration,
};

#[cfg(test)]
pub(super) use self::keys::{COMMON, KEYS};
use ipnet::IpNet;

use self::values::{bytes, duration, log, number, only, path, section, sync};
use super::{Acceptor, Config, Flood, Health, Probe, Response, ResponseMode, Rules, Spool};
use crate::source::{Document, Findings, Level, Path, Problem, Table, TrustError, read_trusted};

/// Where the configuration is unless another file is named.
pub const DEFAULT_FILE: &str = "/etc/telnet-monitor/config.toml";
/// Far beyond any configuration.
const MAX_BYTES: u64 = 1 << 20;

/// A configuration as read from a file.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// The file, none when there is only the default one and it is not there.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads `named`, which must be there, or [`DEFAULT_FILE`], which need not.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file.
    pub fn read(named: Option<&FilePath>) -> Result<Loaded, Vec<Problem>> {
        let path = named.unwrap_or_else(|| FilePath::new(DEFAULT_FILE));
        let text = match read_trusted(path, MAX_BYTES) {
            Err(error) if named.is_none() && error.is_missing() => {
                return Ok(Loaded {
                    config: Self::default(),
                    file: None,
                });
            }
            text => text.map_err(|error| vec![of_file(path, &error)])?,
        };
        Ok(Loaded {
            config: Self::parse(&path.to_string_lossy(), &text)?,
            file: Some(path.to_owned()),
        })
    }

    /// Reads `text`, the content of `file`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let document = Document::toml(file, text).map_err(|problem| vec![*problem])?;
        let findings = Findings::default();
        let config = Table::at(&document, Path::default(), &findings).map(|root| read(&root));
        let problems = findings.into_inner();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }
}

fn of_file(path: &FilePath, error: &TrustError) -> Problem {
    Problem {
        hint: error.hint(path),
        ..Problem::of_file(Level::Error, &path.to_string_lossy(), error.to_string())
    }
}

fn read(root: &Table<'_>) -> Config {
    let default = Config::default();
    only(root, "", &[]);
    Config {
        log: log(root, default.log),
        state_dir: path(root, "state_dir", default.state_dir),
        probe: section(root, "probe").map_or(default.probe, |table| probe(&table)),
        attempts: section(root, "events").map_or(default.attempts, |table| {
            only(&table, "events", &[]);
            table.boolean("attempts").unwrap_or(default.attempts)
        }),
        flood: section(root, "flood").map_or(default.flood, |table| flood(&table)),
        rules: section(root, "rules").map_or(default.rules, |table| rules(&table)),
        response: section(root, "response").map_or(default.response, |table| response(&table)),
        health: section(root, "health").map_or(default.health, |table| health(&table)),
        spool: section(root, "spool").map_or(default.spool, |table| spool(&table)),
        sinks: if root.has("sinks") {
            sinks::sinks(root)
        } else {
            default.sinks
        },
    }
}

fn probe(table: &Table<'_>) -> Probe {
    let default = Probe::default();
    only(table, "probe", &[]);
    let ways = [
        ("auto", Acceptor::Auto),
        ("fentry", Acceptor::Fentry),
        ("kprobe", Acceptor::Kprobe),
        ("syscall-exit", Acceptor::SyscallExit),
        ("userspace", Acceptor::Userspace),
    ];
    let size = bytes(table, "ring_bytes", u64::from(default.ring_bytes));
    let ring_bytes = u32::try_from(size).unwrap_or(u32::MAX);
    if !ring_bytes.is_power_of_two() || ring_bytes < 4096 {
        let message = "ring_bytes must be a power of two, 4KiB to 2GiB".to_owned();
        table.error("ring_bytes", message);
    }
    Probe {
        acceptor: table
            .optional_one_of("acceptor", &ways)
            .unwrap_or(default.acceptor),
        acceptor_wait: duration(table, "acceptor_wait", default.acceptor_wait),
        ring_bytes,
    }
}

fn flood(table: &Table<'_>) -> Flood {
    let default = Flood::default();
    only(table, "flood", &[]);
    Flood {
        burst: number(table, "burst", default.burst, 0..=1_000_000),
        per_minute: number(table, "per_minute", default.per_minute, 1..=1_000_000),
        sources: number(table, "sources", default.sources, 1..=1_000_000),
    }
}

fn rules(table: &Table<'_>) -> Rules {
    only(table, "rules", &[]);
    Rules {
        paths: table.strings("paths").into_iter().map(Into::into).collect(),
        enable: table.strings("enable"),
        disable: table.strings("disable"),
        lenient: table.boolean("lenient").unwrap_or(false),
    }
}

fn response(table: &Table<'_>) -> Response {
    let default = Response::default();
    only(table, "response", &[]);
    let modes = [
        ("off", ResponseMode::Off),
        ("dry-run", ResponseMode::DryRun),
        ("enforce", ResponseMode::Enforce),
    ];
    let network = |text: &str| {
        let network = text.parse::<IpNet>();
        let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        if network.is_err() {
            let message = format!("{text:?} is no address and no network such as 192.0.2.0/24");
            table.error("allow", message);
        }
        network.ok()
    };
    Response {
        mode: table
            .optional_one_of("mode", &modes)
            .unwrap_or(default.mode),
        rules: table.strings("rules"),
        allow: table
            .strings("allow")
            .iter()
            .filter_map(|text| network(text))
            .collect(),
        max_per_minute: number(table, "max_per_minute", default.max_per_minute, 1..=10_000),
    }
}

fn health(table: &Table<'_>) -> Health {
    let default = Health::default();
    only(table, "health", &[]);
    let interval = duration(table, "interval", default.interval);
    if !interval.is_zero() && interval < Duration::from_secs(1) {
        table.error(
            "interval",
            "interval must be 0s (off) or 1s at least".to_owned(),
        );
    }
    let metrics = table.string("metrics").filter(|text| !text.is_empty());
    let metrics = metrics.and_then(|text| match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Some(address),
        Ok(_) => {
            let message = "metrics are served on loopback only, such as 127.0.0.1:9123";
            table.error("metrics", message.to_owned());
            None
        }
        Err(_) => {
            let message = "metrics must be an address and a port, such as 127.0.0.1:9123";
            table.error("metrics", message.to_owned());
            None
        }
    });
    Health { interval, metrics }
}

fn spool(table: &Table<'_>) -> Spool {
    const LEAST: u64 = 1 << 20;
    let default = Spool::default();
    only(table, "spool", &[]);
    let max_bytes = bytes(table, "max_bytes", default.max_bytes);
    if max_bytes < LEAST {
        table.error("max_bytes", "max_bytes must be 1MiB at least".to_owned());
    }
    Spool {
        dir: path(table, "dir", default.dir),
        max_bytes,
        sync: sync(table, default.sync),
    }
}
