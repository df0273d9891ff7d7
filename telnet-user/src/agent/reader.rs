//! The asynchronous side: it owns the probe, and hands on what comes out of it.

use std::{
    io,
    sync::mpsc::{SyncSender, TrySendError},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tracing::{debug, error, info, warn};

use super::{
    Reload, Reloaded, Reloader, Scope,
    repair::{Cause, Repair},
    vitals::{Beat, Pulse, Vitals},
    watch::{Step, Watch},
};
use crate::{
    canary::Canary,
    health::ProbeReport,
    probe::{
        Probe, ProtocolLook,
        filter::Filter,
        record::{Hook, Record},
    },
};

/// Records handed over at once.
const BATCH: usize = 256;

/// The probe, and what is to be done besides reading it.
pub(super) struct Reader {
    pub(super) probe: Probe,
    inputs: SyncSender<Input>,
    scope: Scope,
    reloader: Reloader,
    pub(super) vitals: Vitals,
    pub(super) watch: Watch,
    pub(super) repair: Repair,
}

impl Reader {
    /// Fills the kernel's filter, takes in what is open, and says that nothing is missed any more.
    pub(super) async fn begin(
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
        warn_of_no_protocol(&probe, &scope);
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
            repair: Repair::default(),
        })
    }

    /// Empties the ring buffer into the pipeline; `false` when the pipeline is gone.
    pub(super) async fn drain(&mut self) -> bool {
        let before = self.probe.received();
        let is_there = drain(&mut self.probe, &self.inputs).await;
        if self.probe.received() > before {
            self.repair.note_records(Instant::now());
        }
        is_there
    }

    /// Detaches the probe and hands on what it has still told.
    pub(super) async fn finish(self) -> Probe {
        let Self {
            mut probe, inputs, ..
        } = self;
        probe.detach();
        drain(&mut probe, &inputs).await;
        probe
    }

    /// Finds out what happened to sessions whose records were lost, if any may have been.
    pub(super) async fn repair(&mut self) -> anyhow::Result<()> {
        let ledger = self.probe.ledger();
        let ledger = ledger.context("cannot read the kernel's counters")?;
        if let Some(cause) = self.repair.is_needed(&ledger, Instant::now()) {
            match cause {
                Cause::Loss => {
                    info!(%ledger, "records were lost: comparing with the sockets that are open");
                }
                Cause::Time => debug!("comparing with the sockets that are open"),
            }
            let filter = self.scope.filter.clone();
            let start = Instant::now();
            take_in_open(&mut self.probe, &self.inputs, filter).await?;
            self.repair.took(start.elapsed());
        }
        Ok(())
    }

    /// Takes in how the canary does.
    pub(super) fn watch(&mut self, step: Step) -> anyhow::Result<()> {
        let ledger = self.probe.ledger();
        let ledger = ledger.context("cannot read the kernel's counters")?;
        self.watch.take(step, &ledger);
        Ok(())
    }

    /// Tells how the agent is, to whoever asked.
    pub(super) async fn beat(&mut self, beat: Beat) -> anyhow::Result<()> {
        let ledger = self.probe.ledger();
        let ledger = ledger.context("cannot read the kernel's counters")?;
        let probe = ProbeReport {
            ledger,
            acceptor: self.probe.acceptor(),
            degraded: self.degraded(),
            canary: self.watch.state().report(),
            ports: self.scope.ports.clone(),
        };
        let pulse = self.vitals.pulse(beat, probe);
        send_input(&self.inputs, Input::Pulse(Box::new(pulse))).await;
        self.repair().await
    }

    /// What this kernel does not give, and what takes a restart.
    fn degraded(&self) -> Vec<String> {
        let kernel = self.probe.degraded().iter();
        let kernel = kernel.map(|missing| (*missing).to_owned());
        kernel
            .chain(no_protocol(&self.probe, &self.scope))
            .collect()
    }

    /// Takes up configuration and rules anew, or keeps the old ones when the new are bad.
    ///
    /// While it lasts the kernel reports what either of the two wants, so nothing is missed.
    pub(super) async fn reload(&mut self) -> anyhow::Result<()> {
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
        let server = match self.vitals.prepare(health) {
            Ok(server) => server,
            Err(error) => return Ok(Err(format!("cannot serve metrics: {error}"))),
        };
        set_filter(&mut self.probe, self.scope.filter.or(&scope.filter))?;
        let (reply, replaced) = oneshot::channel();
        send_input(&self.inputs, Input::Reload(Box::new(reload), reply)).await;
        let outcome = replaced.await.context("the pipeline ended early")?;
        if outcome.is_err() {
            set_filter(&mut self.probe, self.scope.filter.clone())?;
            return Ok(outcome);
        }
        let is_other = scope.filter != self.scope.filter;
        self.watch.set_port(scope.canary);
        warn_of_no_protocol(&self.probe, &scope);
        self.scope = scope;
        set_filter(&mut self.probe, self.scope.filter.clone())?;
        self.vitals.set(health, server);
        if is_other {
            let filter = self.scope.filter.clone();
            take_in_open(&mut self.probe, &self.inputs, filter).await?;
        }
        Ok(outcome)
    }
}

/// Why the protocol of sessions is not looked for although a rule asks for it.
fn no_protocol(probe: &Probe, scope: &Scope) -> Option<String> {
    let reason = match probe.protocol() {
        ProtocolLook::Refused(reason) => reason,
        // The privileges to load programs were given up since.
        ProtocolLook::Unasked => {
            "no rule asked for it at the agent's start, which is when it can be had: restart the agent"
        }
        ProtocolLook::On => return None,
    };
    let sentence = || format!("no proof of protocols, network.protocol stays absent: {reason}");
    scope.protocol.then(sentence)
}

fn warn_of_no_protocol(probe: &Probe, scope: &Scope) {
    if let Some(missing) = no_protocol(probe, scope) {
        warn!(missing, "a rule asks for what the agent cannot tell");
    }
}

fn set_filter(probe: &mut Probe, filter: Filter) -> anyhow::Result<()> {
    let set = probe.set_filter(filter);
    set.context("cannot fill the kernel's filter")
}

/// What the pipeline's thread is given.
pub(super) enum Input {
    /// Records, in the kernel's order.
    Records(Vec<Record>),
    /// List what is open and passes this filter; tell when it is done.
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
