//! `telnet-monitor doctor`: what works on this host, what is degraded, what to do.
//!
//! Loads a probe of its own beside that of a running agent, which knows its canary and stays
//! quiet.

mod host;
mod report;

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::mpsc::Sender, time::sleep};

use self::report::{Check, Report};
use super::{exit, print};
use crate::{
    agent::{
        self,
        system::{NAME, System},
        watch,
    },
    alert,
    canary::{Canary, Mark, Namespace, Sighting},
    pipeline::{self, Emit, Making, Memories, Now, Output, Pipeline},
    probe::{Options, Probe, filter::Filter},
    rules::Engine,
    session::{kept::Kept, tracker},
};

/// Telnet: what the canary session is opened on.
const PORT: u16 = 23;
/// Longest sleep between two looks at what is due.
const TICK: Duration = Duration::from_millis(10);

/// How to show it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// Looks at everything and prints it.
pub(super) fn main(args: &Args) -> u8 {
    if let Err(message) = super::run::init_log("warn") {
        super::complain(&message);
    }
    let runtime = match agent::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            super::complain(&format!("cannot start: {error}"));
            return exit::UNSUPPORTED;
        }
    };
    let report = runtime.block_on(examine());
    let text = if args.json {
        report.json()
    } else {
        Ok(report.text())
    };
    let printed = text.and_then(|text| {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    });
    print(printed.map(|()| report.exit_code()), exit::INVALID)
}

async fn examine() -> Report {
    let outcome = Probe::load(Options {
        protocol: true,
        ..Options::default()
    });
    let mut checks = host::loading(&outcome);
    let is_unsupported = outcome.is_err();
    if let Ok(mut probe) = outcome {
        checks.extend(host::features(&probe));
        checks.push(host::accept_hook(probe.acceptor()));
        checks.extend(host::protocol(probe.protocol()));
        checks.push(canary(&mut probe).await);
    }
    checks.push(host::sockets());
    checks.push(host::cgroups());
    Report::new(checks, is_unsupported)
}

/// Opens a canary session and awaits it behind a pipeline like the agent's.
async fn canary(probe: &mut Probe) -> Check {
    const NAME: &str = "canary session";
    if !probe.tells_namespaces() {
        return Check::degraded(
            NAME,
            "its sessions could not be told from others without network namespaces",
            "run a kernel built with CONFIG_DEBUG_INFO_BTF=y, or nothing says so if the probe goes blind",
        );
    }
    let hook = probe.acceptor();
    let (mut canary, seen) = match Namespace::create() {
        Ok(namespace) => Canary::new(namespace, PORT, hook.is_some()),
        Err(error) => {
            return Check::degraded(
                NAME,
                format!("no network namespace for it: {error}"),
                "allow CAP_SYS_ADMIN at start, or nothing says so if the probe goes blind",
            );
        }
    };
    let mut pipeline = pipeline(canary.mark(), hook.is_some());
    let filter = Filter::ports(&BTreeSet::from([PORT]));
    let before = probe.ledger().unwrap_or_default();
    if let Err(error) = probe.set_filter(filter) {
        return Check::failed(NAME, error.to_string(), "see the kernel's log");
    }
    let round = async { canary.round().await };
    let outcome = tokio::select! {
        outcome = round => outcome,
        error = feed(probe, &mut pipeline, &seen) => {
            return Check::failed(NAME, error.to_string(), "see the kernel's log");
        }
    };
    match outcome {
        Ok(took) => Check::ok(
            NAME,
            format!("both ends reported with the right process after {took:.1?}"),
        ),
        Err(failure) => {
            let after = probe.ledger().unwrap_or_default();
            Check::failed(
                NAME,
                watch::reason(&failure, &before, &after),
                "sessions may be missed: please report this with the kernel's version",
            )
        }
    }
}

/// Without rules: only what comes out of canaries is looked at.
fn pipeline(canary: Mark, has_hook: bool) -> Pipeline<System> {
    let settings = alert::Settings {
        agent: NAME.to_owned(),
        space: "default".to_owned(),
        loaded_at: Timestamp::now(),
    };
    let memories = Memories {
        kept: Kept::default(),
        keeper: None,
    };
    let options = pipeline::Options {
        making: Making {
            emit: Emit {
                alerts: false,
                events: true,
            },
            attempts: false,
            budget: None,
        },
        canary,
        limits: tracker::Limits {
            look_after: (!has_hook).then_some(Duration::ZERO),
            ..tracker::Limits::default()
        },
    };
    let engine = Engine::new(Vec::new(), Timestamp::now(), settings);
    Pipeline::new(System::new(), engine, memories, options)
}

/// Drives the pipeline until the kernel cannot be waited on any more.
async fn feed(
    probe: &mut Probe,
    pipeline: &mut Pipeline<System>,
    seen: &Sender<Sighting>,
) -> io::Error {
    let mut out = Vec::new();
    loop {
        tokio::select! {
            ready = probe.ready() => {
                if let Err(error) = ready {
                    return error;
                }
            }
            () = sleep(TICK) => {}
        }
        let now = Now::read();
        while let Some(record) = probe.take_record() {
            pipeline.push(record, &now, &mut out);
        }
        pipeline.tick(&now, &mut out);
        for output in out.drain(..) {
            if let Output::Canary(sighting) = output {
                // It waits for four at most, and there is room for more.
                let _heard = seen.try_send(sighting);
            }
        }
    }
}
