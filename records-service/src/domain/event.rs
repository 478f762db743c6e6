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

/// The most bytes of an event. What the trail could not store would hold up the events behind it:
/// DynamoDB takes 400 KiB a row, its other attributes included.
const LARGEST: usize = 380 * 1024;
/// The most bytes of the name of a kind, which its row holds a second time.
const LONGEST_KIND: usize = 128;
/// The most bytes of an organization's id, which is the key of its row.
const LONGEST_ORGANIZATION: usize = 64;

/// The `type` of the event of a new record.
const CREATED: &str = "records.record.created.v1";

/// One change of one record. The fields up to `data` are the attributes of CloudEvents 1.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    specversion: String,
    /// A UUID of version 7. Consumers that have seen it have seen the event.
    pub id: Uuid,
    source: String,
    /// What happened, such as `records.record.created.v1`. It is text, so that a process passes on
    /// what a newer one calls by a new name.
    #[serde(rename = "type")]
    pub kind: String,
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
    /// SHA-256, in hexadecimal, over `prev_hash`, a line break and the event's JSON as it is queued
    /// and stored, but with an empty `hash`.
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
    #[error("the event is malformed: {category:?} at line {line}, column {column}")]
    Malformed {
        /// What kind of mistake; the parser's own words would quote a value.
        category: serde_json::error::Category,
        /// Where it is.
        line: usize,
        /// Where it is.
        column: usize,
    },
    /// It is of another version of CloudEvents.
    #[error("the event is not of CloudEvents {SPEC_VERSION}")]
    SpecVersion,
    /// It was changed after it was made.
    #[error("the event does not match its hash")]
    Hash,
    /// Its subject is not a record.
    #[error("the event's subject is not a record")]
    Subject,
    /// No row can hold it.
    #[error("the event names no organization, or it or the name of its kind is too large")]
    Unfit,
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
            kind: CREATED.to_owned(),
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
        event.data.hash = hash_of(&event.data.prev_hash, &event.to_json());
        event
    }

    /// The record that changed.
    ///
    /// # Errors
    /// When the subject is not a record.
    pub(crate) fn record(&self) -> Result<RecordId, EventError> {
        RecordId::from_resource_name(&self.subject).map_err(|_| EventError::Subject)
    }

    /// Where the event with this JSON was made, without a look at the rest of it.
    #[must_use]
    pub(crate) fn trace_of(json: &str) -> Option<TraceContext> {
        #[derive(Deserialize)]
        struct Traced<'a> {
            traceparent: &'a str,
        }

        TraceContext::parse(serde_json::from_str::<Traced<'_>>(json).ok()?.traceparent)
    }

    /// Whose event the one with this JSON is, without a look at the rest of it.
    #[must_use]
    pub(crate) fn organization_of(json: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Owned {
            data: OwnedData,
        }

        #[derive(Deserialize)]
        struct OwnedData {
            organization_id: String,
        }

        Some(serde_json::from_str::<Owned>(json).ok()?.data.organization_id)
    }

    /// The JSON that is queued and stored.
    ///
    /// # Panics
    /// Never: an event holds nothing that JSON cannot.
    #[must_use]
    pub(crate) fn to_json(&self) -> String {
        escape_for_sqs(serde_json::to_string(self).expect("an event is plain JSON"))
    }

    /// Reads what [`Event::to_json`] wrote, here or in a newer process, whose events may say more
    /// than this one understands.
    ///
    /// # Errors
    /// When the text is anything else, or was changed since.
    pub(crate) fn parse(json: &str) -> Result<Self, EventError> {
        let event: Self = serde_json::from_str(json).map_err(|error| EventError::Malformed {
            category: error.classify(),
            line: error.line(),
            column: error.column(),
        })?;
        if event.specversion != SPEC_VERSION {
            return Err(EventError::SpecVersion);
        }
        event.record()?;
        if !(1..=LONGEST_ORGANIZATION).contains(&event.data.organization_id.len())
            || json.len() > LARGEST
            || event.kind.len() > LONGEST_KIND
        {
            return Err(EventError::Unfit);
        }
        // Inside texts quotes are escaped, so this member can stand in one place only.
        let hashed =
            json.replacen(&format!("\"hash\":\"{}\"", event.data.hash), "\"hash\":\"\"", 1);
        if hash_of(&event.data.prev_hash, &hashed) != event.data.hash {
            return Err(EventError::Hash);
        }
        Ok(event)
    }
}

/// The hash of an event whose JSON, with an empty hash, is this.
fn hash_of(prev_hash: &str, unhashed: &str) -> String {
    let mut sha = Context::new(&SHA256);
    sha.update(prev_hash.as_bytes());
    sha.update(b"\n");
    sha.update(unhashed.as_bytes());
    sha.finish().as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
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
            kind: CREATED.to_owned(),
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
        event.data.hash = hash_of("", &event.to_json());
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
        let json = event(BTreeMap::new()).to_json();
        for (old, new) in [("\"version\":1", "\"version\":2"), ("auth0|1", "auth0|2")] {
            let changed = json.replace(old, new);
            assert_ne!(changed, json);
            assert!(matches!(Event::parse(&changed), Err(EventError::Hash)));
        }
    }

    #[test]
    fn an_event_of_a_newer_process_is_understood_as_far_as_it_goes() {
        let event = event(BTreeMap::new());
        let newer = event.to_json();
        let newer = newer.replace(CREATED, "records.record.moved.v1");
        let newer = newer.replace("\"version\":1", "\"version\":1,\"reason\":\"tidied\"");
        let unhashed = newer.replace(&event.data.hash, "");
        let newer = newer.replace(&event.data.hash, &hash_of("", &unhashed));

        let parsed = Event::parse(&newer).unwrap();

        assert_eq!(parsed.kind, "records.record.moved.v1");
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
            prop_assert_eq!(parsed, event);
        }
    }
}
