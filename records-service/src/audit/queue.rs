//! The only place that speaks to SQS, with its module that makes queues. It knows batches and their
//! limits, not what an event says.

use std::time::Duration;

use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::{
    Client,
    config::Builder,
    types::{
        ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
        SendMessageBatchRequestEntry,
    },
};
use service_kit::aws::CallMetrics;
use url::Url;

use crate::{config::has_fifo_suffix, error::Error, failure, store::outbox::Unsent};

mod preflight;
mod provision;

pub(crate) use preflight::{QueueRight, check};
pub(crate) use provision::provision;

/// The most messages of one batch. Source: "Amazon SQS message quotas".
pub(crate) const BATCH_COUNT: usize = 10;
/// The most bytes of one batch that is not a single message. SQS takes 1 MiB; a smaller batch is
/// repeated sooner when it fails, and older queues take no more.
const BATCH_BYTES: usize = 256 * 1024;
/// How long a message stays hidden that is received and cannot be stored yet.
const HIDDEN_SECONDS: i32 = 60;
/// How long SQS waits for a message before it answers with none.
const LONG_POLL: Duration = Duration::from_secs(20);

/// The audit queue. A clone shares the client and its connections.
#[derive(Clone)]
pub(crate) struct Queue {
    client: Client,
    url: String,
    fifo: bool,
}

/// What came of sending a batch that SQS has answered.
pub(crate) struct Sent<'a> {
    /// The events that are on the queue.
    pub(crate) taken: Vec<&'a Unsent>,
    /// Whether SQS could not take some just now: it might a moment later.
    pub(crate) busy: bool,
}

/// A message that was received and has to be deleted when it is dealt with.
#[derive(Debug)]
pub(crate) struct Message {
    /// An event's JSON, or whatever somebody put on the queue.
    pub body: String,
    receipt: String,
}

impl Queue {
    /// The queue with this URL; one that ends in `.fifo` gets what such a queue asks for.
    #[must_use]
    pub(crate) fn new(sdk: &SdkConfig, url: &Url, calls: &CallMetrics) -> Self {
        let config = Builder::from(sdk).interceptor(calls.clone()).build();
        let client = Client::from_conf(config);
        Self { client, url: url.to_string(), fifo: has_fifo_suffix(url.path()) }
    }

    /// Splits events into batches that SQS takes.
    pub(crate) fn batches(events: &[Unsent]) -> Vec<Vec<&Unsent>> {
        let mut batches: Vec<Vec<&Unsent>> = Vec::new();
        let mut bytes = 0;
        for event in events {
            let size = event.payload.len();
            match batches.last_mut() {
                Some(batch) if batch.len() < BATCH_COUNT && bytes + size <= BATCH_BYTES => {
                    batch.push(event);
                    bytes += size;
                }
                _ => {
                    batches.push(vec![event]);
                    bytes = size;
                }
            }
        }
        batches
    }

    /// Sends a batch. An answer of SQS that is "OK" as a whole may hold failures, so only those that
    /// it names as taken are on the queue.
    ///
    /// # Errors
    /// When nothing is known to have been taken.
    pub(crate) async fn send<'a>(&self, batch: &[&'a Unsent]) -> Result<Sent<'a>, Error> {
        let mut request = self.client.send_message_batch().queue_url(&self.url);
        for (position, event) in batch.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(position.to_string())
                .message_body(&event.payload)
                // Fair queues: one organization's flood does not delay the others' events.
                .message_group_id(&event.organization_id)
                .set_message_deduplication_id(self.fifo.then(|| event.event_id().to_owned()))
                .build()
                .map_err(Error::internal)?;
            request = request.entries(entry);
        }
        let answer = request.send().await.map_err(failure::of)?;
        // One line for all: SQS may refuse as many again every second.
        if let Some(failure) = answer.failed.first() {
            tracing::error!(
                event.id = batch_entry(batch, &failure.id).map(Unsent::event_id),
                code = failure.code,
                sender_fault = failure.sender_fault,
                events = answer.failed.len(),
                "the queue refused events"
            );
        }
        let taken = answer.successful.iter().filter_map(|taken| batch_entry(batch, &taken.id));
        let busy = answer.failed.iter().any(|failure| !failure.sender_fault);
        Ok(Sent { taken: taken.collect(), busy })
    }

    /// Waits for messages, up to 20 seconds.
    ///
    /// # Errors
    /// When SQS does not answer.
    pub(crate) async fn receive(&self) -> Result<Vec<Message>, Error> {
        // The wait is part of the answer, so the usual time limits do not fit.
        let limit = LONG_POLL + Duration::from_secs(5);
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(limit)
            .operation_timeout(limit)
            .build();
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(BATCH_COUNT).unwrap_or(10))
            .wait_time_seconds(i32::try_from(LONG_POLL.as_secs()).unwrap_or(20))
            .customize()
            .config_override(Builder::new().timeout_config(timeouts))
            .send()
            .await
            .map_err(failure::of)?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages
            .filter_map(|message| {
                Some(Message { body: message.body?, receipt: message.receipt_handle? })
            })
            .collect())
    }

    /// Keeps messages hidden from other workers for another minute. It counts as no receipt.
    ///
    /// # Errors
    /// When SQS does not answer.
    pub(crate) async fn keep_hidden(&self, messages: &[Message]) -> Result<(), Error> {
        let mut request = self.client.change_message_visibility_batch().queue_url(&self.url);
        for (position, message) in messages.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(position.to_string())
                .receipt_handle(&message.receipt)
                .visibility_timeout(HIDDEN_SECONDS)
                .build()
                .map_err(Error::internal)?;
            request = request.entries(entry);
        }
        request.send().await.map_err(failure::of)?;
        Ok(())
    }

    /// Deletes messages that are dealt with. One that stays is received again.
    ///
    /// # Errors
    /// When SQS does not answer.
    pub(crate) async fn delete(&self, messages: &[Message]) -> Result<(), Error> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut request = self.client.delete_message_batch().queue_url(&self.url);
        for (position, message) in messages.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder()
                .id(position.to_string())
                .receipt_handle(&message.receipt)
                .build()
                .map_err(Error::internal)?;
            request = request.entries(entry);
        }
        request.send().await.map_err(failure::of)?;
        Ok(())
    }
}

fn batch_entry<'a>(batch: &[&'a Unsent], id: &str) -> Option<&'a Unsent> {
    batch.get(id.parse::<usize>().ok()?).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batches_hold_every_event_once_in_order_and_within_the_limits(
            sizes in prop::collection::vec(1_usize..300_000, 0..40),
        ) {
            let events: Vec<_> = sizes.iter().map(|bytes| Unsent::of_size(*bytes)).collect();

            let batches = Queue::batches(&events);

            for batch in &batches {
                let bytes: usize = batch.iter().map(|event| event.payload.len()).sum();
                prop_assert!(batch.len() == 1 || bytes <= BATCH_BYTES);
                prop_assert!((1..=BATCH_COUNT).contains(&batch.len()));
            }
            let batched: Vec<_> = batches.concat();
            prop_assert_eq!(batched, events.iter().collect::<Vec<_>>());
        }
    }
}
