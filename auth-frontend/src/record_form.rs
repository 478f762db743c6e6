//! Between the organization's form, what people type into it, and the record that is made of it.
//! What is right or wrong is for records-service to say; here only what an input stands for is
//! known.

use std::collections::BTreeMap;

use records_proto::v1::{Field, FieldType, Form, Value, value::Kind};

use crate::{
    csrf::TOKEN_INPUT,
    form_body::Inputs,
    pages::{FormField, Input},
    records_client::Violation,
};

/// The hidden input that makes a second sending of the same form harmless.
pub(crate) const REQUEST_ID_INPUT: &str = "request_id";
/// The inputs that are of the page and not of the record.
const PAGE_INPUTS: [&str; 2] = [TOKEN_INPUT, REQUEST_ID_INPUT];

/// The record's fields: what was typed, each in the type of its field. What is left blank is left
/// out. Inputs that the form does not have, and texts that are no value of their field's type, go
/// on as they are, to be refused by name.
#[must_use]
pub(crate) fn record_fields(form: &Form, inputs: &Inputs) -> BTreeMap<String, Value> {
    let value = |(name, typed): (&str, &str)| {
        let field = form.fields.iter().find(|field| field.name == name);
        let kind = match field {
            None => Kind::StringValue(typed.to_owned()),
            Some(_) if typed.trim().is_empty() => return None,
            Some(field) => kind(field.r#type(), typed),
        };
        Some((name.to_owned(), Value { kind: Some(kind) }))
    };
    inputs.iter().filter(|(name, _)| !PAGE_INPUTS.contains(name)).filter_map(value).collect()
}

fn kind(field_type: FieldType, typed: &str) -> Kind {
    match (field_type, typed.trim()) {
        (FieldType::Number, number) => Kind::NumberValue(number.to_owned()),
        (FieldType::Boolean, "true") => Kind::BoolValue(true),
        (FieldType::Boolean, "false") => Kind::BoolValue(false),
        (FieldType::Date, day) => Kind::StringValue(day.to_owned()),
        // Browsers send CRLF and count it as one character; nobody types it.
        (FieldType::Paragraph, _) => Kind::StringValue(typed.replace("\r\n", "\n")),
        _ => Kind::StringValue(typed.to_owned()),
    }
}

/// The form as it is shown: with what was typed, and with what is wrong beside the field that it is
/// about. What is about no field of the form comes back as sentences.
#[must_use]
pub(crate) fn shown(
    form: &Form,
    inputs: &Inputs,
    violations: Vec<Violation>,
) -> (Vec<FormField>, Vec<String>) {
    let mut problems = Vec::new();
    let mut errors: BTreeMap<String, String> = BTreeMap::new();
    for Violation { path, message } in violations {
        let name = match field_of(&path) {
            Some(name) if form.fields.iter().any(|field| field.name == name) => name,
            Some(unknown) => {
                problems.push(format!("“{unknown}”: {message}"));
                continue;
            }
            None => {
                problems.push(message);
                continue;
            }
        };
        let known = errors.entry(name.to_owned()).or_default();
        if !known.is_empty() {
            known.push(' ');
        }
        known.push_str(&message);
    }
    let fields = form
        .fields
        .iter()
        .map(|field| FormField {
            name: field.name.clone(),
            label: field.label.clone(),
            help: field.help.clone(),
            input: input(field),
            required: field.required,
            typed: inputs.get(&field.name).unwrap_or_default().to_owned(),
            error: errors.remove(&field.name),
        })
        .collect();
    (fields, problems)
}

/// The name in a path such as `record.fields[name]`.
fn field_of(path: &str) -> Option<&str> {
    path.strip_prefix("record.fields[")?.strip_suffix(']')
}

fn input(field: &Field) -> Input {
    let limit = u32::try_from(field.max_length).unwrap_or(0);
    match field.r#type() {
        FieldType::Text | FieldType::Unspecified => Input::Text(limit),
        FieldType::Paragraph => Input::Paragraph(limit),
        FieldType::Number => Input::Number,
        FieldType::Date => Input::Date,
        FieldType::Boolean => Input::Boolean,
        FieldType::Choice => Input::Choice(field.choices.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        let field = |name: &str, field_type: FieldType| Field {
            name: name.to_owned(),
            label: name.to_owned(),
            r#type: field_type.into(),
            ..Field::default()
        };
        let fields = vec![
            field("title", FieldType::Text),
            field("notes", FieldType::Paragraph),
            field("amount", FieldType::Number),
            field("due", FieldType::Date),
            field("urgent", FieldType::Boolean),
            field("status", FieldType::Choice),
        ];
        Form { fields, ..Form::default() }
    }

    fn inputs(pairs: &[(&str, &str)]) -> Inputs {
        pairs.iter().map(|(name, typed)| ((*name).to_owned(), (*typed).to_owned())).collect()
    }

    fn made_of(name: &str, typed: &str) -> Option<Kind> {
        let mut fields = record_fields(&form(), &inputs(&[(name, typed)]));
        fields.remove(name).and_then(|value| value.kind)
    }

    fn text(value: &str) -> Kind {
        Kind::StringValue(value.to_owned())
    }

    #[test]
    fn what_is_typed_becomes_a_value_of_its_fields_type() {
        let digits = "12345678901234567890123456789012345678";

        assert_eq!(made_of("title", " a "), Some(text(" a ")));
        assert_eq!(made_of("notes", "a\r\nb\n"), Some(text("a\nb\n")));
        assert_eq!(
            made_of("amount", &format!(" {digits}\t")),
            Some(Kind::NumberValue(digits.to_owned()))
        );
        assert_eq!(made_of("due", " 2026-11-23"), Some(text("2026-11-23")));
        assert_eq!(made_of("urgent", "true"), Some(Kind::BoolValue(true)));
        assert_eq!(made_of("urgent", "false"), Some(Kind::BoolValue(false)));
        assert_eq!(made_of("status", "open"), Some(text("open")));
    }

    #[test]
    fn what_is_left_blank_is_left_out() {
        for field in ["title", "notes", "amount", "due", "urgent", "status"] {
            for blank in ["", " ", "\r\n"] {
                assert_eq!(made_of(field, blank), None, "{field}");
            }
        }
    }

    #[test]
    fn what_is_wrong_goes_on_to_be_refused_by_name() {
        assert_eq!(made_of("amount", "ten"), Some(Kind::NumberValue("ten".to_owned())));
        assert_eq!(made_of("urgent", "perhaps"), Some(text("perhaps")));
        assert_eq!(made_of("unknown", ""), Some(text("")));
    }

    #[test]
    fn what_is_of_the_page_is_not_of_the_record() {
        assert_eq!(made_of(TOKEN_INPUT, "x"), None);
        assert_eq!(made_of(REQUEST_ID_INPUT, "x"), None);
    }

    #[test]
    fn what_is_wrong_stands_beside_its_field_and_keeps_what_was_typed() {
        let violation =
            |path: &str, message: &str| Violation { path: path.into(), message: message.into() };
        let violations = vec![
            violation("record.fields[amount]", "No number."),
            violation("record.fields[amount]", "Too long."),
            violation("record.fields[unknown]", "No such field."),
            violation("record.fields", "Too large."),
        ];

        let (fields, problems) = shown(&form(), &inputs(&[("amount", "ten")]), violations);

        let amount = fields.iter().find(|field| field.name == "amount").unwrap();
        assert_eq!(amount.typed, "ten");
        assert_eq!(amount.error.as_deref(), Some("No number. Too long."));
        assert_eq!(problems, ["“unknown”: No such field.", "Too large."]);
        assert!(fields.iter().all(|field| field.name == "amount" || field.error.is_none()));
    }
}
