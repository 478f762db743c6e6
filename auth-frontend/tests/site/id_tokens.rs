//! ID tokens that the provider would never give for this login: none of them logs anybody in.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use dev_stack::{
    Auth0, Auth0Options,
    auth0::{Algorithm, Endpoint, FailureMode},
    samples,
};
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    browser::{Browser, Page},
};

/// What is refused without a word to the person on why.
const FAULT: (u16, &str) = (500, "Something went wrong on our side");
/// What is not even read as an ID token.
const MALFORMED: (u16, &str) = (503, "The login service does not answer");
const OTHER_ORGANIZATION: (u16, &str) = (403, "You were logged in to another organization");
const NO_ORGANIZATION: (u16, &str) = (403, "Your login is for no organization");

/// What it is called, the token, and status and title of the page that it leads to.
type Forgery = (&'static str, String, (u16, &'static str));

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

/// What the claims of a good token can be made into, signed by the provider.
fn of_other_claims(auth0: &Auth0, rival: &Auth0, claims: &Value) -> Vec<Forgery> {
    let signed = |claims| auth0.sign(&auth0.header(), &claims);
    let but = |name: &str, value: Value| signed(with(claims, name, value));
    let lacks = |name: &str| signed(without(claims, name));
    let now = jiff::Timestamp::now().as_second();
    let of = |name: &str, organization: &str, claim: &str| {
        auth0.id_token_claims(name, organization).unwrap()[claim].clone()
    };
    let client = samples::WEB_CLIENT_ID;
    let no_slash = auth0.issuer().trim_end_matches('/');
    let other_id = of("globex-admin", "globex", "org_id");
    let other_name = of("globex-admin", "globex", "org_name");
    vec![
        ("of another login", but("nonce", json!("another")), FAULT),
        ("of no login", lacks("nonce"), FAULT),
        ("for another client", but("aud", json!("another-client")), FAULT),
        ("for another client too", but("aud", json!([client, "another-client"])), FAULT),
        ("for the API", but("aud", json!(samples::AUDIENCE)), FAULT),
        ("for no client", but("aud", json!([])), FAULT),
        ("for nobody", lacks("aud"), FAULT),
        ("given to another client", but("azp", json!("another-client")), FAULT),
        ("of another issuer", but("iss", json!(rival.issuer())), FAULT),
        ("of the issuer without its slash", but("iss", json!(no_slash)), FAULT),
        ("that has expired", but("exp", json!(now - 60)), FAULT),
        ("without an end", lacks("exp"), MALFORMED),
        ("of the future", but("iat", json!(now + 3600)), FAULT),
        ("of no time", lacks("iat"), MALFORMED),
        ("of another person", but("sub", of("acme-viewer", "acme", "sub")), FAULT),
        ("of no person", lacks("sub"), MALFORMED),
        ("of another access token", but("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")), FAULT),
        ("of an organization of the same name", but("org_id", other_id.clone()), FAULT),
        (
            "of another organization",
            signed(with(&with(claims, "org_id", other_id), "org_name", other_name)),
            OTHER_ORGANIZATION,
        ),
        ("of no organization", lacks("org_id"), NO_ORGANIZATION),
        ("that is an access token", auth0.user_token("acme-admin", "acme").unwrap(), FAULT),
    ]
}

/// What can be made of the claims of a good token by others, or in another way.
fn of_other_signatures(auth0: &Auth0, rival: &Auth0, claims: &Value) -> Vec<Forgery> {
    let header = auth0.header();
    let by = |algorithm: &str| with(&header, "alg", json!(algorithm));
    let rsa = |name: &str, algorithm: Algorithm| {
        let signed = unsigned(&by(name), claims);
        let signature = auth0.signature(algorithm, signed.as_bytes());
        format!("{signed}.{}", BASE64URL.encode(signature))
    };
    let secret = |header: &Value| {
        let signed = unsigned(header, claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, samples::WEB_CLIENT_SECRET.as_bytes());
        let signature = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", BASE64URL.encode(signature))
    };
    let unknown = with(&header, "kid", json!("unknown"));
    let another = auth0.sign(&header, &with(claims, "nonce", json!("another")));
    let signature_of_another = another.rsplit_once('.').unwrap().1;
    vec![
        ("by another key", rival.sign(&header, claims), FAULT),
        ("by an unknown key", rival.sign(&rival.header(), claims), FAULT),
        ("by a key of an unknown name", auth0.sign(&unknown, claims), FAULT),
        ("by SHA-384", rsa("RS384", Algorithm::Rs384), FAULT),
        ("by PSS", rsa("PS256", Algorithm::Ps256), FAULT),
        ("by our own secret", secret(&by("HS256")), FAULT),
        ("by our own secret and no key", secret(&without(&by("HS256"), "kid")), FAULT),
        ("by nobody", format!("{}.", unsigned(&by("none"), claims)), FAULT),
        ("by nobody, and signed", auth0.sign(&by("none"), claims), FAULT),
        (
            "with the signature of another",
            format!("{}.{signature_of_another}", unsigned(&header, claims)),
            FAULT,
        ),
        ("that is none", "nonsense".to_owned(), MALFORMED),
        ("that is nothing", String::new(), MALFORMED),
    ]
}

#[tokio::test]
async fn an_id_token_of_another_login_client_issuer_time_person_or_key_logs_nobody_in() {
    let app = TestApp::start().await;
    let auth0 = app.stack.auth0();
    let rival = Auth0::start(Auth0Options::sample(app.stack.app_url())).await.unwrap();

    for number in 0.. {
        let mut login = Login::begin(&app).await;
        let mut forgeries = of_other_claims(auth0, &rival, &login.claims);
        forgeries.extend(of_other_signatures(auth0, &rival, &login.claims));
        let Some((what, token, (status, title))) = forgeries.into_iter().nth(number) else { break };
        let page = login.finish(&app, token).await;
        assert_eq!(page.status, status, "{what}: {page:?}");
        page.assert_shows(title);
        assert!(!login.browser.jar.contains_key("session"), "{what}");
    }

    assert!(app.sessions().await.is_empty());
    let mut login = Login::begin(&app).await;
    let good = auth0.sign(&auth0.header(), &login.claims);
    let page = login.finish(&app, good).await;
    assert_eq!((page.status, page.location()), (303, "/home"), "{page:?}");
    assert!(login.browser.jar.contains_key("session"));
}
