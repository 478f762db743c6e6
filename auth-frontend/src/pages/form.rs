//! The page on which a record is filled in: one input for each field of the organization's form,
//! with what was typed and what is wrong with it.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Chrome, Page, Section};

/// A choice among at most so many is all in view; more go into a list that opens.
const MOST_IN_VIEW: usize = 4;

/// `/records/new`, and the answer to a form that could not be saved.
///
/// The form sends `csrf_token`, `request_id` and one value for each field, named after the field.
#[derive(Clone, Debug)]
pub(crate) struct RecordForm {
    /// The frame.
    pub chrome: Chrome,
    /// Makes a second sending of the same form harmless; a UUID, kept when the form is shown again.
    pub request_id: String,
    /// The inputs, in the form's order.
    pub fields: Vec<FormField>,
    /// What is wrong and belongs to no field above, in whole sentences.
    pub problems: Vec<String>,
}

/// One input.
#[derive(Clone, Debug)]
pub(crate) struct FormField {
    /// The field's name, and the input's.
    pub name: String,
    /// What people read above it.
    pub label: String,
    /// A sentence that helps to fill it in, or empty.
    pub help: String,
    /// What it takes.
    pub input: Input,
    /// Must not stay empty.
    pub required: bool,
    /// What was typed, as it came; empty at first.
    pub typed: String,
    /// What is wrong with it, in a whole sentence.
    pub error: Option<String>,
}

/// The kinds of input. A yes-or-no field sends "true", "false" or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// One line, of at most so many characters; 0 means that no limit is told.
    Text(u32),
    /// Several lines, of at most so many characters; 0 means that no limit is told.
    Paragraph(u32),
    /// A decimal number.
    Number,
    /// A day, as "2026-11-23".
    Date,
    /// Yes or no.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
}

impl Serialize for RecordForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let controls: Vec<_> = self.fields.iter().map(Control::of).collect();
        let invalid = !self.problems.is_empty() || self.fields.iter().any(|f| f.error.is_some());

        let mut fields = serializer.serialize_struct("RecordForm", 5)?;
        fields.serialize_field("chrome", &self.chrome)?;
        fields.serialize_field("request_id", &self.request_id)?;
        fields.serialize_field("controls", &controls)?;
        fields.serialize_field("problems", &self.problems)?;
        fields.serialize_field("invalid", &invalid)?;
        fields.end()
    }
}

/// How an input is drawn.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Shape {
    Line,
    Digits,
    Day,
    Lines,
    Radios,
    Select,
}

/// An input as its template needs it.
#[derive(Serialize)]
struct Control<'a> {
    name: &'a str,
    label: &'a str,
    required: bool,
    typed: &'a str,
    shape: Shape,
    options: Vec<ControlOption<'a>>,
    help: String,
    error: Option<&'a str>,
    /// Whether the error names the field itself.
    error_names_field: bool,
    /// The ids of help and error, for `aria-describedby`; empty where there is neither.
    described_by: String,
}

#[derive(Serialize)]
struct ControlOption<'a> {
    value: &'a str,
    label: &'a str,
    chosen: bool,
}

impl<'a> Control<'a> {
    fn of(field: &'a FormField) -> Self {
        let help = field.help_text();
        let mut described_by = String::new();
        if !help.is_empty() {
            described_by = format!("help-{}", field.name);
        }
        if field.error.is_some() {
            let space = if described_by.is_empty() { "" } else { " " };
            described_by = format!("{described_by}{space}error-{}", field.name);
        }
        Self {
            name: &field.name,
            label: &field.label,
            required: field.required,
            typed: &field.typed,
            shape: field.shape(),
            options: field.options(),
            help,
            error: field.error.as_deref(),
            error_names_field: field
                .error
                .as_ref()
                .is_some_and(|error| error.starts_with(&field.label)),
            described_by,
        }
    }
}

impl FormField {
    fn shape(&self) -> Shape {
        match &self.input {
            Input::Text(_) => Shape::Line,
            Input::Paragraph(_) => Shape::Lines,
            Input::Number => Shape::Digits,
            // A browser's date input drops what is no date, and with it what was typed.
            Input::Date if self.error.is_some() && !self.typed.is_empty() => Shape::Line,
            Input::Date => Shape::Day,
            Input::Boolean => Shape::Radios,
            Input::Choice(choices) if choices.len() <= MOST_IN_VIEW => Shape::Radios,
            Input::Choice(_) => Shape::Select,
        }
    }

    /// The limit is told and not enforced by `maxlength`: browsers count UTF-16 units, where an
    /// emoji is two, and silently cut what is pasted.
    fn help_text(&self) -> String {
        let limit = match self.input {
            Input::Text(most) | Input::Paragraph(most) if most > 0 => {
                format!("At most {} characters.", with_thousands(most))
            }
            Input::Number => "A number of up to 38 digits, such as 1200 or -0.5.".to_owned(),
            _ => String::new(),
        };
        let space = if self.help.is_empty() || limit.is_empty() { "" } else { " " };
        format!("{}{space}{limit}", self.help)
    }

    fn options(&self) -> Vec<ControlOption<'_>> {
        let stated: Vec<(&str, &str)> = match &self.input {
            Input::Boolean => vec![("true", "Yes"), ("false", "No")],
            Input::Choice(choices) => {
                choices.iter().map(|choice| (choice.as_str(), choice.as_str())).collect()
            }
            _ => return Vec::new(),
        };
        let unstated = match (self.shape(), self.required) {
            (Shape::Select, true) => Some(("", "Choose one")),
            (_, false) => Some(("", "Not stated")),
            _ => None,
        };
        // A list that opens starts with what is chosen at first; radios end with the way out.
        let (before, after) = match self.shape() {
            Shape::Select => (unstated, None),
            _ => (None, unstated),
        };
        before
            .into_iter()
            .chain(stated)
            .chain(after)
            .map(|(value, label)| ControlOption { value, label, chosen: self.typed == value })
            .collect()
    }
}

/// 100000 as 100,000.
fn with_thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Page for RecordForm {
    const TEMPLATE: &'static str = "record_form.html";
    const SECTION: Section = Section::Records;

    #[cfg(test)]
    fn samples() -> Vec<Self> {
        super::samples::forms()
    }
}
