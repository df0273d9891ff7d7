//! Where documents go.
//!
//! [`Sinks`] hands each document to every sink that takes its stream. Standard output and files
//! are written at once. Everything else can be out of reach, so it gets a [`spool`]: the document
//! is on disk when it is taken, and a thread for each sink, its courier, carries it on.

pub mod console;
mod courier;
mod document;
mod elastic;
mod fields;
mod file;
mod journald;
mod pretty;
pub mod spool;
mod status;
mod syslog;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use thiserror::Error;
use tracing::{info, warn};

use self::{
    console::Console,
    courier::{Courier, Transport},
    elastic::Elastic,
    file::RotatingFile,
    journald::Journal,
    spool::{Entry, Spool},
    syslog::SyslogServer,
};
pub use self::{
    courier::DeliveryError,
    document::{Document, Kind},
    file::files,
    status::{SinkReport, Status, Statuses},
};
use crate::config::{self, Target};

/// A sink that cannot be set up.
#[derive(Debug, Error)]
#[error("sink {name}: {reason}")]
pub struct SetupError {
    /// Its name in the configuration.
    name: String,
    /// What is wrong.
    reason: String,
}

/// What takes documents at once.
trait Sink: Send + fmt::Debug {
    fn write(&mut self, document: &Document) -> io::Result<()>;

    /// When [`Self::tick`] has something to do next.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Does what is due.
    fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All sinks of a run, and which stream goes to which.
#[derive(Debug)]
pub struct Sinks {
    outlets: Vec<Outlet>,
    spool: config::Spool,
    statuses: Statuses,
    written: u64,
}

#[derive(Debug)]
struct Outlet {
    config: config::Sink,
    status: Arc<Status>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Without it the agent has no reader: an error ends the run.
    Console(Console<io::Stdout>),
    Direct(Box<dyn Sink>),
    Spooled(Arc<Spool>, Courier),
}

/// A sink that is ready, its spool not yet opened.
enum Ready {
    Console(Console<io::Stdout>),
    Direct(Box<dyn Sink>),
    Remote(Box<dyn Transport>),
}

impl Sinks {
    /// Sets up every sink; none is used when one cannot be.
    ///
    /// # Errors
    ///
    /// When a file, secret or spool cannot be used. That a server is out of reach is no error.
    pub fn open(sinks: &[config::Sink], spool: &config::Spool) -> Result<Self, SetupError> {
        let mut out = Self {
            outlets: Vec::new(),
            spool: spool.clone(),
            statuses: Statuses::default(),
            written: 0,
        };
        out.replace(sinks)?;
        Ok(out)
    }

    /// Tries what [`Self::open`] would do without changing anything: reads secrets and
    /// certificates.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn check(sink: &config::Sink, spool: &config::Spool) -> Result<(), SetupError> {
        let outcome = match &sink.target {
            Target::Stdout(_) | Target::File(_) => Ok(()),
            Target::Journald(_) | Target::Syslog(_) | Target::Elasticsearch(_) => {
                prepare(sink, spool).map(drop)
            }
        };
        outcome.map_err(|reason| SetupError {
            name: sink.name.clone(),
            reason,
        })
    }

    /// Replaces the sinks. Files are opened anew and secrets read again; what waits for a sink
    /// that stays waits on. On an error the old ones stay.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn replace(&mut self, sinks: &[config::Sink]) -> Result<(), SetupError> {
        let mut prepared = Vec::with_capacity(sinks.len());
        for sink in sinks {
            let setup = |reason| SetupError {
                name: sink.name.clone(),
                reason,
            };
            self.check_kind(sink).map_err(setup)?;
            let ready = prepare(sink, &self.spool).map_err(setup)?;
            let spool = self.spool_for(sink, &ready).map_err(setup)?;
            prepared.push((sink, ready, spool));
        }
        let mut old = std::mem::take(&mut self.outlets);
        for (sink, ready, spool) in prepared {
            let before = old
                .iter()
                .position(|outlet| outlet.config.name == sink.name);
            let before = before.map(|index| old.swap_remove(index));
            match Outlet::new(sink, ready, spool, before) {
                Ok(outlet) => self.outlets.push(outlet),
                Err(error) => warn!(sink = sink.name, %error, "no thread for the sink"),
            }
        }
        let statuses = self.outlets.iter().map(|outlet| Arc::clone(&outlet.status));
        self.statuses.set(statuses.collect());
        for outlet in &old {
            outlet.retire();
        }
        Ok(())
    }

    /// The numbers of the sinks, now and after each change.
    pub fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    /// Documents taken so far.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Hands a document to every sink that takes its stream.
    ///
    /// # Errors
    ///
    /// When standard output does not take it. Whatever else fails is counted and said.
    pub fn write(&mut self, document: &Document) -> io::Result<()> {
        self.written += 1;
        let stream = document.stream();
        let takers = self.outlets.iter_mut();
        for outlet in takers.filter(|outlet| outlet.config.streams.contains(stream)) {
            outlet.write(document)?;
        }
        Ok(())
    }

    /// When [`Self::tick`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = self.outlets.iter().filter_map(|outlet| match &outlet.way {
            Way::Console(_) => None,
            Way::Direct(sink) => sink.deadline(),
            Way::Spooled(spool, _) => spool.deadline(),
        });
        deadlines.min()
    }

    /// Does what is due: synchronises and rotates.
    pub fn tick(&mut self) {
        for outlet in &mut self.outlets {
            match &mut outlet.way {
                Way::Console(_) => {}
                Way::Direct(sink) => {
                    if let Err(error) = sink.tick() {
                        outlet.status.failed(&error.to_string());
                    }
                }
                Way::Spooled(spool, _) => spool.tick(),
            }
        }
    }

    /// Ends: what is in the spools is delivered within `grace`, or stays there for the next run.
    pub fn finish(mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.tick();
        for outlet in &self.outlets {
            if let Way::Spooled(_, courier) = &outlet.way {
                courier.end();
            }
        }
        for outlet in &self.outlets {
            let Way::Spooled(spool, courier) = &outlet.way else {
                continue;
            };
            courier.has_ended(deadline);
            let pending = spool.numbers().pending;
            if pending > 0 {
                let sink = &outlet.config.name;
                info!(
                    sink,
                    pending, "documents wait in the spool for the next run"
                );
            }
        }
    }

    /// The numbers of a sink, and what waits for it, are those of one kind of sink.
    fn check_kind(&self, sink: &config::Sink) -> Result<(), String> {
        let before = self.outlets.iter().find(|o| o.config.name == sink.name);
        let before = before.map(|outlet| outlet.config.target.kind());
        match before {
            Some(before) if before != sink.target.kind() => Err(format!(
                "it was of type {before} until now: restart, or give it another name"
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The spool of a sink that needs one: the one it has, or a new one.
    fn spool_for(&self, sink: &config::Sink, ready: &Ready) -> Result<Option<Arc<Spool>>, String> {
        let Ready::Remote(_) = ready else {
            return Ok(None);
        };
        let name = &sink.name;
        let present = self
            .outlets
            .iter()
            .find(|outlet| outlet.config.name == *name);
        if let Some(Way::Spooled(spool, _)) = present.map(|outlet| &outlet.way) {
            return Ok(Some(Arc::clone(spool)));
        }
        let dir = self.spool.dir.join(name);
        Spool::open(&dir, self.spool.max_bytes, self.spool.sync)
            .map(|spool| Some(Arc::new(spool)))
            .map_err(|error| {
                // A sink of that name that was let go of may still be at its last delivery.
                let is_busy = error.kind() == io::ErrorKind::ResourceBusy;
                let hint = if is_busy {
                    ": try again in a minute, or end the other agent"
                } else {
                    ""
                };
                format!("spool {}: {error}{hint}", dir.display())
            })
    }
}

/// Opens what a sink needs.
fn prepare(sink: &config::Sink, spool: &config::Spool) -> Result<Ready, String> {
    Ok(match &sink.target {
        Target::Stdout(stdout) => Ready::Console(Console::stdout(stdout.format)),
        Target::File(file) => {
            let open = RotatingFile::open(file);
            let path = file.path.display();
            Ready::Direct(Box::new(open.map_err(|error| format!("{path}: {error}"))?))
        }
        Target::Journald(journald) => Ready::Remote(Box::new(Journal::new(journald))),
        Target::Syslog(syslog) => Ready::Remote(Box::new(SyslogServer::new(syslog)?)),
        Target::Elasticsearch(config) => {
            let letters = spool.dir.join(&sink.name).join("dead-letters.ndjson");
            Ready::Remote(Box::new(Elastic::new(config, letters)?))
        }
    })
}

impl Outlet {
    fn new(
        sink: &config::Sink,
        ready: Ready,
        spool: Option<Arc<Spool>>,
        before: Option<Self>,
    ) -> io::Result<Self> {
        let kind = sink.target.kind();
        let new_status = || Arc::new(Status::new(&sink.name, kind, spool.clone()));
        let (before, status) = match before {
            Some(outlet) => (Some(outlet.way), outlet.status),
            None => (None, new_status()),
        };
        let way = match (ready, spool, before) {
            (Ready::Remote(transport), Some(_), Some(Way::Spooled(spool, courier))) => {
                courier.replace(transport);
                Way::Spooled(spool, courier)
            }
            (Ready::Remote(transport), Some(spool), _) => {
                let courier = Courier::start(
                    &sink.name,
                    Arc::clone(&spool),
                    Arc::clone(&status),
                    transport,
                )?;
                Way::Spooled(spool, courier)
            }
            (Ready::Remote(_), None, _) => {
                return Err(io::Error::other("a remote sink without a spool"));
            }
            (Ready::Console(console), _, _) => Way::Console(console),
            (Ready::Direct(sink), _, _) => Way::Direct(sink),
        };
        Ok(Self {
            config: sink.clone(),
            status,
            way,
        })
    }

    fn write(&mut self, document: &Document) -> io::Result<()> {
        self.status.accepted();
        match &mut self.way {
            Way::Console(console) => {
                console.write(document)?;
                self.status.delivered(1, 0);
            }
            Way::Direct(sink) => match sink.write(document) {
                Ok(()) => self.status.delivered(1, 0),
                Err(error) => {
                    self.status.lost(1);
                    self.status.failed(&error.to_string());
                }
            },
            Way::Spooled(spool, _) => spool.append(Entry {
                kind: document.kind(),
                body: document.text().as_bytes().to_vec(),
            }),
        }
        Ok(())
    }

    /// Lets go of a sink that is no longer configured.
    fn retire(&self) {
        let name = &self.config.name;
        match &self.way {
            Way::Console(_) | Way::Direct(_) => info!(sink = name, "sink is no longer used"),
            Way::Spooled(spool, courier) => {
                courier.end();
                let (pending, dir) = (spool.numbers().pending, spool.dir().display());
                info!(sink = name, pending, %dir, "sink is no longer used; what waits stays");
            }
        }
    }
}
