//! Who calls the token endpoint: a client with its id and secret, in the body or in the
//! Authorization header.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use url::form_urlencoded;

use super::{
    http::Parameters,
    options::{MachineClient, WebClient},
    tenant::Tenant,
    token_endpoint::Refusal,
};

/// A client that has shown its secret.
pub(super) enum Client<'a> {
    Web(&'a WebClient),
    Machine(&'a MachineClient),
}

/// The client that the request comes from.
pub(super) fn authenticate<'a>(
    tenant: &'a Tenant,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Client<'a>, Refusal> {
    let unauthorized = || Refusal::new(401, "access_denied", "Unauthorized");
    let in_body = parameters.get("client_secret").is_some();
    let (id, secret) = match headers.get(AUTHORIZATION) {
        Some(_) if in_body => {
            let description = "Only one client authentication method may be used";
            return Err(Refusal::new(400, "invalid_request", description));
        }
        Some(header) => header.to_str().ok().and_then(basic).ok_or_else(unauthorized)?,
        None => {
            let id = parameters
                .owned("client_id")
                .ok_or_else(|| Refusal::new(401, "invalid_client", "Missing client_id"))?;
            (id, parameters.owned("client_secret").ok_or_else(unauthorized)?)
        }
    };
    if let Some(client) = tenant.web_client(&id).filter(|client| client.secret == secret) {
        return Ok(Client::Web(client));
    }
    if let Some(client) = tenant.machine_client(&id).filter(|client| client.secret == secret) {
        return Ok(Client::Machine(client));
    }
    Err(unauthorized())
}

/// The id and secret of a Basic header, both form-encoded inside (RFC 6749, section 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = both.split_once(':')?;
    Some((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    // As the name of a parameter without a value.
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}
