//! Logging out, for certain.

use std::time::Duration;

use dev_stack::{Fault, Service};
use reqwest::Method;

use crate::app::{TestApp, eventually};

#[tokio::test]
async fn logging_out_ends_the_session_here_and_at_the_provider() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let mut copy = browser.clone();
    let token = browser.get("/home").await.hidden("csrf_token");

    let out = browser.post("/auth/logout", &[("csrf_token", &token)]).await;
    let at_provider = out.location_query();
    let start = browser.follow(out).await;
    let back = browser.get("/home").await;
    let with_a_copied_cookie = copy.get("/home").await;
    let next_login = browser.begin_login("acme", "").await;

    assert_eq!(at_provider["client_id"], "org-records-web");
    assert_eq!(at_provider["post_logout_redirect_uri"], format!("{}/", app.stack.app_url()));
    assert!(at_provider.contains_key("logout_hint"));
    assert_eq!(start.url.as_str(), format!("{}/", app.stack.app_url()));
    start.assert_shows("You are logged out.");
    browser.get("/").await.assert_lacks("You are logged out.");
    assert_eq!(back.status, 303);
    assert_eq!(with_a_copied_cookie.status, 303);
    assert!(app.sessions().await.is_empty());
    assert_eq!(next_login.path(), "/u/login", "the provider asks for the password again");
}

#[tokio::test]
async fn while_the_provider_is_down_logging_out_still_ends_the_session_here() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    // A frontend that has not yet seen the provider, behind the same cookie.
    app.stack.auth0().stop().await;
    app.stack.restart(dev_stack::Service::Frontend, &[]).await.unwrap();
    let token = browser.get("/home").await.hidden("csrf_token");

    let out = browser.post("/auth/logout", &[("csrf_token", &token)]).await;

    assert_eq!(out.status, 200);
    out.assert_shows("You are logged out here.");
    assert_eq!(browser.get("/home").await.status, 303);
    assert!(app.sessions().await.is_empty());
}

#[tokio::test]
async fn nobody_is_logged_out_by_another_site() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = browser.get("/home").await.hidden("csrf_token");
    let form = [("csrf_token", token.as_str())];

    let from_elsewhere = browser
        .request(Method::POST, "/auth/logout")
        .header("sec-fetch-site", "cross-site")
        .header("origin", "https://evil.example")
        .form(&form);
    let from_elsewhere = browser.send(from_elsewhere).await;
    let without_token = browser.post("/auth/logout", &[]).await;
    let by_link = browser.get("/auth/logout").await;

    assert_eq!(from_elsewhere.status, 403);
    assert_eq!(without_token.status, 403);
    assert_eq!(by_link.status, 405);
    assert_eq!(browser.get("/home").await.status, 200);
}

#[tokio::test]
async fn logging_out_when_the_session_has_ended_is_no_error() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = browser.get("/home").await.hidden("csrf_token");
    app.age_sessions(-1, -60).await;

    let out = browser.post("/auth/logout", &[("csrf_token", &token)]).await;
    let start = browser.follow(out).await;
    let next_login = browser.begin_login("acme", "").await;

    assert_eq!(start.url.as_str(), format!("{}/", app.stack.app_url()));
    start.assert_shows("You are logged out.");
    assert!(!browser.jar.contains_key("session"));
    assert_eq!(next_login.path(), "/u/login", "the provider asks for the password again");
}

#[tokio::test]
async fn logging_out_on_one_replica_holds_on_every_other() {
    let app = TestApp::start_two().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let mut on_the_other = browser.at(&app.stack.url(Service::Frontend.replica(1)));
    let token = on_the_other.get("/home").await.hidden("csrf_token");

    browser.post("/auth/logout", &[("csrf_token", &token)]).await;

    assert_eq!(on_the_other.get("/home").await.status, 303);
    let form = [("csrf_token", token.as_str()), ("title", "Too late"), ("category", "Asset")];
    assert_eq!(on_the_other.post("/records", &form).await.status, 401);
}

#[tokio::test]
async fn requests_in_flight_on_two_replicas_never_undo_a_logout() {
    let app = TestApp::start_two().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let second = app.stack.url(Service::Frontend.replica(1));

    for round in 0..25 {
        let token = browser.get("/home").await.hidden("csrf_token");
        // Each request now notes that the session is used.
        app.age_sessions(20 * 60, -120).await;
        let (mut one, mut two, mut three) = (browser.clone(), browser.at(&second), browser.clone());
        let mut leaving = browser.at(&second);
        let form = [("csrf_token", token.as_str())];
        tokio::join!(
            one.get("/home"),
            two.get("/records"),
            leaving.post("/auth/logout", &form),
            three.get("/home"),
        );

        assert!(app.sessions().await.is_empty(), "round {round}");
        for mut left in [one, two.at(app.stack.app_url())] {
            left.jar.clone_from(&browser.jar);
            assert_eq!(left.get("/home").await.status, 303, "round {round}");
        }
        browser.log_in_again("acme", "").await;
    }
}

#[tokio::test]
async fn a_use_that_is_noted_after_the_logout_brings_no_session_back() {
    let app = TestApp::start().await;
    let tables = app.frontend_behind_faults().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = browser.get("/home").await.hidden("csrf_token");
    app.age_sessions(20 * 60, -120).await;
    tables.inject_for("UpdateItem", Fault::Latency(Duration::from_secs(8)));

    let page = browser.get("/home").await;
    assert_eq!(app.sessions().await.len(), 1);
    browser.post("/auth/logout", &[("csrf_token", &token)]).await;
    let at_once = app.sessions().await.len();
    let noted_before = tables.passed("UpdateItem");
    // The note arrives late, whether anybody still waits for it or not.
    eventually("the late note", async || (tables.passed("UpdateItem") > 0).then_some(())).await;

    assert_eq!((page.status, at_once, noted_before), (200, 0, 0));
    // The table has it, and takes a moment to answer. Not even a part of a row comes back.
    for _ in 0..10 {
        assert_eq!(app.rows().await, []);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(browser.get("/home").await.status, 303);
}
