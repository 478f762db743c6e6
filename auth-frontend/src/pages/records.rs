//! The table of records and the page of one record.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Actor, Chrome, DisplayValue, Moment, Page, Paging, Section};

/// `/records`: one page of the organization's records, newest first.
#[derive(Clone, Debug)]
pub struct RecordsTable {
    /// The frame.
    pub chrome: Chrome,
    /// The fields of the organization's form, in its order; the first names the record.
    pub columns: Vec<Column>,
    /// The records, newest first.
    pub rows: Vec<RecordRow>,
    /// Where the list goes on.
    pub paging: Paging,
}

/// One column.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// What people read above it.
    pub label: String,
    /// Holds numbers, which line up on the right.
    pub numeric: bool,
}

/// One record in the table.
#[derive(Clone, Debug)]
pub struct RecordRow {
    /// The record's id, without "records/".
    pub id: String,
    /// One value for each column; a row that ends early has nothing in the rest.
    pub cells: Vec<DisplayValue>,
    /// When it was created.
    pub created_at: Moment,
    /// Who created it.
    pub creator: Actor,
}

impl Page for RecordsTable {
    const TEMPLATE: &'static str = "records.html";
    const SECTION: Section = Section::Records;

    #[cfg(test)]
    fn samples() -> Vec<Self> {
        super::samples::tables()
    }
}

/// A cell brings its column's label, which the phone layout shows beside the value.
#[derive(Serialize)]
struct Cell<'a> {
    label: &'a str,
    numeric: bool,
    text: &'a str,
}

struct Row<'a> {
    row: &'a RecordRow,
    columns: &'a [Column],
}

struct Rows<'a>(&'a RecordsTable);

impl Serialize for RecordsTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("RecordsTable", 4)?;
        fields.serialize_field("chrome", &self.chrome)?;
        fields.serialize_field("columns", &self.columns)?;
        fields.serialize_field("rows", &Rows(self))?;
        fields.serialize_field("paging", &self.paging)?;
        fields.end()
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = &self.0.columns;
        serializer.collect_seq(self.0.rows.iter().map(|row| Row { row, columns }))
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Row", 5)?;
        fields.serialize_field("id", &self.row.id)?;
        let title = self.row.cells.first().map(DisplayValue::summary).unwrap_or_default();
        fields.serialize_field("title", &title)?;
        fields.serialize_field("cells", &Cells(self))?;
        fields.serialize_field("created_at", &self.row.created_at)?;
        fields.serialize_field("creator", &self.row.creator)?;
        fields.end()
    }
}

/// The cells after the first, which is the row's title.
struct Cells<'a>(&'a Row<'a>);

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;

        let columns = self.0.columns.get(1..).unwrap_or_default();
        let mut cells = serializer.serialize_seq(Some(columns.len()))?;
        for (index, column) in columns.iter().enumerate() {
            let value = self.0.row.cells.get(index + 1).unwrap_or(&DisplayValue::Missing);
            let text = value.summary();
            cells.serialize_element(&Cell {
                label: &column.label,
                numeric: column.numeric,
                text: &text,
            })?;
        }
        cells.end()
    }
}

/// `/records/{id}`: all of one record.
#[derive(Clone, Debug, Serialize)]
pub struct RecordView {
    /// The frame.
    pub chrome: Chrome,
    /// The record's id, without "records/".
    pub id: String,
    /// [`DisplayValue::summary`] of its first field; may be empty.
    pub title: String,
    /// The person has just created it.
    pub just_created: bool,
    /// Its fields: those of the form first, in its order, then what else it holds.
    pub fields: Vec<ShownField>,
    /// 1 when created, one more after each change.
    pub version: i64,
    /// When it was created.
    pub created_at: Moment,
    /// Who created it.
    pub creator: Actor,
    /// When it last changed.
    pub updated_at: Moment,
    /// Who last changed it.
    pub updater: Actor,
}

/// A field with its value.
#[derive(Clone, Debug, Serialize)]
pub struct ShownField {
    /// What people read beside it: the form's label, or the name of a field that the form lacks.
    pub label: String,
    /// What it holds.
    pub value: DisplayValue,
}

impl Page for RecordView {
    const TEMPLATE: &'static str = "record.html";
    const SECTION: Section = Section::Records;

    #[cfg(test)]
    fn samples() -> Vec<Self> {
        super::samples::records()
    }
}
