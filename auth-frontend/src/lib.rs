//! The web pages of Org Records: login at Auth0, then the records of one organization, in the name
//! of the person who is logged in and with no power of its own.

pub mod app;
pub mod assets;
pub mod config;
pub mod cookies;
pub mod csrf;
pub mod error;
pub mod form_body;
pub mod forms;
pub mod headers;
pub mod login_attempt;
pub mod notice;
pub mod oidc;
pub mod pages;
pub mod permission;
pub mod present;
mod random;
pub mod record_form;
pub mod records_client;
pub mod return_path;
pub mod routes;
pub mod sent_form;
pub mod session;
pub mod site;
pub mod visit;
