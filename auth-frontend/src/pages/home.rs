//! The start page of somebody who is logged in: what can be done here, and what is new.

use serde::Serialize;

use super::{Actor, Chrome, Moment, Page, Section};

/// `/home`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Home {
    /// The frame.
    pub chrome: Chrome,
    /// The newest few records, newest first; `None` where they could not be fetched or may not be
    /// seen, which must not keep anybody from the rest of the page.
    pub latest: Option<Vec<RecentRecord>>,
}

/// A record in one line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RecentRecord {
    /// The record's id, without "records/".
    pub id: String,
    /// [`DisplayValue::summary`](super::DisplayValue::summary) of its first field; may be empty.
    pub title: String,
    /// When it was created.
    pub created_at: Moment,
    /// Who created it.
    pub creator: Actor,
}

impl Page for Home {
    const TEMPLATE: &'static str = "home.html";
    const SECTION: Section = Section::Home;

    #[cfg(test)]
    fn samples() -> Vec<Self> {
        super::samples::homes()
    }
}
