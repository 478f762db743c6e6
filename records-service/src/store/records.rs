//! Records: made and read within one organization. A record, its outbox row and its idempotency row
//! are written by one transaction or not at all.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::SdkError,
    types::{
        AttributeValue, CancellationReason, Put, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem,
    },
};
use jiff::{SignedDuration, Timestamp, Unit};
use service_kit::{
    aws::is_throttle,
    identity::{Caller, Organization},
    trace::TraceContext,
};
use uuid::Uuid;

use super::{
    Item, Page, Store,
    attributes::{Row, RowError, from_actor, from_expiry, from_fields, from_time},
    key_of, number,
    outbox::Unsent,
    pages::Range,
    text,
};
use crate::{
    domain::{
        event::Event,
        record::{Actor, Fields, Record, RecordId, search_text},
    },
    error::Error,
    failure,
    jitter::jittered,
    request_hash::RequestHash,
};

const RECORD_ID: &str = "Record_ID";
const RECORD_PREFIX: &str = "rec#";
const REQUEST_PREFIX: &str = "req#";
/// How long a request id is remembered.
const REQUEST_LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// What a record is read from; the rest of the row serves other purposes.
const RECORD_ATTRIBUTES: &[&str] =
    &[RECORD_ID, "Fields", "Version", "Created_At", "Created_By", "Updated_At", "Updated_By"];
/// How often a transaction that met another one is tried. The pauses add up to less than a second.
const TRANSACTION_ATTEMPTS: u32 = 5;
const FIRST_BACKOFF: Duration = Duration::from_millis(25);

/// What came of a wish to create a record.
pub(crate) enum Created {
    /// It was made; its event is committed and not yet sent.
    New(Box<Record>, Unsent),
    /// The same request had made this record before.
    Before(Box<Record>),
}

/// A request id with what it stands for.
pub(crate) struct Idempotency {
    /// Made by the caller.
    pub request_id: Uuid,
    /// What the caller asked for.
    pub hash: RequestHash,
}

impl Store {
    /// Makes a record, its event and its idempotency row in one transaction.
    ///
    /// # Errors
    /// `Invalid` where the request id stands for another request; `Conflict` and `Throttled` where
    /// nothing was written; `Unavailable` where that is not known, so that a repetition is safe
    /// only with a request id.
    pub(crate) async fn create_record(
        &self,
        caller: &Caller,
        fields: Fields,
        idempotency: Option<Idempotency>,
        trace: TraceContext,
    ) -> Result<Created, Error> {
        let organization = caller.organization();
        let now = now();
        let actor = Actor::from(caller.actor());
        let record = Record {
            id: RecordId::new(),
            fields,
            version: 1,
            created_at: now,
            created_by: actor.clone(),
            updated_at: now,
            updated_by: actor,
        };
        let event = Event::created(organization, &record, trace);
        let unsent = Unsent::new(&event);

        // The idempotency row comes first: a repeated request must show before anything else.
        let mut writes = Vec::with_capacity(3);
        if let Some(idempotency) = &idempotency {
            writes.push(self.put_request(organization, idempotency, record.id, now)?);
        }
        let row = record_row(organization, &record, &event);
        writes.push(put_new(&self.tables.records, row, RECORD_ID)?);
        writes.push(put_new(&self.tables.outbox, unsent.to_row(), "Event_ID")?);

        let written = match self.transact(writes, &event.id.to_string()).await {
            // The answer may have been lost after the commit, and then the record is there.
            Err(Error::Unavailable(cause)) => {
                match self.get_record(organization, record.id).await {
                    Ok(Some(_)) => Ok(None),
                    _ => Err(Error::Unavailable(cause)),
                }
            }
            other => other,
        };
        match written? {
            None => Ok(Created::New(Box::new(record), unsent)),
            Some(earlier) => {
                let expected = idempotency.as_ref().map(|idempotency| idempotency.hash.as_str());
                let mut row = Row(earlier);
                let hash = row.text("Request_Hash").map_err(Error::internal)?;
                if Some(hash.as_str()) != expected {
                    return Err(Error::invalid(
                        "request_id",
                        "REUSED",
                        "This request id was used before for another request.",
                    ));
                }
                let id = row.parse("Created_Record").map_err(Error::internal)?;
                let record = self.get_record(organization, id).await?.ok_or(Error::NotFound)?;
                Ok(Created::Before(Box::new(record)))
            }
        }
    }

    /// The record with this id, if the organization has one.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(crate) async fn get_record(
        &self,
        organization: &Organization,
        id: RecordId,
    ) -> Result<Option<Record>, Error> {
        let key = key_of(organization, RECORD_ID, format!("{RECORD_PREFIX}{id}"));
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.records)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(failure::of)?;
        answer.item.map(to_record).transpose().map_err(Error::internal)
    }

    /// A page of the organization's records, newest first, from where the page before ended.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(crate) async fn list_records(
        &self,
        organization: &Organization,
        after: Option<String>,
        size: usize,
    ) -> Result<Page<Record>, Error> {
        let range = Range {
            table: &self.tables.records,
            key: RECORD_ID,
            prefix: RECORD_PREFIX,
            attributes: RECORD_ATTRIBUTES,
            // Who has just made a record expects to see it.
            consistent: true,
        };
        Ok(self.newest_first(organization, range, after, size).await?.parse(to_record))
    }

    /// A row that an earlier request with the same id does not let be written. DynamoDB deletes
    /// expired rows only after a while, so the condition looks at the time as well.
    fn put_request(
        &self,
        organization: &Organization,
        idempotency: &Idempotency,
        record: RecordId,
        now: Timestamp,
    ) -> Result<TransactWriteItem, Error> {
        let range = format!("{REQUEST_PREFIX}{}", idempotency.request_id);
        let mut row = key_of(organization, RECORD_ID, range);
        row.insert("Request_Hash".to_owned(), text(idempotency.hash.as_str()));
        row.insert("Created_Record".to_owned(), text(record.to_string()));
        row.insert("Expires_At".to_owned(), from_expiry(now + REQUEST_LIFETIME));
        let put = Put::builder()
            .table_name(&self.tables.records)
            .set_item(Some(row))
            .condition_expression("attribute_not_exists(#id) OR #expires < :now")
            .expression_attribute_names("#id", RECORD_ID)
            .expression_attribute_names("#expires", "Expires_At")
            .expression_attribute_values(":now", number(now.as_second()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(Error::internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Writes all or nothing. Answers with the row that stood in the way of the first write, if its
    /// condition failed. All attempts carry the same token, so that one whose answer was lost is
    /// not done twice.
    async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
        token: &str,
    ) -> Result<Option<Item>, Error> {
        let mut attempt = 1;
        loop {
            let sent = self
                .client
                .transact_write_items()
                .set_transact_items(Some(writes.clone()))
                .client_request_token(token)
                .send()
                .await;
            let Err(error) = sent else { return Ok(None) };
            let reasons = match &error {
                SdkError::ServiceError(answer)
                    if answer.err().is_transaction_canceled_exception() =>
                {
                    cancellation_reasons(answer.err())
                }
                _ => return Err(failure::of(error)),
            };
            let failed =
                |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
            if let Some(position) = reasons.iter().position(failed) {
                return match &reasons[position].item {
                    Some(row) if position == 0 && !row.is_empty() => Ok(Some(row.clone())),
                    _ => Err(Error::internal(error)),
                };
            }
            let throttled = reasons.iter().filter_map(CancellationReason::code).any(is_throttle);
            let met_another = reasons.iter().any(|r| r.code() == Some("TransactionConflict"));
            if !throttled && !met_another {
                return Err(Error::internal(error));
            }
            if attempt == TRANSACTION_ATTEMPTS {
                return Err(if throttled {
                    Error::Throttled(error.into())
                } else {
                    Error::Conflict
                });
            }
            tokio::time::sleep(jittered(FIRST_BACKOFF * 2_u32.pow(attempt - 1))).await;
            attempt += 1;
        }
    }
}

fn cancellation_reasons(
    error: &aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError,
) -> Vec<CancellationReason> {
    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError as E;
    match error {
        E::TransactionCanceledException(canceled) => canceled.cancellation_reasons().to_vec(),
        _ => Vec::new(),
    }
}

/// To the millisecond, as it is stored and shown.
fn now() -> Timestamp {
    Timestamp::now().round(Unit::Millisecond).expect("the present is within jiff's range")
}

fn put_new(table: &str, row: Item, key: &str) -> Result<TransactWriteItem, Error> {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(row))
        .condition_expression("attribute_not_exists(#key)")
        .expression_attribute_names("#key", key)
        .build()
        .map_err(Error::internal)?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// `Updated_At` and `Updated_By` are for records that were updated: most are not, and reading two
/// attributes less makes a list noticeably cheaper.
fn record_row(organization: &Organization, record: &Record, event: &Event) -> Item {
    let mut row = key_of(organization, RECORD_ID, format!("{RECORD_PREFIX}{}", record.id));
    let rest: [(&str, AttributeValue); 6] = [
        ("Fields", from_fields(&record.fields)),
        ("Version", number(record.version)),
        ("Created_At", from_time(record.created_at)),
        ("Created_By", from_actor(&record.created_by)),
        ("Search_Text", text(search_text(&record.fields))),
        ("Audit_Hash", text(&event.data.hash)),
    ];
    row.extend(rest.map(|(name, value)| (name.to_owned(), value)));
    row
}

fn to_record(item: Item) -> Result<Record, RowError> {
    let mut row = Row(item);
    let key = row.text(RECORD_ID)?;
    let id = key.strip_prefix(RECORD_PREFIX).ok_or(RowError::Attribute(RECORD_ID))?;
    let id = id.parse().map_err(|_| RowError::Attribute(RECORD_ID))?;
    let created_at = row.parse("Created_At")?;
    let created_by = row.actor("Created_By")?;
    let (updated_at, updated_by) = if row.has("Updated_At") {
        (row.parse("Updated_At")?, row.actor("Updated_By")?)
    } else {
        (created_at, created_by.clone())
    };
    let (fields, version) = (row.fields("Fields")?, row.parse("Version")?);
    Ok(Record { id, fields, version, created_at, created_by, updated_at, updated_by })
}
