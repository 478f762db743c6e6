//! The Login page, which is also where a person lands after logging out.

use serde::Serialize;

use super::{Page, Section};

/// `/` of somebody who is not logged in.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Login {
    /// What stands in the organization field already; usually empty.
    pub organization: String,
    /// Why the person is here, where there is something to say.
    pub notice: Option<Notice>,
    /// The path to go to after the login, already checked to lead nowhere else.
    pub return_to: Option<String>,
}

/// What the Login page can say first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notice {
    /// The person logged out.
    LoggedOut,
    /// The person logged out here, and the login service could not be told.
    LoggedOutHereOnly,
    /// The session ended by itself.
    SessionExpired,
    /// The page asked for is only for people who are logged in.
    LoginNeeded,
}

impl Page for Login {
    const TEMPLATE: &'static str = "login.html";
    const SECTION: Section = Section::Elsewhere;

    #[cfg(test)]
    fn samples() -> Vec<Self> {
        super::samples::logins()
    }
}
