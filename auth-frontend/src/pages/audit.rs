//! The audit trail: who did what, newest first.

use serde::{Serialize, Serializer};

use super::{Actor, Chrome, DisplayValue, Moment, Page, Paging, Section};

/// `/audit`: one page of the trail.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuditTrail {
    /// The frame.
    pub chrome: Chrome,
    /// The events, newest first.
    pub entries: Vec<AuditEntry>,
    /// Where the list goes on.
    pub paging: Paging,
}

/// One event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuditEntry {
    /// When it happened.
    pub happened_at: Moment,
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// The record's id, without "records/".
    pub record_id: String,
    /// The record's version after it.
    pub version: i64,
    /// The fields that changed.
    pub changes: Vec<Change>,
}

/// What can be done to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It was filled in.
    Created,
    /// Its values changed.
    Updated,
    /// It went to the trash.
    Deleted,
    /// It came back from the trash.
    Restored,
    /// Something that this version of the program does not know: the event's type.
    Other(String),
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Created => "Created",
            Self::Updated => "Updated",
            Self::Deleted => "Deleted",
            Self::Restored => "Restored",
            Self::Other(event_type) => event_type,
        })
    }
}

/// One field before and after.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Change {
    /// What people read beside it: the form's label, or the field's name.
    pub label: String,
    /// Before; `Missing` where the field was added.
    pub old: DisplayValue,
    /// After; `Missing` where the field was removed.
    pub new: DisplayValue,
}

impl Page for AuditTrail {
    const TEMPLATE: &'static str = "audit.html";
    const SECTION: Section = Section::Audit;

    #[cfg(test)]
    fn samples() -> Vec<Self> {
        super::samples::trails()
    }
}
