//! The audit event of a change, as CloudEvents 1.0 JSON. A record's events form a chain of hashes,
//! so that one that is changed or missing shows.

use std::{collections::BTreeMap, fmt::Write};

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use service_kit::{identity::Organization, trace::TraceContext};
use uuid::Uuid;

use super::{
    record::{Actor, Record, RecordId},
    value::Value,
};

const SPEC_VERSION: &str = "1.0";
const SOURCE: &str = "/org-records/records-service";
const CONTENT_TYPE: &str = "application/json";

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EventType {
    /// It was created.
    #[serde(rename = "records.record.created.v1")]
    Created,
}

impl EventType {
    /// The `type` of the CloudEvent.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "records.record.created.v1",
        }
    }
}

/// One change of one record. The fields up to `data` are the attributes of CloudEvents 1.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    specversion: String,
    /// A UUID of version 7. Consumers that have seen it have seen the event.
    pub id: Uuid,
    source: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The resource name of the record.
    pub subject: String,
    /// When, to the millisecond.
    pub time: Timestamp,
    datacontenttype: String,
    /// The extension attribute of "Distributed Tracing" in CloudEvents.
    pub traceparent: String,
    /// The change itself.
    pub data: EventData,
}

/// The change that an event tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventData {
    /// Whose record it is.
    pub organization_id: String,
    /// Who made the change.
    pub actor: Actor,
    /// The record's version after it.
    pub version: u64,
    /// The fields that changed, by name.
    pub changes: BTreeMap<String, Change>,
    /// The hash of the record's event before this one; empty for the first.
    pub prev_hash: String,
    /// SHA-256, in hexadecimal, over `prev_hash`, a line break and this event's own JSON with an
    /// empty `hash`.
    pub hash: String,
}

/// One field before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Absent where the field was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// Absent where the field was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// The text is not an event of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventError {
    /// It is not JSON of the shape of an event.
    #[error("the event is malformed")]
    Malformed(#[from] serde_json::Error),
    /// It is of another version of CloudEvents.
    #[error("the event is not of CloudEvents {SPEC_VERSION}")]
    SpecVersion,
    /// Its subject is not a record.
    #[error("the event's subject is not a record")]
    Subject,
}

impl Event {
    /// The event of a record that has just been made.
    #[must_use]
    pub(crate) fn created(
        organization: &Organization,
        record: &Record,
        trace: TraceContext,
    ) -> Self {
        let change = |value: &Value| Change { old: None, new: Some(value.clone()) };
        let changes = record.fields.iter().map(|(name, value)| (name.clone(), change(value)));
        let mut event = Self {
            specversion: SPEC_VERSION.to_owned(),
            id: Uuid::now_v7(),
            source: SOURCE.to_owned(),
            kind: EventType::Created,
            subject: record.id.resource_name(),
            time: record.created_at,
            datacontenttype: CONTENT_TYPE.to_owned(),
            traceparent: trace.to_string(),
            data: EventData {
                organization_id: organization.id().to_owned(),
                actor: record.created_by.clone(),
                version: record.version,
                changes: changes.collect(),
                prev_hash: String::new(),
                hash: String::new(),
            },
        };
        event.data.hash = event.compute_hash();
        event
    }

    /// The record that changed.
    ///
    /// # Errors
    /// When the subject is not a record.
    pub(crate) fn record(&self) -> Result<RecordId, EventError> {
        RecordId::from_resource_name(&self.subject).map_err(|_| EventError::Subject)
    }

    /// The hash that this event should carry.
    #[must_use]
    pub(crate) fn compute_hash(&self) -> String {
        let mut unhashed = self.clone();
        unhashed.data.hash = String::new();
        let mut sha = Context::new(&SHA256);
        sha.update(self.data.prev_hash.as_bytes());
        sha.update(b"\n");
        sha.update(unhashed.to_json().as_bytes());
        sha.finish().as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The JSON that is queued and stored.
    ///
    /// # Panics
    /// Never: an event holds nothing that JSON cannot.
    #[must_use]
    pub(crate) fn to_json(&self) -> String {
        escape_for_sqs(serde_json::to_string(self).expect("an event is plain JSON"))
    }

    /// Reads what [`Event::to_json`] wrote.
    ///
    /// # Errors
    /// When the text is anything else.
    pub(crate) fn parse(json: &str) -> Result<Self, EventError> {
        let event: Self = serde_json::from_str(json)?;
        if event.specversion != SPEC_VERSION {
            return Err(EventError::SpecVersion);
        }
        event.record()?;
        Ok(event)
    }
}

/// Writes the two characters that SQS refuses as JSON escapes. JSON has them in texts only, and its
/// writer has escaped the control characters already. One event that SQS refuses would be tried
/// for ever.
///
/// Source: "SendMessage" in the Amazon SQS API reference: #x9 | #xA | #xD | #x20 to #xD7FF |
/// #xE000 to #xFFFD | #x10000 to #x10FFFF.
pub(super) fn escape_for_sqs(json: String) -> String {
    if json.contains(['\u{fffe}', '\u{ffff}']) {
        json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
    } else {
        json
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{record::ActorKind, value::arbitrary};

    fn event(changes: BTreeMap<String, Change>) -> Event {
        let actor = Actor {
            id: "auth0|1".to_owned(),
            name: "Ada \u{ffff}".to_owned(),
            kind: ActorKind::User,
        };
        let mut event = Event {
            specversion: SPEC_VERSION.to_owned(),
            id: Uuid::now_v7(),
            source: SOURCE.to_owned(),
            kind: EventType::Created,
            subject: RecordId::new().resource_name(),
            time: "2026-11-23T20:04:05.678Z".parse().unwrap(),
            datacontenttype: CONTENT_TYPE.to_owned(),
            traceparent: TraceContext::random().to_string(),
            data: EventData {
                organization_id: "org_acme".to_owned(),
                actor,
                version: 1,
                changes,
                prev_hash: String::new(),
                hash: String::new(),
            },
        };
        event.data.hash = event.compute_hash();
        event
    }

    #[test]
    fn an_event_has_the_attributes_of_cloudevents() {
        let event = event(BTreeMap::new());

        let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();

        assert_eq!(json["specversion"], "1.0");
        assert_eq!(json["type"], "records.record.created.v1");
        assert_eq!(json["time"], "2026-11-23T20:04:05.678Z");
        assert_eq!(json["subject"], event.subject.as_str());
        assert_eq!(json["data"]["actor"]["kind"], "user");
        assert_eq!(json["data"]["hash"].as_str().unwrap().len(), 64);
    }

    #[test]
    fn a_changed_event_does_not_match_its_hash() {
        let mut event = event(BTreeMap::new());
        event.data.version = 2;
        assert_ne!(event.compute_hash(), event.data.hash);
    }

    #[test]
    fn what_is_not_an_event_is_refused() {
        let good = event(BTreeMap::new()).to_json();
        let spec = good.replace(r#""specversion":"1.0""#, r#""specversion":"0.3""#);
        let subject = good.replace("records/", "recipes/");
        for bad in ["", "{}", "[]", "null", &good[1..], &spec, &subject] {
            assert!(Event::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_event_survives_and_sqs_takes_it(value in arbitrary::value(), name in "\\PC{1,8}") {
            let change = Change { old: None, new: Some(value) };
            let event = event(BTreeMap::from([(name, change)]));

            let json = event.to_json();
            let parsed = Event::parse(&json).unwrap();

            let allowed = |c| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
            prop_assert!(json.chars().all(allowed));
            prop_assert_eq!(parsed.compute_hash(), parsed.data.hash.clone());
            prop_assert_eq!(parsed, event);
        }
    }
}
