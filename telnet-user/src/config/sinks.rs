//! What is said of a sink.

use std::{fmt, path::PathBuf, time::Duration};

use clap::ValueEnum;

/// Documents by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Alerts, and the records that say what a rule's cap held back.
    Alerts,
    /// What happened on this host.
    Events,
    /// What the agent did and could not do.
    Health,
}

impl Stream {
    /// All of them, the most precious first.
    pub const ALL: [Self; 3] = [Self::Alerts, Self::Health, Self::Events];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Events => "events",
            Self::Health => "health",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A set of streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams(Vec<Stream>);

impl Streams {
    /// This one.
    pub fn only(stream: Stream) -> Self {
        Self(vec![stream])
    }

    /// Whether `stream` is one of them.
    pub fn contains(&self, stream: Stream) -> bool {
        self.0.contains(&stream)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Stream> {
        self.0.iter().copied()
    }
}

impl FromIterator<Stream> for Streams {
    fn from_iter<I: IntoIterator<Item = Stream>>(streams: I) -> Self {
        let mut out: Vec<Stream> = streams.into_iter().collect();
        out.sort_unstable();
        out.dedup();
        Self(out)
    }
}

impl fmt::Display for Streams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Stream::name).collect();
        formatter.write_str(&names.join(", "))
    }
}

/// One place where documents go.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// Its name, unique: what it is called in the log, in health documents and in the spool.
    pub name: String,
    /// The streams it takes.
    pub streams: Streams,
    /// What it is.
    pub target: Target,
}

impl Sink {
    /// Standard output with `streams`.
    pub fn stdout(streams: Streams) -> Self {
        Self {
            name: "stdout".to_owned(),
            streams,
            target: Target::Stdout(Stdout::default()),
        }
    }
}

/// Kinds of sinks.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Standard output.
    Stdout(Stdout),
    /// A file that is rotated.
    File(File),
    /// The systemd journal.
    Journald(Journald),
    /// RFC 5424.
    Syslog(Syslog),
    /// The `_bulk` interface of Elasticsearch and OpenSearch.
    Elasticsearch(Elasticsearch),
}

impl Target {
    /// Its `type` in the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Stdout(_) => "stdout",
            Self::File(_) => "file",
            Self::Journald(_) => "journald",
            Self::Syslog(_) => "syslog",
            Self::Elasticsearch(_) => "elasticsearch",
        }
    }
}

/// How documents look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Readable lines on a terminal, fields in the systemd journal, NDJSON otherwise.
    Auto,
    /// One JSON object a line.
    Ndjson,
    /// One readable line each.
    Pretty,
}

/// Standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stdout {
    /// How documents look.
    pub format: Format,
}

impl Default for Stdout {
    fn default() -> Self {
        Self {
            format: Format::Auto,
        }
    }
}

/// When what was written is made to outlast a power failure (fsync).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When the system does it anyway.
    Never,
    /// After each write.
    Always,
    /// Once in this time.
    Every(Duration),
}

/// A file that is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// Size at which a new one is begun; zero for never.
    pub max_bytes: u64,
    /// Age at which a new one is begun; zero for never.
    pub max_age: Duration,
    /// Rotated files that are kept.
    pub keep: u32,
    /// Compress rotated files with gzip.
    pub compress: bool,
    /// When it is made to outlast a power failure.
    pub sync: Sync,
}

impl Default for File {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/log/telnet-monitor/documents.ndjson"),
            max_bytes: 64 << 20,
            max_age: Duration::from_hours(24),
            keep: 7,
            compress: true,
            sync: Sync::Every(Duration::from_secs(1)),
        }
    }
}

/// The systemd journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journald {
    /// Its socket.
    pub socket: PathBuf,
    /// `SYSLOG_IDENTIFIER` of entries.
    pub identifier: String,
}

impl Default for Journald {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/systemd/journal/socket"),
            identifier: "telnet-monitor".to_owned(),
        }
    }
}

/// A syslog server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Where it listens.
    pub address: SyslogAddress,
    /// Facility of messages.
    pub facility: Facility,
    /// APP-NAME of messages.
    pub identifier: String,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// For `tls://`.
    pub tls: Tls,
}

impl Default for Syslog {
    fn default() -> Self {
        Self {
            address: SyslogAddress::Unix(PathBuf::from("/dev/log")),
            facility: Facility::Authpriv,
            identifier: "telnet-monitor".to_owned(),
            timeout: Duration::from_secs(10),
            tls: Tls::default(),
        }
    }
}

/// Where a syslog server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// `unix:/dev/log`, a datagram or stream socket.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`, octet counting (RFC 6587).
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// `tls://HOST:PORT` (RFC 5425).
    Tls {
        /// Name or address, which the certificate must be for.
        host: String,
        /// Port.
        port: u16,
    },
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Unix(path) => return write!(formatter, "unix:{}", path.display()),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Tls { host, port } => ("tls", host, port),
        };
        if host.contains(':') {
            write!(formatter, "{scheme}://[{host}]:{port}")
        } else {
            write!(formatter, "{scheme}://{host}:{port}")
        }
    }
}

/// Facilities that fit (RFC 5424 table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facility {
    /// System daemons.
    Daemon,
    /// Security and authorisation.
    Auth,
    /// The same, for logs that not everybody reads.
    Authpriv,
    /// `local0` to `local7`.
    Local(u8),
}

impl Facility {
    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Daemon => 3,
            Self::Auth => 4,
            Self::Authpriv => 10,
            Self::Local(number) => 16 + number,
        }
    }
}

/// How a server is known and how the agent is known to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates (PEM) of the authorities to trust; the system's when none.
    pub ca_file: Option<PathBuf>,
    /// Certificate chain (PEM) of this host.
    pub certificate_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub key_file: Option<PathBuf>,
}

/// How the agent says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// It does not.
    None,
    /// An API key, base64 as Kibana shows it, in this file.
    ApiKey(PathBuf),
    /// A user, whose password is in this file.
    Basic {
        /// Name of the user.
        username: String,
        /// File with the password.
        password_file: PathBuf,
    },
}

/// An Elasticsearch or OpenSearch cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Elasticsearch {
    /// Base URLs of its nodes; the next one is tried when one fails.
    pub nodes: Vec<String>,
    /// How the agent says who it is.
    pub secret: Secret,
    /// For `https` nodes.
    pub tls: Tls,
    /// Data stream of alerts.
    pub alerts_stream: String,
    /// Data stream of events.
    pub events_stream: String,
    /// Data stream of health documents.
    pub health_stream: String,
    /// Most documents of one request.
    pub batch_documents: usize,
    /// Most bytes of one request, before compression.
    pub batch_bytes: u64,
    /// Compress requests with gzip.
    pub compress: bool,
    /// How long a request may take.
    pub timeout: Duration,
    /// Longest wait between tries.
    pub backoff_max: Duration,
    /// Where documents go that the cluster refuses for good; in the spool when none.
    pub dead_letter_file: Option<PathBuf>,
    /// Size at which the dead letters begin anew, the last ones kept.
    pub dead_letter_max_bytes: u64,
}

impl Default for Elasticsearch {
    fn default() -> Self {
        Self {
            nodes: vec!["https://127.0.0.1:9200".to_owned()],
            secret: Secret::None,
            tls: Tls::default(),
            alerts_stream: "logs-telnet_monitor.alerts-default".to_owned(),
            events_stream: "logs-network_traffic.telnet-default".to_owned(),
            health_stream: "metrics-telnet_monitor.health-default".to_owned(),
            batch_documents: 500,
            batch_bytes: 5 << 20,
            compress: true,
            timeout: Duration::from_secs(30),
            backoff_max: Duration::from_mins(1),
            dead_letter_file: None,
            dead_letter_max_bytes: 16 << 20,
        }
    }
}
