//! The audit trail: events appended once each by the worker, and read by who may.

use aws_sdk_dynamodb::{error::SdkError, types::ReturnValuesOnConditionCheckFailure};
use jiff::{Timestamp, Unit};
use service_kit::identity::Organization;

use super::{
    Item, ORGANIZATION_ID, Page, Store,
    attributes::{Row, RowError, from_time},
    pages::Range,
    partition, text,
};
use crate::{
    domain::event::{Event, EventError},
    error::Error,
    failure,
};

const EVENT_ID: &str = "Event_ID";

/// A row of the trail that is no event.
#[derive(Debug, thiserror::Error)]
enum TrailError {
    #[error(transparent)]
    Row(#[from] RowError),
    #[error(transparent)]
    Event(#[from] EventError),
}

/// What came of appending an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is in the trail now.
    New,
    /// It was there already, with the same content.
    Before,
    /// Another event is there under the same id: one of the two was forged or damaged.
    Contradiction,
}

impl Store {
    /// Appends an event with its JSON to the trail of the organization that it names. Only the
    /// worker calls this, for what comes from the queue.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(crate) async fn append_to_trail(
        &self,
        event: &Event,
        json: &str,
    ) -> Result<Appended, Error> {
        let record = event.record().map_err(Error::internal)?;
        let record_version = format!("{record}#{:012}", event.data.version);
        let received = Timestamp::now().round(Unit::Millisecond).map_err(Error::internal)?;
        let row = [
            (ORGANIZATION_ID, partition(&event.data.organization_id)),
            (EVENT_ID, text(event.id.to_string())),
            ("Record_Version", text(record_version)),
            ("Event_Type", text(&event.kind)),
            ("Received_At", from_time(received)),
            ("Payload", text(json)),
        ];
        let put = self
            .client
            .put_item()
            .table_name(&self.tables.audit)
            .set_item(Some(row.map(|(name, value)| (name.to_owned(), value)).into()))
            .condition_expression("attribute_not_exists(#event)")
            .expression_attribute_names("#event", EVENT_ID)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = put else { return Ok(Appended::New) };
        let earlier = match &error {
            SdkError::ServiceError(answer) => match answer.err() {
                aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                    failed,
                ) => failed.item().cloned(),
                _ => return Err(failure::of(error)),
            },
            _ => return Err(failure::of(error)),
        };
        let payload = earlier.and_then(|row| Row(row).text("Payload").ok());
        Ok(if payload.as_deref() == Some(json) {
            Appended::Before
        } else {
            Appended::Contradiction
        })
    }

    /// A page of the organization's events, newest first, from where the page before ended.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(crate) async fn list_events(
        &self,
        organization: &Organization,
        after: Option<String>,
        size: usize,
    ) -> Result<Page<Event>, Error> {
        let range = Range {
            table: &self.tables.audit,
            key: EVENT_ID,
            prefix: "",
            attributes: &[EVENT_ID, "Payload"],
            consistent: false,
        };
        Ok(self.newest_first(organization, range, after, size).await?.parse(to_event))
    }
}

fn to_event(item: Item) -> Result<Event, TrailError> {
    Ok(Event::parse(&Row(item).text("Payload")?)?)
}
