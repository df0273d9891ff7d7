//! The only wiring: probe, pipeline and sinks, each on its own thread, and how they end.
//!
//! The reader (the async side) drains the ring buffer into a bounded channel, one thread owns
//! the pipeline, one thread writes. When writing stalls, the channels fill and the ring buffer
//! becomes the queue: what does not fit there is counted by the kernel.

mod ends;
mod metrics;
pub mod system;
mod vitals;
pub mod watch;
mod workers;
mod writer;

use std::{
    fmt, io,
    sync::mpsc::{SyncSender, TrySendError},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::{mpsc::Sender, oneshot},
    time::sleep,
};
use tracing::{error, info};

use self::{
    ends::Ends,
    vitals::{Beat, Pulse, Vitals},
    watch::{Step, Watch},
    workers::Workers,
    writer::Writer,
};

use crate::{
    canary::{Canary, Sighting},
    config,
    health::ProbeReport,
    pipeline::{Enrich, Making, Pipeline},
    probe::{
        Ledger, Probe,
        filter::Filter,
        record::{Hook, Record},
    },
    rules::Rule,
    sink::Sinks,
    state::Folder,
};

/// Records handed over at once.
const BATCH: usize = 256;

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
            reloader,
            duration,
        } = self;
        let mut ends = Ends::new(duration)?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
        let vitals = Vitals::start(health).context("cannot serve metrics")?;
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
        let mut reader = Reader::begin(probe, inputs, scope, reloader, vitals, canary).await?;
        loop {
            tokio::select! {
                ready = reader.probe.ready() => ready.context("cannot wait for the ring buffer")?,
                reason = ends.any() => {
                    info!(reason, "stopping");
                    break;
                }
                () = workers.ended() => break,
                _ = hangup.recv() => reader.reload().await?,
                beat = reader.vitals.next() => reader.beat(beat).await?,
                step = reader.watch.step() => reader.watch(step)?,
            }
            if !drain(&mut reader.probe, &reader.inputs).await {
                break;
            }
        }
        let Reader {
            mut probe, inputs, ..
        } = reader;
        Vitals::stopping();
        probe.detach();
        drain(&mut probe, &inputs).await;
        drop(inputs);
        let written = workers.finish().await?;
        let ledger = probe
            .ledger()
            .context("cannot read the kernel's counters")?;
        Ok(Summary { ledger, written })
    }
}

/// The asynchronous side: it owns the probe.
struct Reader {
    probe: Probe,
    inputs: SyncSender<Input>,
    scope: Scope,
    reloader: Reloader,
    vitals: Vitals,
    watch: Watch,
}

impl Reader {
    /// Fills the kernel's filter, takes in what is open, and says that nothing is missed any more.
    async fn begin(
        mut probe: Probe,
        inputs: SyncSender<Input>,
        scope: Scope,
        reloader: Reloader,
        vitals: Vitals,
        canary: io::Result<Canary>,
    ) -> anyhow::Result<Self> {
        set_filter(&mut probe, scope.filter.clone())?;
        // What opens from here on is in the ring buffer; what was open before is listed now.
        take_in_open(&mut probe, &inputs, scope.filter.clone()).await?;
        let acceptor = probe.acceptor().map_or("userspace", Hook::as_str);
        info!(ports = scope.ports, acceptor, "monitoring");
        Vitals::ready(&scope.ports);
        Ok(Self {
            probe,
            inputs,
            scope,
            reloader,
            vitals,
            watch: canary.map_or_else(|error| Watch::absent(&error), Watch::start),
        })
    }

    /// Takes in how the canary does.
    fn watch(&mut self, step: Step) -> anyhow::Result<()> {
        let ledger = self.probe.ledger();
        let ledger = ledger.context("cannot read the kernel's counters")?;
        self.watch.take(step, &ledger);
        Ok(())
    }

    /// Tells how the agent is, to whoever asked.
    async fn beat(&mut self, beat: Beat) -> anyhow::Result<()> {
        let ledger = self.probe.ledger();
        let ledger = ledger.context("cannot read the kernel's counters")?;
        let probe = ProbeReport {
            ledger,
            acceptor: self.probe.acceptor(),
            degraded: self.probe.degraded().to_vec(),
            canary: self.watch.state().report(),
            ports: self.scope.ports.clone(),
        };
        let pulse = self.vitals.pulse(beat, probe);
        send_input(&self.inputs, Input::Pulse(Box::new(pulse))).await;
        Ok(())
    }

    /// Takes up configuration and rules anew, or keeps the old ones when the new are bad.
    ///
    /// While it lasts the kernel reports what either of the two wants, so nothing is missed.
    async fn reload(&mut self) -> anyhow::Result<()> {
        Vitals::reloading();
        let outcome = match (self.reloader.0)() {
            None => Err("see the errors before this".to_owned()),
            Some(new) => self.take_up(new).await?,
        };
        match &outcome {
            Ok(()) => info!(ports = self.scope.ports, "reloaded"),
            Err(error) => error!(
                error,
                "not reloaded: configuration and rules stay as they were"
            ),
        }
        self.vitals.reloaded(outcome.is_ok(), &self.scope.ports);
        Ok(())
    }

    async fn take_up(&mut self, new: Reloaded) -> anyhow::Result<Result<(), String>> {
        let Reloaded {
            scope,
            health,
            reload,
        } = new;
        if let Err(error) = self.vitals.check(health) {
            return Ok(Err(format!("cannot serve metrics: {error}")));
        }
        set_filter(&mut self.probe, self.scope.filter.or(&scope.filter))?;
        let (reply, replaced) = oneshot::channel();
        send_input(&self.inputs, Input::Reload(Box::new(reload), reply)).await;
        let outcome = replaced.await.context("the pipeline ended early")?;
        if outcome.is_err() {
            set_filter(&mut self.probe, self.scope.filter.clone())?;
            return Ok(outcome);
        }
        let added = scope.filter.without(&self.scope.filter);
        if !scope.filter.contains(self.scope.canary) {
            let reason = "the rules no longer monitor its port; a restart gives it another one";
            self.watch = Watch::absent(&io::Error::other(reason));
        }
        self.scope = Scope {
            canary: self.scope.canary,
            ..scope
        };
        set_filter(&mut self.probe, self.scope.filter.clone())?;
        self.vitals.set(health);
        if !added.is_empty() {
            take_in_open(&mut self.probe, &self.inputs, added).await?;
        }
        Ok(outcome)
    }
}

fn set_filter(probe: &mut Probe, filter: Filter) -> anyhow::Result<()> {
    let set = probe.set_filter(filter);
    set.context("cannot fill the kernel's port filter")
}

/// What the pipeline's thread is given.
enum Input {
    /// Records, in the kernel's order.
    Records(Vec<Record>),
    /// List what is open on the ports of this filter; tell when it is done.
    FindOpen(Filter, oneshot::Sender<()>),
    /// Report what was listed, after the records before this.
    ReportFound,
    /// Say how everything is.
    Pulse(Box<Pulse>),
    /// Go on with other sinks and rules; tell when that is done, or why it cannot be.
    Reload(Box<Reload>, oneshot::Sender<Result<(), String>>),
}

/// Lists what is open, lets the records of what opened meanwhile go first, and reports the rest.
async fn take_in_open(
    probe: &mut Probe,
    inputs: &SyncSender<Input>,
    filter: Filter,
) -> anyhow::Result<()> {
    let (done, listed) = oneshot::channel();
    send_input(inputs, Input::FindOpen(filter, done)).await;
    listed.await.context("the pipeline ended early")?;
    drain(probe, inputs).await;
    send_input(inputs, Input::ReportFound).await;
    Ok(())
}

/// Empties the ring buffer into the pipeline; `false` when the pipeline is gone.
async fn drain(probe: &mut Probe, inputs: &SyncSender<Input>) -> bool {
    loop {
        let batch: Vec<Record> = std::iter::from_fn(|| probe.take_record())
            .take(BATCH)
            .collect();
        if batch.is_empty() {
            return true;
        }
        if !send_input(inputs, Input::Records(batch)).await {
            return false;
        }
    }
}

/// Waits for room; `false` when the pipeline is gone.
async fn send_input(inputs: &SyncSender<Input>, input: Input) -> bool {
    let mut pending = input;
    loop {
        match inputs.try_send(pending) {
            Ok(()) => return true,
            Err(TrySendError::Full(returned)) => {
                // The pipeline is behind; meanwhile the ring buffer is the queue.
                pending = returned;
                sleep(Duration::from_millis(1)).await;
            }
            Err(TrySendError::Disconnected(_)) => return false,
        }
    }
}
