//! Carries documents from a spool to the other end, and tries again until they are there.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    spool::{Batch, Limits, Spool},
    status::Status,
};
use crate::sandbox;

/// Shortest wait after a failure; doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// How long an open question may stay open while nothing else comes.
const SETTLE: Duration = Duration::from_millis(200);
/// Most documents whose arrival is an open question.
const MAX_OPEN: u64 = 5_000;

/// A way to the other end.
pub(super) trait Transport: Send + fmt::Debug {
    /// Bounds of what is delivered at once.
    fn limits(&self) -> Limits;

    /// Longest wait between attempts.
    fn longest_wait(&self) -> Duration;

    /// Delivers all of `batch`; an error leaves open what of it arrived.
    fn deliver(&mut self, batch: &Batch) -> Result<Receipt, DeliveryError>;

    /// Makes sure that everything delivered since the last call has arrived. Only asked of a
    /// transport that gave [`Receipt::Open`].
    fn settle(&mut self) -> Result<(), DeliveryError> {
        Ok(())
    }
}

/// What the other end said to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// It has the documents, but for some that it refused for good.
    Certain {
        /// Refused ones, which are kept elsewhere.
        rejected: u64,
    },
    /// Nothing yet: they are on the way.
    Open,
}

/// Why documents could not be delivered; they stay in the spool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    message: String,
    /// How long the other end asked to be left alone.
    wait: Option<Duration>,
}

impl DeliveryError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            wait: None,
        }
    }

    pub(super) fn with_wait(self, wait: Option<Duration>) -> Self {
        Self { wait, ..self }
    }
}

impl From<io::Error> for DeliveryError {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// The thread that empties one spool.
#[derive(Debug)]
pub(super) struct Courier {
    shared: Arc<Shared>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    spool: Arc<Spool>,
    status: Arc<Status>,
    /// A new way to the other end, after a reload.
    next: Mutex<Option<Box<dyn Transport>>>,
    is_ending: AtomicBool,
}

impl Courier {
    /// Starts emptying `spool`.
    pub(super) fn start(
        name: &str,
        spool: Arc<Spool>,
        status: Arc<Status>,
        transport: Box<dyn Transport>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            spool,
            status,
            next: Mutex::new(None),
            is_ending: AtomicBool::new(false),
        });
        let (alive, ended) = channel();
        let run = Run {
            shared: Arc::clone(&shared),
            transport,
            failures: 0,
            open: 0,
        };
        // The kernel keeps 15 characters of a thread's name.
        thread::Builder::new()
            .name(format!("sink-{name}"))
            .spawn(move || {
                sandbox::only_write();
                run.run();
                drop(alive);
            })?;
        Ok(Self { shared, ended })
    }

    /// Goes on another way.
    pub(super) fn replace(&self, transport: Box<dyn Transport>) {
        let next = &self.shared.next;
        *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(transport);
        self.shared.spool.nudge();
    }

    /// Asks to deliver what is there and end; what cannot be delivered at once stays.
    pub(super) fn end(&self) {
        self.shared.is_ending.store(true, Relaxed);
        self.shared.spool.nudge();
    }

    /// Waits for the end; `false` when it has not come by `deadline`.
    pub(super) fn has_ended(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        // Nothing is ever sent: closed is what says that the thread is gone.
        !matches!(
            self.ended.recv_timeout(left),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        )
    }
}

struct Run {
    shared: Arc<Shared>,
    transport: Box<dyn Transport>,
    /// Attempts in a row that failed.
    failures: u32,
    /// Documents on the way without an answer.
    open: u64,
}

impl Run {
    fn run(mut self) {
        loop {
            self.take_replacement();
            let is_ending = self.shared.is_ending.load(Relaxed);
            let deadline = if is_ending {
                Some(Instant::now())
            } else if self.open > 0 {
                Some(Instant::now() + SETTLE)
            } else {
                None
            };
            let outcome = match self.shared.spool.read(self.transport.limits(), deadline) {
                Ok(Some(batch)) => self.deliver(&batch),
                Ok(None) if self.open > 0 => self.settle(),
                Ok(None) if is_ending => return,
                Ok(None) => continue,
                Err(error) => Err(error.into()),
            };
            match outcome {
                Ok(()) => self.failures = 0,
                Err(error) => {
                    self.shared.spool.rewind();
                    self.open = 0;
                    self.shared.status.failed(&error.message);
                    if self.shared.is_ending.load(Relaxed) {
                        return;
                    }
                    let until = Instant::now() + self.wait(&error);
                    self.shared.spool.pause(until);
                }
            }
        }
    }

    fn take_replacement(&mut self) {
        let next = &self.shared.next;
        let next = next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(transport) = next else {
            return;
        };
        if self.open > 0
            && let Err(error) = self.settle()
        {
            self.shared.status.failed(&error.message);
            self.shared.spool.rewind();
            self.open = 0;
        }
        self.transport = transport;
        self.failures = 0;
    }

    fn deliver(&mut self, batch: &Batch) -> Result<(), DeliveryError> {
        let documents = u64::try_from(batch.entries.len()).unwrap_or(u64::MAX);
        match self.transport.deliver(batch)? {
            Receipt::Certain { rejected } => {
                self.shared.spool.commit();
                let accepted = documents.saturating_sub(rejected);
                self.shared.status.delivered(accepted, rejected);
                Ok(())
            }
            Receipt::Open => {
                self.open += documents;
                if self.open >= MAX_OPEN {
                    return self.settle();
                }
                Ok(())
            }
        }
    }

    fn settle(&mut self) -> Result<(), DeliveryError> {
        self.transport.settle()?;
        self.shared.spool.commit();
        self.shared
            .status
            .delivered(std::mem::take(&mut self.open), 0);
        Ok(())
    }

    /// Somewhere between half and all of an exponentially growing time, so that the agents of a
    /// fleet do not come back all at once.
    fn wait(&mut self, error: &DeliveryError) -> Duration {
        let longest = self.transport.longest_wait();
        let grown = FIRST_WAIT.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let wait = error.wait.unwrap_or(grown).min(longest);
        wait.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
    }
}
