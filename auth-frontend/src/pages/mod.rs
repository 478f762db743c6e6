//! The pages of the product as typed contexts, and the one place that knows the template engine.
//!
//! A page is plain data: it must know nothing of HTTP, of gRPC messages or of sessions. Templates
//! are part of the binary and compiled once; everything they print is escaped, and a name that a
//! page does not have is an error, not an empty string.

mod audit;
mod display;
mod error;
mod form;
mod frame;
mod home;
mod login;
mod login_problem;
mod problem;
mod records;
mod sessions;
mod switch;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use serde::Serialize;
use tera::{Context, Tera};

pub(crate) use audit::{Action, AuditEntry, AuditTrail, Change};
pub(crate) use display::{Actor, ActorKind, DisplayValue, Moment};
pub(crate) use error::ErrorPage;
pub(crate) use form::{FormField, Input, RecordForm};
pub(crate) use frame::{Chrome, Ending, Paging, Section};
pub(crate) use home::{Home, RecentRecord};
pub(crate) use login::{Login, Notice};
pub(crate) use login_problem::LoginProblem;
pub(crate) use problem::Problem;
pub(crate) use records::{Column, RecordRow, RecordView, RecordsTable, ShownField};
pub(crate) use sessions::{SessionEntry, SessionsDone, YourSessions};
pub(crate) use switch::{Switch, SwitchReason};

use crate::assets;

/// Every template by name. A page names one of them; the others are parts.
const TEMPLATES: [(&str, &str); 15] = [
    ("layout.html", include_str!("../../templates/layout.html")),
    ("app.html", include_str!("../../templates/app.html")),
    ("topbar.html", include_str!("../../templates/topbar.html")),
    ("ending.html", include_str!("../../templates/ending.html")),
    ("paging.html", include_str!("../../templates/paging.html")),
    ("value.html", include_str!("../../templates/value.html")),
    ("login.html", include_str!("../../templates/login.html")),
    ("home.html", include_str!("../../templates/home.html")),
    ("records.html", include_str!("../../templates/records.html")),
    ("record.html", include_str!("../../templates/record.html")),
    ("record_form.html", include_str!("../../templates/record_form.html")),
    ("switch.html", include_str!("../../templates/switch.html")),
    ("audit.html", include_str!("../../templates/audit.html")),
    ("sessions.html", include_str!("../../templates/sessions.html")),
    ("error.html", include_str!("../../templates/error.html")),
];

/// Something a person can look at: the data of one template.
pub(crate) trait Page: Serialize {
    /// The name of its template.
    const TEMPLATE: &'static str;
    /// The part of the product it belongs to, marked in the navigation.
    const SECTION: Section;

    /// Believable and hostile examples. The tests render each.
    #[cfg(test)]
    fn samples() -> Vec<Self>
    where
        Self: Sized;
}

/// The compiled templates.
#[derive(Clone)]
pub(crate) struct Pages {
    tera: Tera,
}

/// A template does not compile or does not fit its page: a fault of the program.
#[derive(Debug, thiserror::Error)]
#[error("cannot render the template {template}")]
pub struct RenderError {
    /// The template's name.
    pub template: &'static str,
    #[source]
    source: tera::Error,
}

impl Pages {
    /// Compiles the embedded templates.
    ///
    /// # Errors
    /// When a template is not valid, which the tests rule out.
    pub(crate) fn compile() -> Result<Self, RenderError> {
        let mut tera = Tera::new();
        tera.add_raw_templates(TEMPLATES)
            .map_err(|source| RenderError { template: "(all)", source })?;
        tera.global_context().insert("assets", &assets::paths());
        Ok(Self { tera })
    }

    /// Gives the whole HTML document of `page`.
    ///
    /// # Errors
    /// When the template asks for something that `page` does not have.
    pub(crate) fn render<P: Page>(&self, page: &P) -> Result<String, RenderError> {
        let fault = |source| RenderError { template: P::TEMPLATE, source };
        let mut context = Context::from_serialize(page).map_err(fault)?;
        context.insert("section", &P::SECTION);
        self.tera.render(P::TEMPLATE, &context).map_err(fault)
    }
}
