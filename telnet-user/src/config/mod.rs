//! The configuration: what `/etc/telnet-monitor/config.toml` may say, checked and complete.
//!
//! Three layers lie above the defaults, each stronger than the one before: the file, the
//! environment, the command line. The file is read by [`Config::read`]; the command line and the
//! environment are laid over it by the command that runs.

pub mod log;
mod read;
mod sinks;
#[cfg(test)]
mod tests;
pub mod units;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use ipnet::IpNet;

pub use self::{
    read::{DEFAULT_FILE, Loaded},
    sinks::{
        Elasticsearch, Facility, File, Format, Journald, Secret, Sink, Stdout, Stream, Streams,
        Sync, Syslog, SyslogAddress, Target, Tls,
    },
};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Log level, or levels by module: see [`log::filter`].
    pub log: String,
    /// Folder for what must outlast a restart but not a boot.
    pub state_dir: PathBuf,
    /// The probe.
    pub probe: Probe,
    /// Make an event of each connection attempt too.
    pub attempts: bool,
    /// How much of a flood is told.
    pub flood: Flood,
    /// The rules.
    pub rules: Rules,
    /// What may be done on an alert.
    pub response: Response,
    /// What the agent says about itself.
    pub health: Health,
    /// Where documents wait for sinks that may be out of reach.
    pub spool: Spool,
    /// Where documents go.
    pub sinks: Vec<Sink>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            state_dir: PathBuf::from("/run/telnet-monitor"),
            probe: Probe::default(),
            attempts: false,
            flood: Flood::default(),
            rules: Rules::default(),
            response: Response::default(),
            health: Health::default(),
            spool: Spool::default(),
            sinks: vec![Sink::stdout(Streams::only(Stream::Alerts))],
        }
    }
}

impl Config {
    /// Whether any sink takes documents of `stream`.
    pub fn routes(&self, stream: Stream) -> bool {
        self.sinks.iter().any(|sink| sink.streams.contains(stream))
    }

    /// The folders that a run writes to. Those of the package are among them where they are, so that
    /// a reload can add sinks that use them.
    pub fn writable(&self) -> Vec<PathBuf> {
        let of_sinks = self.sinks.iter().filter_map(|sink| match &sink.target {
            Target::File(file) => file.path.parent(),
            Target::Elasticsearch(elastic) => elastic.dead_letter_file.as_deref()?.parent(),
            Target::Stdout(_) | Target::Journald(_) | Target::Syslog(_) => None,
        });
        let is_spooled = |sink: &Sink| !matches!(sink.target, Target::Stdout(_) | Target::File(_));
        let spool = self
            .sinks
            .iter()
            .any(is_spooled)
            .then_some(&*self.spool.dir);
        let of_package = PACKAGE_FOLDERS.map(Path::new).into_iter();
        let folders = of_sinks.chain(spool).chain([&*self.state_dir]);
        let folders = folders.chain(of_package.filter(|folder| folder.is_dir()));
        folders.map(Path::to_path_buf).collect()
    }

    /// Makes standard output carry `streams`, whatever the sinks were.
    pub fn emit(&mut self, streams: Streams) {
        let stdout = self
            .sinks
            .iter_mut()
            .find(|sink| matches!(sink.target, Target::Stdout(_)));
        match stdout {
            Some(sink) => sink.streams = streams,
            None => self.sinks.push(Sink::stdout(streams)),
        }
    }

    /// Standard output goes to the systemd journal: unless a form was chosen for it, the journal
    /// gets entries with fields instead of lines.
    pub fn write_journal_natively(&mut self) {
        for sink in &mut self.sinks {
            if matches!(
                sink.target,
                Target::Stdout(Stdout {
                    format: Format::Auto
                })
            ) {
                sink.target = Target::Journald(Journald::default());
            }
        }
    }

    /// Makes standard output look like `format`, when it is a sink.
    pub fn format(&mut self, format: Format) {
        for sink in &mut self.sinks {
            if let Target::Stdout(stdout) = &mut sink.target {
                stdout.format = format;
            }
        }
    }
}

/// Where the service may write (`StateDirectory=` and `LogsDirectory=` of its unit).
const PACKAGE_FOLDERS: [&str; 2] = ["/var/lib/telnet-monitor", "/var/log/telnet-monitor"];

/// How the probe is loaded. Takes effect at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// How to learn who accepted a session.
    pub acceptor: Acceptor,
    /// How long an accepted session waits for its acceptor.
    pub acceptor_wait: Duration,
    /// Bytes of the kernel's ring buffer; a power of two of pages.
    pub ring_bytes: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            acceptor: Acceptor::Auto,
            acceptor_wait: Duration::from_millis(100),
            ring_bytes: telnet_common::DEFAULT_RING_BYTES,
        }
    }
}

/// Ways to learn who accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Acceptor {
    /// The first of the hooks that this kernel takes, else userspace.
    Auto,
    /// fentry `security_sock_graft`.
    Fentry,
    /// kprobe `security_sock_graft`.
    Kprobe,
    /// Tracepoints `sys_exit_accept` and `sys_exit_accept4`.
    SyscallExit,
    /// `sock_diag` and `/proc`.
    Userspace,
}

/// How many connections of each source are told before they are only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// Connections at once; 0 to tell all there are.
    pub burst: u32,
    /// Connections a minute from then on.
    pub per_minute: u32,
    /// Sources that are told apart at the same time.
    pub sources: u32,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            // Far beyond what anything but a flood makes: up to here events and alerts are those that
            // Elastic's rules would lead to.
            burst: 5_000,
            per_minute: 600,
            sources: 4_096,
        }
    }
}

/// Which rules run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Rule files and folders; the embedded rules when empty.
    pub paths: Vec<PathBuf>,
    /// Ids of rules to enable, whatever their files say.
    pub enable: Vec<String>,
    /// Ids of rules to disable.
    pub disable: Vec<String>,
    /// Accept queries that hardly mean what they say.
    pub lenient: bool,
}

/// What may be done on an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Whether sessions are closed.
    pub mode: ResponseMode,
    /// Ids of rules that ask for it, besides those whose files do.
    pub rules: Vec<String>,
    /// Peers whose sessions are never closed.
    pub allow: Vec<IpNet>,
    /// Most sessions that are closed within a minute.
    pub max_per_minute: u32,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            mode: ResponseMode::Off,
            rules: Vec::new(),
            allow: Vec::new(),
            max_per_minute: 10,
        }
    }
}

/// Whether sessions are closed when rules ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// No, and nothing is said about it.
    Off,
    /// No, but documents say which would be.
    DryRun,
    /// Yes.
    Enforce,
}

/// What the agent says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Time between heartbeat documents; zero for none.
    pub interval: Duration,
    /// Address on loopback for Prometheus to scrape; none when not asked for.
    pub metrics: Option<SocketAddr>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(1),
            metrics: None,
        }
    }
}

/// Where documents wait for sinks that may be out of reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Its folder; each sink has one of its own below. Takes effect at start.
    pub dir: PathBuf,
    /// Most bytes on disk for each sink.
    pub max_bytes: u64,
    /// When what was written is made to outlast a power failure.
    pub sync: Sync,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/telnet-monitor/spool"),
            max_bytes: 256 << 20,
            sync: Sync::Every(Duration::from_secs(1)),
        }
    }
}
