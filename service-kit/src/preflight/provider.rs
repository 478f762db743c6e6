//! Checks the identity provider: that it is the issuer that is configured, that tokens can be
//! verified with its keys, and that its clock agrees with ours. It does not know what a login is.

use reqwest::Client;
use serde::Deserialize;
use url::Url;

use super::{Finding, State, clock, root_cause};
use crate::{
    http,
    identity::jwks::{self, FetchError},
};

/// What the provider says about itself, as far as somebody here needs it.
/// Source: "`OpenID` Provider Metadata" in OpenID Connect Discovery 1.0.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Its own name, which is in every token.
    pub issuer: String,
    /// Where a login begins.
    pub authorization_endpoint: Option<String>,
    /// Where a code becomes tokens.
    pub token_endpoint: Option<String>,
    jwks_uri: Option<String>,
}

/// Checks the provider of this issuer, and answers with what it says about itself.
///
/// # Panics
/// Never: a URL that can be a base takes a relative path.
pub async fn check(client: &Client, issuer: &Url) -> (Vec<Finding>, Option<Metadata>) {
    let url = |path| issuer.join(path).expect("an http URL can be extended by a path");
    let keys_url = url(jwks::PATH);
    let (discovery, keys) = tokio::join!(
        discover(client, issuer, url(".well-known/openid-configuration")),
        keys(client, &keys_url)
    );
    let (mut findings, metadata) = discovery;
    findings.push(keys);
    if let Some(uri) = metadata.as_ref().and_then(|metadata| metadata.jwks_uri.as_ref())
        && uri != keys_url.as_str()
    {
        let advice = format!("it says {uri}, but tokens are verified by {keys_url}");
        findings.push(Finding::new("issuer's keys: address", State::Warning, advice));
    }
    (findings, metadata)
}

async fn discover(client: &Client, issuer: &Url, url: Url) -> (Vec<Finding>, Option<Metadata>) {
    let what = format!("issuer {issuer}");
    let response = match client.get(url.clone()).send().await {
        Ok(response) => response,
        Err(error) => {
            let problem = root_cause(&error);
            let advice = format!("look at AUTH0_DOMAIN, DNS and egress: {problem}");
            return (vec![Finding::new(what, State::Unreachable, advice)], None);
        }
    };
    let date = response.headers().get("date").and_then(|date| date.to_str().ok());
    let mut findings = Vec::new();
    let time = date.and_then(clock::seconds_ahead);
    findings.extend(time.map(|seconds| clock::finding("the issuer", seconds)));
    let status = response.status();
    if !status.is_success() {
        let advice = format!("{url} answers {status}: look at AUTH0_DOMAIN");
        findings.insert(0, Finding::new(what, State::Wrong, advice));
        return (findings, None);
    }
    let body = http::body_of(response).await.ok();
    let Some(metadata) = body.and_then(|body| serde_json::from_slice::<Metadata>(&body).ok())
    else {
        let advice = format!("{url} is no discovery document: look at AUTH0_DOMAIN");
        findings.insert(0, Finding::new(what, State::Wrong, advice));
        return (findings, None);
    };
    findings.insert(0, named(what, issuer, &metadata.issuer));
    (findings, Some(metadata))
}

/// Tokens carry the provider's own name, and are accepted only if it is ours for it to the letter.
fn named(what: String, issuer: &Url, theirs: &str) -> Finding {
    if theirs == issuer.as_str() {
        return Finding::ok(what);
    }
    let advice = if theirs.trim_end_matches('/') == issuer.as_str().trim_end_matches('/') {
        format!("it calls itself {theirs}, and the slash counts: Auth0's names end in one")
    } else {
        format!("it calls itself {theirs}, as its tokens will: set AUTH0_ISSUER_URL to that")
    };
    Finding::new(what, State::Wrong, advice)
}

async fn keys(client: &Client, url: &Url) -> Finding {
    match jwks::download(client, url.clone()).await {
        Ok(keys) => Finding::ok(format!("issuer's keys ({} for RS256)", keys.len())),
        Err(error) => {
            let what = "issuer's keys";
            let advice = format!("{}: {url}", root_cause(&error));
            let state = match &error {
                FetchError::Http(error) if error.status().is_none() => State::Unreachable,
                _ => State::Wrong,
            };
            Finding::new(what, state, advice)
        }
    }
}
