//! The `_bulk` interface of Elasticsearch and OpenSearch.
//!
//! Documents go into data streams with `create` and an id of their own, so that one that is sent
//! twice is stored once: 409 says that it is there. An alert that changed is the same document
//! again: when it is there, its backing index, which the 409 names, takes an `update`.

mod bulk;
mod client;
mod dead_letters;
#[cfg(test)]
pub(super) mod tests;

use std::{path::PathBuf, thread, time::Duration};

use tracing::warn;

use self::{
    bulk::{Item, Streams, Verdict},
    client::{Client, Failure},
    dead_letters::DeadLetters,
};
use super::{
    courier::{DeliveryError, Receipt, Transport},
    spool::{Batch, Limits},
};
use crate::config;

/// How often documents that a busy cluster put off are sent again before the whole batch waits.
const ROUNDS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A cluster.
#[derive(Debug)]
pub(super) struct Elastic {
    client: Client,
    streams: Streams,
    dead_letters: DeadLetters,
    limits: Limits,
    longest_wait: Duration,
}

impl Elastic {
    /// Reads secrets and certificates. `letters` is where documents go that the cluster refuses,
    /// unless the configuration names another place.
    pub(super) fn new(config: &config::Elasticsearch, letters: PathBuf) -> Result<Self, String> {
        let letters = config.dead_letter_file.clone().unwrap_or(letters);
        Ok(Self {
            client: Client::new(config)?,
            streams: Streams::new(config),
            dead_letters: DeadLetters::new(letters, config.dead_letter_max_bytes),
            limits: Limits {
                documents: config.batch_documents,
                bytes: config.batch_bytes,
            },
            longest_wait: config.backoff_max,
        })
    }

    /// Sends `items` until each is stored or refused; the refused ones with the reason.
    fn store(&mut self, mut items: Vec<Item>) -> Result<Vec<(Item, Verdict)>, DeliveryError> {
        let mut refused = Vec::new();
        for round in 0..ROUNDS {
            let mut again = Vec::new();
            let mut reason = None;
            for (item, verdict) in self.send(items)? {
                match verdict {
                    Verdict::Stored => {}
                    Verdict::Changed(index) => again.push(item.into_update(index)),
                    Verdict::Later(why) => {
                        reason = Some(why);
                        again.push(item);
                    }
                    Verdict::Refused { .. } => refused.push((item, verdict)),
                }
            }
            if again.is_empty() {
                return Ok(refused);
            }
            if let Some(reason) = reason {
                if round + 1 == ROUNDS {
                    return Err(DeliveryError::new(reason));
                }
                thread::sleep(FIRST_PAUSE.saturating_mul(1 << round));
            }
            items = again;
        }
        Err(DeliveryError::new("documents were put off again and again"))
    }

    /// One request, or two halves of it when the cluster does not take it whole.
    fn send(&mut self, items: Vec<Item>) -> Result<Vec<(Item, Verdict)>, DeliveryError> {
        match self.client.bulk(&bulk::encode(&items)) {
            Ok(answer) => bulk::judge(items, &answer).map_err(DeliveryError::new),
            Err(Failure::Wait(error)) => Err(error),
            Err(Failure::Request { status, body }) => self.divide(items, status, body),
        }
    }

    /// Finds the document that makes a request impossible, so that the others are stored.
    fn divide(
        &mut self,
        mut items: Vec<Item>,
        status: u16,
        body: String,
    ) -> Result<Vec<(Item, Verdict)>, DeliveryError> {
        let half = items.len() / 2;
        if half == 0 {
            let verdict = Verdict::Refused {
                status,
                reason: body.into(),
            };
            return Ok(items
                .into_iter()
                .map(|item| (item, verdict.clone()))
                .collect());
        }
        let rest = items.split_off(half);
        let mut verdicts = self.send(items)?;
        verdicts.extend(self.send(rest)?);
        Ok(verdicts)
    }
}

impl Transport for Elastic {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn longest_wait(&self) -> Duration {
        self.longest_wait
    }

    fn deliver(&mut self, batch: &Batch) -> Result<Receipt, DeliveryError> {
        let items = batch.entries.iter().map(|entry| self.streams.item(entry));
        let items = items
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| DeliveryError::new(error.to_string()))?;
        let refused = self.store(items)?;
        for (item, verdict) in &refused {
            if let Verdict::Refused { status, reason } = verdict {
                warn!(id = item.id(), status, %reason, "document refused, see the dead letters");
                self.dead_letters.add(item, *status, reason)?;
            }
        }
        Ok(Receipt::Certain {
            rejected: u64::try_from(refused.len()).unwrap_or(u64::MAX),
        })
    }
}
