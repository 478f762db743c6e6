//! The page between two organizations: nobody leaves one for another but by its button.

use serde::Serialize;

use super::{Chrome, Page, Section};

/// `/auth/switch`, and what a link to another organization leads to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Switch {
    /// The frame. It says which organization the person is in.
    pub chrome: Chrome,
    /// How the person came here.
    pub reason: SwitchReason,
    /// The organization to go to, by name or id; empty where nobody has named one.
    pub organization: String,
    /// Whether it is the short name, which people know, and not an id.
    pub is_named: bool,
    /// The ticket of an invitation to it.
    pub invitation: Option<String>,
    /// Whether the password is to be asked for in any case, for who wants to be somebody else there.
    pub asks_password: bool,
    /// The path to go to afterwards, already checked to lead nowhere else.
    pub return_to: String,
    /// The page was opened before the person last logged in.
    pub is_stale: bool,
}

/// How a person comes to switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SwitchReason {
    /// By the top bar.
    Choice,
    /// By a link to a page of another organization.
    Link,
    /// By an invitation to another organization.
    Invitation,
    /// By an invitation to the very organization that the person is in.
    InvitationHere,
}

impl Page for Switch {
    const TEMPLATE: &'static str = "switch.html";
    const SECTION: Section = Section::Elsewhere;

    #[cfg(test)]
    fn samples() -> Vec<Self> {
        super::samples::switches()
    }
}
