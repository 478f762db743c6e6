//! A browser as far as a login needs one: cookies, forms, and redirects followed by hand so that a
//! test sees each. And an application that begins logins.

use std::{
    collections::HashMap,
    sync::{Mutex, Once},
};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use dev_stack::{Auth0, Auth0Options, samples};
use reqwest::{
    Client, Response, StatusCode,
    header::{COOKIE, LOCATION, SET_COOKIE},
    redirect::Policy,
};
use serde_json::Value;
use url::Url;

/// Where the application would be; nobody listens there.
pub(crate) const APP: &str = "http://localhost:3000";
/// A PKCE verifier.
pub(crate) const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-length";

pub(crate) async fn auth0() -> Auth0 {
    Auth0::start(Auth0Options::sample(APP)).await.unwrap()
}

/// An HTTP client without cookies that follows nothing.
pub(crate) fn http() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
    });
    Client::builder().redirect(Policy::none()).build().unwrap()
}

pub(crate) fn challenge(verifier: &str) -> String {
    BASE64URL.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// The parameters of a login for an organization, without `organization` where it is empty.
pub(crate) fn request(organization: &str) -> Vec<(String, String)> {
    let challenge = challenge(VERIFIER);
    [
        ("client_id", samples::WEB_CLIENT_ID),
        ("redirect_uri", "http://localhost:3000/auth/callback"),
        ("response_type", "code"),
        ("scope", "openid profile email"),
        ("audience", samples::AUDIENCE),
        ("state", "the state & more"),
        ("nonce", "the nonce"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("organization", organization),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// The request with parameters replaced, or removed where the new value is empty.
pub(crate) fn with(
    mut request: Vec<(String, String)>,
    changes: &[(&str, &str)],
) -> Vec<(String, String)> {
    for (name, value) in changes {
        request.retain(|(known, _)| known != name);
        if !value.is_empty() {
            request.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    request
}

pub(crate) struct Browser {
    base: String,
    http: Client,
    cookies: Mutex<HashMap<String, String>>,
}

/// Where a series of redirects ended.
#[derive(Debug)]
pub(crate) enum Landed {
    /// Back at the application, with these parameters.
    App(HashMap<String, String>),
    /// On a page of the provider: its status, address and HTML.
    Page(StatusCode, Url, String),
}

impl Landed {
    pub(crate) fn app(self) -> HashMap<String, String> {
        match self {
            Self::App(parameters) => parameters,
            Self::Page(status, url, html) => panic!("on a page: {status} {url} {html}"),
        }
    }

    pub(crate) fn page(self) -> (StatusCode, Url, String) {
        match self {
            Self::Page(status, url, html) => (status, url, html),
            Self::App(parameters) => panic!("back at the application: {parameters:?}"),
        }
    }
}

impl Browser {
    pub(crate) fn new(auth0: &Auth0) -> Self {
        let base = auth0.issuer().trim_end_matches('/').to_owned();
        Self { base, http: http(), cookies: Mutex::default() }
    }

    /// Begins a login and follows it to a page or back to the application.
    pub(crate) async fn authorize(&self, request: &[(String, String)]) -> Landed {
        let mut url = Url::parse(&format!("{}/authorize", self.base)).unwrap();
        url.query_pairs_mut().extend_pairs(request);
        self.open(url.as_str()).await
    }

    /// Opens an address, which may lack the provider's origin.
    pub(crate) async fn open(&self, address: &str) -> Landed {
        let url = Url::parse(&self.base).unwrap().join(address).unwrap();
        let response =
            self.http.get(url).header(COOKIE, self.cookie_header()).send().await.unwrap();
        self.follow(response).await
    }

    /// Submits the form of a page.
    pub(crate) async fn submit(&self, page: &str, html: &str, fields: &[(&str, &str)]) -> Landed {
        let state = hidden(html, "state");
        let mut form = vec![("state", state.as_str())];
        form.extend_from_slice(fields);
        self.post(page, &form).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Landed {
        let request = self.http.post(format!("{}{path}", self.base)).form(form);
        let response = request.header(COOKIE, self.cookie_header()).send().await.unwrap();
        self.follow(response).await
    }

    /// A whole login with username and password.
    pub(crate) async fn log_in(&self, request: &[(String, String)], username: &str) -> Landed {
        let (status, url, html) = self.authorize(request).await.page();
        assert_eq!((status, url.path()), (StatusCode::OK, "/u/login"), "{html}");
        self.submit("/u/login", &html, &[("username", username), ("password", samples::PASSWORD)])
            .await
    }

    async fn follow(&self, mut response: Response) -> Landed {
        loop {
            self.remember(&response);
            let Some(location) = response.headers().get(LOCATION) else {
                let (status, url) = (response.status(), response.url().clone());
                return Landed::Page(status, url, response.text().await.unwrap());
            };
            let next = response.url().join(location.to_str().unwrap()).unwrap();
            if !next.as_str().starts_with(&self.base) {
                assert_eq!(response.status(), StatusCode::FOUND);
                return Landed::App(next.query_pairs().into_owned().collect());
            }
            let request = self.http.get(next).header(COOKIE, self.cookie_header());
            response = request.send().await.unwrap();
        }
    }

    fn cookie_header(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn remember(&self, response: &Response) {
        let mut cookies = self.cookies.lock().unwrap();
        for header in response.headers().get_all(SET_COOKIE) {
            let header = header.to_str().unwrap();
            assert!(header.contains("HttpOnly") && header.contains("SameSite=Lax"), "{header}");
            let (name, value) = header.split(';').next().unwrap().split_once('=').unwrap();
            if header.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// The value of a hidden field.
pub(crate) fn hidden(html: &str, name: &str) -> String {
    let start = format!(r#"<input type="hidden" name="{name}" value=""#);
    let rest = html.split_once(&start).unwrap_or_else(|| panic!("no field {name} in {html}")).1;
    rest.split('"').next().unwrap().to_owned()
}

/// Calls the token endpoint.
pub(crate) async fn token(auth0: &Auth0, form: &[(&str, &str)]) -> (StatusCode, Value) {
    let url = format!("{}oauth/token", auth0.issuer());
    let response = http().post(url).form(form).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// The form that exchanges a code as the web client does.
pub(crate) fn exchange(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", samples::WEB_CLIENT_ID),
        ("client_secret", samples::WEB_CLIENT_SECRET),
        ("redirect_uri", "http://localhost:3000/auth/callback"),
        ("code_verifier", VERIFIER),
        ("code", code),
    ]
}

/// The claims of a token, checked against the published keys by a library that is not ours.
pub(crate) async fn verified(auth0: &Auth0, token: &str, audience: &str) -> Value {
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    claims(auth0, token, audience).await
}

/// The same of a token of any type.
pub(crate) async fn claims(auth0: &Auth0, token: &str, audience: &str) -> Value {
    let jwks = format!("{}.well-known/jwks.json", auth0.issuer());
    let jwks: jsonwebtoken::jwk::JwkSet =
        http().get(jwks).send().await.unwrap().json().await.unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = jwks.find(&header.kid.unwrap()).expect("the key is published");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[auth0.issuer()]);
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
}
