//! Small pieces of HTTP that several endpoints need: parameters, cookies and redirects.

use std::collections::HashMap;

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE},
    },
    response::{IntoResponse as _, Response},
};
use url::{Url, form_urlencoded};

/// The cookie of the login session. Cookies do not keep ports apart, so the names must not meet
/// those of the application on the same host.
pub(super) const SESSION_COOKIE: &str = "local-auth0-session";
/// The cookie that ties logins to the browser that began them.
pub(super) const DEVICE_COOKIE: &str = "local-auth0-device";

/// Parameters by name; of a repeated one the first counts, and an empty one is not there.
pub(super) struct Parameters(HashMap<String, String>);

impl Parameters {
    /// Reads `application/x-www-form-urlencoded`, a query string too.
    pub(super) fn parse(encoded: &[u8]) -> Self {
        let mut all = HashMap::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            if !value.is_empty() {
                all.entry(name.into_owned()).or_insert_with(|| value.into_owned());
            }
        }
        Self(all)
    }

    /// Reads a JSON object, whose values other than text are left out.
    pub(super) fn parse_json(body: &[u8]) -> Option<Self> {
        let all: HashMap<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
        let texts = all.into_iter().filter_map(|(name, value)| {
            let value = value.as_str().filter(|value| !value.is_empty())?.to_owned();
            Some((name, value))
        });
        Some(Self(texts.collect()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// The value of the cookie of exactly this name.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// Adds a cookie that ends with the browser's session and that scripts do not see.
pub(super) fn set_cookie(response: &mut Response, name: &str, value: &str) {
    append_cookie(response, &format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax"));
}

/// Takes a cookie back.
pub(super) fn remove_cookie(response: &mut Response, name: &str) {
    append_cookie(response, &format!("{name}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"));
}

fn append_cookie(response: &mut Response, cookie: &str) {
    let value = HeaderValue::from_str(cookie).expect("cookies are made of our own random text");
    response.headers_mut().append(SET_COOKIE, value);
}

/// Sends the browser somewhere else with status 302, as Auth0 does.
pub(super) fn found(location: &str) -> Response {
    let headers = [(LOCATION, location), (CACHE_CONTROL, "no-store")];
    (StatusCode::FOUND, headers).into_response()
}

/// The address with these parameters added to its query; absent ones are left out.
pub(super) fn with_query(address: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let Ok(mut url) = Url::parse(address) else { return address.to_owned() };
    let present: Vec<_> =
        parameters.iter().filter_map(|(name, value)| value.map(|value| (*name, value))).collect();
    if !present.is_empty() {
        url.query_pairs_mut().extend_pairs(present);
    }
    url.into()
}
