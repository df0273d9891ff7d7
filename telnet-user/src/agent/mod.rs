//! The only wiring: probe, pipeline and sinks, each on its own thread, and how they end.
//!
//! The reader (the async side) drains the ring buffer into a bounded channel, one thread owns
//! the pipeline, one thread writes. When writing stalls, the channels fill and the ring buffer
//! becomes the queue: what does not fit there is counted by the kernel.

mod ends;
pub mod system;
pub mod watch;

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use tokio::{
    runtime,
    sync::{mpsc::Sender, oneshot},
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

use self::{ends::Ends, watch::Watch};
use crate::{
    canary::{Canary, Sighting},
    clock::BootTime,
    pipeline::{Enrich, Now, Output, Pipeline},
    probe::{
        Ledger, Probe,
        filter::Filter,
        record::{Hook, Record},
    },
    session::tracker::Counters,
    sink::console::Console,
    state::{Change, Folder},
};

/// Records handed over at once.
const BATCH: usize = 256;
/// Batches between reader and pipeline.
const BATCHES: usize = 16;
/// Documents and changes of state between pipeline and writer.
const OUTPUTS: usize = 4_096;
/// Longest sleep of the pipeline: rule windows end with the clock, not with an event.
const IDLE: Duration = Duration::from_secs(1);
/// How long the writer may take to finish at the end.
const GRACE: Duration = Duration::from_secs(5);

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
    pub console: Console<io::Stdout>,
    /// The canary, and where its sightings go; absent where none can be made.
    pub canary: io::Result<(Canary, Sender<Sighting>)>,
    /// Time between two canary sessions.
    pub canary_pause: Duration,
    /// What outlasts this run; absent when it cannot be kept.
    pub state: Option<Folder>,
    /// What the kernel reports.
    pub filter: Filter,
    /// What is monitored, for the log.
    pub ports: String,
    /// Ends by itself after this long.
    pub duration: Option<Duration>,
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
    ///
    /// # Errors
    ///
    /// When the kernel's maps or signals cannot be used, or when documents could not be written.
    pub async fn run(self) -> anyhow::Result<Summary> {
        let Self {
            mut probe,
            pipeline,
            console,
            canary,
            canary_pause,
            state,
            filter,
            ports,
            duration,
        } = self;
        let mut ends = Ends::new(duration)?;
        let (canary, sightings) = canary.map_or_else(
            |error| (Err(error), None),
            |(canary, seen)| (Ok(canary), Some(seen)),
        );
        let writer = Writer {
            console,
            sightings,
            state,
        };
        let (mut workers, inputs) = Workers::start(pipeline, writer)?;
        probe
            .set_filter(filter.clone())
            .context("cannot fill the kernel's port filter")?;
        // What opens from here on is in the ring buffer; what was open before is listed now.
        take_in_open(&mut probe, &inputs, filter).await?;
        let acceptor = probe.acceptor().map_or("userspace", Hook::as_str);
        info!(ports, acceptor, "monitoring");
        let mut watch = canary.map_or_else(
            |error| Watch::absent(&error),
            |canary| Watch::start(canary, canary_pause),
        );

        loop {
            tokio::select! {
                ready = probe.ready() => ready.context("cannot wait for the ring buffer")?,
                reason = ends.any() => {
                    info!(reason, "stopping");
                    break;
                }
                () = workers.ended() => break,
                step = watch.step() => {
                    let ledger = probe.ledger().context("cannot read the kernel's counters")?;
                    watch.take(step, &ledger);
                }
            }
            if !drain(&mut probe, &inputs).await {
                break;
            }
        }

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

/// What the pipeline's thread is given.
enum Input {
    /// Records, in the kernel's order.
    Records(Vec<Record>),
    /// List what is open on the ports of this filter; tell when it is done.
    FindOpen(Filter, oneshot::Sender<()>),
    /// Report what was listed, after the records before this.
    ReportFound,
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

/// The pipeline's thread and the writer's.
struct Workers {
    pipeline: JoinHandle<()>,
    writer: JoinHandle<()>,
    /// How writing ended, sent once.
    outcome: oneshot::Receiver<io::Result<u64>>,
    ended: Option<Result<io::Result<u64>, oneshot::error::RecvError>>,
}

impl Workers {
    fn start<E: Enrich + Send + 'static>(
        pipeline: Pipeline<E>,
        writer: Writer,
    ) -> anyhow::Result<(Self, SyncSender<Input>)> {
        let (inputs, from_reader) = sync_channel(BATCHES);
        let (outputs, from_pipeline) = sync_channel(OUTPUTS);
        let pipeline = spawn("pipeline", move || {
            run_pipeline(pipeline, &from_reader, &outputs);
        })?;
        let (written, outcome) = oneshot::channel();
        let writer = spawn("writer", move || {
            // The receiver is gone only when the run is over.
            let _unheard = written.send(writer.write(&from_pipeline));
        })?;
        let workers = Self {
            pipeline,
            writer,
            outcome,
            ended: None,
        };
        Ok((workers, inputs))
    }

    /// Waits until nothing is written any more, which before the end means that it failed.
    async fn ended(&mut self) {
        if self.ended.is_none() {
            self.ended = Some((&mut self.outcome).await);
        }
    }

    /// Waits for the last documents to be written; the number of all of them.
    async fn finish(mut self) -> anyhow::Result<u64> {
        if timeout(GRACE, self.ended()).await.is_err() {
            bail!("standard output did not take the last documents within {GRACE:?}");
        }
        match self.ended {
            Some(Ok(Ok(written))) => {
                join(self.pipeline)?;
                join(self.writer)?;
                Ok(written)
            }
            Some(Ok(Err(error))) => Err(anyhow!(error).context("cannot write to standard output")),
            Some(Err(_)) | None => Err(anyhow!("the writer ended early")),
        }
    }
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

fn run_pipeline<E: Enrich>(
    mut pipeline: Pipeline<E>,
    inputs: &Receiver<Input>,
    outputs: &SyncSender<Output>,
) {
    let mut out = Vec::new();
    loop {
        let received = inputs.recv_timeout(until(pipeline.deadline()));
        let now = Now::read();
        match received {
            Ok(Input::Records(batch)) => {
                for record in batch {
                    pipeline.push(record, &now, &mut out);
                }
            }
            Ok(Input::FindOpen(filter, done)) => {
                pipeline.find_open(&|port| filter.contains(port), &now, &mut out);
                // Nobody waits any more when the agent is ending already.
                let _unheard = done.send(());
            }
            Ok(Input::ReportFound) => pipeline.report_found(&now, &mut out),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                pipeline.finish(&now, &mut out);
                send(&mut out, outputs);
                log_counters(&pipeline);
                return;
            }
        }
        pipeline.tick(&now, &mut out);
        if !send(&mut out, outputs) {
            return;
        }
    }
}

fn log_counters<E: Enrich>(pipeline: &Pipeline<E>) {
    let counters = pipeline.counters();
    if counters != Counters::default() {
        warn!(?counters, "not everything could be joined");
    }
}

fn until(deadline: Option<BootTime>) -> Duration {
    deadline.map_or(IDLE, |deadline| deadline.since(BootTime::now()).min(IDLE))
}

/// Waits for room; `false` when the writer is gone.
fn send(out: &mut Vec<Output>, outputs: &SyncSender<Output>) -> bool {
    out.drain(..).all(|output| outputs.send(output).is_ok())
}

/// Writes what leaves the pipeline.
struct Writer {
    console: Console<io::Stdout>,
    /// Where the canary waits.
    sightings: Option<Sender<Sighting>>,
    state: Option<Folder>,
}

impl Writer {
    /// Writes until the pipeline is gone; the number of documents.
    fn write(mut self, outputs: &Receiver<Output>) -> io::Result<u64> {
        let mut written = 0;
        for output in outputs {
            match output {
                Output::Document(document) => {
                    self.console.write(&document)?;
                    written += 1;
                }
                Output::Canary(sighting) => {
                    if let Some(sightings) = &self.sightings {
                        // Full or gone: then nobody waits for this one.
                        let _unheard = sightings.try_send(sighting);
                    }
                }
                Output::State(change) => self.keep(&change),
            }
        }
        Ok(written)
    }

    /// The documents that the change speaks of are out: a crash before this repeats them instead
    /// of losing them.
    fn keep(&mut self, change: &Change) {
        let Some(folder) = &mut self.state else {
            return;
        };
        if let Err(error) = folder.apply(change) {
            warn!(%error, name = ?change.name, "state not written, a restart may repeat documents");
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .with_context(|| format!("cannot start the {name} thread"))
}

fn join(thread: JoinHandle<()>) -> anyhow::Result<()> {
    thread.join().map_err(|_panic| {
        error!("a thread of the agent panicked");
        anyhow!("a thread of the agent panicked")
    })
}
