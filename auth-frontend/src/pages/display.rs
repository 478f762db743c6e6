//! How values, times and people are shown. It knows every kind of value that a record can hold, and
//! nothing of where they come from.

use std::borrow::Cow;

use jiff::{Timestamp, civil::Date, tz::Offset};
use serde::{Serialize, Serializer, ser::SerializeStruct};

/// The most characters of a text in a table or a heading; the record's page shows all of it.
const SUMMARY_LENGTH: usize = 64;
/// How far before the cut a word may end for the cut to move there.
const WORD_SEARCH: usize = 16;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A value as people see it: one variant for each kind that DynamoDB has, and days.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub(crate) enum DisplayValue {
    /// The record does not have the field.
    Missing,
    /// A text, possibly empty, of one line or several.
    Text(String),
    /// A decimal number, in all its digits.
    Number(String),
    /// Yes or no.
    Boolean(bool),
    /// A day of the calendar.
    Date(#[serde(serialize_with = "day")] Date),
    /// The explicit absence of a value.
    Null,
    /// Bytes: how many.
    Binary(#[serde(serialize_with = "size")] usize),
    /// Distinct texts.
    TextSet(Vec<String>),
    /// Distinct numbers.
    NumberSet(Vec<String>),
    /// Distinct byte strings: how many bytes each.
    BinarySet(#[serde(serialize_with = "sizes")] Vec<usize>),
    /// Values in order.
    List(Vec<DisplayValue>),
    /// Values by name, in the order in which they are shown.
    Map(Vec<(String, DisplayValue)>),
}

impl DisplayValue {
    /// The same, but a text with no more than so many characters.
    #[must_use]
    pub(crate) fn cut(self, length: usize) -> Self {
        match self {
            Self::Text(text) => match text.char_indices().nth(length) {
                Some((end, _)) => Self::Text(format!("{}…", &text[..end])),
                None => Self::Text(text),
            },
            other => other,
        }
    }

    /// The value in one short line, for tables and headings; empty where there is nothing to show.
    #[must_use]
    pub(crate) fn summary(&self) -> Cow<'_, str> {
        match self {
            Self::Missing => Cow::Borrowed(""),
            Self::Text(text) => shorten(text),
            Self::Number(number) => Cow::Borrowed(number),
            Self::Boolean(yes) => Cow::Borrowed(if *yes { "Yes" } else { "No" }),
            Self::Date(date) => Cow::Owned(day_text(*date)),
            Self::Null => Cow::Borrowed("empty"),
            Self::Binary(bytes) => Cow::Owned(size_text(*bytes)),
            Self::TextSet(items) | Self::NumberSet(items) => {
                Cow::Owned(shorten(&items.join(", ")).into_owned())
            }
            Self::BinarySet(items) => Cow::Owned(count(items.len(), "binary value")),
            Self::List(items) => Cow::Owned(count(items.len(), "item")),
            Self::Map(entries) => {
                let entry = if entries.len() == 1 { "entry" } else { "entries" };
                Cow::Owned(format!("{} {entry}", entries.len()))
            }
        }
    }
}

/// Cuts a text to [`SUMMARY_LENGTH`] characters, between words where there is a space nearby.
fn shorten(text: &str) -> Cow<'_, str> {
    // Bytes are at least as many as characters, so most texts need no counting.
    if text.len() <= SUMMARY_LENGTH {
        return Cow::Borrowed(text);
    }
    let Some((cut, _)) = text.char_indices().nth(SUMMARY_LENGTH) else {
        return Cow::Borrowed(text);
    };
    let kept = &text[..cut];
    let in_a_word = !text[cut..].starts_with(char::is_whitespace);
    let kept = match kept.rfind(char::is_whitespace) {
        Some(space) if in_a_word && kept[space..].chars().count() <= WORD_SEARCH => &kept[..space],
        _ => kept,
    };
    Cow::Owned(format!("{}…", kept.trim_end()))
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn size_text(bytes: usize) -> String {
    count(bytes, "byte")
}

fn day_text(date: Date) -> String {
    let mut text = String::with_capacity(24);
    push_padded(&mut text, i32::from(date.day()), 1);
    text.push(' ');
    text.push_str(month(date));
    text.push(' ');
    push_padded(&mut text, i32::from(date.year()), 1);
    text
}

fn month(date: Date) -> &'static str {
    // `month()` is 1 to 12.
    usize::try_from(date.month() - 1).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&"")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn size<S: Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&size_text(*bytes))
}

fn sizes<S: Serializer>(items: &[usize], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(|bytes| size_text(*bytes)))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn day<S: Serializer>(date: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct("Day", 2)?;
    fields.serialize_field("datetime", &date.to_string())?;
    fields.serialize_field("text", &day_text(*date))?;
    fields.end()
}

/// A point in time, shown in UTC: pages are the same for everybody, and nothing in them can ask the
/// browser for its time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(Timestamp);

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl Moment {
    /// For programs, to the second: `2026-11-23T20:04:05Z`.
    pub(super) fn datetime(self) -> String {
        let utc = Offset::UTC.to_datetime(self.0);
        let mut text = String::with_capacity(20);
        push_padded(&mut text, i32::from(utc.year()), 4);
        for (before, number) in [
            ('-', utc.month()),
            ('-', utc.day()),
            ('T', utc.hour()),
            (':', utc.minute()),
            (':', utc.second()),
        ] {
            text.push(before);
            push_padded(&mut text, i32::from(number), 2);
        }
        text.push('Z');
        text
    }

    /// For people, to the minute: `23 Nov 2026, 20:04`.
    pub(super) fn minute(self) -> String {
        let utc = Offset::UTC.to_datetime(self.0);
        let mut text = day_text(utc.date());
        text.push_str(", ");
        push_padded(&mut text, i32::from(utc.hour()), 2);
        text.push(':');
        push_padded(&mut text, i32::from(utc.minute()), 2);
        text
    }

    fn second(self) -> String {
        let mut text = String::with_capacity(2);
        push_padded(&mut text, i32::from(Offset::UTC.to_datetime(self.0).second()), 2);
        text
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Moment", 3)?;
        fields.serialize_field("datetime", &self.datetime())?;
        fields.serialize_field("minute", &self.minute())?;
        fields.serialize_field("second", &self.second())?;
        fields.end()
    }
}

/// Writes a number with leading zeros. A page has dozens of times, and `format!` would take longer
/// over them than over all the rest of a row.
fn push_padded(text: &mut String, number: i32, digits: usize) {
    let mut buffer = [b'0'; 10];
    let mut rest = number.unsigned_abs();
    let mut start = buffer.len();
    while rest > 0 || buffer.len() - start < digits {
        start -= 1;
        // A digit fits a byte.
        buffer[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    if number < 0 {
        text.push('-');
    }
    text.extend(buffer[start..].iter().copied().map(char::from));
}

/// Who did something, as recorded at that time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Actor {
    /// The display name.
    pub name: String,
    /// A person or a program.
    pub kind: ActorKind,
}

/// The kinds of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ActorKind {
    /// A person who logged in.
    Person,
    /// A program with credentials of its own.
    Machine,
}
