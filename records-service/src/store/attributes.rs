//! Turns values into DynamoDB's attributes and back.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use jiff::Timestamp;

use super::{Item, number, text};
use crate::domain::{
    number::NumberError,
    record::{Actor, ActorKind, Fields},
    value::{Bytes, Value},
};

/// A row that we cannot have written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("the attribute {0} is missing or of another type")]
    Attribute(&'static str),
    #[error("a number is not one that DynamoDB holds")]
    Number(#[from] NumberError),
    #[error("an attribute is of a type that we do not know")]
    UnknownType,
}

pub(super) fn from_value(value: &Value) -> AttributeValue {
    match value {
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::Bool(truth) => AttributeValue::Bool(*truth),
        Value::Null => AttributeValue::Null(true),
        Value::Binary(bytes) => AttributeValue::B(Blob::new(bytes.0.as_slice())),
        Value::StringSet(set) => AttributeValue::Ss(set.iter().cloned().collect()),
        Value::NumberSet(set) => AttributeValue::Ns(set.iter().map(ToString::to_string).collect()),
        Value::BinarySet(set) => {
            AttributeValue::Bs(set.iter().map(|bytes| Blob::new(bytes.0.as_slice())).collect())
        }
        Value::List(values) => AttributeValue::L(values.iter().map(from_value).collect()),
        Value::Map(entries) => from_fields(entries),
    }
}

pub(super) fn from_fields(fields: &Fields) -> AttributeValue {
    let entries = fields.iter().map(|(name, value)| (name.clone(), from_value(value)));
    AttributeValue::M(entries.collect())
}

pub(super) fn to_value(attribute: AttributeValue) -> Result<Value, RowError> {
    Ok(match attribute {
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::N(number) => Value::Number(number.parse()?),
        AttributeValue::Bool(truth) => Value::Bool(truth),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::B(blob) => Value::Binary(Bytes(blob.into_inner())),
        AttributeValue::Ss(set) => Value::StringSet(set.into_iter().collect()),
        AttributeValue::Ns(set) => Value::NumberSet(
            set.into_iter().map(|number| number.parse()).collect::<Result<_, _>>()?,
        ),
        AttributeValue::Bs(set) => {
            Value::BinarySet(set.into_iter().map(|blob| Bytes(blob.into_inner())).collect())
        }
        AttributeValue::L(values) => {
            Value::List(values.into_iter().map(to_value).collect::<Result<_, _>>()?)
        }
        AttributeValue::M(entries) => Value::Map(to_fields(entries)?),
        _ => return Err(RowError::UnknownType),
    })
}

fn to_fields(entries: Item) -> Result<Fields, RowError> {
    entries.into_iter().map(|(name, attribute)| Ok((name, to_value(attribute)?))).collect()
}

pub(super) fn from_actor(actor: &Actor) -> AttributeValue {
    let kind = match actor.kind {
        ActorKind::User => "user",
        ActorKind::Machine => "machine",
    };
    AttributeValue::M(Item::from([
        ("Id".to_owned(), text(&actor.id)),
        ("Name".to_owned(), text(&actor.name)),
        ("Kind".to_owned(), text(kind)),
    ]))
}

pub(super) fn from_time(time: Timestamp) -> AttributeValue {
    text(format!("{time:.3}"))
}

/// Seconds since 1970, as DynamoDB's time to live wants them.
pub(super) fn from_expiry(time: Timestamp) -> AttributeValue {
    number(time.as_second())
}

/// Takes a row apart, attribute by attribute.
pub(super) struct Row(pub(super) Item);

impl Row {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<String, RowError> {
        match self.0.remove(name) {
            Some(AttributeValue::S(text)) => Ok(text),
            _ => Err(RowError::Attribute(name)),
        }
    }

    pub(super) fn parse<T: std::str::FromStr>(
        &mut self,
        name: &'static str,
    ) -> Result<T, RowError> {
        match self.0.remove(name) {
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => {
                text.parse().map_err(|_| RowError::Attribute(name))
            }
            _ => Err(RowError::Attribute(name)),
        }
    }

    fn map(&mut self, name: &'static str) -> Result<Item, RowError> {
        match self.0.remove(name) {
            Some(AttributeValue::M(entries)) => Ok(entries),
            _ => Err(RowError::Attribute(name)),
        }
    }

    pub(super) fn fields(&mut self, name: &'static str) -> Result<Fields, RowError> {
        to_fields(self.map(name)?)
    }

    pub(super) fn actor(&mut self, name: &'static str) -> Result<Actor, RowError> {
        let mut row = Row(self.map(name)?);
        let kind = match row.text("Kind")?.as_str() {
            "user" => ActorKind::User,
            "machine" => ActorKind::Machine,
            _ => return Err(RowError::Attribute("Kind")),
        };
        Ok(Actor { id: row.text("Id")?, name: row.text("Name")?, kind })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::value::arbitrary;

    proptest! {
        #[test]
        fn a_value_survives_as_an_attribute(value in arbitrary::value()) {
            prop_assert_eq!(to_value(from_value(&value)).unwrap(), value);
        }
    }
}
