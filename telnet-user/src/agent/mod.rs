//! The only wiring: probe, pipeline and sinks, each on its own thread, and how they end.
//!
//! The reader (the async side) drains the ring buffer into a bounded channel, one thread owns
//! the pipeline, one thread writes. When writing stalls, the channels fill and the ring buffer
//! becomes the queue: what does not fit there is counted by the kernel.

mod ends;
mod metrics;
mod outbox;
mod pace;
mod reader;
mod repair;
pub mod system;
mod vitals;
pub mod watch;
mod workers;
mod writer;

use std::{fmt, io, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::mpsc::Sender,
    time::timeout,
};
use tracing::info;

use self::{
    ends::Ends,
    reader::{Input, Reader},
    vitals::{Pulse, Vitals},
    workers::Workers,
    writer::Writer,
};

use crate::{
    canary::{Canary, Sighting},
    config,
    pipeline::{Enrich, Making, Pipeline},
    probe::{Ledger, Probe, filter::Filter},
    rules::Rule,
    sandbox,
    sink::Sinks,
    state::Folder,
};

/// How long the last documents may take at the end: on a host without a free processor it takes
/// seconds alone to look who serves the sessions that wait. Service managers wait longer.
const GRACE: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Debug)]
pub struct Summary {
    /// The kernel ledger, everything drained.
    pub ledger: Ledger,
    /// Documents written.
    pub written: u64,
}

/// What a run needs.
#[derive(Debug)]
pub struct Agent<E> {
    /// The attached probe.
    pub probe: Probe,
    /// Sessions and rules.
    pub pipeline: Pipeline<E>,
    /// Where documents go.
    pub sinks: Sinks,
    /// The canary, and where its sightings go; absent where none can be made.
    pub canary: io::Result<(Canary, Sender<Sighting>)>,
    /// What outlasts this run; absent when it cannot be kept.
    pub state: Option<Folder>,
    /// What is monitored.
    pub scope: Scope,
    /// What the agent says about itself.
    pub health: config::Health,
    /// What this process gave up; absent when nothing.
    pub sandbox: Option<sandbox::Report>,
    /// Reads configuration and rules anew.
    pub reloader: Reloader,
    /// Ends by itself after this long.
    pub duration: Option<Duration>,
}

/// What is monitored.
#[derive(Clone, Debug)]
pub struct Scope {
    /// What the kernel reports.
    pub filter: Filter,
    /// The same in words.
    pub ports: String,
    /// The port of canary sessions.
    pub canary: u16,
    /// A rule asks for the protocol of sessions.
    pub protocol: bool,
}

/// Reads configuration and rules anew.
pub struct Reloader(Box<dyn Fn() -> Option<Reloaded>>);

impl Reloader {
    /// `read` gives nothing when something is wrong, which it has told by then.
    pub fn new(read: impl Fn() -> Option<Reloaded> + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reloader")
    }
}

/// A new configuration.
#[derive(Debug)]
pub struct Reloaded {
    /// What is monitored.
    pub scope: Scope,
    /// What the agent says about itself.
    pub health: config::Health,
    /// What the threads have to know.
    pub reload: Reload,
}

/// What the pipeline and the writer are to do from now on.
#[derive(Debug)]
pub struct Reload {
    /// Where documents go.
    pub sinks: Vec<config::Sink>,
    /// All rules, enabled or not.
    pub rules: Vec<Rule>,
    /// What may be done on an alert.
    pub response: config::Response,
    /// Which documents are made.
    pub making: Making,
}

/// Makes the runtime everything asynchronous lives on.
///
/// # Errors
///
/// When the system gives no event queue.
pub fn runtime() -> io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

impl<E: Enrich + Send + 'static> Agent<E> {
    /// Monitors until SIGINT, SIGTERM, the end of `duration`, or until nothing can be written.
    /// SIGHUP takes up configuration and rules anew.
    ///
    /// # Errors
    ///
    /// When the kernel's maps or signals cannot be used, or when documents could not be written.
    pub async fn run(self) -> anyhow::Result<Summary> {
        let Self {
            probe,
            pipeline,
            sinks,
            canary,
            state,
            scope,
            health,
            sandbox,
            reloader,
            duration,
        } = self;
        let mut ends = Ends::new(duration)?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
        let vitals = Vitals::start(health, sandbox).context("cannot serve metrics")?;
        let (canary, sightings) = canary.map_or_else(
            |error| (Err(error), None),
            |(canary, seen)| (Ok(canary), Some(seen)),
        );
        let writer = Writer {
            sinks,
            sightings,
            state,
        };
        let (mut workers, inputs) = Workers::start(pipeline, writer)?;
        sandbox::only_look();
        let mut reader = Reader::new(probe, inputs, scope, reloader, vitals, canary);
        // Whatever it waits for must not keep the agent from ending.
        tokio::select! {
            reason = ends.any() => info!(reason, "stopping"),
            () = workers.ended() => {}
            over = reader.serve(&mut hangup) => over?,
        }
        Vitals::stopping();
        let last = async {
            let probe = reader.finish().await;
            workers.finish().await.map(|written| (probe, written))
        };
        let Ok(ended) = timeout(GRACE, last).await else {
            bail!("the last documents were not written within {GRACE:?}");
        };
        let (probe, written) = ended?;
        let ledger = probe
            .ledger()
            .context("cannot read the kernel's counters")?;
        Ok(Summary { ledger, written })
    }
}
