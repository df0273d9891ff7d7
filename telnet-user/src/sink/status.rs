//! What a sink did so far, as health documents and metrics tell it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use tracing::{info, warn};

use super::spool::{Numbers, Spool};

/// Counters of one sink, shared by the threads that feed, empty and report it.
#[derive(Debug)]
pub struct Status {
    name: String,
    kind: &'static str,
    accepted: AtomicU64,
    delivered: AtomicU64,
    rejected: AtomicU64,
    lost: AtomicU64,
    errors: AtomicU64,
    is_down: AtomicBool,
    last_error: Mutex<Option<String>>,
    spool: Option<Arc<Spool>>,
}

/// The numbers of one sink at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkReport {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Documents it was given.
    pub accepted: u64,
    /// Documents the other end has.
    pub delivered: u64,
    /// Documents the other end refuses for good; Elasticsearch's are among the dead letters.
    pub rejected: u64,
    /// Documents that could not be written. Those that gave way in the spool are in
    /// [`Self::spool`].
    pub lost: u64,
    /// Attempts that failed.
    pub errors: u64,
    /// Whether the last attempt failed.
    pub is_down: bool,
    /// Why the last attempt failed, when it did.
    pub last_error: Option<String>,
    /// What waits, for a sink with a spool.
    pub spool: Option<Numbers>,
}

impl Status {
    pub(super) fn new(name: &str, kind: &'static str, spool: Option<Arc<Spool>>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            accepted: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            last_error: Mutex::new(None),
            spool,
        }
    }

    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(super) fn lost(&self, documents: u64) {
        self.lost.fetch_add(documents, Relaxed);
    }

    /// An attempt went well.
    pub(super) fn delivered(&self, documents: u64, rejected: u64) {
        self.delivered.fetch_add(documents, Relaxed);
        self.rejected.fetch_add(rejected, Relaxed);
        if self.is_down.swap(false, Relaxed) {
            info!(sink = self.name, "sink works again");
            *self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// An attempt failed. Said once, until it goes well again.
    pub(super) fn failed(&self, error: &str) {
        self.errors.fetch_add(1, Relaxed);
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !self.is_down.swap(true, Relaxed) {
            warn!(sink = self.name, error, "sink does not work");
        }
        *last = Some(error.to_owned());
    }

    /// The numbers now.
    pub fn report(&self) -> SinkReport {
        let last_error = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        SinkReport {
            name: self.name.clone(),
            kind: self.kind,
            accepted: self.accepted.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            lost: self.lost.load(Relaxed),
            errors: self.errors.load(Relaxed),
            is_down: self.is_down.load(Relaxed),
            last_error: last_error.clone(),
            spool: self.spool.as_ref().map(|spool| spool.numbers()),
        }
    }
}

/// The sinks there are now, for whoever reports on them.
#[derive(Clone, Debug, Default)]
pub struct Statuses(Arc<Mutex<Vec<Arc<Status>>>>);

impl Statuses {
    pub(super) fn set(&self, statuses: Vec<Arc<Status>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = statuses;
    }

    /// The numbers of each sink.
    pub fn report(&self) -> Vec<SinkReport> {
        let statuses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.iter().map(|status| status.report()).collect()
    }
}
