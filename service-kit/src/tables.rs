//! What a DynamoDB table must look like, and how one that exists differs from that. It makes no
//! call, and knows one table by name: that of the sessions, which one service uses and the other one
//! provisions.

use std::fmt;

use aws_sdk_dynamodb::types::{
    KeySchemaElement, KeyType, Projection, ProjectionType, TableDescription,
};

/// How a table must look. All keys are texts.
#[derive(Debug, Clone, Copy)]
pub struct TableShape<'a> {
    /// Its name.
    pub name: &'a str,
    /// The partition key.
    pub hash: &'static str,
    /// The sort key, if it has one.
    pub range: Option<&'static str>,
    /// Its indexes.
    pub indexes: &'static [IndexShape],
    /// The attribute with the time at which DynamoDB deletes a row. Without one, rows must not end:
    /// what is kept there is kept for good.
    pub expiry: Option<&'static str>,
}

/// How an index must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexShape {
    /// Its name.
    pub name: &'static str,
    /// The partition key.
    pub hash: &'static str,
    /// The sort key, if it has one.
    pub range: Option<&'static str>,
    /// Whether it holds whole rows, or keys only.
    pub whole_rows: bool,
}

/// How a table differs from its shape. It displays as a sentence about the table, "it …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Its key, which nobody can change. Both keys, in words.
    Key {
        /// What it is.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// It lacks an index.
    NoIndex(&'static str),
    /// Its index has another key. Both keys, in words.
    IndexKey {
        /// The index.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// Its index holds less than whole rows.
    IndexRows(&'static str),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { found, expected } => {
                write!(f, "its key is {found} instead of {expected}")
            }
            Self::NoIndex(name) => write!(f, "it has no index {name}"),
            Self::IndexKey { name, found, expected } => {
                write!(f, "the key of its index {name} is {found} instead of {expected}")
            }
            Self::IndexRows(name) => write!(f, "its index {name} does not hold whole rows"),
        }
    }
}

/// The index of sessions by the provider's id of its own session.
pub const SESSIONS_BY_SID: IndexShape =
    IndexShape { name: "by-sid", hash: "Sid", range: None, whole_rows: false };
/// The index of sessions by whose they are, in the order in which they began. Neither changes while a
/// session lasts and the index holds nothing else, so that noting its use costs no second write.
pub const SESSIONS_BY_PERSON: IndexShape =
    IndexShape { name: "by-person", hash: "Person_Hash", range: Some("Began"), whole_rows: false };

/// The table of sessions.
#[must_use]
pub fn sessions(name: &str) -> TableShape<'_> {
    TableShape {
        name,
        hash: "Session_Hash",
        range: None,
        indexes: &[SESSIONS_BY_SID, SESSIONS_BY_PERSON],
        expiry: Some("Expires_At"),
    }
}

impl TableShape<'_> {
    /// How a table differs from this. In nothing, where it can be used.
    #[must_use]
    pub fn differences(&self, table: &TableDescription) -> Vec<Difference> {
        let mut differences = Vec::new();
        let expected = key_schema(self.hash, self.range);
        if let Some((found, expected)) = other_key(table, table.key_schema(), &expected) {
            differences.push(Difference::Key { found, expected });
        }
        for index in self.indexes {
            let indexes = table.global_secondary_indexes();
            let Some(found) = indexes.iter().find(|found| found.index_name() == Some(index.name))
            else {
                differences.push(Difference::NoIndex(index.name));
                continue;
            };
            let expected = key_schema(index.hash, index.range);
            if let Some((found, expected)) = other_key(table, found.key_schema(), &expected) {
                differences.push(Difference::IndexKey { name: index.name, found, expected });
            }
            let projection = found.projection().and_then(Projection::projection_type);
            if index.whole_rows && projection != Some(&ProjectionType::All) {
                differences.push(Difference::IndexRows(index.name));
            }
        }
        differences
    }
}

/// A key as DynamoDB describes it.
///
/// # Panics
/// Never: every element has a name and a type.
#[must_use]
pub fn key_schema(hash: &str, range: Option<&str>) -> Vec<KeySchemaElement> {
    let element = |name: &str, kind| {
        let element = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        element.expect("it has a name and a type")
    };
    let hash = std::iter::once(element(hash, KeyType::Hash));
    hash.chain(range.map(|range| element(range, KeyType::Range))).collect()
}

/// Both keys in words, if they differ.
fn other_key(
    table: &TableDescription,
    found: &[KeySchemaElement],
    expected: &[KeySchemaElement],
) -> Option<(String, String)> {
    let spelled = |key: &[KeySchemaElement], kind: &dyn Fn(&str) -> String| -> String {
        let mut parts: Vec<_> = key
            .iter()
            .map(|e| format!("{} {} ({})", e.key_type, e.attribute_name, kind(&e.attribute_name)))
            .collect();
        parts.sort_unstable();
        parts.join(", ")
    };
    let kind = |attribute: &str| {
        let definitions = table.attribute_definitions();
        let definition = definitions.iter().find(|d| d.attribute_name == attribute);
        definition.map_or_else(|| "?".to_owned(), |d| d.attribute_type.to_string())
    };
    let (found, expected) = (spelled(found, &kind), spelled(expected, &|_| "S".to_owned()));
    (found != expected).then_some((found, expected))
}
