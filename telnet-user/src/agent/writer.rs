//! The thread that writes: documents, and what outlasts a restart behind the documents it is about.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc::Sender, oneshot};
use tracing::warn;

use crate::{
    canary::Sighting,
    config,
    health::Report,
    pipeline::Output,
    sink::{SetupError, Sinks},
    state::{Change, Folder},
};

/// How long spools may be emptied at the end; what is left waits for the next run.
const GRACE: Duration = Duration::from_secs(2);

/// What the writer is to do.
pub(super) enum Order {
    /// Write it.
    Output(Output),
    /// Go on with other sinks; tell how that went.
    Replace(Vec<config::Sink>, SyncSender<Result<(), SetupError>>),
    /// Tell how everything is: everything before this is written.
    Report(Box<Report>, oneshot::Sender<Report>),
}

/// Writes what leaves the pipeline.
pub(super) struct Writer {
    pub(super) sinks: Sinks,
    /// Where the canary waits.
    pub(super) sightings: Option<Sender<Sighting>>,
    pub(super) state: Option<Folder>,
}

impl Writer {
    /// Writes until the pipeline is gone; the number of documents.
    pub(super) fn write(mut self, orders: &Receiver<Order>) -> io::Result<u64> {
        loop {
            // A queue that is never empty must not keep it from what is due.
            let mut deadline = self.sinks.deadline();
            if deadline.is_some_and(|due| due <= Instant::now()) {
                self.sinks.tick();
                deadline = self.sinks.deadline();
            }
            let order = match deadline {
                Some(deadline) => {
                    orders.recv_timeout(deadline.saturating_duration_since(Instant::now()))
                }
                None => orders.recv().map_err(RecvTimeoutError::from),
            };
            match order {
                Ok(Order::Output(Output::Document(document))) => self.sinks.write(&document)?,
                Ok(Order::Output(Output::Canary(sighting))) => {
                    if let Some(sightings) = &self.sightings {
                        // Full or gone: then nobody waits for this one.
                        let _unheard = sightings.try_send(sighting);
                    }
                }
                Ok(Order::Output(Output::State(change))) => self.keep(&change),
                Ok(Order::Replace(sinks, reply)) => {
                    let _unheard = reply.send(self.sinks.replace(&sinks));
                }
                Ok(Order::Report(report, reply)) => {
                    // Nobody listens any more when the agent is ending already.
                    let _unheard = reply.send(*report);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let written = self.sinks.written();
                    self.sinks.finish(GRACE);
                    return Ok(written);
                }
            }
        }
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
