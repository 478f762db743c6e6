//! Sessions that end, and what becomes of what was typed.

use std::time::Duration;

use dev_stack::{
    Fault, Service,
    auth0::{Endpoint, FailureMode},
    samples,
};

use crate::{
    app::{TestApp, eventually},
    browser::{Browser, Page},
};

#[tokio::test]
async fn a_session_that_has_ended_leads_to_the_login_and_back() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    app.age_sessions(-1, -60).await;

    let sent_away = browser.get("/records/new").await;
    assert_eq!((sent_away.status, sent_away.location()), (303, "/?return_to=%2Frecords%2Fnew"));
    let start = browser.follow(sent_away).await;

    start.assert_shows("Your session has ended.");
    assert_eq!(start.hidden("return_to"), "/records/new");
    assert!(!browser.jar.contains_key("session"));
}

#[tokio::test]
async fn what_was_typed_survives_a_login_that_has_expired() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let values = [("title", "Typed \"for\" long"), ("category", "Asset"), ("notes", "a\r\nb")];
    let form = browser.record_form(&values).await;
    app.age_sessions(-1, -60).await;

    let refused = browser.post_form("/records", &form).await;
    let kept = refused.hidden_inputs("/records");
    browser.log_in_again("acme", "").await;
    let shown_again = browser.post_form("/records", &kept).await;
    let mut form = shown_again.hidden_inputs("/records");
    form.extend(values.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let saved = browser.post_form("/records", &form).await;

    assert_eq!(refused.status, 401);
    refused.assert_shows("what you typed is not saved yet");
    refused.assert_shows("Typed \"for\" long");
    assert_eq!(refused.link("Log in"), "/auth/login?return_to=%2Frecords");
    assert_eq!(shown_again.status, 403);
    shown_again
        .assert_shows("You have logged in again since you opened this form, and are now in acme.");
    shown_again.assert_shows("Typed \"for\" long");
    assert_eq!(saved.status, 303);
}

#[tokio::test]
async fn a_session_is_extended_by_use_and_never_past_its_end() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let expiry =
        async || -> i64 { app.sessions().await[0]["Expires_At"].as_n().unwrap().parse().unwrap() };

    browser.get("/home").await;
    let fresh = expiry().await;
    app.age_sessions(60, -29 * 60).await;
    let aged = expiry().await;
    // A page does not wait long for the table. What is not noted then, is with the next one.
    let extended = eventually("a use that is noted", async || {
        browser.get("/home").await;
        Some(expiry().await).filter(|extended| *extended > aged + 20 * 60)
    })
    .await;

    assert!(extended >= fresh, "{fresh} {extended}");
}

#[tokio::test]
async fn a_use_is_noted_though_the_table_is_slow_to_answer() {
    let app = TestApp::start().await;
    let tables = app.frontend_behind_faults().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    app.set_sessions("Created_At", -120).await;
    app.age_sessions(60, -120).await;
    tables.inject_for("GetItem", Fault::Latency(Duration::from_millis(300)));

    // The two reads before it take longer than is waited for the note, each time.
    eventually("a use that is noted", async || {
        let page = browser.get("/home").await;
        let seen: i64 = app.sessions().await[0]["Last_Seen"].as_n().unwrap().parse().unwrap();
        let is_noted = seen > jiff::Timestamp::now().as_second() - 60;
        (page.status == 200 && is_noted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_with_its_access_token() {
    let app = TestApp::start().await;
    app.stack.auth0().set_token_lifetime(Duration::from_mins(5));
    let _browser = app.logged_in("acme-admin", "acme").await;

    let session = &app.sessions().await[0];

    let number = |name: &str| session[name].as_n().unwrap().parse::<u64>().unwrap();
    assert!(number("Expires_At") <= number("Created_At") + 5 * 60);
}

#[tokio::test]
async fn a_token_whose_key_is_withdrawn_ends_the_session_without_a_loop() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    app.stack.auth0().rotate_keys().unwrap();
    app.stack.auth0().revoke_old_keys().unwrap();
    app.stack.restart(Service::Records, &[]).await.unwrap();

    let too_young_to_know = eventually("the refusal", async || {
        let page = browser.get("/records").await;
        let refused = app.log().iter().any(|line| {
            line.contains(&page.reference()) && line.contains("may be good all the same")
        });
        refused.then_some(page)
    })
    .await;
    app.set_sessions("Created_At", -120).await;
    app.stack.auth0().fail(Endpoint::Jwks, FailureMode::Status(500));
    let not_known = browser.get("/records").await;
    let sessions = app.sessions().await.len();
    app.stack.auth0().recover();
    let start = eventually("the end of the session", async || {
        Some(browser.open("/records").await).filter(|page| page.path() == "/")
    })
    .await;

    assert_eq!((too_young_to_know.status, not_known.status, sessions), (503, 503, 1));
    assert_eq!(start.status, 200);
    start.assert_shows("Your session has ended.");
    assert!(app.sessions().await.is_empty());
}

#[tokio::test]
async fn a_good_token_that_the_service_refuses_for_its_old_keys_ends_no_session() {
    let app = TestApp::start().await;
    app.logged_in("acme-admin", "acme").await;
    app.stack.auth0().rotate_keys().unwrap();
    // For this key, records-service asks the provider; for another one not for half a minute.
    app.logged_in("acme-editor", "acme").await;
    app.stack.auth0().rotate_keys().unwrap();
    app.stack.restart(Service::Frontend, &[]).await.unwrap();
    let mut browser = app.browser();
    browser.log_in("acme-admin", "acme", "").await;
    app.set_sessions("Created_At", -120).await;

    let refused = browser.get("/records").await;
    let sessions = app.sessions().await.len();
    app.stack.restart(Service::Records, &[]).await.unwrap();
    let served = eventually("the list", async || {
        Some(browser.get("/records").await).filter(|page| page.status == 200)
    })
    .await;

    assert_eq!((refused.status, sessions), (503, 3));
    refused.assert_shows("The records cannot be reached just now");
    refused.assert_shows("Ada Admin");
    served.assert_shows("Ada Admin");
}

#[tokio::test]
async fn a_session_that_is_used_all_day_ends_after_eight_hours() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    app.set_sessions("Created_At", -8 * 3600 + 120).await;
    app.age_sessions(60, -29 * 60).await;

    let warned = eventually("a use that is noted", async || {
        let page = browser.get("/records").await;
        page.html.contains("You are logged in until").then_some(page)
    })
    .await;
    let expires: i64 = app.sessions().await[0]["Expires_At"].as_n().unwrap().parse().unwrap();
    app.set_sessions("Created_At", -8 * 3600).await;
    app.age_sessions(0, -60).await;
    let over = browser.get("/records").await;

    assert_eq!(warned.status, 200);
    warned.assert_shows("You are logged in until");
    assert!(expires <= jiff::Timestamp::now().as_second() + 120);
    assert_eq!(over.status, 303);
}

#[tokio::test]
async fn an_idle_session_cannot_be_taken_up_again() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    app.age_sessions(0, -30 * 60).await;

    let over = browser.clone().get("/home").await;
    let still_over = browser.get("/home").await;

    assert_eq!((over.status, still_over.status), (303, 303));
}

#[tokio::test]
async fn a_page_says_when_the_login_ends_and_a_renewed_one_goes_on() {
    let app = TestApp::start().await;
    app.stack.auth0().set_token_lifetime(Duration::from_mins(4));
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let before = browser.jar["session"].clone();

    let warned = browser.get("/records/new").await;
    app.stack.auth0().set_token_lifetime(Duration::from_hours(10));
    let renewed = browser.open(&warned.link_to("/auth/renew")).await;
    let calm = browser.get("/records/new").await;
    let of_before = {
        let mut copy = browser.clone();
        copy.jar.insert("session".to_owned(), before.clone());
        copy.get("/home").await
    };

    warned.assert_shows("for 4 more minutes");
    assert!(warned.html.contains(r#"<aside class="ending" role="status">"#), "{}", warned.html);
    assert_eq!((renewed.status, renewed.path()), (200, "/home"));
    renewed.assert_shows("acme");
    assert!(calm.html.contains(r#"<aside class="ending after-2"#), "{}", calm.html);
    calm.assert_shows("Unless you use it, your login ends at");
    calm.assert_lacks("You are logged in until");
    assert_ne!(browser.jar["session"], before);
    assert_eq!(of_before.status, 303);
    assert_eq!(app.browser().get("/auth/renew").await.location(), "/");
}

/// What `/auth/renew` leads to while the provider answers with this error.
async fn failed_renewal(app: &TestApp, browser: &mut Browser, error: &str) -> Page {
    let (error, description) = (error.to_owned(), String::new());
    let failure = FailureMode::OAuthError { error, description };
    app.stack.auth0().fail(Endpoint::Authorize, failure);
    let page = browser.open("/auth/renew").await;
    app.stack.auth0().recover();
    page
}

#[tokio::test]
async fn a_renewal_that_failed_is_tried_again_by_its_button() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("consultant", "globex").await;
    let before = browser.jar["session"].clone();

    let failed = failed_renewal(&app, &mut browser, "server_error").await;
    let still = browser.get("/home").await;
    let begun = browser.get(&failed.link("Try again")).await;
    let asked = begun.location_query();
    let landed = browser.follow(begun).await;

    assert_eq!((failed.status, still.status), (503, 200));
    assert_eq!(asked["organization"], samples::GLOBEX);
    assert_eq!((landed.status, landed.path()), (200, "/home"));
    landed.assert_shows("globex");
    assert_ne!(browser.jar["session"], before);
    assert_eq!(app.sessions().await.len(), 1);
}

#[tokio::test]
async fn who_is_logged_in_and_uses_another_account_is_asked_for_its_password() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;

    let denied = failed_renewal(&app, &mut browser, "access_denied").await;
    let begun = browser.get(&denied.link("Use another account")).await;
    let asked = begun.location_query();
    let password = browser.follow(begun).await;
    let still = browser.get("/home").await;
    let accepted = browser.fill_in_password(&password, "acme-editor").await;
    let landed = browser.follow(accepted).await;

    assert_eq!((denied.status, &*asked["prompt"]), (403, "login"));
    still.assert_shows("Ada Admin");
    assert_eq!((landed.status, landed.path()), (200, "/home"));
    landed.assert_lacks("Ada Admin");
    assert_eq!(app.sessions().await.len(), 1);
}

#[tokio::test]
async fn replacing_a_key_logs_nobody_out_and_dropping_one_only_those_it_sealed() {
    let (old, new) = ("old-".repeat(10), "new-".repeat(10));
    let app = TestApp::start_with(&[("AUTH0_SECRET", &old)]).await;
    let mut before = app.logged_in("acme-admin", "acme").await;

    let rotated = format!("{new},{old}");
    app.stack.restart(Service::Frontend, &[("AUTH0_SECRET", &rotated)]).await.unwrap();
    let mut after = app.logged_in("acme-editor", "acme").await;
    let with_both = [before.get("/home").await.status, after.get("/home").await.status];
    app.stack.restart(Service::Frontend, &[("AUTH0_SECRET", &new)]).await.unwrap();
    let with_the_new = [before.get("/home").await.status, after.get("/home").await.status];

    assert_eq!(with_both, [200, 200]);
    assert_eq!(with_the_new, [303, 200]);
}
