//! Takes events from the queue and stores each once in the audit trail. It deletes a message only
//! when its event is stored; what it cannot understand goes to the dead-letter queue after five
//! receipts.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use service_kit::{
    shutdown::CancellationToken,
    telemetry::Chain,
    trace::{CURRENT, Span, TraceContext},
};
use tokio::time::sleep;

use super::{
    metrics::WorkerMetrics,
    pause::Pause,
    queue::{BATCH_COUNT, Message, Queue},
};
use crate::{
    domain::event::Event,
    store::{Duty, Store, trail::Appended},
};

/// How long after a failure nothing is tried; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long an answer of the queue is still awaited after the signal to stop: messages that it hands
/// over at that moment, and nobody takes, would stay hidden from other workers for a minute.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// What came of a message.
enum Outcome {
    /// Its event is in the trail.
    Stored,
    /// It will never be: it is left to be received until it goes to the dead-letter queue.
    Refused,
    /// The trail does not answer.
    NotYet,
}

/// The consumer of the audit queue. Several may run at once.
pub(crate) struct Worker {
    store: Store,
    queue: Queue,
    metrics: WorkerMetrics,
}

impl Worker {
    /// A worker from this queue to this store's trail.
    #[must_use]
    pub(super) fn new(store: Store, queue: Queue, metrics: WorkerMetrics) -> Self {
        Self { store, queue, metrics }
    }

    /// Works until `stopping`, and finishes the messages it has in hand if that is possible.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let mut pause = Pause::between(FIRST_PAUSE, LONGEST_PAUSE);
        while !stopping.is_cancelled() {
            let received = tokio::select! {
                received = self.queue.receive() => received,
                () = async {
                    stopping.cancelled().await;
                    sleep(LAST_ANSWER).await;
                } => return,
            };
            match received {
                Ok(messages) => {
                    pause.reset();
                    self.metrics.received();
                    self.store_all(messages, &stopping).await;
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "the audit queue does not answer");
                    pause.wait(&stopping).await;
                }
            }
        }
    }

    /// Stores messages, and tries again with those for which the trail does not answer. They are
    /// kept hidden meanwhile and no others are received, for each receipt brings a good message
    /// nearer to the dead-letter queue.
    async fn store_all(&self, mut messages: Vec<Message>, stopping: &CancellationToken) {
        let mut pause = Pause::between(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let outcomes: Vec<_> = stream::iter(messages)
                .map(|message| async move { (self.store_one(&message).await, message) })
                .buffer_unordered(BATCH_COUNT)
                .collect()
                .await;
            let (mut stored, mut waiting) = (Vec::new(), Vec::new());
            for (outcome, message) in outcomes {
                match outcome {
                    Outcome::Stored => stored.push(message),
                    Outcome::NotYet => waiting.push(message),
                    Outcome::Refused => {}
                }
            }
            if let Err(error) = self.queue.delete(&stored).await {
                tracing::warn!(error = %Chain(&error), "stored events will be received again");
            }
            if waiting.is_empty() || stopping.is_cancelled() {
                return;
            }
            if let Err(error) = self.queue.keep_hidden(&waiting).await {
                tracing::warn!(error = %Chain(&error), "waiting events may be received again");
            }
            pause.wait(stopping).await;
            messages = waiting;
        }
    }

    async fn store_one(&self, message: &Message) -> Outcome {
        let event = match Event::parse(&message.body) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(error = %Chain(&error), "a message is not a good event");
                self.metrics.refused.inc();
                return Outcome::Refused;
            }
        };
        let parent = TraceContext::parse(&event.traceparent);
        let mut span = Span::consumer("audit event process", parent);
        let appending = self.store.append_to_trail(&event, &message.body);
        let appending = Duty::of_event(&event).during(appending);
        match CURRENT.scope(span.context(), appending).await {
            Ok(Appended::New) => {
                let delay = Timestamp::now().duration_since(event.time);
                self.metrics.delays.observe(delay.as_secs_f64().max(0.0));
                self.metrics.stored.inc();
                Outcome::Stored
            }
            Ok(Appended::Before) => {
                self.metrics.duplicate.inc();
                Outcome::Stored
            }
            Ok(Appended::Contradiction) => {
                tracing::error!(event.id = %event.id, "the trail holds another event of this id");
                self.metrics.refused.inc();
                span.fail("the trail holds another event of this id");
                Outcome::Refused
            }
            Err(error) => {
                tracing::warn!(
                    error = %Chain(&error),
                    event.id = %event.id,
                    "cannot store an event yet"
                );
                span.fail("not stored yet");
                Outcome::NotYet
            }
        }
    }
}
