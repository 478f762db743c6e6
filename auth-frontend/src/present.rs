//! Turns what records-service answers into what pages show. It does not know where either comes
//! from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use records_proto::v1::{self as proto, FieldType, value::Kind};

use crate::{
    pages::{
        Action, Actor, ActorKind, AuditEntry, Change, Chrome, Column, DisplayValue, Ending, Moment,
        RecentRecord, RecordRow, SessionEntry, ShownField,
    },
    permission,
    session::{OwnSession, Session},
};

/// How many characters of a changed text the audit page shows: enough to see what changed in most,
/// where a page of 25 events could hold many megabytes.
const AUDITED_LENGTH: usize = 1000;

/// The frame around the pages of somebody who is logged in.
#[must_use]
pub(crate) fn chrome(session: &Session) -> Chrome {
    let (person, expiry) = (session.person(), session.expiry());
    Chrome {
        organization: person.organization_name.clone(),
        person: person.name.clone(),
        can_read: session.has(permission::READ_RECORDS),
        can_create: session.has(permission::CREATE_RECORDS),
        can_read_audit: session.has(permission::READ_AUDIT),
        csrf_token: session.form_token(),
        ending: Ending::new(second(expiry.at), expiry.is_final, expiry.seconds_left),
    }
}

/// One of the person's own sessions.
#[must_use]
pub(crate) fn session_entry(session: OwnSession) -> SessionEntry {
    let OwnSession { idle_end, final_end, .. } = session;
    SessionEntry {
        handle: session.handle,
        is_this: session.is_this,
        device: session.device,
        organization: session.organization,
        began_at: second(session.began_at),
        last_used_at: second(session.last_used_at),
        idle_end: (idle_end < final_end).then(|| second(idle_end)),
        final_end: second(final_end),
    }
}

/// The columns of the table of records: one for each field of the form.
#[must_use]
pub(crate) fn columns(form: &proto::Form) -> Vec<Column> {
    let column = |field: &proto::Field| Column {
        label: field.label.clone(),
        numeric: field.r#type() == FieldType::Number,
    };
    form.fields.iter().map(column).collect()
}

/// A record as a row of the table.
#[must_use]
pub(crate) fn row(record: proto::Record, form: &proto::Form) -> RecordRow {
    let mut cells = vec![DisplayValue::Missing; form.fields.len()];
    for (name, given) in record.fields {
        let column = form.fields.iter().position(|field| field.name == name);
        if let Some(column) = column {
            cells[column] = value_of(Some(given), form.fields[column].r#type());
        }
    }
    RecordRow {
        cells,
        created_at: moment(record.create_time),
        creator: actor(record.creator),
        id: id(record.name),
    }
}

/// A record in one line.
#[must_use]
pub(crate) fn recent(mut record: proto::Record, form: &proto::Form) -> RecentRecord {
    RecentRecord {
        title: title(&mut record, form),
        created_at: moment(record.create_time),
        creator: actor(record.creator),
        id: id(record.name),
    }
}

fn title(record: &mut proto::Record, form: &proto::Form) -> String {
    let first = form.fields.first().map(|field| take(&mut record.fields, field));
    first.map(|value| value.summary().into_owned()).unwrap_or_default()
}

/// All fields of a record: those of the form in its order, then the others.
#[must_use]
pub(crate) fn shown_fields(
    mut fields: BTreeMap<String, proto::Value>,
    form: &proto::Form,
) -> Vec<ShownField> {
    let of_form = |field: &proto::Field| ShownField {
        label: field.label.clone(),
        value: take(&mut fields, field),
    };
    let mut shown: Vec<_> = form.fields.iter().map(of_form).collect();
    let other = |(label, given)| ShownField { label, value: value(given) };
    shown.extend(fields.into_iter().map(other));
    shown
}

/// An event of the audit trail. Fields that the form lacks, or a reader who may not see the form,
/// have the fields' names.
#[must_use]
pub(crate) fn audit_entry(mut event: proto::AuditEvent, form: Option<&proto::Form>) -> AuditEntry {
    let fields = form.map(|form| form.fields.as_slice()).unwrap_or_default();
    let mut changes: Vec<Change> = fields
        .iter()
        .filter_map(|field| {
            let change = event.changes.remove(&field.name)?;
            let shown = |given| value_of(given, field.r#type()).cut(AUDITED_LENGTH);
            Some(Change {
                label: field.label.clone(),
                old: shown(change.old),
                new: shown(change.new),
            })
        })
        .collect();
    let others = event.changes.into_iter().map(|(label, change)| Change {
        label,
        old: value_of(change.old, FieldType::Unspecified).cut(AUDITED_LENGTH),
        new: value_of(change.new, FieldType::Unspecified).cut(AUDITED_LENGTH),
    });
    changes.extend(others);
    AuditEntry {
        happened_at: moment(event.event_time),
        actor: actor(event.actor),
        action: action(event.r#type),
        record_id: id(event.record),
        version: event.version,
        changes,
    }
}

fn action(event_type: String) -> Action {
    match event_type.as_str() {
        "records.record.created.v1" => Action::Created,
        "records.record.updated.v1" => Action::Updated,
        "records.record.deleted.v1" => Action::Deleted,
        "records.record.restored.v1" => Action::Restored,
        _ => Action::Other(event_type),
    }
}

/// The record's id in its resource name.
#[must_use]
pub(crate) fn id(mut name: String) -> String {
    const PREFIX: &str = "records/";
    if name.starts_with(PREFIX) {
        name.drain(..PREFIX.len());
    }
    name
}

/// A point in time; 1970 where it is absent or out of range, which records-service never sends.
#[must_use]
pub(crate) fn moment(time: Option<prost_types::Timestamp>) -> Moment {
    let time = time.unwrap_or_default();
    Timestamp::new(time.seconds, time.nanos).unwrap_or_default().into()
}

/// A point in time in seconds since 1970.
fn second(second: u64) -> Moment {
    let second = i64::try_from(second).unwrap_or(i64::MAX);
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX).into()
}

/// Who did something.
#[must_use]
pub(crate) fn actor(actor: Option<proto::Actor>) -> Actor {
    let actor = actor.unwrap_or_default();
    let kind = match actor.kind() {
        proto::ActorKind::Machine => ActorKind::Machine,
        proto::ActorKind::User | proto::ActorKind::Unspecified => ActorKind::Person,
    };
    let name = if actor.display_name.is_empty() { actor.id } else { actor.display_name };
    Actor { name, kind }
}

fn take(fields: &mut BTreeMap<String, proto::Value>, field: &proto::Field) -> DisplayValue {
    value_of(fields.remove(&field.name), field.r#type())
}

/// A value of a field, which may be a day that looks like a text.
fn value_of(given: Option<proto::Value>, field_type: FieldType) -> DisplayValue {
    match given.map(value) {
        None => DisplayValue::Missing,
        Some(DisplayValue::Text(text)) if field_type == FieldType::Date => {
            text.parse().map_or(DisplayValue::Text(text), DisplayValue::Date)
        }
        Some(value) => value,
    }
}

/// Any value. Its depth was bounded when it was decoded.
fn value(value: proto::Value) -> DisplayValue {
    match value.kind {
        None => DisplayValue::Missing,
        Some(Kind::StringValue(text)) => DisplayValue::Text(text),
        Some(Kind::NumberValue(number)) => DisplayValue::Number(number),
        Some(Kind::BoolValue(yes)) => DisplayValue::Boolean(yes),
        Some(Kind::NullValue(_)) => DisplayValue::Null,
        Some(Kind::BinaryValue(bytes)) => DisplayValue::Binary(bytes.len()),
        Some(Kind::StringSet(set)) => DisplayValue::TextSet(set.values),
        Some(Kind::NumberSet(set)) => DisplayValue::NumberSet(set.values),
        Some(Kind::BinarySet(set)) => {
            DisplayValue::BinarySet(set.values.iter().map(Vec::len).collect())
        }
        Some(Kind::ListValue(list)) => {
            DisplayValue::List(list.values.into_iter().map(self::value).collect())
        }
        Some(Kind::MapValue(map)) => {
            let entries = map.entries.into_iter().map(|(name, given)| (name, self::value(given)));
            DisplayValue::Map(entries.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> proto::Form {
        let field = |name: &str, field_type: FieldType| proto::Field {
            name: name.to_owned(),
            label: name.to_uppercase(),
            r#type: field_type.into(),
            ..proto::Field::default()
        };
        let fields = vec![field("title", FieldType::Text), field("due", FieldType::Date)];
        proto::Form { fields, ..proto::Form::default() }
    }

    fn given(kind: Kind) -> proto::Value {
        proto::Value { kind: Some(kind) }
    }

    #[test]
    fn a_row_has_one_cell_for_each_column() {
        let record = proto::Record {
            name: "records/0198".to_owned(),
            fields: [("due".to_owned(), given(Kind::StringValue("2026-11-23".to_owned())))].into(),
            ..proto::Record::default()
        };

        let row = row(record, &form());

        let day = "2026-11-23".parse().unwrap();
        assert_eq!(row.cells, [DisplayValue::Missing, DisplayValue::Date(day)]);
        assert_eq!(row.id, "0198");
    }

    #[test]
    fn what_the_form_lacks_is_shown_after_it() {
        let fields = [
            ("due".to_owned(), given(Kind::StringValue("soon".to_owned()))),
            ("extra".to_owned(), given(Kind::BinaryValue(vec![1, 2, 3]))),
        ];

        let shown = shown_fields(fields.into(), &form());

        let shown: Vec<_> =
            shown.iter().map(|field| (field.label.as_str(), field.value.clone())).collect();
        let expected = [
            ("TITLE", DisplayValue::Missing),
            ("DUE", DisplayValue::Text("soon".to_owned())),
            ("extra", DisplayValue::Binary(3)),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_actor_without_a_name_is_called_by_its_id() {
        let machine = proto::Actor {
            id: "abc@clients".to_owned(),
            display_name: String::new(),
            kind: proto::ActorKind::Machine.into(),
        };

        let shown = actor(Some(machine));

        assert_eq!((shown.name.as_str(), shown.kind), ("abc@clients", ActorKind::Machine));
    }
}
