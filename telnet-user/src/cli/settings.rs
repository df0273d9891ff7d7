//! What the agent runs with: the configuration file, and over it the environment and what is
//! typed.

use std::{env, os::fd::AsFd, path::PathBuf, time::Duration};

use clap::ValueEnum;

use super::{RuleArgs, Rules, complain, load, options, sources};
use crate::{
    config::{Acceptor, Config, Format, Loaded, Stream, Streams, units},
    rules::{Level, LoadReport, Source},
};

/// Which configuration, and which of its rules.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Configuration file, instead of /etc/telnet-monitor/config.toml, which need not be there.
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "TELNET_MONITOR_CONFIG"
    )]
    config: Option<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
}

impl ConfigArgs {
    /// Reads the configuration. What is wrong is on standard error by then.
    pub(super) fn read(&self) -> Option<Loaded> {
        match Config::read(self.config.as_deref()) {
            Ok(loaded) => {
                let rules = self.rules.over(loaded.config.rules);
                let config = Config {
                    rules,
                    ..loaded.config
                };
                Some(Loaded { config, ..loaded })
            }
            Err(problems) => {
                for problem in problems {
                    complain(&problem.render());
                }
                None
            }
        }
    }
}

/// Loads the rules of `config`, and what an agent that runs with them has beside them. With `trusted`
/// none that others than root and this user could change. Problems are on standard error by then.
pub(super) fn report(config: &Config, trusted: bool, runs: bool) -> LoadReport {
    let rules = &config.rules;
    let options = crate::rules::Options {
        trusted,
        ..options(rules, false)
    };
    let mut sources = sources(&rules.paths);
    if runs && !rules.paths.is_empty() {
        // Whatever the rules, what the agent holds back is an alert.
        sources.push(Source::Flood);
    }
    let report = load(&sources, &options, Level::Warning);
    let named = [
        ("rules.enable", &rules.enable),
        ("rules.disable", &rules.disable),
        ("response.rules", &config.response.rules),
    ];
    for (key, ids) in named {
        let is_unknown = |id: &&String| report.rules.iter().all(|rule| rule.rule_id != **id);
        for id in ids.iter().filter(is_unknown) {
            complain(&format!("warning: {key}: no rule has the id {id:?}"));
        }
    }
    report
}

/// [`report`] for a run as this user, which under the service is not root; `None` when a problem is
/// an error.
pub(super) fn rules(config: &Config) -> Option<Rules> {
    let report = report(config, true, true);
    (!report.has_errors()).then_some(Rules {
        rules: report.rules,
    })
}

/// What of the configuration can be typed for one run.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Overrides {
    /// Which documents to write to standard output. [default: alerts]
    #[arg(long, value_enum)]
    emit: Option<Emit>,
    /// How documents on standard output look. [default: auto]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write an event for each connection attempt too.
    #[arg(long)]
    attempts: bool,
    /// Log level: error, warn, info, debug, trace, off, or levels by module. [default: info]
    #[arg(long, value_name = "LEVEL", env = "TELNET_MONITOR_LOG")]
    log: Option<String>,
    /// Folder for what must outlast a restart: which sessions are open and were reported, and
    /// which were alerted. Made when missing.
    /// [default: /run/telnet-monitor]
    #[arg(long, value_name = "DIR", env = "TELNET_MONITOR_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Bytes of the kernel's ring buffer; a power of two of pages.
    #[arg(long, value_name = "BYTES", hide_short_help = true)]
    ring_bytes: Option<u32>,
    /// How to learn who accepted a session. [default: auto]
    #[arg(
        long,
        value_enum,
        env = "TELNET_MONITOR_ACCEPTOR",
        hide_short_help = true
    )]
    acceptor: Option<Acceptor>,
    /// How long an accepted session waits for its acceptor before it is reported without.
    /// [default: 100ms]
    #[arg(long, value_name = "TIME", value_parser = units::duration, hide_short_help = true)]
    acceptor_wait: Option<Duration>,
    /// Connections of one address that are told at once; 0 to tell all there are. [default: 5000]
    #[arg(long, value_name = "NUMBER", hide_short_help = true)]
    flood_burst: Option<u32>,
}

impl Overrides {
    /// Lays what is typed, or in the environment, over `config`.
    pub(super) fn apply(&self, config: &mut Config) {
        let Self {
            emit,
            format,
            attempts,
            log,
            state_dir,
            ring_bytes,
            acceptor,
            acceptor_wait,
            flood_burst,
        } = self;
        if let Some(emit) = *emit {
            config.emit(emit.into());
        }
        if let Some(format) = *format {
            config.format(format);
        }
        config.attempts |= attempts;
        set(&mut config.log, log.as_ref());
        set(&mut config.state_dir, state_dir.as_ref());
        set(&mut config.probe.ring_bytes, ring_bytes.as_ref());
        set(&mut config.probe.acceptor, acceptor.as_ref());
        set(&mut config.probe.acceptor_wait, acceptor_wait.as_ref());
        set(&mut config.flood.burst, flood_burst.as_ref());
    }
}

/// Whether the service manager has connected this file with the journal, by `JOURNAL_STREAM`: its
/// device and inode number (systemd.exec(5)).
pub(super) fn is_journal(file: impl AsFd) -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(file).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn set<T: Clone>(value: &mut T, typed: Option<&T>) {
    if let Some(typed) = typed {
        value.clone_from(typed);
    }
}

/// Streams on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Emit {
    /// Alerts only.
    Alerts,
    /// Events only.
    Events,
    /// Alerts and events.
    All,
}

impl From<Emit> for Streams {
    fn from(emit: Emit) -> Self {
        match emit {
            Emit::Alerts => Self::only(Stream::Alerts),
            Emit::Events => Self::only(Stream::Events),
            Emit::All => [Stream::Alerts, Stream::Events].into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        overrides: Overrides,
    }

    /// What a run gets with `file`, with the words typed.
    fn config(file: &str, words: &[&str]) -> Config {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("config.toml");
        fs::write(&path, file).expect("written");
        let path = path.to_string_lossy();
        let words = [&["run", "-c", &path], words].concat();
        let typed = Typed::parse_from(words);
        let mut config = typed.config.read().expect("valid").config;
        typed.overrides.apply(&mut config);
        config
    }

    #[test]
    fn what_is_typed_is_stronger_than_the_file() {
        let file = "log = \"debug\"\nstate_dir = \"/f\"\n[probe]\nacceptor = \"kprobe\"\n\
                    ring_bytes = \"8KiB\"\nacceptor_wait = \"1s\"\n\
                    [flood]\nburst = 9\n\
                    [rules]\npaths = [\"/f\"]\nenable = [\"a\", \"b\"]\ndisable = [\"c\", \"d\"]";
        let plain = config(file, &[]);
        assert_eq!(plain.log, "debug");
        assert_eq!(plain.state_dir, PathBuf::from("/f"));
        assert_eq!(plain.probe.acceptor, Acceptor::Kprobe);
        assert_eq!(plain.probe.ring_bytes, 8192);
        let typed = [
            "--log=warn",
            "--state-dir=/t",
            "--acceptor=userspace",
            "--ring-bytes=4096",
            "--acceptor-wait=2s",
            "--flood-burst=7",
            "--attempts",
            "--rules=/t",
            "--enable=c",
            "--disable=a",
            "--lenient",
        ];
        let typed = config(file, &typed);
        assert_eq!(typed.log, "warn");
        assert_eq!(typed.state_dir, PathBuf::from("/t"));
        assert_eq!(typed.probe.acceptor, Acceptor::Userspace);
        assert_eq!(typed.probe.ring_bytes, 4096);
        assert_eq!(typed.probe.acceptor_wait, Duration::from_secs(2));
        assert_eq!((plain.flood.burst, typed.flood.burst), (9, 7));
        assert!(typed.attempts && typed.rules.lenient);
        assert_eq!(typed.rules.paths, [PathBuf::from("/t")]);
        assert_eq!(typed.rules.enable, ["b", "c"]);
        assert_eq!(typed.rules.disable, ["d", "a"]);
    }

    #[test]
    fn emit_and_format_are_about_standard_output() {
        let all: Streams = [Stream::Alerts, Stream::Events].into_iter().collect();
        let default = config("", &["--emit=all", "--format=pretty"]);
        assert_eq!(default.sinks.len(), 1);
        assert_eq!(default.sinks[0].streams, all);
        let file = "[[sinks]]\ntype = \"journald\"\nstreams = [\"health\"]";
        let with_journal = config(file, &["--emit=all"]);
        assert_eq!(with_journal.sinks.len(), 2, "added");
        assert_eq!(
            with_journal.sinks[1],
            Config {
                sinks: vec![crate::config::Sink::stdout(all)],
                ..Config::default()
            }
            .sinks[0]
        );
        assert_eq!(
            config(file, &[]).sinks.len(),
            1,
            "nothing typed, nothing added"
        );
    }
}
