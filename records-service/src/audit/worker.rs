//! Takes events from the queue and stores each once in the audit trail. It deletes a message only
//! when its event is stored; what it cannot understand goes to the dead-letter queue after five
//! receipts.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use service_kit::{shutdown::CancellationToken, telemetry::Chain};

use super::queue::{BATCH_COUNT, Message, Queue};
use crate::{
    domain::event::Event,
    error::Error,
    store::{Store, trail::Appended},
};

const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The consumer of the audit queue. Several may run at once.
pub(crate) struct Worker {
    store: Store,
    queue: Queue,
}

impl Worker {
    /// A worker from this queue to this store's trail.
    #[must_use]
    pub(crate) fn new(store: Store, queue: Queue) -> Self {
        Self { store, queue }
    }

    /// Works until `stopping`, and finishes the messages it has in hand.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        while !stopping.is_cancelled() {
            let received = tokio::select! {
                received = self.queue.receive() => received,
                () = stopping.cancelled() => return,
            };
            let outcome = match received {
                Ok(messages) => self.store_all(messages).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::warn!(
                    error = %Chain(&error),
                    "the audit queue does not answer; trying again"
                );
                tokio::select! {
                    () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => {}
                    () = stopping.cancelled() => {}
                }
            }
        }
    }

    async fn store_all(&self, messages: Vec<Message>) -> Result<(), Error> {
        let stored: Vec<Option<Message>> = stream::iter(messages)
            .map(|message| async move { self.store_one(&message).await.then_some(message) })
            .buffer_unordered(BATCH_COUNT)
            .collect()
            .await;
        let done: Vec<Message> = stored.into_iter().flatten().collect();
        self.queue.delete(&done).await
    }

    /// Answers whether the message is dealt with.
    async fn store_one(&self, message: &Message) -> bool {
        let event = match Event::parse(&message.body) {
            Ok(event) if event.compute_hash() == event.data.hash => event,
            Ok(event) => {
                tracing::error!(event.id = %event.id, "the hash of an event is wrong");
                return false;
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "a message is not an event");
                return false;
            }
        };
        match self.store.append_to_trail(&event, &message.body).await {
            Ok(Appended::New) => {
                tracing::debug!(event.id = %event.id, "stored an event");
                true
            }
            Ok(Appended::Before) => true,
            Ok(Appended::Contradiction) => {
                tracing::error!(event.id = %event.id, "the trail holds another event of this id");
                false
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), event.id = %event.id, "cannot store an event yet");
                false
            }
        }
    }
}
