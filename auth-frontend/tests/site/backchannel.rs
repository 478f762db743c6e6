//! Logouts that the provider tells of: whom they end, on every replica, and what is refused.

use dev_stack::{Service, samples};
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    app::{TestApp, eventually},
    browser::{Browser, Page},
};

const PATH: &str = "/auth/backchannel-logout";

/// What the provider has to send for a session that is logged in.
pub(crate) struct Told {
    header: Value,
    pub(crate) claims: Value,
}

impl TestApp {
    /// The provider's id of the one session that is kept.
    async fn sid(&self) -> String {
        let sessions = self.sessions().await;
        let mut sids = sessions.iter().filter_map(|session| session.get("Sid"));
        sids.next().unwrap().as_s().unwrap().clone()
    }

    /// A good token for this person's session.
    pub(crate) async fn told(&self, username: &str) -> Told {
        let claims = self.stack.auth0().logout_claims(username, &self.sid().await).unwrap();
        Told { header: self.stack.auth0().logout_header(), claims }
    }

    pub(crate) fn sign(&self, told: &Told) -> String {
        self.stack.auth0().sign(&told.header, &told.claims)
    }
}

/// Sends a token as the provider does: no cookie, no origin.
pub(crate) async fn send(browser: &mut Browser, token: &str) -> Page {
    let request = browser.request(reqwest::Method::POST, PATH).form(&[("logout_token", token)]);
    let page = browser.send(request).await;
    assert_eq!(page.headers[CACHE_CONTROL], "no-store");
    page
}

#[tokio::test]
async fn a_session_that_ends_at_the_provider_ends_here_on_every_replica() {
    let app = TestApp::start_two().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let mut phone = app.logged_in("acme-admin", "acme").await;
    let mut colleague = app.logged_in("acme-editor", "acme").await;
    let mut on_the_other = browser.at(&app.stack.url(Service::Frontend.replica(1)));
    assert_eq!(on_the_other.get("/home").await.status, 200);

    let told = app.stack.auth0().revoke_sessions("acme-admin").await.unwrap();

    assert_eq!(told, [200, 200], "one for each login session");
    for ended in [&mut on_the_other, &mut browser, &mut phone] {
        let page = ended.open("/home").await;
        page.assert_shows("Your session has ended.");
    }
    assert_eq!(colleague.get("/home").await.status, 200);
}

#[tokio::test]
async fn logging_out_elsewhere_ends_the_session_here() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let query = format!("/v2/logout?client_id={}", samples::WEB_CLIENT_ID);
    let elsewhere = format!("{}{}", app.stack.auth0().issuer().trim_end_matches('/'), query);

    let mut with_the_providers_cookie = browser.clone();
    with_the_providers_cookie.get(&elsewhere).await;

    eventually("the end of the session", async || {
        (browser.get("/home").await.status == 303).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_without_a_session_id_ends_all_sessions_of_the_person() {
    let app = TestApp::start().await;
    let mut firefox = app.logged_in("consultant", "acme").await;
    let mut phone = app.logged_in("consultant", "globex").await;
    let mut colleague = app.logged_in("acme-admin", "acme").await;
    let mut told = app.told("consultant").await;
    told.claims.as_object_mut().unwrap().remove("sid");

    let answer = send(&mut app.browser(), &app.sign(&told)).await;

    assert_eq!((answer.status, answer.html.as_str()), (200, ""));
    assert_eq!(firefox.get("/home").await.status, 303);
    assert_eq!(phone.get("/home").await.status, 303);
    assert_eq!(colleague.get("/home").await.status, 200);
}

#[tokio::test]
async fn a_token_serves_once_on_whichever_replica() {
    let app = TestApp::start_two().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let mut told = app.told("acme-admin").await;
    told.claims.as_object_mut().unwrap().remove("sid");
    let token = app.sign(&told);

    let first = send(&mut app.browser(), &token).await;
    assert_eq!(browser.get("/home").await.status, 303);
    let mut again = app.logged_in("acme-admin", "acme").await;
    let mut answers = Vec::new();
    for replica in [0, 1] {
        let url = app.stack.url(Service::Frontend.replica(replica));
        answers.push(send(&mut app.browser().at(&url), &token).await);
    }

    assert_eq!(first.status, 200);
    for replayed in answers {
        assert_eq!(replayed.status, 400);
        assert_eq!(replayed.html, r#"{"error":"invalid_request"}"#);
    }
    assert_eq!(again.get("/home").await.status, 200);
}

/// Begins a login in a browser that the provider knows, up to the callback's address, which is not
/// opened.
pub(crate) async fn up_to_callback(browser: &mut Browser) -> String {
    let begun = browser.get("/auth/renew").await;
    let authorized = browser.get(begun.location()).await;
    assert!(authorized.location().contains("/auth/callback?"), "{authorized:?}");
    authorized.location().to_owned()
}

#[tokio::test]
async fn a_session_of_somebody_else_does_not_end_by_a_token_that_names_both() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let told = app.told("acme-editor").await;
    let callback = up_to_callback(&mut browser).await;

    let answer = send(&mut app.browser(), &app.sign(&told)).await;

    assert_eq!(answer.status, 200, "there is no such session, which is no failure");
    assert_eq!(browser.get("/home").await.status, 200);
    assert_eq!(browser.get(&callback).await.status, 303, "nor such a login");
}

#[tokio::test]
async fn what_is_no_fresh_logout_token_of_the_provider_for_us_is_refused() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let auth0 = app.stack.auth0();
    let now = jiff::Timestamp::now().as_second();
    let good = app.told("acme-admin").await;
    let claims = |name: &str, value: Value| {
        let mut changed = good.claims.clone();
        changed[name] = value;
        auth0.sign(&good.header, &changed)
    };
    let without = |name: &str| {
        let mut changed = good.claims.clone();
        changed.as_object_mut().unwrap().remove(name);
        auth0.sign(&good.header, &changed)
    };
    let header = |name: &str, value: Value| {
        let mut changed = good.header.clone();
        changed[name] = value;
        auth0.sign(&changed, &good.claims)
    };
    let mut of_id_token = auth0.id_token_claims("acme-admin", "acme").unwrap();
    of_id_token["sid"] = good.claims["sid"].clone();
    let id_token = auth0.sign(&auth0.header(), &of_id_token);
    let mut both = of_id_token.clone();
    both["nonce"] = json!("n");
    both["events"] = good.claims["events"].clone();
    both["jti"] = json!("both");
    let mut nobody = good.claims.clone();
    nobody.as_object_mut().unwrap().retain(|name, _| name != "sub" && name != "sid");
    let whole = app.sign(&good);
    let (signed, signature) = whole.rsplit_once('.').unwrap();
    let tampered = format!("{signed}.{}", signature.chars().rev().collect::<String>());

    let refused = [
        ("an ID token", id_token),
        ("an ID token that tells of a logout", auth0.sign(&auth0.header(), &both)),
        ("an access token", auth0.user_token("acme-admin", "acme").unwrap()),
        ("another issuer", claims("iss", json!("https://elsewhere.example/"))),
        (
            "the issuer without its slash",
            claims("iss", json!(auth0.issuer().trim_end_matches('/'))),
        ),
        ("another client", claims("aud", json!("another-client"))),
        ("the API as audience", claims("aud", json!(samples::AUDIENCE))),
        ("no audience", without("aud")),
        ("issued too long ago", claims("iat", json!(now - 3600))),
        ("issued in the future", claims("iat", json!(now + 3600))),
        ("not saying when it was issued", without("iat")),
        ("expired", claims("exp", json!(now - 60))),
        ("without an id", without("jti")),
        ("without an event", without("events")),
        ("with another event", claims("events", json!({ "http://example.com/event": {} }))),
        ("naming nobody", auth0.sign(&good.header, &nobody)),
        ("with a nonce", claims("nonce", json!("n"))),
        ("with an empty nonce", claims("nonce", json!(null))),
        ("unsigned", header("alg", json!("none"))),
        ("signed with the client's secret", header("alg", json!("HS256"))),
        ("signed in another way", header("alg", json!("RS384"))),
        ("of another type", header("typ", json!("at+jwt"))),
        ("of no type", header("typ", json!(null))),
        ("signed with an unknown key", header("kid", json!("unknown"))),
        ("tampered with", tampered),
        ("nothing", String::new()),
        ("no token", "made up".to_owned()),
        ("endless", "x".repeat(20_000)),
    ];
    for (what, token) in refused {
        let answer = send(&mut app.browser(), &token).await;
        assert_eq!(answer.status, 400, "{what}");
        assert_eq!(answer.html, r#"{"error":"invalid_request"}"#, "{what}");
        assert_eq!(answer.headers[CONTENT_TYPE], "application/json", "{what}");
    }
    assert_eq!(browser.get("/home").await.status, 200);

    let as_plain_jwt = header("typ", json!("JWT"));
    assert_eq!(send(&mut app.browser(), &as_plain_jwt).await.status, 200);
    assert_eq!(browser.get("/home").await.status, 303);
}

#[tokio::test]
async fn requests_that_are_no_form_with_one_token_are_refused() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = app.sign(&app.told("acme-admin").await);
    let provider = app.browser();
    let post = || provider.request(reqwest::Method::POST, PATH);

    let as_json = post().json(&json!({ "logout_token": token }));
    let twice = post().form(&[("logout_token", &token), ("logout_token", &token)]);
    let in_the_address = provider
        .request(reqwest::Method::POST, &format!("{PATH}?logout_token={token}"))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let padded = post().form(&[("logout_token", &token), ("x", &"x".repeat(30_000))]);
    for request in [as_json, twice, in_the_address] {
        let answer = app.browser().send(request).await;
        assert_eq!(answer.status, 400);
    }
    assert_eq!(app.browser().send(padded).await.status, 413);
    assert_eq!(app.browser().get(&format!("{PATH}?logout_token={token}")).await.status, 405);
    assert_eq!(browser.get("/home").await.status, 200);
}

#[tokio::test]
async fn a_logout_that_the_store_could_not_carry_out_is_good_again() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = app.sign(&app.told("acme-admin").await);

    app.stack.dynamodb().stop().await;
    let failed = send(&mut app.browser(), &token).await;
    app.stack.dynamodb().resume().await.unwrap();
    let done = eventually("the logout", async || {
        Some(send(&mut app.browser(), &token).await).filter(|answer| answer.status == 200)
    })
    .await;

    assert_eq!(failed.status, 400);
    assert_eq!(failed.html, r#"{"error":"temporarily_unavailable"}"#);
    assert_eq!(done.status, 200);
    assert_eq!(browser.get("/home").await.status, 303);
    let log = app.log().join("\n");
    assert!(!log.contains(&token) && !log.contains(token.rsplit_once('.').unwrap().1));
}

#[tokio::test]
async fn the_provider_is_heard_while_no_page_is_let_in() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let app = TestApp::start_with(&[("RECORDS_SERVICE_URL", &url), ("MAX_IN_FLIGHT", "1")]).await;
    app.logged_in("acme-editor", "acme").await;
    let token = app.sign(&app.told("acme-editor").await);
    let mut ada = app.logged_in("acme-admin", "acme").await;
    let mut waiting = ada.clone();
    // Each waits for the silent service for three seconds.
    let occupied = tokio::spawn(async move {
        loop {
            waiting.get("/audit").await;
        }
    });

    eventually("a page that is refused", async || {
        (ada.get("/home").await.status == 503).then_some(())
    })
    .await;
    let answer = send(&mut app.browser(), &token).await;
    occupied.abort();

    assert_eq!(answer.status, 200);
    assert_eq!(app.sessions().await.len(), 1);
}
