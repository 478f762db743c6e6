//! A record and its limits.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use service_kit::identity;
use uuid::Uuid;

use super::value::{MAX_DEPTH, Value};

/// The fields of a record by name.
pub(crate) type Fields = BTreeMap<String, Value>;

/// How many bytes the fields of a record may take, written as the JSON of its audit event.
///
/// An event holds the values before and after, so with this limit it stays below DynamoDB's
/// 400 KB for an item and SQS's 1 MiB for a message.
pub(crate) const MAX_BYTES: usize = 128 * 1024;
const MAX_FIELDS: usize = 100;
const MAX_NAME_BYTES: usize = 255;
/// How much text a record is found by.
const SEARCH_TEXT_BYTES: usize = 2048;

/// The id of a record: a UUID of version 7, so that ids sort by the time of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordId(Uuid);

/// The text is not a record's resource name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be \"records/\" and a lower-case UUID")]
pub(crate) struct RecordNameError;

impl RecordId {
    /// A new id, later than all that this process made before.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id in a resource name, `records/{record_id}`.
    ///
    /// # Errors
    /// When the text is anything else.
    pub(crate) fn from_resource_name(name: &str) -> Result<Self, RecordNameError> {
        name.strip_prefix("records/").ok_or(RecordNameError)?.parse()
    }

    /// `records/{record_id}`.
    #[must_use]
    pub(crate) fn resource_name(self) -> String {
        format!("records/{self}")
    }
}

impl Default for RecordId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for RecordId {
    type Err = RecordNameError;

    /// Only the one spelling that [`fmt::Display`] gives, so that a record has one name.
    fn from_str(text: &str) -> Result<Self, RecordNameError> {
        let id = Self(Uuid::try_parse(text).map_err(|_| RecordNameError)?);
        if id.to_string() == text { Ok(id) } else { Err(RecordNameError) }
    }
}

/// Who did something, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Actor {
    /// The subject of the access token.
    pub id: String,
    /// The name at that time.
    pub name: String,
    /// A person or a program.
    pub kind: ActorKind,
}

/// The kinds of actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ActorKind {
    /// A person.
    User,
    /// A program.
    Machine,
}

impl From<&identity::Actor> for Actor {
    fn from(actor: &identity::Actor) -> Self {
        let kind = match actor.kind {
            identity::ActorKind::User => ActorKind::User,
            identity::ActorKind::Machine => ActorKind::Machine,
        };
        Self { id: actor.id.clone(), name: actor.name.clone(), kind }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Which record.
    pub id: RecordId,
    /// Its values.
    pub fields: Fields,
    /// 1 when created, one more after each change.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: Actor,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Who last changed it.
    pub updated_by: Actor,
}

/// One thing that is wrong with a request, by the path of the field in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Such as `record.fields[title]` or `page_token`.
    pub path: String,
    /// What is wrong, for programs: an upper-case word such as `REQUIRED`.
    pub reason: &'static str,
    /// What is wrong, as a sentence for people.
    pub message: String,
}

impl Violation {
    /// A violation of one of the record's fields.
    #[must_use]
    pub(crate) fn of_field(field: &str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { path: format!("record.fields[{field}]"), reason, message: message.into() }
    }
}

/// What is wrong with the size and shape of fields, whatever the form says about them.
#[must_use]
pub(crate) fn check_limits(fields: &Fields) -> Vec<Violation> {
    let mut violations = Vec::new();
    if fields.len() > MAX_FIELDS {
        violations.push(Violation {
            path: "record.fields".to_owned(),
            reason: "TOO_MANY",
            message: format!(
                "A record has at most {MAX_FIELDS} fields; this has {}.",
                fields.len()
            ),
        });
    }
    for (name, value) in fields {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            let message = format!("A field's name has 1 to {MAX_NAME_BYTES} bytes.");
            violations.push(Violation::of_field(name, "NAME_LENGTH", message));
        }
        if !is_within_depth(value, MAX_DEPTH) {
            let message = format!("Lists and maps nest at most {MAX_DEPTH} levels deep.");
            violations.push(Violation::of_field(name, "TOO_DEEP", message));
        }
    }
    // Only what has a sane depth is written out, for the writer recurses.
    if violations.is_empty() {
        let bytes = json_bytes(fields);
        if bytes > MAX_BYTES {
            let message = format!(
                "The record is too large: {} KiB, and at most {} KiB are allowed.",
                bytes.div_ceil(1024),
                MAX_BYTES / 1024
            );
            let path = "record.fields".to_owned();
            violations.push(Violation { path, reason: "TOO_LARGE", message });
        }
    }
    violations
}

fn is_within_depth(value: &Value, levels: usize) -> bool {
    match value {
        Value::List(values) => {
            levels > 0 && values.iter().all(|value| is_within_depth(value, levels - 1))
        }
        Value::Map(entries) => {
            levels > 0 && entries.values().all(|value| is_within_depth(value, levels - 1))
        }
        _ => true,
    }
}

/// The size of the fields as an event writes them.
fn json_bytes(fields: &Fields) -> usize {
    let json = serde_json::to_string(fields).expect("fields have text keys and plain values");
    super::event::escape_for_sqs(json).len()
}

/// The texts and numbers of a record in lower case, for searching; cut off at 2 KiB.
#[must_use]
pub(crate) fn search_text(fields: &Fields) -> String {
    let mut text = String::new();
    for value in fields.values() {
        let part = match value {
            Value::String(part) => part,
            Value::Number(number) => number.as_str(),
            _ => continue,
        };
        for c in part.chars().flat_map(char::to_lowercase) {
            if text.len() + c.len_utf8() > SEARCH_TEXT_BYTES {
                return text;
            }
            text.push(c);
        }
        if text.len() == SEARCH_TEXT_BYTES {
            return text;
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(bytes: usize) -> Fields {
        Fields::from([("notes".to_owned(), Value::String("x".repeat(bytes)))])
    }

    #[test]
    fn a_record_has_one_name_only() {
        let id = RecordId::new();

        assert_eq!(RecordId::from_resource_name(&id.resource_name()), Ok(id));
        for other in [
            id.to_string(),
            format!("records/{}", id.to_string().to_uppercase()),
            format!("records/{}", id.to_string().replace('-', "")),
            format!("records/{{{id}}}"),
            format!("records/{id}/"),
            "records/".to_owned(),
            String::new(),
        ] {
            assert_eq!(RecordId::from_resource_name(&other), Err(RecordNameError), "{other}");
        }
    }

    #[test]
    fn a_record_of_128_kib_is_the_largest() {
        let overhead = json_bytes(&text_of(0));

        assert!(check_limits(&text_of(MAX_BYTES - overhead)).is_empty());
        let violations = check_limits(&text_of(MAX_BYTES - overhead + 1));

        assert_eq!(violations[0].reason, "TOO_LARGE");
        assert!(violations[0].message.contains("129 KiB"), "{}", violations[0].message);
    }

    #[test]
    fn what_json_must_escape_counts_as_written() {
        let fields = Fields::from([("n".to_owned(), Value::String("\u{1}".repeat(30_000)))]);
        assert_eq!(check_limits(&fields)[0].reason, "TOO_LARGE");
    }

    #[test]
    fn nesting_ends_at_sixteen_levels() {
        let nested = |levels| {
            let value = (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
            check_limits(&Fields::from([("deep".to_owned(), value)]))
        };

        assert!(nested(16).is_empty());
        assert_eq!(nested(17)[0].reason, "TOO_DEEP");
    }

    #[test]
    fn the_search_text_is_lower_case_and_bounded() {
        let fields = Fields::from([
            ("a".to_owned(), Value::String("Grüße ÄÖ".to_owned())),
            ("b".to_owned(), Value::Number("7.50".parse().unwrap())),
        ]);

        assert_eq!(search_text(&fields), "grüße äö\n7.5\n");
        assert_eq!(search_text(&text_of(5000)).len(), SEARCH_TEXT_BYTES);
    }
}
