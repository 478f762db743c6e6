//! The table of records and the page of one record.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Actor, ActorKind, Chrome, DisplayValue, Moment, Page, Paging, Section};

/// `/records`: one page of the organization's records, newest first.
#[derive(Clone, Debug)]
pub(crate) struct RecordsTable {
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
pub(crate) struct Column {
    /// What people read above it.
    pub label: String,
    /// Holds numbers, which line up on the right.
    pub numeric: bool,
}

/// One record in the table.
#[derive(Clone, Debug)]
pub(crate) struct RecordRow {
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

/// A row is flat and its cells are arrays: this is the page that is looked at most, and a map in it
/// takes several times as long.
impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RecordRow { id, cells, created_at, creator } = self.row;
        let mut fields = serializer.serialize_struct("Row", 7)?;
        fields.serialize_field("id", id)?;
        let title = cells.first().map(DisplayValue::summary).unwrap_or_default();
        fields.serialize_field("title", &title)?;
        fields.serialize_field("cells", &Cells(self))?;
        fields.serialize_field("datetime", &created_at.datetime())?;
        fields.serialize_field("minute", &created_at.minute())?;
        fields.serialize_field("creator", &creator.name)?;
        fields.serialize_field("by_machine", &(creator.kind == ActorKind::Machine))?;
        fields.end()
    }
}

/// The cells after the first, which is the row's title. Each brings its column's label, which the
/// phone layout shows beside the value, and whether it holds numbers; then its text.
struct Cells<'a>(&'a Row<'a>);

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row { row, columns } = self.0;
        let cell = |(index, column)| {
            let Column { label, numeric }: &Column = column;
            let text = row.cells.get(index).map(DisplayValue::summary).unwrap_or_default();
            (label, numeric, text)
        };
        serializer.collect_seq(columns.iter().enumerate().skip(1).map(cell))
    }
}

/// `/records/{id}`: all of one record.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RecordView {
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
pub(crate) struct ShownField {
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
