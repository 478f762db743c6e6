//! Turns messages of the contract into domain types and back. Whatever comes in is checked here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use records_proto::v1 as pb;

use crate::domain::{
    event::Event,
    form::{Field, FieldKind, Form},
    record::{Actor, ActorKind, Fields, Record, Violation},
    value::{Bytes, MAX_DEPTH, Value},
};

type Reason = (&'static str, String);

/// The well-formed fields of a record to be, and what is malformed about the others.
pub(super) fn fields_from_proto(fields: BTreeMap<String, pb::Value>) -> (Fields, Vec<Violation>) {
    let mut violations = Vec::new();
    let mut parsed = Fields::new();
    for (name, value) in fields {
        match value_from_proto(value, MAX_DEPTH + 1) {
            Ok(value) => {
                parsed.insert(name, value);
            }
            Err((reason, message)) => violations.push(Violation::of_field(&name, reason, message)),
        }
    }
    (parsed, violations)
}

/// `levels` only keeps the recursion short; the limit that callers are told of is the record's.
fn value_from_proto(value: pb::Value, levels: usize) -> Result<Value, Reason> {
    use pb::value::Kind;

    let Some(levels) = levels.checked_sub(1) else {
        return Err(("TOO_DEEP", format!("Lists and maps nest at most {MAX_DEPTH} levels deep.")));
    };
    let kind = value.kind.ok_or_else(|| ("NO_KIND", "The value has no kind.".to_owned()))?;
    Ok(match kind {
        Kind::StringValue(text) => Value::String(text),
        Kind::NumberValue(text) => Value::Number(number(&text)?),
        Kind::BoolValue(truth) => Value::Bool(truth),
        Kind::NullValue(_) => Value::Null,
        Kind::BinaryValue(bytes) => Value::Binary(Bytes(bytes)),
        Kind::StringSet(set) => Value::StringSet(distinct(set.values.into_iter().map(Ok))?),
        Kind::NumberSet(set) => {
            Value::NumberSet(distinct(set.values.iter().map(|text| number(text)))?)
        }
        Kind::BinarySet(set) => {
            Value::BinarySet(distinct(set.values.into_iter().map(|bytes| Ok(Bytes(bytes))))?)
        }
        Kind::ListValue(list) => {
            let values = list.values.into_iter().map(|value| value_from_proto(value, levels));
            Value::List(values.collect::<Result<_, _>>()?)
        }
        Kind::MapValue(map) => {
            let entries = map.entries.into_iter();
            let entries = entries.map(|(name, value)| Ok((name, value_from_proto(value, levels)?)));
            Value::Map(entries.collect::<Result<_, _>>()?)
        }
    })
}

fn number(text: &str) -> Result<crate::domain::number::Number, Reason> {
    text.parse().map_err(|error| ("MALFORMED", format!("This {error}.")))
}

fn distinct<T: Ord>(
    values: impl Iterator<Item = Result<T, Reason>>,
) -> Result<BTreeSet<T>, Reason> {
    let mut set = BTreeSet::new();
    for value in values {
        if !set.insert(value?) {
            return Err(("DUPLICATE", "A set holds each element once.".to_owned()));
        }
    }
    if set.is_empty() {
        return Err(("EMPTY_SET", "A set holds at least one element.".to_owned()));
    }
    Ok(set)
}

fn value_to_proto(value: Value) -> pb::Value {
    use pb::value::Kind;

    let kind = match value {
        Value::String(text) => Kind::StringValue(text),
        Value::Number(number) => Kind::NumberValue(number.into()),
        Value::Bool(truth) => Kind::BoolValue(truth),
        Value::Null => Kind::NullValue(pb::NullValue::NullValue.into()),
        Value::Binary(bytes) => Kind::BinaryValue(bytes.0),
        Value::StringSet(set) => {
            Kind::StringSet(pb::StringSet { values: set.into_iter().collect() })
        }
        Value::NumberSet(set) => {
            Kind::NumberSet(pb::NumberSet { values: set.into_iter().map(String::from).collect() })
        }
        Value::BinarySet(set) => {
            let values = set.into_iter().map(|bytes| bytes.0).collect();
            Kind::BinarySet(pb::BinarySet { values })
        }
        Value::List(values) => Kind::ListValue(pb::ListValue {
            values: values.into_iter().map(value_to_proto).collect(),
        }),
        Value::Map(entries) => Kind::MapValue(pb::MapValue { entries: fields_to_proto(entries) }),
    };
    pb::Value { kind: Some(kind) }
}

fn fields_to_proto(fields: Fields) -> BTreeMap<String, pb::Value> {
    fields.into_iter().map(|(name, value)| (name, value_to_proto(value))).collect()
}

pub(super) fn record_to_proto(record: Record) -> pb::Record {
    pb::Record {
        name: record.id.resource_name(),
        fields: fields_to_proto(record.fields),
        version: version_to_proto(record.version),
        create_time: Some(time_to_proto(record.created_at)),
        creator: Some(actor_to_proto(record.created_by)),
        update_time: Some(time_to_proto(record.updated_at)),
        updater: Some(actor_to_proto(record.updated_by)),
    }
}

pub(super) fn event_to_proto(event: Event) -> pb::AuditEvent {
    let changes = event.data.changes.into_iter().map(|(name, change)| {
        let change = pb::FieldChange {
            old: change.old.map(value_to_proto),
            new: change.new.map(value_to_proto),
        };
        (name, change)
    });
    pb::AuditEvent {
        id: event.id.to_string(),
        r#type: event.kind,
        record: event.subject,
        event_time: Some(time_to_proto(event.time)),
        actor: Some(actor_to_proto(event.data.actor)),
        version: version_to_proto(event.data.version),
        changes: changes.collect(),
        prev_hash: event.data.prev_hash,
        hash: event.data.hash,
        traceparent: event.traceparent,
    }
}

pub(super) fn form_to_proto(form: Form) -> pb::Form {
    pb::Form {
        name: "form".to_owned(),
        fields: form.fields.into_iter().map(field_to_proto).collect(),
        version: version_to_proto(form.version),
    }
}

fn field_to_proto(field: Field) -> pb::Field {
    use pb::FieldType as Type;

    let length = |max: usize| i32::try_from(max).unwrap_or(i32::MAX);
    let (field_type, max_length, choices) = match field.kind {
        FieldKind::Text { max_length } => (Type::Text, length(max_length), Vec::new()),
        FieldKind::Paragraph { max_length } => (Type::Paragraph, length(max_length), Vec::new()),
        FieldKind::Number => (Type::Number, 0, Vec::new()),
        FieldKind::Date => (Type::Date, 0, Vec::new()),
        FieldKind::Boolean => (Type::Boolean, 0, Vec::new()),
        FieldKind::Choice(choices) => (Type::Choice, 0, choices),
    };
    pb::Field {
        name: field.name,
        label: field.label,
        help: field.help,
        r#type: field_type.into(),
        required: field.required,
        max_length,
        choices,
    }
}

fn actor_to_proto(actor: Actor) -> pb::Actor {
    let kind = match actor.kind {
        ActorKind::User => pb::ActorKind::User,
        ActorKind::Machine => pb::ActorKind::Machine,
    };
    pb::Actor { id: actor.id, display_name: actor.name, kind: kind.into() }
}

fn time_to_proto(time: Timestamp) -> prost_types::Timestamp {
    let since_second = time.duration_since(Timestamp::UNIX_EPOCH);
    prost_types::Timestamp { seconds: since_second.as_secs(), nanos: since_second.subsec_nanos() }
}

fn version_to_proto(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::value::arbitrary;

    fn violations_of(kind: pb::value::Kind) -> Vec<Violation> {
        fields_from_proto(BTreeMap::from([("f".to_owned(), pb::Value { kind: Some(kind) })])).1
    }

    #[test]
    fn malformed_values_are_named_by_their_field() {
        use pb::value::Kind;

        let duplicate = pb::NumberSet { values: vec!["1".to_owned(), "1.0".to_owned()] };
        let deep = (0..40).fold(Kind::BoolValue(true), |inner, _| {
            Kind::ListValue(pb::ListValue { values: vec![pb::Value { kind: Some(inner) }] })
        });
        let cases = [
            (Kind::NumberValue("12 apples".to_owned()), "MALFORMED"),
            (Kind::NumberSet(duplicate), "DUPLICATE"),
            (Kind::StringSet(pb::StringSet::default()), "EMPTY_SET"),
            (Kind::ListValue(pb::ListValue { values: vec![pb::Value::default()] }), "NO_KIND"),
            (deep, "TOO_DEEP"),
        ];
        for (kind, reason) in cases {
            let violations = violations_of(kind);
            assert_eq!(
                (violations[0].path.as_str(), violations[0].reason),
                ("record.fields[f]", reason)
            );
        }
    }

    proptest! {
        #[test]
        fn a_value_survives_the_wire(value in arbitrary::value()) {
            let parsed = value_from_proto(value_to_proto(value.clone()), MAX_DEPTH + 1);
            prop_assert_eq!(parsed.unwrap(), value);
        }
    }
}
