//! `telnet-monitor run`: monitor this host.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use jiff::Timestamp;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use super::{RuleArgs, duration, exit};
use crate::{
    agent::{
        self, Agent,
        system::{NAME, System},
    },
    alert,
    canary::{Canary, Mark},
    enrich,
    kql::pushdown::Ports,
    pipeline::{self, Memories, Pipeline},
    probe::{AcceptorHook, LoadError, Probe, record::Hook},
    rules::{Engine, Limits, Memory, Retention},
    session::{
        kept::{Keeper, Kept},
        tracker,
    },
    sink::console::{Console, Format},
    state::{Folder, Name},
};

/// What is monitored, and how documents are written.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    rules: RuleArgs,
    /// Which documents to write.
    #[arg(long, value_enum, default_value_t = Emit::Alerts)]
    emit: Emit,
    /// How documents look.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// Stop after this long, such as 30s, 5m or 1h.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Write an event for each connection attempt too.
    #[arg(long)]
    attempts: bool,
    /// Log level: error, warn, info, debug, trace, or a filter by module.
    #[arg(
        long,
        value_name = "LEVEL",
        env = "TELNET_MONITOR_LOG",
        default_value = "info"
    )]
    log: String,
    /// Folder for what must outlast a restart: which sessions are open and were reported, and
    /// which were alerted. Made when missing.
    #[arg(
        long,
        value_name = "DIR",
        env = "TELNET_MONITOR_STATE_DIR",
        default_value = "/run/telnet-monitor"
    )]
    state_dir: PathBuf,
    /// Bytes of the kernel's ring buffer; a power of two of pages.
    #[arg(long, value_name = "BYTES", default_value_t = telnet_common::DEFAULT_RING_BYTES, hide_short_help = true)]
    ring_bytes: u32,
    /// How to learn who accepted a session.
    #[arg(long, value_enum, default_value_t = Acceptor::Auto, env = "TELNET_MONITOR_ACCEPTOR", hide_short_help = true)]
    acceptor: Acceptor,
    /// How long an accepted session waits for its acceptor before it is reported without.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "100ms", hide_short_help = true)]
    acceptor_wait: Duration,
    /// Time between two sessions of the agent's own, by which it knows that it sees sessions. A
    /// probe that was unloaded is noticed this much later.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "45s", hide_short_help = true)]
    canary_pause: Duration,
}

/// What an earlier run left, and where this one leaves the same.
struct State {
    /// Absent when it cannot be kept.
    folder: Option<Folder>,
    memory: Memory,
    memories: Memories,
}

impl State {
    /// Without the folder the agent still works, and a restart repeats events of open sessions and
    /// their alerts, with the same ids.
    fn restore(args: &Args) -> Self {
        let reports = args.emit != Emit::Alerts;
        Self::read(&args.state_dir, reports).unwrap_or_else(|error| {
            let folder = args.state_dir.display();
            warn!(%folder, %error, "nothing is remembered over a restart");
            Self {
                folder: None,
                memory: Memory::volatile(Retention::default()),
                memories: Memories {
                    kept: Kept::default(),
                    keeper: None,
                },
            }
        })
    }

    fn read(path: &Path, reports: bool) -> io::Result<Self> {
        let folder = Folder::open(path)?;
        let alerted = folder.read(Name::Alerted)?;
        // What is open is open until the kernel restarts.
        let boot = enrich::host::boot_id(&enrich::Roots::default().proc);
        let boot = boot.ok_or_else(|| io::Error::other("this boot of the kernel has no id"))?;
        let kept = Kept::restored(&folder.read(Name::Open)?, &boot);
        let keeper = Some(Keeper::new(boot, reports, &kept));
        Ok(Self {
            folder: Some(folder),
            memory: Memory::restored(&alerted, Retention::default()),
            memories: Memories { kept, keeper },
        })
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

impl From<Emit> for pipeline::Emit {
    fn from(emit: Emit) -> Self {
        match emit {
            Emit::Alerts => Self::Alerts,
            Emit::Events => Self::Events,
            Emit::All => Self::All,
        }
    }
}

/// Ways to learn who accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Acceptor {
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

impl From<Acceptor> for AcceptorHook {
    fn from(acceptor: Acceptor) -> Self {
        match acceptor {
            Acceptor::Auto => Self::Auto,
            Acceptor::Fentry => Self::Only(Hook::Fentry),
            Acceptor::Kprobe => Self::Only(Hook::Kprobe),
            Acceptor::SyscallExit => Self::Only(Hook::SyscallExit),
            Acceptor::Userspace => Self::Userspace,
        }
    }
}

/// Runs the agent; the exit code says how it ended.
pub(super) fn main(args: &Args) -> u8 {
    if let Err(message) = init_log(&args.log) {
        super::complain(&message);
        return exit::USAGE;
    }
    let Some(rules) = args.rules.load() else {
        return exit::INVALID;
    };
    let ports = rules.ports();
    if ports.is_empty() {
        error!("no enabled rule can match any port: nothing would be monitored");
        return exit::INVALID;
    }
    let runtime = match agent::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start");
            return exit::UNSUPPORTED;
        }
    };
    let loaded_at = Timestamp::now();
    let settings = alert::Settings {
        agent: NAME.to_owned(),
        space: "default".to_owned(),
        loaded_at,
    };
    let State {
        folder,
        memory,
        memories,
    } = State::restore(args);
    let engine = Engine::with(rules.rules, loaded_at, settings, memory, Limits::default());
    runtime.block_on(run(args, engine, memories, folder, &ports))
}

async fn run(
    args: &Args,
    engine: Engine,
    memories: Memories,
    state: Option<Folder>,
    ports: &Ports,
) -> u8 {
    let options = crate::probe::Options {
        ring_bytes: args.ring_bytes,
        acceptor: args.acceptor.into(),
        log: tracing::enabled!(target: "telnet_ebpf", tracing::Level::DEBUG),
    };
    let probe = match Probe::load(options) {
        Ok(probe) => probe,
        Err(error) => return refuse(&error),
    };
    for missing in probe.degraded() {
        warn!(missing, "this kernel gives less than the agent can use");
    }
    let canary = if probe.tells_namespaces() {
        Canary::build(super::canary_port(ports), probe.acceptor().is_some())
    } else {
        Err(io::Error::other(
            "without network namespaces its sessions could not be told from others",
        ))
    };
    let pipeline = Pipeline::new(
        System::new(),
        engine,
        memories,
        pipeline::Options {
            emit: args.emit.into(),
            attempts: args.attempts,
            canary: canary
                .as_ref()
                .map_or_else(|_| Mark::of_others(), |(canary, _)| canary.mark()),
            limits: tracker::Limits {
                acceptor_wait: args.acceptor_wait,
                look_after: look_after(probe.acceptor(), args.acceptor_wait),
                ..tracker::Limits::default()
            },
        },
    );
    let agent = Agent {
        probe,
        pipeline,
        console: Console::stdout(args.format),
        canary,
        canary_pause: args.canary_pause,
        state,
        filter: super::filter(ports),
        ports: ports.to_string(),
        duration: args.duration,
    };
    finish(agent.run().await)
}

/// The hook at the end of accept(2) sees no accept by `io_uring`; the others see every accept.
fn look_after(acceptor: Option<Hook>, acceptor_wait: Duration) -> Option<Duration> {
    match acceptor {
        Some(Hook::Fentry | Hook::Kprobe) => None,
        Some(Hook::SyscallExit) => Some(acceptor_wait / 2),
        None => Some(Duration::ZERO),
    }
}

fn finish(outcome: anyhow::Result<agent::Summary>) -> u8 {
    match outcome {
        Ok(summary) => {
            info!(written = summary.written, "ledger: {}", summary.ledger);
            if !summary.ledger.balances() {
                warn!("the ledger does not balance");
            }
            exit::OK
        }
        Err(error) => {
            error!("{error:#}");
            exit::INVALID
        }
    }
}

fn refuse(error: &LoadError) -> u8 {
    error!("{error}");
    exit::UNSUPPORTED
}

/// The log goes to standard error: standard output carries documents only.
pub(super) fn init_log(level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| format!("invalid log level \"{}\": {error}", level.escape_default()))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init()
        .map_err(|error| error.to_string())
}
