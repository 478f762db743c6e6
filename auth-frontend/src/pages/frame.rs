//! What pages have in common: the frame of a logged-in person's pages, and the links from one page
//! of a list to the next.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

/// The frame around every page of a person who is logged in.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Chrome {
    /// The organization's display name, visible on every page.
    pub organization: String,
    /// The person's display name.
    pub person: String,
    /// May see records.
    pub can_read: bool,
    /// May fill in records.
    pub can_create: bool,
    /// May see the audit trail.
    pub can_read_audit: bool,
    /// The session's form token, sent by every form that changes something.
    pub csrf_token: String,
}

/// The parts of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Section {
    /// The start page.
    Home,
    /// Records: the table, one record, the form.
    Records,
    /// The audit trail.
    Audit,
    /// Outside: login and error pages.
    Elsewhere,
}

/// Where a list goes on. Lists are newest first and page tokens lead only to what is older; the way
/// back is the browser's own, or the first page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Paging {
    /// This is not the first page.
    continued: bool,
    /// The token of the next page, encoded for a query.
    older: Option<String>,
}

impl Paging {
    /// From the token of the page shown and that of the page after it; an empty one means the first
    /// page and no further page, as in the lists of AIP-158.
    #[must_use]
    pub(crate) fn new(page_token: &str, next_page_token: &str) -> Self {
        let older = (!next_page_token.is_empty())
            .then(|| utf8_percent_encode(next_page_token, NON_ALPHANUMERIC).to_string());
        Self { continued: !page_token.is_empty(), older }
    }
}
