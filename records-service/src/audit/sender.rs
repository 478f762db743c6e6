//! Sends events to the queue and takes those that it has from the outbox. It does not know how they
//! were found.

use futures_util::{StreamExt, stream};
use prometheus_client::metrics::counter::Counter;
use service_kit::trace::Span;

use super::{metrics::RelayMetrics, queue::Queue};
use crate::{
    error::Error,
    store::{Store, outbox::Unsent},
};

const BATCHES_AT_ONCE: usize = 4;

/// The way of events from the outbox to the queue.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) store: Store,
    pub(super) queue: Queue,
    pub(super) metrics: RelayMetrics,
}

impl Sender {
    /// Sends events, removes from the outbox those that are on the queue, and answers with their
    /// number, which is added to `published` as well. Tries every batch before it answers with the
    /// first failure.
    pub(super) async fn send(
        &self,
        events: &[Unsent],
        published: &Counter,
    ) -> Result<usize, Error> {
        let batches = Queue::batches(events);
        let sends: Vec<_> = batches.iter().map(|batch| self.send_batch(batch, published)).collect();
        let mut outcomes = stream::iter(sends).buffer_unordered(BATCHES_AT_ONCE);
        let mut outcome = Ok(0);
        while let Some(sent) = outcomes.next().await {
            outcome = match (outcome, sent) {
                (Ok(before), Ok(now)) => Ok(before + now),
                (Err(first), _) | (_, Err(first)) => Err(first),
            };
        }
        outcome
    }

    async fn send_batch(&self, batch: &[&Unsent], published: &Counter) -> Result<usize, Error> {
        // A step of each event's own trace, whose calls have long been answered.
        let spans = batch.iter().map(|event| Span::producer("audit event send", event.trace));
        let mut spans: Vec<_> = spans.collect();
        let sent = self.queue.send(batch).await;
        let taken: &[_] = sent.as_ref().map_or(&[], |sent| &sent.taken);
        published.inc_by(taken.len() as u64);
        self.metrics.failures.inc_by((batch.len() - taken.len()) as u64);
        for (event, span) in batch.iter().zip(&mut spans) {
            if !taken.iter().any(|it| it.event_id() == event.event_id()) {
                span.fail("the queue did not take it");
            }
        }
        drop(spans);
        let sent = sent?;
        self.store.forget_sent(&sent.taken).await?;
        // Whoever sends must slow down. What SQS will never take is no reason to.
        if sent.busy { Err(Error::Unavailable(None)) } else { Ok(sent.taken.len()) }
    }
}
