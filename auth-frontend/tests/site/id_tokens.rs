//! ID tokens that the provider would never give for this login: none of them logs anybody in.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use dev_stack::{
    Auth0, Auth0Options,
    auth0::{Endpoint, FailureMode},
    samples,
};
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    browser::{Browser, Page},
};

/// A login that wants nothing but its callback.
struct Login {
    browser: Browser,
    callback: String,
    /// What the provider says of who has logged in.
    claims: Value,
}

impl Login {
    async fn begin(app: &TestApp) -> Self {
        let mut browser = app.browser();
        let begun = browser.get("/auth/login?organization=acme").await;
        let mut claims = app.stack.auth0().id_token_claims("acme-admin", "acme").unwrap();
        claims["nonce"] = json!(begun.location_query()["nonce"]);
        let login = browser.follow(begun).await;
        let callback = browser.log_in_up_to_callback("acme-admin", &login).await;
        Self { browser, callback, claims }
    }

    async fn finish(&mut self, app: &TestApp, id_token: String) -> Page {
        app.stack.auth0().fail(Endpoint::Token, FailureMode::IdToken(id_token));
        self.browser.get(&self.callback).await
    }
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

/// Header and claims, as they are signed.
fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()))
}

/// What the claims of a good token can be made into, and by whom.
fn forgeries(auth0: &Auth0, rival: &Auth0, claims: &Value) -> Vec<(&'static str, String)> {
    let header = auth0.header();
    let signed = |claims| auth0.sign(&header, &claims);
    let other_person = auth0.id_token_claims("acme-viewer", "acme").unwrap()["sub"].clone();
    let by_secret = unsigned(&with(&header, "alg", json!("HS256")), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, samples::WEB_CLIENT_SECRET.as_bytes());
    let signature = BASE64URL.encode(hmac::sign(&key, by_secret.as_bytes()));
    vec![
        ("of another login", signed(with(claims, "nonce", json!("another")))),
        ("of no login", signed(without(claims, "nonce"))),
        ("for another client", signed(with(claims, "aud", json!("another-client")))),
        ("for nobody", signed(without(claims, "aud"))),
        ("of another issuer", signed(with(claims, "iss", json!(rival.issuer())))),
        ("that has expired", signed(with(claims, "exp", json!(1_700_000_000)))),
        ("of another person", signed(with(claims, "sub", other_person))),
        ("by another key", rival.sign(&header, claims)),
        ("by an unknown key", rival.sign(&rival.header(), claims)),
        ("by our own secret", format!("{by_secret}.{signature}")),
        ("by nobody", format!("{}.", unsigned(&with(&header, "alg", json!("none")), claims))),
        ("that is none", "nonsense".to_owned()),
    ]
}

#[tokio::test]
async fn an_id_token_of_another_login_client_issuer_time_person_or_key_logs_nobody_in() {
    let app = TestApp::start().await;
    let auth0 = app.stack.auth0();
    let rival = Auth0::start(Auth0Options::sample(app.stack.app_url())).await.unwrap();

    for number in 0.. {
        let mut login = Login::begin(&app).await;
        let forgery = forgeries(auth0, &rival, &login.claims).into_iter().nth(number);
        let Some((what, token)) = forgery else { break };
        let page = login.finish(&app, token).await;
        assert!(page.status >= 500, "{what}: {page:?}");
        assert!(!login.browser.jar.contains_key("session"), "{what}");
    }

    assert!(app.sessions().await.is_empty());
    let mut login = Login::begin(&app).await;
    let good = auth0.sign(&auth0.header(), &login.claims);
    let page = login.finish(&app, good).await;
    assert_eq!((page.status, page.location()), (303, "/home"), "{page:?}");
    assert!(login.browser.jar.contains_key("session"));
}
