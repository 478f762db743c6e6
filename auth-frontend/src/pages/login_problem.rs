//! What can come of a login but a session, in words, and the ways on from there: each keeps what
//! was asked for as far as it can still be of use.

use serde::Serialize;
use url::form_urlencoded::Serializer;

use crate::{login_attempt::LoginWish, return_path::ReturnPath};

/// Why somebody is not logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginProblem {
    /// It was broken off at the login service, or the account was refused there.
    Denied,
    /// The login service wants to see the person once more.
    PasswordNeeded,
    /// The login service refused it for a reason that the person cannot mend.
    Refused,
    /// The login service does not answer, or answers nonsense.
    ServiceDown,
    /// The person does not belong to the organization, or not any more.
    NotAMember,
    /// It came back for another organization than was asked for.
    WrongOrganization,
    /// It came back for no organization at all.
    NoOrganization,
    /// There is no such organization.
    UnknownOrganization,
    /// The invitation was used already, has expired, or never was.
    BadInvitation,
    /// It took too long.
    TookTooLong,
    /// It was finished already, or began in another browser.
    NotBegunHere,
    /// The login service has ended what it began before it was finished.
    LoggedOutMeanwhile,
}

/// A button, or a link beside it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Way {
    pub(super) label: String,
    pub(super) href: String,
}

impl LoginProblem {
    /// Each of them.
    #[cfg(test)]
    pub(super) const ALL: [Self; 12] = [
        Self::Denied,
        Self::PasswordNeeded,
        Self::Refused,
        Self::ServiceDown,
        Self::NotAMember,
        Self::WrongOrganization,
        Self::NoOrganization,
        Self::UnknownOrganization,
        Self::BadInvitation,
        Self::TookTooLong,
        Self::NotBegunHere,
        Self::LoggedOutMeanwhile,
    ];

    /// What it is called in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Denied => "login_denied",
            Self::PasswordNeeded => "password_needed",
            Self::Refused => "login_refused",
            Self::ServiceDown => "login_service_down",
            Self::NotAMember => "not_a_member",
            Self::WrongOrganization => "wrong_organization",
            Self::NoOrganization => "no_organization",
            Self::UnknownOrganization => "unknown_organization",
            Self::BadInvitation => "bad_invitation",
            Self::TookTooLong => "login_attempt_expired",
            Self::NotBegunHere => "login_not_begun_here",
            Self::LoggedOutMeanwhile => "logged_out_meanwhile",
        }
    }

    pub(super) fn status(self) -> u16 {
        match self {
            Self::UnknownOrganization
            | Self::BadInvitation
            | Self::TookTooLong
            | Self::NotBegunHere => 400,
            Self::Denied
            | Self::PasswordNeeded
            | Self::Refused
            | Self::NotAMember
            | Self::WrongOrganization
            | Self::NoOrganization
            | Self::LoggedOutMeanwhile => 403,
            Self::ServiceDown => 503,
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Denied => "You were not logged in",
            Self::PasswordNeeded => "Please enter your password once more",
            Self::Refused => "The login service refused this login",
            Self::ServiceDown => "The login service does not answer",
            Self::NotAMember => "You are not a member of this organization",
            Self::WrongOrganization => "You were logged in to another organization",
            Self::NoOrganization => "Your login is for no organization",
            Self::UnknownOrganization => "There is no such organization",
            Self::BadInvitation => "This invitation is no longer good",
            Self::TookTooLong | Self::NotBegunHere => "This login can no longer be finished",
            Self::LoggedOutMeanwhile => "You were logged out meanwhile",
        }
    }

    /// What happened, to somebody who `asked` for an organization by this name or id.
    pub(super) fn explanation(self, asked: Option<&str>) -> String {
        match (self, asked) {
            (Self::NotAMember, Some(asked)) => {
                return format!(
                    "The account that you used does not belong to “{asked}”, or no longer does."
                );
            }
            (Self::WrongOrganization, Some(asked)) => {
                return format!(
                    "You asked for “{asked}”, and the login came back for another one. So that \
                     nothing lands in the wrong place, you were not let in."
                );
            }
            (Self::UnknownOrganization, Some(asked)) => {
                return format!(
                    "Nothing here is called “{asked}”. The name is the short one, such as “acme”."
                );
            }
            (Self::NotAMember, None) => {
                "The account that you used does not belong to the organization that you chose, or \
                 no longer does."
            }
            (Self::WrongOrganization, None) => {
                "The login came back for another organization than you asked for. So that nothing \
                 lands in the wrong place, you were not let in."
            }
            (Self::UnknownOrganization, None) => {
                "Nothing here has that name. The name is the short one, such as “acme”."
            }
            (Self::Denied, _) => "The login was cancelled, or your account was refused.",
            (Self::PasswordNeeded, _) => {
                "The login service knows you, but wants to be sure that it is you before it lets \
                 you in here."
            }
            (Self::Refused, _) => {
                "It gave a reason that you can do nothing about. It has been written down."
            }
            (Self::ServiceDown, _) => {
                "It checks who you are, and without it nobody can log in. This usually passes \
                 within minutes."
            }
            (Self::NoOrganization, _) => {
                "Records belong to organizations, and your account was logged in to none."
            }
            (Self::BadInvitation, _) => {
                "An invitation serves once and for a few days. This one has been used, or is too \
                 old."
            }
            (Self::TookTooLong, _) => {
                "It was left open for more than ten minutes, and a login is good for no longer."
            }
            (Self::NotBegunHere, _) => {
                "It was finished already, or was begun in another browser or a private window."
            }
            (Self::LoggedOutMeanwhile, _) => {
                "While this login was under way, the login service said that it is over: you have \
                 logged out elsewhere, or somebody has ended it for you."
            }
        }
        .to_owned()
    }

    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Denied => {
                "Try again, or ask an administrator of your organization to look at your account."
            }
            Self::PasswordNeeded => "Log in, and you go on where you were going.",
            Self::Refused => {
                "Try again. If it stays, give the reference below to your administrator."
            }
            Self::ServiceDown => {
                "Try again in a moment. If it stays, give the reference below to your administrator."
            }
            Self::NotAMember => {
                "If you have another account, use that one. Otherwise ask an administrator of the \
                 organization to invite you."
            }
            Self::WrongOrganization => {
                "Try again, and choose this organization in the login. If that does not help, use \
                 another account."
            }
            Self::NoOrganization => "Choose the organization that you want to work in.",
            Self::UnknownOrganization => {
                "Check the spelling, or leave the field empty and the login asks you."
            }
            Self::BadInvitation => {
                "If you have accepted it before, just log in. Otherwise ask for a new one."
            }
            Self::TookTooLong => "Begin again, and you go on where you were going.",
            Self::LoggedOutMeanwhile => "Log in again, and you go on where you were going.",
            Self::NotBegunHere => {
                "If you are logged in there already, go on there. Otherwise log in here."
            }
        }
    }

    /// The ways on for somebody with this wish, the best first. There is always one.
    pub(super) fn ways(self, wish: &LoginWish) -> Vec<Way> {
        let again = |label: &str| Way::to_login(label, wish.clone());
        let as_another =
            |label: &str| Way::to_login(label, LoginWish { asks_password: true, ..wish.clone() });
        let choose = || Way::to_choice(wish, None);
        let mut ways = match self {
            Self::Denied => vec![again("Log in"), as_another("Use another account")],
            Self::PasswordNeeded => vec![as_another("Log in")],
            Self::Refused | Self::ServiceDown => vec![again("Try again")],
            Self::NotAMember => vec![as_another("Use another account"), choose()],
            Self::WrongOrganization => {
                vec![again("Try again"), as_another("Use another account"), choose()]
            }
            Self::NoOrganization => vec![choose(), as_another("Use another account")],
            Self::UnknownOrganization => {
                vec![Way::to_choice(wish, wish.organization.as_deref())]
            }
            Self::BadInvitation => {
                vec![Way::to_login("Log in", LoginWish { invitation: None, ..wish.clone() })]
            }
            Self::TookTooLong => vec![again("Begin again"), choose()],
            Self::LoggedOutMeanwhile => vec![again("Log in")],
            Self::NotBegunHere => vec![Way { label: "Log in".into(), href: "/".into() }],
        };
        if let Some(left) = &wish.instead_of {
            let back = LoginWish { organization: Some(left.clone()), ..LoginWish::default() };
            ways.push(Way::to_login(&format!("Back to {left}"), back));
        }
        ways
    }
}

impl Way {
    /// A login with this wish. What was left for it is no part of the address, which anybody can
    /// write: it only serves who comes back from this very login.
    fn to_login(label: &str, wish: LoginWish) -> Self {
        let LoginWish { organization, invitation, ref return_to, asks_password, renews, .. } = wish;
        let query = [
            ("organization", organization.as_deref()),
            ("invitation", invitation.as_deref()),
            ("return_to", elsewhere(return_to)),
            ("prompt", asks_password.then_some("login")),
            ("renew", renews.then_some("true")),
        ];
        Self::new(label, "/auth/login", query)
    }

    /// The Login page, with this in its field already.
    fn to_choice(wish: &LoginWish, typed: Option<&str>) -> Self {
        let query = [("organization", typed), ("return_to", elsewhere(&wish.return_to))];
        Self::new("Choose an organization", "/", query)
    }

    fn new<const N: usize>(label: &str, path: &str, query: [(&str, Option<&str>); N]) -> Self {
        let mut text = Serializer::new(String::new());
        text.extend_pairs(query.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let text = text.finish();
        let href = if text.is_empty() { path.to_owned() } else { format!("{path}?{text}") };
        Self { label: label.to_owned(), href }
    }
}

/// A path that a login does not lead to by itself.
fn elsewhere(path: &ReturnPath) -> Option<&str> {
    (*path != ReturnPath::home()).then_some(path.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> LoginWish {
        LoginWish {
            organization: Some("acme & more".into()),
            invitation: Some("ticket".into()),
            return_to: ReturnPath::parse("/records?page_token=a%2Fb").unwrap(),
            instead_of: Some("globex".into()),
            asks_password: false,
            renews: false,
        }
    }

    #[test]
    fn every_login_problem_has_a_way_on_and_a_way_back_to_what_was_left() {
        for problem in LoginProblem::ALL {
            let ways = problem.ways(&wish());
            assert!(ways.len() >= 2, "{problem:?}");
            let back = ways.last().unwrap();
            assert_eq!(back.label, "Back to globex");
            assert_eq!(back.href, "/auth/login?organization=globex");
            assert!(!problem.ways(&LoginWish::default()).is_empty(), "{problem:?}");
        }
    }

    #[test]
    fn beginning_again_asks_for_the_same_as_before() {
        let return_to = "return_to=%2Frecords%3Fpage_token%3Da%252Fb";
        let organization = "organization=acme+%26+more";

        let again = &LoginProblem::TookTooLong.ways(&wish())[0].href;
        let renewed = LoginWish { renews: true, ..wish() };
        let once_more = &LoginProblem::ServiceDown.ways(&renewed)[0].href;
        let other = &LoginProblem::NotAMember.ways(&wish())[0].href;
        let accepted = &LoginProblem::BadInvitation.ways(&wish())[0].href;
        let choose = &LoginProblem::NotAMember.ways(&wish())[1].href;
        let mistyped = &LoginProblem::UnknownOrganization.ways(&wish())[0].href;

        assert_eq!(*again, format!("/auth/login?{organization}&invitation=ticket&{return_to}"));
        assert_eq!(*once_more, format!("{again}&renew=true"));
        assert_eq!(*other, format!("{again}&prompt=login"));
        assert_eq!(*accepted, format!("/auth/login?{organization}&{return_to}"));
        assert_eq!(*choose, format!("/?{return_to}"));
        assert_eq!(*mistyped, format!("/?{organization}&{return_to}"));
    }
}
