//! Where a person is logged in, and ending it.

use serde::Serialize;

use super::{Chrome, Moment, Page, Section};

/// `/sessions`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct YourSessions {
    /// The frame.
    pub chrome: Chrome,
    /// What the person has just done here.
    pub done: Option<SessionsDone>,
    /// The session that looks, then the others, the newest first.
    pub sessions: Vec<SessionEntry>,
}

/// What a person can have done to their sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionsDone {
    /// One was ended.
    OneEnded,
    /// All others were ended.
    OthersEnded,
}

/// One session.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SessionEntry {
    /// What names it in the address of its form.
    pub handle: String,
    /// Whether it is the one that looks.
    pub is_this: bool,
    /// Such as "Firefox on Windows".
    pub device: String,
    /// The organization's display name.
    pub organization: String,
    /// When it began.
    pub began_at: Moment,
    /// When it was last used, to the minute.
    pub last_used_at: Moment,
    /// When it ends unless it is used before; `None` where it ends then in any case.
    pub idle_end: Option<Moment>,
    /// When it ends however much it is used.
    pub final_end: Moment,
}

impl Page for YourSessions {
    const TEMPLATE: &'static str = "sessions.html";
    const SECTION: Section = Section::Sessions;

    #[cfg(test)]
    fn samples() -> Vec<Self> {
        super::samples::sessions()
    }
}
