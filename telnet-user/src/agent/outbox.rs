//! The reader's way to the pipeline.

use std::{
    collections::VecDeque,
    sync::mpsc::{SyncSender, TrySendError},
    time::Duration,
};

use tokio::time::sleep;

/// How long to wait for room before asking again.
const PAUSE: Duration = Duration::from_millis(1);

/// What the pipeline is given, and what it had no room for yet.
///
/// The reader stops where it waits when the run is over. What it had taken out of the ring buffer by
/// then is still here.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    channel: SyncSender<T>,
    /// The oldest first; one, but for what is sent after a wait that was given up.
    waiting: VecDeque<T>,
}

impl<T> Outbox<T> {
    pub(super) const fn new(channel: SyncSender<T>) -> Self {
        Self {
            channel,
            waiting: VecDeque::new(),
        }
    }

    /// Waits for room; `false` when the pipeline is gone. A wait that is given up sends nothing and
    /// loses nothing: see [`Self::flush`].
    pub(super) async fn send(&mut self, input: T) -> bool {
        self.waiting.push_back(input);
        self.flush().await
    }

    /// Sends what waits; `false` when the pipeline is gone.
    pub(super) async fn flush(&mut self) -> bool {
        while let Some(input) = self.waiting.pop_front() {
            match self.channel.try_send(input) {
                Ok(()) => {}
                Err(TrySendError::Full(returned)) => {
                    // The pipeline is behind; meanwhile the ring buffer is the queue.
                    self.waiting.push_front(returned);
                    sleep(PAUSE).await;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn what_was_given_up_while_it_waited_comes_first() {
        let (channel, received) = sync_channel(1);
        let mut outbox = Outbox::new(channel);
        assert!(outbox.send(1).await);
        for given_up in [2, 3] {
            timeout(MOMENT, outbox.send(given_up))
                .await
                .expect_err("there is no room");
        }
        let reader = std::thread::spawn(move || received.into_iter().collect::<Vec<_>>());
        assert!(outbox.send(4).await);
        drop(outbox);
        assert_eq!(reader.join().expect("no panic"), [1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_pipeline_that_is_gone_is_told() {
        let (channel, received) = sync_channel(1);
        let mut outbox = Outbox::new(channel);
        assert!(outbox.send(1).await);
        drop(received);
        assert!(!outbox.send(2).await);
    }
}
