//! A word from one page to the next, across a redirect: said once and gone. It is a word of a closed
//! set in a cookie that anybody may forge, so it must never say more than how a page greets.

use axum::http::{HeaderMap, HeaderValue};

use crate::cookies::{self, CookieSecurity};

const COOKIE: &str = "notice";
/// Seconds; the page that says it follows at once.
const LIFETIME: u32 = 60;

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// To the Login page: the person has logged out.
    LoggedOut,
    /// To a record's page: it has just been saved.
    Saved,
    /// To the person's sessions: one of them was ended.
    SessionEnded,
    /// To the person's sessions: all others were ended.
    OthersEnded,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged-out",
            Self::Saved => "saved",
            Self::SessionEnded => "session-ended",
            Self::OthersEnded => "others-ended",
        }
    }

    /// The `Set-Cookie` value that leaves the word for the next page.
    #[must_use]
    pub(crate) fn leave(self, security: CookieSecurity) -> HeaderValue {
        security.set(COOKIE, self.as_str(), Some(LIFETIME))
    }

    /// The `Set-Cookie` value that takes the word away, if it was left.
    #[must_use]
    pub(crate) fn take(self, headers: &HeaderMap, security: CookieSecurity) -> Option<HeaderValue> {
        (cookies::get(headers, &security.name(COOKIE)) == Some(self.as_str()))
            .then(|| security.clear(COOKIE))
    }
}
