//! The form of an organization: which fields its records have, and whether values fit them.

use super::{
    record::{Fields, Violation},
    value::Value,
};

/// The fields of an organization's records, in the order in which people see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    /// At least one.
    pub fields: Vec<Field>,
    /// 0 for the form that every organization starts with.
    pub version: u64,
}

/// One field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The key in a record's fields.
    pub name: String,
    /// What people read.
    pub label: String,
    /// A sentence that helps to fill it in, or empty.
    pub help: String,
    /// Whether a record must have it.
    pub required: bool,
    /// What it holds.
    pub kind: FieldKind,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// One line of text, of so many characters at most.
    Text {
        /// In Unicode scalar values.
        max_length: usize,
    },
    /// Text of several lines, of so many characters at most.
    Paragraph {
        /// In Unicode scalar values.
        max_length: usize,
    },
    /// A number.
    Number,
    /// A day of the calendar, as "2026-11-23".
    Date,
    /// Yes or no.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
}

impl Default for Form {
    /// The form that every organization starts with.
    fn default() -> Self {
        let field = |name: &str, label: &str, help: &str, required, kind| Field {
            name: name.to_owned(),
            label: label.to_owned(),
            help: help.to_owned(),
            required,
            kind,
        };
        let choices = |all: &[&str]| {
            FieldKind::Choice(all.iter().map(|choice| (*choice).to_owned()).collect())
        };
        let categories = choices(&["Request", "Incident", "Asset", "Contract", "Other"]);
        let states = choices(&["Open", "In progress", "Waiting", "Done"]);
        Self {
            fields: vec![
                field(
                    "title",
                    "Title",
                    "A few words that tell this record from others.",
                    true,
                    FieldKind::Text { max_length: 120 },
                ),
                field("category", "Category", "", true, categories),
                field("status", "Status", "", false, states),
                field("amount", "Amount", "", false, FieldKind::Number),
                field("due_date", "Due date", "", false, FieldKind::Date),
                field("urgent", "Urgent", "", false, FieldKind::Boolean),
                field(
                    "notes",
                    "Notes",
                    "Whatever colleagues should know.",
                    false,
                    FieldKind::Paragraph { max_length: 100_000 },
                ),
            ],
            version: 0,
        }
    }
}

impl Form {
    /// Everything about these values that does not fit the form.
    #[must_use]
    pub(crate) fn check(&self, values: &Fields) -> Vec<Violation> {
        let known = self.fields.iter().filter_map(|field| field.check(values.get(&field.name)));
        let unknown = values.keys().filter(|name| self.fields.iter().all(|f| f.name != **name));
        let unknown = unknown
            .map(|name| Violation::of_field(name, "UNKNOWN_FIELD", "The form has no such field."));
        known.chain(unknown).collect()
    }
}

impl Field {
    fn check(&self, value: Option<&Value>) -> Option<Violation> {
        let label = &self.label;
        let violation = |reason, message| Some(Violation::of_field(&self.name, reason, message));
        let empty = match value {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.trim().is_empty(),
            Some(_) => false,
        };
        if empty && self.required {
            return violation("REQUIRED", format!("{label} is required."));
        }
        let value = value.filter(|value| **value != Value::Null)?;
        match (&self.kind, value) {
            (FieldKind::Text { .. }, Value::String(text)) if text.contains(char::is_control) => {
                violation("CONTROL_CHARACTER", format!("{label} must be a single line of text."))
            }
            (
                FieldKind::Text { max_length } | FieldKind::Paragraph { max_length },
                Value::String(text),
            ) => {
                let length = text.chars().count();
                if length <= *max_length {
                    return None;
                }
                let message = format!(
                    "{label} is too long: {length} characters, and at most {max_length} are allowed."
                );
                violation("TOO_LONG", message)
            }
            (FieldKind::Number, Value::Number(_)) | (FieldKind::Boolean, Value::Bool(_)) => None,
            (FieldKind::Date, Value::String(text)) if is_date(text) => None,
            (FieldKind::Date, Value::String(_)) => {
                let message = format!("{label} must be a day of the calendar, such as 2026-11-23.");
                violation("MALFORMED", message)
            }
            (FieldKind::Choice(choices), Value::String(text)) if choices.contains(text) => None,
            (FieldKind::Choice(choices), Value::String(_)) => {
                let message = format!("{label} must be one of: {}.", choices.join(", "));
                violation("NOT_A_CHOICE", message)
            }
            (kind, value) => {
                let message =
                    format!("{label} must be {}, not {}.", kind.expected(), value.type_name());
                violation("WRONG_TYPE", message)
            }
        }
    }
}

impl FieldKind {
    fn expected(&self) -> &'static str {
        match self {
            Self::Text { .. } | Self::Paragraph { .. } => "text",
            Self::Number => "a number",
            Self::Date => "a date as text",
            Self::Boolean => "true or false",
            Self::Choice(_) => "the text of one of its choices",
        }
    }
}

/// Exactly ten characters, so that dates sort as texts.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && text.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    fn reasons(changes: &[(&str, Option<Value>)]) -> Vec<(String, &'static str)> {
        let mut fields = Fields::from([
            ("title".to_owned(), text("A laptop")),
            ("category".to_owned(), text("Asset")),
        ]);
        for (name, value) in changes {
            match value {
                Some(value) => fields.insert((*name).to_owned(), value.clone()),
                None => fields.remove(*name),
            };
        }
        let violations = Form::default().check(&fields);
        violations.into_iter().map(|v| (v.path, v.reason)).collect()
    }

    #[test]
    fn good_values_pass() {
        assert_eq!(reasons(&[]), []);
        let all = [
            ("status", Some(text("Done"))),
            ("amount", Some(Value::Number("-1.5".parse().unwrap()))),
            ("due_date", Some(text("2028-02-29"))),
            ("urgent", Some(Value::Bool(false))),
            ("notes", Some(text("two\nlines"))),
            ("title", Some(text(&"é".repeat(120)))),
        ];
        assert_eq!(reasons(&all), []);
        assert_eq!(reasons(&[("amount", Some(Value::Null))]), []);
    }

    #[test]
    fn each_bad_value_is_named_with_its_reason() {
        let number = || Some(Value::Number("1".parse().unwrap()));
        let cases = [
            ("title", None, "REQUIRED"),
            ("title", Some(text(" \t")), "REQUIRED"),
            ("title", Some(Value::Null), "REQUIRED"),
            ("title", Some(text(&"é".repeat(121))), "TOO_LONG"),
            ("title", Some(text("two\nlines")), "CONTROL_CHARACTER"),
            ("title", number(), "WRONG_TYPE"),
            ("category", Some(text("asset")), "NOT_A_CHOICE"),
            ("amount", Some(text("12")), "WRONG_TYPE"),
            ("due_date", Some(text("2027-02-29")), "MALFORMED"),
            ("due_date", Some(text("20270228")), "MALFORMED"),
            ("due_date", Some(text("2027-02-28T00:00")), "MALFORMED"),
            ("due_date", number(), "WRONG_TYPE"),
            ("urgent", Some(text("yes")), "WRONG_TYPE"),
            ("notes", Some(text(&"x".repeat(100_001))), "TOO_LONG"),
            ("color", Some(text("red")), "UNKNOWN_FIELD"),
        ];
        for (name, value, reason) in cases {
            let expected = vec![(format!("record.fields[{name}]"), reason)];
            assert_eq!(reasons(&[(name, value)]), expected, "{name}: {reason}");
        }
    }

    #[test]
    fn all_violations_are_named_at_once() {
        let found = reasons(&[("title", None), ("category", None), ("x", Some(Value::Null))]);
        assert_eq!(found.len(), 3);
    }
}
