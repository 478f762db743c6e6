//! Checks that the provider knows this application: its id, callback URL, audience and secret. It asks
//! as a login does, without a person, and so gets no further than the first question.

use std::collections::HashMap;

use reqwest::{Client, Response};
use secrecy::ExposeSecret;
use serde::Deserialize;
use service_kit::{
    http,
    preflight::{Finding, State, provider::Metadata, root_cause},
};
use url::Url;

use crate::{config::Config, oidc::CALLBACK_PATH};

/// A challenge as long as any; nobody knows what it is made of.
const CHALLENGE: &str = "preflightpreflightpreflightpreflightpreflig";
const CODE: &str = "preflight";

/// Asks for a login without showing a page, and to exchange a code that was never given out.
pub(super) async fn check(client: &Client, metadata: &Metadata, config: &Config) -> Vec<Finding> {
    let callback =
        config.base_url.join(CALLBACK_PATH).expect("an origin can be extended by a path");
    let (mut findings, secret) = tokio::join!(
        begin(client, metadata, config, &callback),
        exchange(client, metadata, config, &callback)
    );
    findings.push(secret);
    findings
}

async fn begin(
    client: &Client,
    metadata: &Metadata,
    config: &Config,
    callback: &Url,
) -> Vec<Finding> {
    let what = format!("login: client id, callback {callback}");
    let Some(endpoint) = &metadata.authorization_endpoint else {
        let advice = "the issuer names no authorization endpoint";
        return vec![Finding::new(what, State::Wrong, advice)];
    };
    let query = [
        ("response_type", "code"),
        ("client_id", &config.client_id),
        ("redirect_uri", callback.as_str()),
        ("scope", "openid profile"),
        ("audience", &config.tokens.audience),
        ("state", "preflight"),
        ("nonce", "preflight"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("prompt", "none"),
    ];
    let response = match client.get(endpoint).query(&query).send().await {
        Ok(response) => response,
        Err(error) => {
            let advice = format!("no answer: {}", root_cause(&error));
            return vec![Finding::new(what, State::Unreachable, advice)];
        }
    };
    let location = response.headers().get("location").and_then(|value| value.to_str().ok());
    let Some(sent_back) = location.and_then(|url| answer_at(callback, url)) else {
        return vec![Finding::new(what, State::Wrong, complaint(response, callback).await)];
    };
    vec![Finding::ok(what), audience(&config.tokens.audience, &sent_back)]
}

/// What a redirect to our callback brings along.
fn answer_at(callback: &Url, location: &str) -> Option<HashMap<String, String>> {
    let url = Url::parse(location).ok()?;
    let is_ours = url.origin() == callback.origin() && url.path() == callback.path();
    is_ours.then(|| url.query_pairs().into_owned().collect())
}

/// What is wrong where the browser is not sent back: it is shown a page that says so.
async fn complaint(response: Response, callback: &Url) -> String {
    let status = response.status();
    let page = http::body_of(response).await.unwrap_or_default();
    let page = String::from_utf8_lossy(&page).to_lowercase();
    if page.contains("callback") && page.contains("mismatch") {
        format!("add {callback} to the application's Allowed Callback URLs in Auth0")
    } else if page.contains("unknown client") {
        "Auth0 knows no application of this AUTH0_CLIENT_ID".to_owned()
    } else {
        format!("Auth0 answers {status}: look at AUTH0_CLIENT_ID and Allowed Callback URLs")
    }
}

/// Nobody is logged in, so an error comes back in any case. It is about the audience where Auth0 finds
/// no such API; whether it looks before somebody has logged in, its documentation does not say.
fn audience(audience: &str, sent_back: &HashMap<String, String>) -> Finding {
    let what = format!("audience {audience}");
    let described = sent_back.get("error_description").map(String::as_str).unwrap_or_default();
    if described.starts_with("Service not found") {
        let advice = "Auth0 has no API of this identifier: set AUTH0_AUDIENCE to that of yours";
        return Finding::new(what, State::Wrong, advice);
    }
    let advice = "Auth0 has not refused it; the first login shows for sure";
    Finding::new(what, State::Unchecked, advice)
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Whoever has the right secret hears that the code is not good, anybody else that they are nobody.
async fn exchange(
    client: &Client,
    metadata: &Metadata,
    config: &Config,
    callback: &Url,
) -> Finding {
    let what = "login: client secret";
    let Some(endpoint) = &metadata.token_endpoint else {
        return Finding::new(what, State::Wrong, "the issuer names no token endpoint");
    };
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &config.client_id),
        ("client_secret", config.client_secret.expose_secret()),
        ("code", CODE),
        ("code_verifier", CHALLENGE),
        ("redirect_uri", callback.as_str()),
    ];
    let response = match client.post(endpoint).form(&form).send().await {
        Ok(response) => response,
        Err(error) => {
            let advice = format!("no answer: {}", root_cause(&error));
            return Finding::new(what, State::Unreachable, advice);
        }
    };
    let status = response.status();
    let body = http::body_of(response).await.unwrap_or_default();
    let error = serde_json::from_slice(&body).map(|Refusal { error }| error).unwrap_or_default();
    match (status.as_u16(), error.as_str()) {
        (_, "invalid_grant") => Finding::ok(what),
        (401, _) => Finding::new(
            what,
            State::Wrong,
            "Auth0 does not take it: look at AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET",
        ),
        (_, "unauthorized_client") => Finding::new(
            what,
            State::Wrong,
            "the application must be a Regular Web Application, with the grant Authorization Code",
        ),
        _ => Finding::new(what, State::Unchecked, format!("Auth0 answers {status} {error}")),
    }
}
