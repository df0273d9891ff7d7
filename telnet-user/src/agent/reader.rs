//! The asynchronous side: it owns the probe, and hands on what comes out of it.

use std::{io, sync::mpsc::SyncSender};

use anyhow::Context as _;
use tokio::{signal::unix::Signal, sync::oneshot, time::Instant};
use tracing::{debug, error, info, warn};

use super::{
    Reload, Reloaded, Reloader, Scope,
    outbox::Outbox,
    repair::{Cause, Repair},
    vitals::{Beat, Pulse, Vitals},
    watch::{Step, Watch},
};
use crate::{
    canary::Canary,
    health::ProbeReport,
    probe::{
        Ledger, Probe, ProtocolLook,
        filter::Filter,
        record::{Hook, Record},
    },
};

/// Records handed over at once.
const BATCH: u64 = 256;
/// Records that are read before whatever else is due gets its turn: under a load that the agent cannot
/// keep up with the ring buffer is never empty.
const TURN: u64 = 64 * BATCH;

/// The probe, and what is to be done besides reading it.
pub(super) struct Reader {
    probe: Probe,
    outbox: Outbox<Input>,
    scope: Scope,
    reloader: Reloader,
    vitals: Vitals,
    watch: Watch,
    repair: Repair,
}

impl Reader {
    pub(super) fn new(
        probe: Probe,
        inputs: SyncSender<Input>,
        scope: Scope,
        reloader: Reloader,
        vitals: Vitals,
        canary: io::Result<Canary>,
    ) -> Self {
        Self {
            probe,
            outbox: Outbox::new(inputs),
            scope,
            reloader,
            vitals,
            // Its first round waits for the turn of its first step.
            watch: canary.map_or_else(|error| Watch::absent(&error), Watch::start),
            repair: Repair::default(),
        }
    }

    /// Reads, and does what is due, until the pipeline is gone.
    ///
    /// May be dropped wherever it waits: [`Self::finish`] hands on what it had read.
    pub(super) async fn serve(&mut self, hangup: &mut Signal) -> anyhow::Result<()> {
        self.begin().await?;
        loop {
            tokio::select! {
                ready = self.probe.ready() => ready.context("cannot wait for the ring buffer")?,
                _ = hangup.recv() => self.reload().await?,
                beat = self.vitals.next() => self.beat(beat).await?,
                step = self.watch.step() => self.watch(step)?,
                () = self.repair.due() => self.repair().await?,
            }
            let before = self.probe.received();
            let is_there = self.drain(TURN).await;
            if self.probe.received() > before {
                self.repair.note_records(Instant::now());
            }
            if !is_there {
                return Ok(());
            }
        }
    }

    /// Fills the kernel's filter, takes in what is open, and says that nothing is missed any more.
    async fn begin(&mut self) -> anyhow::Result<()> {
        set_filter(&mut self.probe, self.scope.filter.clone())?;
        // What opens from here on is in the ring buffer; what was open before is listed now.
        self.take_in_open().await?;
        warn_of_no_protocol(&self.probe, &self.scope);
        let acceptor = self.probe.acceptor().map_or("userspace", Hook::as_str);
        info!(ports = self.scope.ports, acceptor, "monitoring");
        Vitals::ready(&self.scope.ports);
        Ok(())
    }

    /// Detaches the probe and hands on what it has still told.
    pub(super) async fn finish(mut self) -> Probe {
        self.probe.detach();
        if self.outbox.flush().await {
            self.drain(u64::MAX).await;
        }
        self.probe
    }

    /// Hands on what is in the ring buffer, so many records at most; `false` when the pipeline is gone.
    async fn drain(&mut self, at_most: u64) -> bool {
        let end = self.probe.received().saturating_add(at_most);
        while self.probe.received() < end {
            let mut batch = Vec::new();
            let most = end.min(self.probe.received() + BATCH);
            while self.probe.received() < most {
                match self.probe.take_record() {
                    Some(record) => batch.push(record),
                    None => break,
                }
            }
            if batch.is_empty() {
                return true;
            }
            if !self.outbox.send(Input::Records(batch)).await {
                return false;
            }
        }
        true
    }

    /// Lists what is open, lets the records of what opened meanwhile go first, and reports the rest.
    async fn take_in_open(&mut self) -> anyhow::Result<()> {
        let (done, listed) = oneshot::channel();
        let filter = self.scope.filter.clone();
        self.outbox.send(Input::FindOpen(filter, done)).await;
        listed.await.context("the pipeline ended early")?;
        // What comes later may never end.
        let ledger = self.ledger()?;
        self.drain(ledger.submitted.saturating_sub(ledger.received))
            .await;
        self.outbox.send(Input::ReportFound).await;
        Ok(())
    }

    fn ledger(&self) -> anyhow::Result<Ledger> {
        let ledger = self.probe.ledger();
        ledger.context("cannot read the kernel's counters")
    }

    /// Finds out what happened to sessions whose records were lost, if any may have been.
    async fn repair(&mut self) -> anyhow::Result<()> {
        let ledger = self.ledger()?;
        if let Some(cause) = self.repair.is_needed(&ledger, Instant::now()) {
            match cause {
                Cause::Loss => {
                    info!(%ledger, "records were lost: comparing with the sockets that are open");
                }
                Cause::Time => debug!("comparing with the sockets that are open"),
            }
            let start = Instant::now();
            self.take_in_open().await?;
            self.repair.took(start.elapsed());
        }
        Ok(())
    }

    /// Takes in how the canary does.
    fn watch(&mut self, step: Step) -> anyhow::Result<()> {
        let ledger = self.ledger()?;
        self.watch.take(step, &ledger);
        Ok(())
    }

    /// Tells how the agent is, to whoever asked.
    async fn beat(&mut self, beat: Beat) -> anyhow::Result<()> {
        let probe = ProbeReport {
            ledger: self.ledger()?,
            acceptor: self.probe.acceptor(),
            degraded: self.degraded(),
            canary: self.watch.state().report(),
            ports: self.scope.ports.clone(),
        };
        let pulse = self.vitals.pulse(beat, probe);
        self.outbox.send(Input::Pulse(Box::new(pulse))).await;
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
        let server = match self.vitals.prepare(health) {
            Ok(server) => server,
            Err(error) => return Ok(Err(format!("cannot serve metrics: {error}"))),
        };
        set_filter(&mut self.probe, self.scope.filter.or(&scope.filter))?;
        let (reply, replaced) = oneshot::channel();
        let reload = Input::Reload(Box::new(reload), reply);
        self.outbox.send(reload).await;
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
            self.take_in_open().await?;
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
