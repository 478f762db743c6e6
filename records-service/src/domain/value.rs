//! One value of a record: DynamoDB's own types. As JSON it is written the way DynamoDB writes it
//! (`{"S": "text"}`), which is how it stands in an audit event.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::number::Number;

/// How deep lists and maps may nest; DynamoDB allows 32, under the record and its `Fields`.
pub(crate) const MAX_DEPTH: usize = 16;

/// Bytes; base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// A value of any of DynamoDB's types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    /// Text.
    #[serde(rename = "S")]
    String(String),
    /// A decimal number.
    #[serde(rename = "N")]
    Number(Number),
    /// True or false.
    #[serde(rename = "BOOL")]
    Bool(bool),
    /// The explicit absence of a value.
    #[serde(rename = "NULL", serialize_with = "write_true", deserialize_with = "read_true")]
    Null,
    /// Bytes.
    #[serde(rename = "B")]
    Binary(Bytes),
    /// Distinct texts.
    #[serde(rename = "SS")]
    StringSet(BTreeSet<String>),
    /// Distinct numbers.
    #[serde(rename = "NS")]
    NumberSet(BTreeSet<Number>),
    /// Distinct byte strings.
    #[serde(rename = "BS")]
    BinarySet(BTreeSet<Bytes>),
    /// Values in order.
    #[serde(rename = "L")]
    List(Vec<Value>),
    /// Values by name.
    #[serde(rename = "M")]
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// What people call the type.
    #[must_use]
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "text",
            Self::Number(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Null => "null",
            Self::Binary(_) => "binary",
            Self::StringSet(_) => "a set of texts",
            Self::NumberSet(_) => "a set of numbers",
            Self::BinarySet(_) => "a set of binaries",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

fn write_true<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(true)
}

fn read_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    if bool::deserialize(deserializer)? {
        Ok(())
    } else {
        Err(de::Error::custom("NULL must be true"))
    }
}

/// Values of every kind, for the property tests of whatever carries them.
#[cfg(test)]
pub(crate) mod arbitrary {
    use proptest::{
        collection::{btree_map, btree_set, vec},
        prelude::*,
    };

    use super::*;

    pub(crate) fn value() -> impl Strategy<Value = Value> {
        let number = || {
            (any::<i64>(), -20_i32..=20).prop_map(|(digits, exponent)| {
                format!("{digits}e{exponent}").parse::<Number>().expect("it is in range")
            })
        };
        let bytes = || vec(any::<u8>(), 0..20).prop_map(Bytes);
        let leaf = prop_oneof![
            "\\PC{0,20}".prop_map(Value::String),
            "[\\u{0}-\\u{1f}\\u{fffe}\\u{ffff}]{0,4}".prop_map(Value::String),
            number().prop_map(Value::Number),
            any::<bool>().prop_map(Value::Bool),
            Just(Value::Null),
            bytes().prop_map(Value::Binary),
            btree_set("\\PC{0,8}", 1..4).prop_map(Value::StringSet),
            btree_set(number(), 1..4).prop_map(Value::NumberSet),
            btree_set(bytes(), 1..4).prop_map(Value::BinarySet),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::List),
                btree_map("\\PC{1,8}", inner, 0..4).prop_map(Value::Map),
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_is_written_as_dynamodb_writes_it() {
        let value = Value::Map(BTreeMap::from([
            ("bytes".to_owned(), Value::Binary(Bytes(vec![1, 2]))),
            ("nothing".to_owned(), Value::Null),
            ("number".to_owned(), Value::Number("1.50".parse().unwrap())),
            ("set".to_owned(), Value::StringSet(BTreeSet::from(["a".to_owned()]))),
            ("yes".to_owned(), Value::List(vec![Value::Bool(true)])),
        ]));

        let json = serde_json::to_string(&value).unwrap();

        let expected = r#"{"M":{"bytes":{"B":"AQI="},"nothing":{"NULL":true},"number":{"N":"1.5"},"set":{"SS":["a"]},"yes":{"L":[{"BOOL":true}]}}}"#;
        assert_eq!(json, expected);
    }

    proptest! {
        #[test]
        fn a_value_survives_json(value in arbitrary::value()) {
            let json = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        }
    }
}
