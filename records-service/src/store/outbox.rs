//! The outbox: events that are committed and not yet on the queue. Rows are for the relay alone and
//! name their organization only inside.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::query::builders::QueryFluentBuilder,
    types::{DeleteRequest, WriteRequest},
};
use service_kit::trace::TraceContext;
use uuid::Uuid;

use super::{
    Item, ORGANIZATION_ID, Store,
    attributes::{Row, RowError},
    number, text,
};
use crate::{domain::event::Event, error::Error, failure};

/// How many partitions the outbox has.
pub(crate) const SHARDS: u8 = 16;
/// The most keys that one `BatchWriteItem` takes.
const DELETES_PER_BATCH: usize = 25;
/// How far the clocks of two processes may differ.
const SKEW: Duration = Duration::from_mins(1);
/// The partition of the sweeper's lease, beside those of the shards.
const LEASE: &str = "lease";

/// An event that is committed and not yet on the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsent {
    shard: String,
    event_id: String,
    /// Whose event it is: events of one organization are a message group.
    pub organization_id: String,
    /// The event as it goes on the queue.
    pub payload: String,
    /// The step of a trace in which the event was made, as it says itself.
    pub trace: Option<TraceContext>,
}

/// Unsent events of a shard, in figures.
pub(crate) struct UnsentCount {
    pub(crate) count: u32,
    /// When the first of them was committed.
    pub(crate) oldest: Option<SystemTime>,
}

/// Where an answer about the outbox ended.
pub(crate) struct RowKey(Item);

/// Some rows of a shard.
pub(crate) struct UnsentRows {
    /// Those that can be read.
    pub(crate) events: Vec<Unsent>,
    /// How many rows there were.
    pub(crate) found: usize,
    /// Where to read on, if there is more.
    pub(crate) next: Option<RowKey>,
}

impl Unsent {
    pub(super) fn new(event: &Event) -> Self {
        // The last byte of a UUID of version 7 is random, so it spreads the events.
        let shard = event.id.as_bytes()[15] % SHARDS;
        Self {
            shard: shard_key(shard),
            event_id: event.id.to_string(),
            organization_id: event.data.organization_id.clone(),
            payload: event.to_json(),
            trace: TraceContext::parse(&event.traceparent),
        }
    }

    /// An event of so many bytes, for tests of whatever carries it.
    #[cfg(test)]
    pub(crate) fn of_size(bytes: usize) -> Self {
        Self {
            shard: shard_key(0),
            event_id: Uuid::now_v7().to_string(),
            organization_id: "org_acme".to_owned(),
            payload: "x".repeat(bytes),
            trace: None,
        }
    }

    /// The event's id.
    #[must_use]
    pub(crate) fn event_id(&self) -> &str {
        &self.event_id
    }

    fn key(&self) -> Item {
        Item::from([
            ("Shard".to_owned(), text(&self.shard)),
            ("Event_ID".to_owned(), text(&self.event_id)),
        ])
    }

    pub(super) fn to_row(&self) -> Item {
        let mut row = self.key();
        row.insert(ORGANIZATION_ID.to_owned(), text(&self.organization_id));
        row.insert("Payload".to_owned(), text(&self.payload));
        row
    }

    fn from_row(item: Item) -> Result<Self, RowError> {
        let mut row = Row(item);
        let payload = row.text("Payload")?;
        Ok(Self {
            shard: row.text("Shard")?,
            event_id: row.text("Event_ID")?,
            organization_id: row.text(ORGANIZATION_ID)?,
            trace: Event::trace_of(&payload),
            payload,
        })
    }
}

impl Store {
    /// Unsent events of a shard that are at least as old as `age`, oldest first: about 1 MB of them
    /// at most, after the row at which an earlier answer ended. A sweep always begins at the start
    /// of a shard, because a transaction that commits late may carry an earlier id than one that
    /// was read before.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(crate) async fn unsent_events(
        &self,
        shard: u8,
        age: Duration,
        after: Option<RowKey>,
    ) -> Result<UnsentRows, Error> {
        let answer = self
            .query_unsent(shard, age)
            .set_exclusive_start_key(after.map(|key| key.0))
            .limit(100)
            .send()
            .await
            .map_err(failure::of)?;
        let rows = answer.items.unwrap_or_default();
        let found = rows.len();
        let events = rows.into_iter().filter_map(|row| {
            let unreadable =
                |error: &RowError| tracing::error!(%error, shard, "an unsent event cannot be read");
            Unsent::from_row(row).inspect_err(unreadable).ok()
        });
        Ok(UnsentRows {
            events: events.collect(),
            found,
            next: answer.last_evaluated_key.map(RowKey),
        })
    }

    /// How many unsent events of a shard are at least as old as `age`, counted up to `limit`.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(crate) async fn count_unsent_events(
        &self,
        shard: u8,
        age: Duration,
        limit: u32,
    ) -> Result<UnsentCount, Error> {
        let mut unsent = UnsentCount { count: 0, oldest: None };
        let mut start = None;
        loop {
            let answer = self
                .query_unsent(shard, age)
                .projection_expression("#event")
                .set_exclusive_start_key(start)
                .limit(i32::try_from(limit - unsent.count).unwrap_or(i32::MAX))
                .send()
                .await
                .map_err(failure::of)?;
            for row in answer.items.unwrap_or_default() {
                unsent.count += 1;
                if unsent.oldest.is_none() {
                    unsent.oldest = Row(row).text("Event_ID").ok().and_then(|id| time_of(&id));
                }
            }
            start = answer.last_evaluated_key;
            if start.is_none() || unsent.count >= limit {
                return Ok(unsent);
            }
        }
    }

    fn query_unsent(&self, shard: u8, age: Duration) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.tables.outbox)
            .key_condition_expression("#shard = :shard AND #event < :bound")
            .expression_attribute_names("#shard", "Shard")
            .expression_attribute_names("#event", "Event_ID")
            .expression_attribute_values(":shard", text(shard_key(shard)))
            .expression_attribute_values(":bound", text(earliest_id(SystemTime::now() - age)))
    }

    /// Removes events that are on the queue. What is not removed is sent again, which its consumers
    /// must bear anyway.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(crate) async fn forget_sent(&self, sent: &[&Unsent]) -> Result<(), Error> {
        for batch in sent.chunks(DELETES_PER_BATCH) {
            let deletes = batch.iter().map(|unsent| {
                let delete = DeleteRequest::builder().set_key(Some(unsent.key())).build();
                delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
            });
            let deletes = deletes.collect::<Result<_, _>>().map_err(Error::internal)?;
            self.client
                .batch_write_item()
                .request_items(&self.tables.outbox, deletes)
                .send()
                .await
                .map_err(failure::of)?;
        }
        Ok(())
    }

    /// Takes or renews the right to sweep the outbox, for `term`. It saves work, no more: two
    /// sweepers at once send some events twice. So a lease that ends much later than `term` from now
    /// does not count: its owner's clock is wrong, and nobody would sweep until that time comes.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(crate) async fn hold_sweep_lease(
        &self,
        owner: &str,
        term: Duration,
    ) -> Result<bool, Error> {
        let now = millis(SystemTime::now());
        let held = self
            .client
            .update_item()
            .table_name(&self.tables.outbox)
            .key("Shard", text(LEASE))
            .key("Event_ID", text("sweep"))
            .update_expression("SET #owner = :owner, #until = :until")
            .condition_expression(
                "attribute_not_exists(#until) OR #owner = :owner \
                 OR NOT (#until BETWEEN :now AND :latest)",
            )
            .expression_attribute_names("#owner", "Owner")
            .expression_attribute_names("#until", "Until")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":until", number(now + millis(UNIX_EPOCH + term)))
            .expression_attribute_values(":latest", number(now + millis(UNIX_EPOCH + term + SKEW)))
            .send()
            .await;
        match held {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(answer))
                if answer.err().is_conditional_check_failed_exception() =>
            {
                Ok(false)
            }
            Err(error) => Err(failure::of(error)),
        }
    }

    /// Gives the right to sweep to whoever asks next.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(crate) async fn release_sweep_lease(&self, owner: &str) -> Result<(), Error> {
        let released = self
            .client
            .delete_item()
            .table_name(&self.tables.outbox)
            .key("Shard", text(LEASE))
            .key("Event_ID", text("sweep"))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "Owner")
            .expression_attribute_values(":owner", text(owner))
            .send()
            .await;
        match released {
            Err(SdkError::ServiceError(answer))
                if answer.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            other => other.map(|_| ()).map_err(failure::of),
        }
    }
}

fn shard_key(shard: u8) -> String {
    format!("{shard:02}")
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The id that sorts before all of this time and later.
fn earliest_id(time: SystemTime) -> String {
    uuid::Builder::from_unix_timestamp_millis(millis(time), &[0; 10]).into_uuid().to_string()
}

/// When an id was made.
fn time_of(id: &str) -> Option<SystemTime> {
    let (seconds, nanos) = Uuid::try_parse(id).ok()?.get_timestamp()?.to_unix();
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}
