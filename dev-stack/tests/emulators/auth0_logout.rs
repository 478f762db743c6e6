//! The end of the login session, and where the browser may go afterwards.

use axum::{Form, Router, http::HeaderMap, routing::post};
use dev_stack::{Auth0, Auth0Options, samples};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use url::form_urlencoded;

use crate::browser::{self, Browser, Landed, exchange, hidden, request, token, verified};

struct LoggedIn {
    auth0: Auth0,
    browser: Browser,
    id_token: String,
    sid: String,
}

impl LoggedIn {
    async fn new() -> Self {
        Self::at(browser::auth0().await).await
    }

    async fn at(auth0: Auth0) -> Self {
        let browser = Browser::new(&auth0);
        let back = browser.log_in(&request("acme"), "acme-admin").await.app();
        let (_, tokens) = token(&auth0, &exchange(&back["code"])).await;
        let id_token = tokens["id_token"].as_str().unwrap().to_owned();
        let claims = verified(&auth0, &id_token, samples::WEB_CLIENT_ID).await;
        let sid = claims["sid"].as_str().unwrap().to_owned();
        Self { auth0, browser, id_token, sid }
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Landed {
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.browser.open(&format!("{path}?{query}")).await
    }

    async fn is_over(&self) -> bool {
        matches!(self.browser.authorize(&request("acme")).await, Landed::Page(..))
    }
}

const HOME: (&str, &str) = ("post_logout_redirect_uri", "http://localhost:3000/");
const CLIENT: (&str, &str) = ("client_id", samples::WEB_CLIENT_ID);

#[tokio::test]
async fn a_logout_that_names_its_session_ends_it_and_goes_home() {
    let by_sid = LoggedIn::new().await;
    let hint = ("logout_hint", by_sid.sid.as_str());
    let back = by_sid.get("/oidc/logout", &[hint, CLIENT, HOME, ("state", "s")]).await.app();
    assert_eq!(back["state"], "s");
    assert!(by_sid.is_over().await);

    let by_token = LoggedIn::new().await;
    let hint = ("id_token_hint", by_token.id_token.as_str());
    by_token.get("/oidc/logout", &[hint, HOME]).await.app();
    assert!(by_token.is_over().await);

    let old_way = LoggedIn::new().await;
    let home = ("returnTo", "http://localhost:3000/");
    old_way.get("/v2/logout", &[CLIENT, home]).await.app();
    assert!(old_way.is_over().await);
}

#[tokio::test]
async fn a_logout_that_names_no_session_asks_first() {
    let user = LoggedIn::new().await;

    let (status, _, html) = user.get("/oidc/logout", &[CLIENT, HOME]).await.page();
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("Do you want to log out?"));
    let wrong = [CLIENT, HOME, ("confirmation", "guessed")];
    assert!(matches!(user.browser.post("/oidc/logout", &wrong).await, Landed::Page(..)));
    assert!(!user.is_over().await);

    let confirmation = hidden(&html, "confirmation");
    let right = [CLIENT, HOME, ("confirmation", confirmation.as_str())];
    user.browser.post("/oidc/logout", &right).await.app();
    assert!(user.is_over().await);
}

#[tokio::test]
async fn a_logout_to_a_strange_place_ends_on_a_page() {
    let user = LoggedIn::new().await;
    let hint = ("logout_hint", user.sid.as_str());
    let strange = "http://evil.example/";

    for (path, parameters) in [
        ("/oidc/logout", [hint, CLIENT, ("post_logout_redirect_uri", strange)]),
        ("/v2/logout", [hint, CLIENT, ("returnTo", strange)]),
    ] {
        let (status, _, html) = user.get(path, &parameters).await.page();
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(html.contains("not in the list of allowed logout URLs"), "{html}");
    }
    assert!(!user.is_over().await);
    drop(user.auth0);
}

#[tokio::test]
async fn a_logout_without_a_session_goes_home_at_once() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);
    let query =
        form_urlencoded::Serializer::new(String::new()).extend_pairs([CLIENT, HOME]).finish();

    let landed = browser.open(&format!("/oidc/logout?{query}")).await;

    assert!(matches!(landed, Landed::App(_)), "{landed:?}");
}

#[tokio::test]
async fn an_application_hears_of_each_session_that_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/told", listener.local_addr().unwrap());
    let (tell, mut told) = mpsc::unbounded_channel();
    let hear = async move |headers: HeaderMap, Form(form): Form<Vec<(String, String)>>| {
        tell.send((headers, form)).unwrap();
        StatusCode::NO_CONTENT
    };
    let application = Router::new().route("/told", post(hear));
    tokio::spawn(async move { axum::serve(listener, application).await.unwrap() });
    let mut options = Auth0Options::sample(browser::APP);
    options.web_clients[0].backchannel_logout_url = Some(url);
    let user = LoggedIn::at(Auth0::start(options).await.unwrap()).await;

    let answers = user.auth0.revoke_sessions("acme-admin").await.unwrap();
    let again = user.auth0.revoke_sessions("acme-admin").await.unwrap();

    assert_eq!(answers, [204]);
    assert!(again.is_empty());
    assert!(user.is_over().await);
    let (headers, form) = told.recv().await.unwrap();
    assert!(!headers.contains_key("cookie"));
    let (name, token) = &form[0];
    assert_eq!((name.as_str(), form.len()), ("logout_token", 1));
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("logout+jwt"));
    let claims = browser::claims(&user.auth0, token, samples::WEB_CLIENT_ID).await;
    assert_eq!(claims["sid"], user.sid);
    assert!(claims["sub"].as_str().unwrap().starts_with("auth0|"));
    let event = "http://schemas.openid.net/event/backchannel-logout";
    assert_eq!(claims["events"], json!({ event: {} }));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 120);
    assert!(claims["jti"].is_string() && claims["nonce"] == Value::Null);
    assert!(user.auth0.revoke_sessions("nobody").await.is_err());
}
