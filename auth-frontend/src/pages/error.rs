//! The error page: the words of a [`Problem`], what to do next, and the reference under which the log
//! has the rest.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{Chrome, LoginProblem, Page, Problem, Section, login_problem::Way, problem::WayOn};
use crate::login_attempt::LoginWish;

/// What is said of a form that was not saved for a reason that passes.
const KEPT: &str = "What you typed is kept on this page.";

/// The page of a [`Problem`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorPage {
    chrome: Option<Chrome>,
    status: u16,
    title: &'static str,
    explanation: String,
    advice: &'static str,
    action: Way,
    /// What else there is to do.
    others: Vec<Way>,
    resend: Option<Resend>,
    reference: String,
    #[serde(skip)]
    way_on: WayOn,
    #[serde(skip)]
    may_pass: bool,
}

/// A form that was not saved and can be sent again as it was.
#[derive(Clone, Debug, Serialize)]
struct Resend {
    path: String,
    inputs: Vec<SentInput>,
    note: &'static str,
}

/// One input of it.
#[derive(Clone, Debug, Serialize)]
struct SentInput {
    name: String,
    value: String,
}

impl ErrorPage {
    /// The page for somebody of whom nothing is known. `reference` finds the cause in the log.
    #[must_use]
    pub(crate) fn new(problem: &Problem, reference: impl Into<String>) -> Self {
        let way_on = problem.way_on();
        let (label, href) = match way_on {
            WayOn::LogIn => ("Log in", "/auth/login"),
            WayOn::TryAgain => ("Try again", "/"),
            WayOn::FirstPage => ("Go to the newest", "/"),
            WayOn::Sessions => ("See your sessions", "/sessions"),
            WayOn::Start => ("Go to the start page", "/"),
        };
        Self {
            chrome: None,
            status: problem.status(),
            title: problem.title(),
            explanation: problem.explanation(),
            advice: problem.advice(),
            action: Way { label: label.to_owned(), href: href.to_owned() },
            others: Vec::new(),
            resend: None,
            reference: reference.into(),
            way_on,
            may_pass: problem.may_pass(),
        }
    }

    /// The same inside the frame of somebody who is logged in.
    #[must_use]
    pub(crate) fn within(mut self, chrome: Chrome) -> Self {
        self.chrome = Some(chrome);
        self
    }

    /// The same with the way back, a path that was checked to lead nowhere else: after a login, or
    /// to the beginning of a list. It changes nothing where neither helps.
    #[must_use]
    pub(crate) fn returning_to(mut self, path: &str) -> Self {
        let encoded = utf8_percent_encode(path, NON_ALPHANUMERIC);
        match self.way_on {
            WayOn::LogIn => self.action.href = format!("/auth/login?return_to={encoded}"),
            WayOn::TryAgain => {
                self.action.href = format!("/?return_to={encoded}");
            }
            WayOn::FirstPage => path.clone_into(&mut self.action.href),
            WayOn::Sessions | WayOn::Start => {}
        }
        self
    }

    /// The same about a login with this wish, with the ways on that keep of it what they can.
    #[must_use]
    pub(crate) fn going_on(mut self, problem: LoginProblem, wish: &LoginWish) -> Self {
        let asked = wish.organization.as_deref();
        self.explanation = problem.explanation(asked);
        let mut ways = problem.ways(wish).into_iter();
        if let Some(best) = ways.next() {
            self.action = best;
        }
        self.others = ways.collect();
        self
    }

    /// The same with the form that was sent to `path`, to be sent again; `None` where that would not
    /// help.
    #[must_use]
    pub(crate) fn repeating<'a>(
        &self,
        path: &str,
        inputs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<Self> {
        let inputs =
            inputs.map(|(name, value)| SentInput { name: name.into(), value: value.into() });
        self.may_pass.then(|| {
            let resend = Resend { path: path.to_owned(), inputs: inputs.collect(), note: KEPT };
            Self { resend: Some(resend), ..self.clone() }
        })
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
