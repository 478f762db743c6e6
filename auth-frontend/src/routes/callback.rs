//! The end of a login: what the browser brings back from the provider becomes a session, or a page
//! that says why not and how to go on.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use crate::{
    epoch,
    error::{Error, Source},
    login_attempt::{LoginAttempt, LoginWish, NotBegun},
    oidc::{Identity, OidcError, OrganizationMismatch},
    pages::LoginProblem,
    return_path::ReturnPath,
    session::Person,
    site::Site,
    visit::{LoggedIn, Visit},
};

use super::{MaybeQuery, parsed};

/// What the provider sends back with the browser (RFC 6749 §4.1.2).
#[derive(Debug, Deserialize)]
pub(crate) struct CallbackQuery {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// `GET /auth/callback`
///
/// # Errors
/// [`Error::Login`], [`Error::Unavailable`], [`Error::Invalid`] and [`Error::Internal`].
pub(crate) async fn callback(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    headers: HeaderMap,
    query: MaybeQuery<CallbackQuery>,
) -> Result<Response, Error> {
    let query = parsed(query)?;
    let state = query.state.as_deref().unwrap_or_default();
    let (outcome, is_ours) = match site.attempts.find(&headers, state, SystemTime::now()) {
        Ok(attempt) => (finish(&site, &visit, &headers, &query, attempt).await, true),
        Err(NotBegun::Expired(wish)) => {
            (Err(not_logged_in(LoginProblem::TookTooLong, wish, None)), true)
        }
        Err(NotBegun::Unknown) => (replayed(&site, &visit, &headers).await, false),
    };
    if let Err(error) = &outcome {
        site.metrics.login_failed(error.problem().name());
    }
    let mut response = outcome.into_response();
    // Whatever came of it, the attempt is used up.
    if let Some(ended) = site.attempts.end(state).filter(|_| is_ours) {
        response.headers_mut().append(header::SET_COOKIE, ended);
    }
    Ok(response)
}

/// Who goes back in the browser after a login comes here once more, logged in already.
async fn replayed(site: &Site, visit: &Visit, headers: &HeaderMap) -> Result<Response, Error> {
    match LoggedIn::find(site, headers, visit).await? {
        Some(_) => Ok(Redirect::to(ReturnPath::home().as_str()).into_response()),
        None => Err(not_logged_in(LoginProblem::NotBegunHere, LoginWish::default(), None)),
    }
}

async fn finish(
    site: &Site,
    visit: &Visit,
    headers: &HeaderMap,
    query: &CallbackQuery,
    attempt: LoginAttempt,
) -> Result<Response, Error> {
    let code = match (&query.error, &query.code) {
        (Some(error), _) => {
            let description = query.error_description.as_deref().unwrap_or_default();
            let source = RefusedByProvider(known_code(error)).into();
            return Err(not_logged_in(refusal(error, description), attempt.wish, Some(source)));
        }
        (None, Some(code)) => code.clone(),
        (None, None) => return Err(Error::Invalid("the callback has neither code nor error")),
    };
    let deadline = visit.deadline();
    let identity = match deadline.bound(site.oidc.finish(code, &attempt)).await {
        Ok(identity) => identity,
        Err(error) => return Err(not_finished(error, attempt.wish)),
    };
    let person = person(identity);
    let begun = site.sessions.begin(headers, &person, attempt.began_at);
    let Some(session) = deadline.bound(begun).await? else {
        return Err(not_logged_in(LoginProblem::LoggedOutMeanwhile, attempt.wish, None));
    };
    // Who it is stands in the provider's log, and in no line of ours.
    tracing::info!(trace_id = visit.trace_id(), org.id = person.organization_id, "logged in");
    let mut response = Redirect::to(attempt.wish.return_to.as_str()).into_response();
    response.headers_mut().append(header::SET_COOKIE, session);
    Ok(response)
}

fn person(identity: Identity) -> Person {
    let Identity { access_token, caller, name, sid } = identity;
    let organization = caller.organization();
    Person {
        access_token,
        access_token_ends_at: epoch::seconds(caller.expires_at()),
        subject: caller.actor().id.clone(),
        name: name.unwrap_or_else(|| caller.actor().name.clone()),
        organization_id: organization.id().to_owned(),
        organization_name: organization.name().unwrap_or(organization.id()).to_owned(),
        permissions: caller.permissions().map(ToOwned::to_owned).collect(),
        sid,
    }
}

fn not_logged_in(problem: LoginProblem, wish: LoginWish, source: Option<Source>) -> Error {
    Error::Login { problem, wish: Box::new(wish), source }
}

fn not_finished(error: OidcError, wish: LoginWish) -> Error {
    let problem = match &error {
        OidcError::Unavailable(..) => LoginProblem::ServiceDown,
        OidcError::CodeExpired => LoginProblem::TookTooLong,
        OidcError::Organization(OrganizationMismatch::None) => LoginProblem::NoOrganization,
        OidcError::Organization(OrganizationMismatch::Other) => LoginProblem::WrongOrganization,
        OidcError::Unacceptable(..) => return Error::Internal(Box::new(error)),
    };
    not_logged_in(problem, wish, Some(Box::new(error)))
}

/// The provider sent the browser back with an error.
#[derive(Debug, thiserror::Error)]
#[error("the provider answered {0}")]
struct RefusedByProvider(&'static str);

/// What an error answer means to the person (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
/// Auth0 tells apart by the description alone whether it is about the organization.
fn refusal(error: &str, description: &str) -> LoginProblem {
    let description = description.to_ascii_lowercase();
    let about_organization = description.contains("organization");
    match error {
        "access_denied" if about_organization && description.contains("not part of") => {
            LoginProblem::NotAMember
        }
        "access_denied" | "unauthorized" => LoginProblem::Denied,
        "invalid_request" if description.contains("invitation") => LoginProblem::BadInvitation,
        "invalid_request" if about_organization => LoginProblem::UnknownOrganization,
        "login_required"
        | "interaction_required"
        | "account_selection_required"
        | "consent_required" => LoginProblem::PasswordNeeded,
        "temporarily_unavailable" | "server_error" => LoginProblem::ServiceDown,
        _ => LoginProblem::Refused,
    }
}

/// Anybody can call the callback with any error; only known words go into the log.
fn known_code(error: &str) -> &'static str {
    const CODES: [&str; 11] = [
        "access_denied",
        "account_selection_required",
        "consent_required",
        "interaction_required",
        "invalid_request",
        "invalid_scope",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized",
        "unauthorized_client",
    ];
    CODES.into_iter().find(|known| *known == error).unwrap_or("an unknown error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_page() {
        let cases = [
            ("access_denied", "User did not authorize the request", LoginProblem::Denied),
            (
                "access_denied",
                "user auth0|1 is not part of the org_acme organization",
                LoginProblem::NotAMember,
            ),
            ("unauthorized", "user is blocked", LoginProblem::Denied),
            (
                "invalid_request",
                "parameter organization is invalid",
                LoginProblem::UnknownOrganization,
            ),
            (
                "invalid_request",
                "invitation not found or already used",
                LoginProblem::BadInvitation,
            ),
            ("invalid_request", "Missing required parameter: x", LoginProblem::Refused),
            ("login_required", "Login required", LoginProblem::PasswordNeeded),
            ("interaction_required", "Organization required", LoginProblem::PasswordNeeded),
            ("temporarily_unavailable", "", LoginProblem::ServiceDown),
            ("server_error", "", LoginProblem::ServiceDown),
            ("<script>", "<script>", LoginProblem::Refused),
        ];
        for (error, description, problem) in cases {
            assert_eq!(refusal(error, description), problem, "{error} {description}");
        }
    }

    #[test]
    fn only_known_words_go_into_the_log() {
        assert_eq!(known_code("login_required"), "login_required");
        assert_eq!(known_code("someone@example.com"), "an unknown error");
    }
}
