//! What a person can run into, in words: what happened, and what to do next. It never says why
//! inside.

use super::LoginProblem;

/// What a person can run into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The address or the form makes no sense.
    BadRequest,
    /// The address of a further page of a list serves no longer, or never did.
    BadPageToken,
    /// The form was sent from elsewhere or by an older session.
    FormExpired,
    /// Not logged in, or not any more.
    LoginExpired,
    /// Not logged in any more when a form was sent.
    LoginExpiredWhileSending,
    /// Logged in, but without the permission.
    Forbidden,
    /// No such page.
    PageNotFound,
    /// No such record, or one that the person's organization does not have.
    RecordNotFound,
    /// The person has no such session, or not any more.
    SessionNotFound,
    /// The address does not take this method.
    MethodNotAllowed,
    /// What was sent is too large.
    TooLarge,
    /// The cookies or the address that the browser sent are too long.
    HeadTooLarge,
    /// More people ask at once than we answer at once; how many seconds to wait.
    Busy(u32),
    /// The same person, address or organization asks too often, or too much at a time; how many
    /// seconds to wait.
    RateLimited(u32),
    /// A fault of ours.
    Internal,
    /// The records cannot be reached, or there is too much to do.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// A login did not come about.
    Login(LoginProblem),
}

impl Problem {
    /// What it is called in metrics.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BadPageToken => "bad_page_token",
            Self::FormExpired => "form_expired",
            Self::LoginExpired => "login_expired",
            Self::LoginExpiredWhileSending => "login_expired_while_sending",
            Self::Forbidden => "forbidden",
            Self::PageNotFound => "page_not_found",
            Self::RecordNotFound => "record_not_found",
            Self::SessionNotFound => "session_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooLarge => "too_large",
            Self::HeadTooLarge => "head_too_large",
            Self::Busy(_) => "busy",
            Self::RateLimited(_) => "rate_limited",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Login(problem) => problem.name(),
        }
    }

    /// The HTTP status code that belongs to it.
    #[must_use]
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::BadRequest | Self::BadPageToken => 400,
            Self::LoginExpired | Self::LoginExpiredWhileSending => 401,
            Self::FormExpired | Self::Forbidden => 403,
            Self::PageNotFound | Self::RecordNotFound | Self::SessionNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::TooLarge => 413,
            Self::RateLimited(_) => 429,
            Self::HeadTooLarge => 431,
            Self::Internal => 500,
            Self::Busy(_) | Self::Unavailable => 503,
            Self::TimedOut => 504,
            Self::Login(problem) => problem.status(),
        }
    }

    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::BadRequest => "We could not read that request",
            Self::FormExpired => "This form is no longer valid",
            Self::BadPageToken => "This part of the list is no longer at hand",
            Self::LoginExpired | Self::LoginExpiredWhileSending => "Please log in again",
            Self::Forbidden => "You are not allowed to do this",
            Self::PageNotFound => "There is no such page",
            Self::RecordNotFound => "There is no such record",
            Self::SessionNotFound => "That session is not there any more",
            Self::MethodNotAllowed => "That does not work here",
            Self::TooLarge => "That is too much at once",
            Self::HeadTooLarge => "Your browser sends too much at once",
            Self::Busy(_) => "Too many people are asking at once",
            Self::RateLimited(_) => "Too many requests in a short time",
            Self::Internal => "Something went wrong on our side",
            Self::Unavailable => "The records cannot be reached just now",
            Self::TimedOut => "That took too long",
            Self::Login(problem) => problem.title(),
        }
    }

    pub(super) fn explanation(&self) -> String {
        match self {
            Self::BadRequest => "The address or the form that reached us is incomplete or damaged.",
            Self::BadPageToken => {
                "The address of a further page serves for a day, and only for the list that it \
                 came from."
            }
            Self::FormExpired => {
                "It was opened before you last logged in, or sent from somewhere else. Nothing \
                 was saved."
            }
            Self::LoginExpired => {
                "You have been logged out, because you were away for a while or your login reached \
                 its end."
            }
            Self::LoginExpiredWhileSending => {
                "You had been logged out before this was sent, so what you typed is not saved yet."
            }
            Self::Forbidden => {
                "Your account does not have the permission for it. Nothing was changed."
            }
            Self::PageNotFound => "The address may be mistyped, or the page has moved.",
            Self::RecordNotFound => {
                "It may have been deleted, or the address is not quite right, or it belongs to an \
                 organization that you are not logged in to."
            }
            Self::SessionNotFound => {
                "It may have ended by itself, or you have ended it from somewhere else. Nothing was \
                 changed."
            }
            Self::MethodNotAllowed => "The address exists, but it cannot be used in this way.",
            Self::TooLarge => {
                "A record holds about 128 kilobytes, roughly sixty pages of text. Nothing was saved."
            }
            Self::HeadTooLarge => {
                "The address is very long, or too many cookies have gathered under it, perhaps \
                 those of another site of the same domain."
            }
            Self::Busy(seconds) => {
                let time = in_words(*seconds);
                return format!("We have not begun with this. Wait {time} before you ask again.");
            }
            Self::RateLimited(seconds) => {
                return format!(
                    "More came from you, or from others on the same connection or in the same \
                     organization, than we take in so short a time. We have not begun with this. Wait {} \
                     before you ask again.",
                    in_words(*seconds)
                );
            }
            Self::Internal => "It is not your fault. What happened has been written down.",
            Self::Unavailable => {
                "The service that keeps them is busy or being restarted. This usually passes \
                 within seconds."
            }
            Self::TimedOut => {
                "We could not get an answer in time. If you were saving, look at the records \
                 before you send it again."
            }
            Self::Login(problem) => return problem.explanation(None),
        }
        .to_owned()
    }

    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::BadRequest => "Go back and try once more.",
            Self::FormExpired => {
                "Go back, copy what you typed, reload the page, and send it again."
            }
            Self::BadPageToken => "Begin again with the newest.",
            Self::LoginExpired => "Log in and you go on where you were.",
            Self::LoginExpiredWhileSending => {
                "Log in again in another tab, then come back to this one and send it again."
            }
            Self::Forbidden => {
                "If you need it for your work, ask an administrator of your organization."
            }
            Self::PageNotFound | Self::RecordNotFound => {
                "Start from the beginning and find your way from there."
            }
            Self::SessionNotFound => "Look at the sessions that are still there.",
            Self::MethodNotAllowed => "Start from the beginning and use the links and buttons.",
            Self::TooLarge => "Go back, shorten the longest text, and send it again.",
            Self::HeadTooLarge => {
                "Delete the cookies of this site in your browser's settings, then start from the \
                 beginning and log in again."
            }
            Self::Busy(_) => "Then try again.",
            Self::RateLimited(_) => {
                "Then try again. If it stays, tell whoever looks after your network."
            }
            Self::Internal | Self::Unavailable | Self::TimedOut => {
                "Try again in a moment. If it stays, give the reference below to your administrator."
            }
            Self::Login(problem) => problem.advice(),
        }
    }

    /// What the page's one button does.
    pub(super) fn way_on(&self) -> WayOn {
        match self {
            Self::LoginExpired | Self::LoginExpiredWhileSending => WayOn::LogIn,
            Self::Busy(_) | Self::RateLimited(_) => WayOn::TryAgain,
            Self::BadPageToken => WayOn::FirstPage,
            Self::SessionNotFound => WayOn::Sessions,
            _ => WayOn::Start,
        }
    }

    /// Whether the same form may be sent again to some good.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::LoginExpiredWhileSending
                | Self::Busy(_)
                | Self::RateLimited(_)
                | Self::Internal
                | Self::Unavailable
                | Self::TimedOut
        )
    }
}

fn in_words(seconds: u32) -> String {
    if seconds == 1 { "a second".to_owned() } else { format!("{seconds} seconds") }
}

/// The one thing to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WayOn {
    /// Log in, and go on where it was.
    LogIn,
    /// Ask for the same once more, by way of the start page.
    TryAgain,
    /// Go to the beginning of the list.
    FirstPage,
    /// Go to the person's sessions.
    Sessions,
    /// Go to the start page.
    Start,
}
