//! What pages have in common: the frame of a logged-in person's pages, and the links from one page
//! of a list to the next.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::Moment;

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
    /// When the session ends.
    pub ending: Ending,
}

/// When the session that looks at a page ends, and when the page begins to warn of it: in the last
/// five minutes, for which a page may have been open for long.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ending {
    /// When it ends; unless it is used before, if that is not final.
    pub at: Moment,
    /// Whether it ends then however much it is used.
    pub is_final: bool,
    /// Minutes after the page is made: 0 for at once, and 25 at most, for which the style sheet has
    /// rules.
    pub shown_after: u64,
    /// How many minutes are left when the page is made, where it warns at once.
    pub minutes_left: Option<u64>,
}

impl Ending {
    /// In the last five minutes.
    const WARNED: u64 = 5 * 60;
    /// A session that is used ends in half an hour at the latest.
    const LATEST: u64 = 25;

    /// Of a session that ends at `at`, which is in so many seconds.
    #[must_use]
    pub(crate) fn new(at: Moment, is_final: bool, seconds_left: u64) -> Self {
        let shown_after = (seconds_left.saturating_sub(Self::WARNED) / 60).min(Self::LATEST);
        let minutes_left = (shown_after == 0).then(|| seconds_left.div_ceil(60));
        Self { at, is_final, shown_after, minutes_left }
    }
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
    /// Where the person is logged in.
    Sessions,
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
