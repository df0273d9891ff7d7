//! `telnet-monitor run`: monitor this host.

mod reload;

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::mpsc::Sender;
use tracing::{error, info, warn};

use super::{
    NOTHING_WANTED, exit, scope,
    settings::{self, ConfigArgs, Overrides},
};
use crate::{
    agent::{
        self, Agent, Scope,
        system::{NAME, System},
    },
    alert,
    canary::{Canary, Mark, Namespace, Sighting},
    config::{self, Acceptor, Config, Flood, Health, ResponseMode, Stream, units},
    enrich,
    flood::Budget,
    pipeline::{self, Emit, Making, Memories, Pipeline},
    probe::{AcceptorHook, LoadError, Probe, record::Hook},
    rules::{Engine, Limits, Memory, Retention, Rule},
    sandbox::{self, Wall},
    session::{
        kept::{Keeper, Kept},
        tracker,
    },
    sink::Sinks,
    state::{Folder, Name},
};

/// What is monitored, and where documents go.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    overrides: Overrides,
    /// Stop after this long, such as 30s, 5m or 1h.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,
    /// Time between two sessions of the agent's own, by which it knows that it sees sessions. A
    /// probe that was unloaded is noticed this much later.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "45s", hide_short_help = true)]
    canary_pause: Duration,
    /// The host's network namespace, where the agent goes when it is started in another one: that
    /// one is its canary's.
    #[arg(long, value_name = "PATH", env = super::HOST_NETWORK, hide = true)]
    host_network: Option<PathBuf>,
    /// Keep every privilege, to find out whether the sandbox is to blame for something.
    #[arg(long, hide_short_help = true)]
    no_sandbox: bool,
}

impl Args {
    /// The configuration of this run. What is wrong is on standard error by then.
    fn config(&self) -> Option<Config> {
        let mut config = self.config.read()?.config;
        self.overrides.apply(&mut config);
        if settings::is_journal(io::stdout()) {
            config.write_journal_natively();
        }
        Some(config)
    }
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
    fn restore(config: &Config) -> Self {
        let reports = config.routes(Stream::Events);
        Self::read(&config.state_dir, reports).unwrap_or_else(|error| {
            let folder = config.state_dir.display();
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
        let kept = Kept::restored(&folder.read(Name::Open)?, &boot).unwatched();
        let keeper = Some(Keeper::new(boot, reports, &kept));
        Ok(Self {
            folder: Some(folder),
            memory: Memory::restored(&alerted, Retention::default()),
            memories: Memories { kept, keeper },
        })
    }
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
    let Some(config) = args.config() else {
        return exit::INVALID;
    };
    if let Err(message) = init_log(&config.log) {
        super::complain(&message);
        return exit::USAGE;
    }
    let Some((rules, scope)) = rules(&config) else {
        return exit::INVALID;
    };
    // While this is the only thread.
    let namespace = match &args.host_network {
        None => Namespace::create(),
        Some(host) => match Namespace::take_over(host) {
            Ok(namespace) => Ok(namespace),
            Err(error) => {
                // Elsewhere it would deliver nothing.
                let host = host.display();
                error!(%host, %error, "cannot go over to the host's network");
                return exit::UNSUPPORTED;
            }
        },
    };
    let runtime = match agent::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start");
            return exit::UNSUPPORTED;
        }
    };
    runtime.block_on(run(args, config, rules, scope, namespace))
}

/// The rules of `config`, and what they make the agent monitor. What is wrong is told by then.
fn rules(config: &Config) -> Option<(Vec<Rule>, Scope)> {
    let rules = settings::rules(config)?;
    let wanted = rules.wanted();
    if wanted.is_empty() {
        error!("{NOTHING_WANTED}");
        return None;
    }
    info!(sessions = %wanted, "what rules make the kernel report");
    let scope = scope::of(&wanted, rules.ask_for_protocol());
    Some((rules.rules, scope))
}

async fn run(
    args: &Args,
    config: Config,
    rules: Vec<Rule>,
    scope: Scope,
    namespace: io::Result<Namespace>,
) -> u8 {
    let closes_sessions = config.response.mode == ResponseMode::Enforce;
    if closes_sessions && !sandbox::can_close_sessions() {
        error!(
            "[response] mode = \"enforce\" takes CAP_NET_ADMIN, which this process does not have: \
             give it to the service in a drop-in (systemctl edit telnet-monitor)"
        );
        return exit::UNSUPPORTED;
    }
    let probe = match load(&config, scope.protocol) {
        Ok(probe) => probe,
        Err(error) => return refuse(&error),
    };
    let sandbox = (!args.no_sandbox).then(|| enter_sandbox(&config.writable(), closes_sessions));
    if sandbox.is_none() {
        warn!("no sandbox: whoever takes the agent over has all its privileges");
    }
    let Some(sinks) = open(&config) else {
        return exit::INVALID;
    };
    let State {
        folder,
        memory,
        memories,
    } = State::restore(&config);
    let canary = canary(&probe, namespace, scope.canary)
        .map(|(canary, seen)| (canary.with_pause(args.canary_pause), seen));
    let acceptor_wait = config.probe.acceptor_wait;
    let pipeline = Pipeline::new(
        System::new(),
        engine(rules, memory),
        memories,
        pipeline::Options {
            making: making(&config),
            canary: canary
                .as_ref()
                .map_or_else(|_| Mark::of_others(), |(canary, _)| canary.mark()),
            limits: tracker::Limits {
                acceptor_wait,
                look_after: look_after(probe.acceptor(), acceptor_wait),
                ..tracker::Limits::default()
            },
        },
    )
    .responding(config.response.clone());
    let agent = Agent {
        probe,
        pipeline,
        sinks,
        canary,
        state: folder,
        scope,
        health: health(&config),
        sandbox,
        duration: args.duration,
        reloader: reload::reloader(args.clone(), config),
    };
    finish(agent.run().await)
}

/// The attached probe, which looks for the `protocol` of sessions or not.
fn load(config: &Config, protocol: bool) -> Result<Probe, LoadError> {
    let options = crate::probe::Options {
        ring_bytes: config.probe.ring_bytes,
        acceptor: config.probe.acceptor.into(),
        protocol,
        log: tracing::enabled!(target: "telnet_ebpf", tracing::Level::DEBUG),
    };
    let probe = Probe::load(options)?;
    for missing in probe.degraded() {
        warn!(missing, "this kernel gives less than the agent can use");
    }
    Ok(probe)
}

/// The sinks of `config`. What is wrong is in the log by then.
fn open(config: &Config) -> Option<Sinks> {
    Sinks::open(&config.sinks, &config.spool)
        .inspect_err(|error| error!("{error}"))
        .ok()
}

/// Gives up what is no longer needed, and says what this kernel has no wall for.
fn enter_sandbox(writable: &[PathBuf], closes_sessions: bool) -> sandbox::Report {
    let report = sandbox::enter(writable, closes_sessions);
    for (wall, state) in report.walls() {
        match state {
            Wall::Enforced => {}
            Wall::Partial => info!(wall, "this kernel enforces only a part of it"),
            Wall::Absent(reason) => warn!(wall, reason, "not to be had on this kernel"),
        }
    }
    report
}

fn canary(
    probe: &Probe,
    namespace: io::Result<Namespace>,
    port: u16,
) -> io::Result<(Canary, Sender<Sighting>)> {
    if !probe.tells_namespaces() {
        return Err(io::Error::other(
            "without network namespaces its sessions could not be told from others",
        ));
    }
    Ok(Canary::new(namespace?, port, probe.acceptor().is_some()))
}

/// The hook at the end of accept(2) sees no accept by `io_uring`; the others see every accept.
fn look_after(acceptor: Option<Hook>, acceptor_wait: Duration) -> Option<Duration> {
    match acceptor {
        Some(Hook::Fentry | Hook::Kprobe) => None,
        Some(Hook::SyscallExit) => Some(acceptor_wait / 2),
        None => Some(Duration::ZERO),
    }
}

fn engine(rules: Vec<Rule>, memory: Memory) -> Engine {
    let loaded_at = Timestamp::now();
    let settings = alert::Settings {
        agent: NAME.to_owned(),
        space: "default".to_owned(),
        loaded_at,
    };
    Engine::with(rules, loaded_at, settings, memory, Limits::default())
}

/// Which documents are made: those that a sink takes.
fn making(config: &Config) -> Making {
    let Flood {
        burst,
        per_minute,
        sources,
    } = config.flood;
    Making {
        emit: Emit {
            alerts: config.routes(Stream::Alerts),
            events: config.routes(Stream::Events),
        },
        attempts: config.attempts,
        budget: Budget::new(burst, per_minute, sources),
    }
}

/// A heartbeat that no sink takes is not made.
fn health(config: &Config) -> Health {
    let mut health = config.health;
    if !config.routes(Stream::Health) {
        health.interval = Duration::ZERO;
    }
    health
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
    let filter = config::log::filter(level)
        .map_err(|error| format!("invalid log level \"{}\": {error}", level.escape_default()))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init()
        .map_err(|error| error.to_string())
}
