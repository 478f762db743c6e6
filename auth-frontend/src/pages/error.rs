//! The error page: what happened in a plain sentence, what to do next, and the reference under which
//! the log has the rest. It never says why inside.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{Chrome, Page, Section};

/// What a person can run into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The address or the form makes no sense.
    BadRequest,
    /// The form was sent from elsewhere or by an older session.
    FormExpired,
    /// Not logged in, or not any more.
    LoginExpired,
    /// Logged in, but without the permission.
    Forbidden,
    /// No such page.
    PageNotFound,
    /// No such record, or one that the person's organization does not have.
    RecordNotFound,
    /// The address does not take this method.
    MethodNotAllowed,
    /// What was sent is too large.
    TooLarge,
    /// Too many requests; how many seconds to wait, where known.
    TooManyRequests(Option<u32>),
    /// A fault of ours.
    Internal,
    /// The login service does not answer, or answers nonsense.
    LoginServiceDown,
    /// The records cannot be reached, or there is too much to do.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// The login was broken off or refused at the login service.
    LoginDenied,
    /// The person does not belong to the organization, which is named as it was typed.
    NotAMember(Option<String>),
    /// There is no such organization, which is named as it was typed.
    UnknownOrganization(Option<String>),
    /// The login took too long, was finished already, or began in another browser.
    LoginAttemptExpired,
}

impl Problem {
    /// The HTTP status code that belongs to it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest | Self::LoginAttemptExpired | Self::UnknownOrganization(_) => 400,
            Self::LoginExpired => 401,
            Self::FormExpired | Self::Forbidden | Self::LoginDenied | Self::NotAMember(_) => 403,
            Self::PageNotFound | Self::RecordNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::TooLarge => 413,
            Self::TooManyRequests(_) => 429,
            Self::Internal => 500,
            Self::LoginServiceDown => 502,
            Self::Unavailable => 503,
            Self::TimedOut => 504,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::BadRequest => "We could not read that request",
            Self::FormExpired => "This form is no longer valid",
            Self::LoginExpired => "Please log in again",
            Self::Forbidden => "You are not allowed to do this",
            Self::PageNotFound => "There is no such page",
            Self::RecordNotFound => "There is no such record",
            Self::MethodNotAllowed => "That does not work here",
            Self::TooLarge => "That is too much at once",
            Self::TooManyRequests(_) => "Too many requests",
            Self::Internal => "Something went wrong on our side",
            Self::LoginServiceDown => "The login service does not answer",
            Self::Unavailable => "The records cannot be reached just now",
            Self::TimedOut => "That took too long",
            Self::LoginDenied => "You were not logged in",
            Self::NotAMember(_) => "You are not a member of this organization",
            Self::UnknownOrganization(_) => "There is no such organization",
            Self::LoginAttemptExpired => "This login can no longer be finished",
        }
    }

    fn explanation(&self) -> String {
        match self {
            Self::BadRequest => "The address or the form that reached us is incomplete or damaged.",
            Self::FormExpired => {
                "It was opened before you last logged in, or sent from somewhere else. Nothing \
                 was saved."
            }
            Self::LoginExpired => {
                "You have been logged out, because you were away for a while or your login reached \
                 its end."
            }
            Self::Forbidden => {
                "Your account does not have the permission for it. Nothing was changed."
            }
            Self::PageNotFound => "The address may be mistyped, or the page has moved.",
            Self::RecordNotFound => {
                "It may have been deleted, or the address is not quite right, or it belongs to an \
                 organization that you are not logged in to."
            }
            Self::MethodNotAllowed => "The address exists, but it cannot be used in this way.",
            Self::TooLarge => {
                "A record holds about 128 kilobytes, roughly sixty pages of text. Nothing was saved."
            }
            Self::TooManyRequests(Some(1)) => {
                "More requests came in than we can take. Wait a second before the next one."
            }
            Self::TooManyRequests(Some(seconds)) => {
                return format!(
                    "More requests came in than we can take. Wait {seconds} seconds before the \
                     next one."
                );
            }
            Self::TooManyRequests(None) => {
                "More requests came in than we can take. Wait a moment before the next one."
            }
            Self::Internal => "It is not your fault. What happened has been written down.",
            Self::LoginServiceDown => {
                "It checks who you are, and without it nobody can log in. This usually passes \
                 within minutes."
            }
            Self::Unavailable => {
                "The service that keeps them is busy or being restarted. This usually passes \
                 within seconds."
            }
            Self::TimedOut => {
                "We could not get an answer in time. If you were saving, look at the records \
                 before you send it again."
            }
            Self::LoginDenied => "The login was cancelled, or your account was refused.",
            Self::NotAMember(Some(organization)) => {
                return format!(
                    "Your login is right, but your account does not belong to “{organization}”."
                );
            }
            Self::NotAMember(None) => {
                "Your login is right, but your account does not belong to the organization that \
                 you chose."
            }
            Self::UnknownOrganization(Some(organization)) => {
                return format!(
                    "Nothing here is called “{organization}”. The name is the short one, such as \
                     “acme”."
                );
            }
            Self::UnknownOrganization(None) => {
                "Nothing here has that name. The name is the short one, such as “acme”."
            }
            Self::LoginAttemptExpired => {
                "It was started more than ten minutes ago, in another browser, or has been \
                 finished already."
            }
        }
        .to_owned()
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::BadRequest => "Go back and try once more.",
            Self::FormExpired => {
                "Go back, copy what you typed, reload the page, and send it again."
            }
            Self::LoginExpired => "Log in and you go on where you were.",
            Self::Forbidden => {
                "If you need it for your work, ask an administrator of your organization."
            }
            Self::PageNotFound | Self::RecordNotFound => {
                "Start from the beginning and find your way from there."
            }
            Self::MethodNotAllowed => "Start from the beginning and use the links and buttons.",
            Self::TooLarge => "Go back, shorten the longest text, and send it again.",
            Self::TooManyRequests(_) => "Then try again.",
            Self::Internal | Self::Unavailable | Self::TimedOut | Self::LoginServiceDown => {
                "Try again in a moment. If it stays, give the reference below to your administrator."
            }
            Self::LoginDenied => {
                "Try again, or ask an administrator of your organization to look at your account."
            }
            Self::NotAMember(_) => {
                "Choose another organization, or ask an administrator of this one to invite you."
            }
            Self::UnknownOrganization(_) => {
                "Check the spelling, or leave the field empty and the login asks you."
            }
            Self::LoginAttemptExpired => "Start it again; nothing was lost.",
        }
    }

    /// Whether a new login is the way on.
    fn wants_login(&self) -> bool {
        matches!(self, Self::LoginExpired | Self::LoginAttemptExpired | Self::LoginDenied)
    }

    /// Whether the way on is to choose an organization.
    fn wants_organization(&self) -> bool {
        matches!(self, Self::NotAMember(_) | Self::UnknownOrganization(_))
    }
}

/// The page of a [`Problem`].
#[derive(Clone, Debug, Serialize)]
pub struct ErrorPage {
    chrome: Option<Chrome>,
    status: u16,
    title: &'static str,
    explanation: String,
    advice: &'static str,
    action: Action,
    reference: String,
}

/// The one thing to do next.
#[derive(Clone, Debug, Serialize)]
struct Action {
    label: &'static str,
    href: String,
}

impl ErrorPage {
    /// The page for somebody of whom nothing is known. `reference` finds the cause in the log.
    #[must_use]
    pub fn new(problem: &Problem, reference: impl Into<String>) -> Self {
        let action = if problem.wants_login() {
            Action { label: "Log in", href: "/auth/login".to_owned() }
        } else if problem.wants_organization() {
            Action { label: "Choose an organization", href: "/".to_owned() }
        } else {
            Action { label: "Go to the start page", href: "/".to_owned() }
        };
        Self {
            chrome: None,
            status: problem.status(),
            title: problem.title(),
            explanation: problem.explanation(),
            advice: problem.advice(),
            action,
            reference: reference.into(),
        }
    }

    /// The same inside the frame of somebody who is logged in.
    #[must_use]
    pub fn within(mut self, chrome: Chrome) -> Self {
        self.chrome = Some(chrome);
        self
    }

    /// The same with the way back after a login, a path that was checked to lead nowhere else.
    /// It changes nothing where a login is not what helps.
    #[must_use]
    pub fn returning_to(mut self, path: &str) -> Self {
        if self.action.href == "/auth/login" {
            let path = utf8_percent_encode(path, NON_ALPHANUMERIC);
            self.action.href = format!("/auth/login?return_to={path}");
        }
        self
    }
}

impl Page for ErrorPage {
    const TEMPLATE: &'static str = "error.html";
    const SECTION: Section = Section::Elsewhere;

    #[cfg(test)]
    fn samples() -> Vec<Self> {
        super::samples::errors()
    }
}
