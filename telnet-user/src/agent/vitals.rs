//! Signs of life: heartbeats, metrics, and what the service manager is told.
//!
//! Each goes the way that documents go, through the pipeline and the writer, before it is given:
//! a thread that hangs gives none.

use std::{io, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tracing::debug;

use super::metrics::Server;
use crate::{
    config,
    health::{ProbeReport, Report},
    sandbox,
};

/// Why a sign of life is due.
#[derive(Debug)]
pub(super) enum Beat {
    /// Time for a heartbeat document.
    Heartbeat,
    /// The service manager wants to hear something.
    Watchdog,
    /// Somebody asks for metrics.
    Metrics(oneshot::Sender<Report>),
}

/// A question to the pipeline: how is everything?
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) uptime: Duration,
    pub(super) reloads: u64,
    pub(super) refused_reloads: u64,
    pub(super) sandbox: Option<sandbox::Report>,
    pub(super) probe: ProbeReport,
    /// Make a document of the answer.
    pub(super) is_heartbeat: bool,
    /// Answered once everything before it is written.
    pub(super) reply: oneshot::Sender<Report>,
}

/// When signs of life are due, and what they are about.
pub(super) struct Vitals {
    started: Instant,
    heartbeat: Timer,
    watchdog: Timer,
    server: Option<Server>,
    requests: mpsc::Receiver<oneshot::Sender<Report>>,
    requester: mpsc::Sender<oneshot::Sender<Report>>,
    reloads: u64,
    refused_reloads: u64,
    sandbox: Option<sandbox::Report>,
}

impl Vitals {
    /// Listens for requests for metrics when asked to.
    pub(super) fn start(
        health: config::Health,
        sandbox: Option<sandbox::Report>,
    ) -> io::Result<Self> {
        let (requester, requests) = mpsc::channel(4);
        let mut vitals = Self {
            started: Instant::now(),
            heartbeat: Timer::default(),
            // Twice in the time after which the service manager gives up.
            watchdog: Timer::every(sd_notify::watchdog_enabled().map(|time| time / 2)),
            server: None,
            requests,
            requester,
            reloads: 0,
            refused_reloads: 0,
            sandbox,
        };
        let server = vitals.prepare(health)?;
        vitals.set(health, server);
        Ok(vitals)
    }

    /// Takes the address for metrics, if it is another one than now, which is served on.
    pub(super) fn prepare(&self, health: config::Health) -> io::Result<Option<Server>> {
        let present = self.server.as_ref().map(Server::address);
        let other = health.metrics.filter(|address| present != Some(*address));
        other
            .map(|address| Server::start(address, self.requester.clone()))
            .transpose()
    }

    /// Changes over, to the server of [`Self::prepare`] too.
    pub(super) fn set(&mut self, health: config::Health, server: Option<Server>) {
        if health.metrics.is_none() || server.is_some() {
            self.server = server;
        }
        let interval = Some(health.interval).filter(|interval| !interval.is_zero());
        if self.heartbeat.interval != interval {
            self.heartbeat = Timer::every(interval);
        }
    }

    /// Waits until a sign of life is due.
    pub(super) async fn next(&mut self) -> Beat {
        tokio::select! {
            () = self.heartbeat.tick() => Beat::Heartbeat,
            () = self.watchdog.tick() => Beat::Watchdog,
            // Never ends: this side holds a sender too.
            Some(request) = self.requests.recv() => Beat::Metrics(request),
        }
    }

    /// What the pipeline is asked for `beat`.
    pub(super) fn pulse(&self, beat: Beat, probe: ProbeReport) -> Pulse {
        let is_heartbeat = matches!(beat, Beat::Heartbeat);
        let reply = match beat {
            Beat::Metrics(reply) => reply,
            Beat::Heartbeat => answer(|report| vec![NotifyState::Status(report)]),
            Beat::Watchdog => answer(|_| vec![NotifyState::Watchdog]),
        };
        Pulse {
            uptime: self.started.elapsed(),
            reloads: self.reloads,
            refused_reloads: self.refused_reloads,
            sandbox: self.sandbox.clone(),
            probe,
            is_heartbeat,
            reply,
        }
    }

    /// Everything that happens from now on is seen.
    pub(super) fn ready(ports: &str) {
        let status = format!("monitoring {ports}");
        notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// Configuration and rules are read.
    pub(super) fn reloading() {
        // Without the time the service manager would not know which reload this answers.
        match NotifyState::monotonic_usec_now() {
            Ok(time) => notify(&[NotifyState::Reloading, time]),
            Err(error) => debug!(%error, "the service manager is not told of the reload"),
        }
    }

    /// They are in force, or the old ones still are.
    pub(super) fn reloaded(&mut self, is_done: bool, ports: &str) {
        let status = if is_done {
            self.reloads += 1;
            format!("monitoring {ports}")
        } else {
            self.refused_reloads += 1;
            format!("monitoring {ports}; the last reload was refused, see the log")
        };
        notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// The agent ends.
    pub(super) fn stopping() {
        notify(&[NotifyState::Stopping]);
    }
}

/// Tells the service manager once the answer is there.
fn answer(states: fn(&str) -> Vec<NotifyState<'_>>) -> oneshot::Sender<Report> {
    let (reply, answered) = oneshot::channel::<Report>();
    tokio::spawn(async move {
        if let Ok(report) = answered.await {
            notify(&states(&report.sentence()));
        }
    });
    reply
}

/// Does nothing without a service manager.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager does not listen");
    }
}

/// Something that is due again and again, or never.
#[derive(Debug, Default)]
struct Timer {
    interval: Option<Duration>,
    due: Option<Instant>,
}

impl Timer {
    fn every(interval: Option<Duration>) -> Self {
        Self {
            interval,
            due: interval.and_then(|interval| Instant::now().checked_add(interval)),
        }
    }

    /// Waits until it is due. Nothing is caught up with: what was late is due once.
    async fn tick(&mut self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
        *self = Self::every(self.interval);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    #[tokio::test]
    async fn another_address_is_served_only_once_it_is_set() {
        let health = |last| config::Health {
            interval: Duration::ZERO,
            metrics: Some(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))),
        };
        let (first, second) = (health(1), health(2));
        let mut vitals = Vitals::start(first, None).expect("served");
        let served = |vitals: &Vitals| vitals.server.as_ref().map(Server::address);
        assert!(vitals.prepare(first).expect("served already").is_none());
        let other = vitals.prepare(second).expect("free");
        assert_eq!(served(&vitals), first.metrics);
        vitals.set(second, other);
        assert_eq!(served(&vitals), second.metrics);
        vitals.set(second, None);
        assert_eq!(served(&vitals), second.metrics);
        vitals.set(config::Health::default(), None);
        assert_eq!(served(&vitals), None);
    }
}
