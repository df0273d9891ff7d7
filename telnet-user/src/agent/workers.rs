//! The threads behind the reader: one owns the pipeline, one writes.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{
    Input, Pulse, Reload,
    writer::{Order, Writer},
};
use crate::{
    clock::BootTime,
    health::{Latency, Report},
    pipeline::{Enrich, Now, Output, Pipeline},
    sandbox,
    session::tracker::Counters,
    sink::Statuses,
};

/// Batches between reader and pipeline.
const BATCHES: usize = 16;
/// Documents and other orders between pipeline and writer.
const ORDERS: usize = 4_096;
/// Longest sleep of the pipeline: the wall clock, which rule windows end by, may be set.
const IDLE: Duration = Duration::from_mins(1);

/// The pipeline's thread and the writer's.
pub(super) struct Workers {
    pipeline: JoinHandle<()>,
    writer: JoinHandle<()>,
    /// How writing ended, sent once.
    outcome: oneshot::Receiver<io::Result<u64>>,
    ended: Option<Result<io::Result<u64>, oneshot::error::RecvError>>,
}

impl Workers {
    /// Starts both; records and whatever else the pipeline is to do goes into the channel.
    pub(super) fn start<E: Enrich + Send + 'static>(
        pipeline: Pipeline<E>,
        writer: Writer,
    ) -> anyhow::Result<(Self, SyncSender<Input>)> {
        let (inputs, from_reader) = sync_channel(BATCHES);
        let (orders, from_pipeline) = sync_channel(ORDERS);
        let conveyor = Conveyor {
            pipeline,
            orders,
            statuses: writer.sinks.statuses(),
            latency: Latency::default(),
        };
        let pipeline = spawn("pipeline", move || {
            sandbox::only_look();
            conveyor.run(&from_reader);
        })?;
        let (written, outcome) = oneshot::channel();
        let writer = spawn("writer", move || {
            sandbox::only_write();
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
    pub(super) async fn ended(&mut self) {
        if self.ended.is_none() {
            self.ended = Some((&mut self.outcome).await);
        }
    }

    /// Waits for the last documents to be written; the number of all of them.
    pub(super) async fn finish(mut self) -> anyhow::Result<u64> {
        self.ended().await;
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

/// The pipeline's thread.
struct Conveyor<E> {
    pipeline: Pipeline<E>,
    orders: SyncSender<Order>,
    statuses: Statuses,
    latency: Latency,
}

impl<E: Enrich> Conveyor<E> {
    fn run(mut self, inputs: &Receiver<Input>) {
        let mut out = Vec::new();
        loop {
            let received = inputs.recv_timeout(self.idle());
            let now = Now::read();
            let mut report = None;
            match received {
                Ok(Input::Records(batch)) => {
                    for record in batch {
                        self.pipeline.push(record, &now, &mut out);
                    }
                }
                Ok(Input::FindOpen(filter, reply)) => {
                    self.pipeline.find_open(&filter, &now, &mut out);
                    // Nobody waits any more when the agent is ending already.
                    let _unheard = reply.send(());
                }
                Ok(Input::ReportFound) => {
                    let mut found = self.pipeline.take_found(&now);
                    loop {
                        self.pipeline.tell_found(&mut found, &now, &mut out);
                        if !self.send(&mut out) {
                            return;
                        }
                        if found.is_empty() {
                            break;
                        }
                    }
                }
                Ok(Input::Pulse(pulse)) => report = Some(self.pulse(*pulse, &now, &mut out)),
                Ok(Input::Reload(reload, reply)) => {
                    let outcome = self.reload(*reload, &now, &mut out);
                    // Nobody waits any more when the agent is ending already.
                    let _unheard = reply.send(outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.pipeline.finish(&now, &mut out);
                    self.send(&mut out);
                    log_counters(&self.pipeline);
                    return;
                }
            }
            self.pipeline.tick(&now, &mut out);
            if !self.send(&mut out) {
                return;
            }
            if let Some(order) = report
                && self.orders.send(order).is_err()
            {
                return;
            }
        }
    }

    fn pulse(&self, pulse: Pulse, now: &Now, out: &mut Vec<Output>) -> Order {
        let Pulse {
            uptime,
            reloads,
            refused_reloads,
            sandbox,
            probe,
            is_heartbeat,
            reply,
        } = pulse;
        let report = Report {
            uptime,
            reloads,
            refused_reloads,
            sandbox,
            probe,
            pipeline: self.pipeline.report(),
            latency: self.latency.clone(),
            sinks: self.statuses.report(),
        };
        if is_heartbeat {
            out.push(self.pipeline.heartbeat(&report, now));
        }
        Order::Report(Box::new(report), reply)
    }

    /// First the sinks, which may fail, then the rules, which cannot any more.
    fn reload(&mut self, reload: Reload, now: &Now, out: &mut Vec<Output>) -> Result<(), String> {
        let Reload {
            sinks,
            rules,
            response,
            making,
        } = reload;
        let (reply, replaced) = sync_channel(1);
        let gone = || "the writer ended".to_owned();
        self.orders
            .send(Order::Replace(sinks, reply))
            .map_err(|_gone| gone())?;
        replaced
            .recv()
            .map_err(|_gone| gone())?
            .map_err(|error| error.to_string())?;
        self.pipeline.replace(rules, response, making, now, out);
        Ok(())
    }

    /// Waits for room; `false` when the writer is gone.
    fn send(&mut self, out: &mut Vec<Output>) -> bool {
        if out.is_empty() {
            return true;
        }
        let alerts: Vec<Timestamp> = out.iter().filter_map(happened).collect();
        let sent = out
            .drain(..)
            .all(|output| self.orders.send(Order::Output(output)).is_ok());
        let now = Timestamp::now();
        for time in alerts {
            let taken = Duration::try_from(now.duration_since(time));
            // A clock that was set back meanwhile measures nothing.
            if let Ok(taken) = taken {
                self.latency.note(taken);
            }
        }
        sent
    }

    /// How long there is nothing to do unless something comes in.
    fn idle(&self) -> Duration {
        let sessions = self
            .pipeline
            .deadline()
            .map(|deadline| deadline.since(BootTime::now()));
        let rules = self.pipeline.next_run().map(|at| {
            // Past already: now.
            Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
        });
        sessions.into_iter().chain(rules).fold(IDLE, Duration::min)
    }
}

/// When what an alert is about happened; nothing for what was open before the agent.
const fn happened(output: &Output) -> Option<Timestamp> {
    match output {
        Output::Document(document) => document.happened(),
        Output::Canary(_) | Output::State(_) => None,
    }
}

fn log_counters<E: Enrich>(pipeline: &Pipeline<E>) {
    let observations = pipeline.observations();
    info!("observations: {observations}");
    if !observations.balances() {
        warn!("the observations do not balance");
    }
    let counters = pipeline.counters();
    if counters != Counters::default() {
        warn!(?counters, "not everything could be joined");
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
