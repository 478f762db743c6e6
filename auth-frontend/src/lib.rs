//! The web pages of Org Records: login at Auth0, then the records of one organization, in the name
//! of the person who is logged in and with no power of its own.

mod admission;
pub mod app;
mod arrival;
mod assets;
mod client_address;
pub mod config;
mod cookies;
mod csrf;
mod deadline;
mod epoch;
mod error;
mod form_body;
mod forms;
mod headers;
mod login_attempt;
mod login_limit;
mod metrics;
mod notice;
mod oidc;
mod pages;
mod permission;
mod preflight;
mod present;
mod random;
mod record_form;
mod records_client;
mod return_path;
mod room;
mod routes;
mod sent_form;
mod server;
mod session;
mod showing;
mod site;
mod untaken;
mod visit;

pub use preflight::preflight;
pub use routes::table::{Needs, Route, routes};
