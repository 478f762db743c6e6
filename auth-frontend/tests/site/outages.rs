//! Parts of the system that are down: a page that says so, and nothing lost.

use std::time::{Duration, Instant};

use dev_stack::{
    Auth0, Auth0Options, Fault, Service,
    auth0::{Endpoint, FailureMode},
};

use crate::{
    app::{TestApp, eventually},
    browser::Page,
};

#[tokio::test]
async fn while_records_service_is_down_pages_say_so_and_what_was_typed_is_kept() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let values = [("title", "Typed in bad weather"), ("category", "Asset")];
    let form = browser.record_form(&values).await;
    app.stack.kill(Service::Records).await;

    let list = browser.get("/records").await;
    let home = browser.get("/home").await;
    let not_saved = browser.post_form("/records", &form).await;
    let kept = not_saved.hidden_inputs("/records");
    app.stack.restart(Service::Records, &[]).await.unwrap();
    let saved = eventually("saving once it is back", async || {
        let page = browser.post_form("/records", &kept).await;
        (page.status == 303).then_some(page)
    })
    .await;
    let again = browser.post_form("/records", &kept).await;

    assert_eq!(list.status, 503);
    list.assert_shows("The records cannot be reached just now");
    assert!(
        app.log().iter().any(|line| line.contains(&list.reference())
            && line.contains("records-service is unavailable"))
    );
    assert_eq!(home.status, 200);
    home.assert_shows("The latest records cannot be shown just now.");
    assert_eq!(not_saved.status, 503);
    not_saved.assert_shows("What you typed is kept on this page.");
    assert_eq!(saved.location(), again.location(), "sent twice, saved once");
}

#[tokio::test]
async fn while_the_session_store_is_down_nobody_is_taken_for_a_stranger() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    app.stack.dynamodb().stop().await;

    let pages = [browser.get("/home").await, browser.get("/").await];
    let login_page = app.browser().get("/").await;
    app.stack.dynamodb().resume().await.unwrap();

    for page in pages {
        assert_eq!(page.status, 503);
        assert!(app.log().iter().any(|line| line.contains(&page.reference())
            && line.contains("the table of sessions does not answer")));
    }
    assert_eq!(login_page.status, 200);
    assert!(browser.jar.contains_key("session"));
    assert_eq!(browser.get("/home").await.status, 200);
}

/// The longest that a page may take, and what a busy machine may add.
const IN_TIME: Duration = Duration::from_millis(7500);

/// An error page that says what to do next and came in time.
#[track_caller]
fn assert_told(app: &TestApp, page: &Page, status: u16, took: Duration) {
    assert_eq!(page.status, status, "{}", page.html);
    page.assert_shows("Try again in a moment. If it stays, give the reference below");
    assert!(app.log().iter().any(|line| line.contains(&page.reference())));
    assert!(took < IN_TIME, "{took:?}");
}

#[tokio::test]
async fn while_the_session_store_says_nothing_each_page_says_so_in_time() {
    let app = TestApp::start().await;
    let proxy = app.frontend_behind_faults().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let form = browser.record_form(&[("title", "Typed"), ("category", "Asset")]).await;
    let mut stranger = app.browser();
    let login = stranger.begin_login("acme", "").await;
    let callback = stranger.log_in_up_to_callback("acme-editor", &login).await;
    proxy.inject(Fault::Silence);

    let mut pages = Vec::new();
    for address in ["/", "/home", "/records", "/records/new", "/audit"] {
        let began = Instant::now();
        pages.push((browser.get(address).await, began.elapsed()));
    }
    for address in ["/records", "/auth/logout"] {
        let began = Instant::now();
        pages.push((browser.post_form(address, &form).await, began.elapsed()));
    }
    let began = Instant::now();
    pages.push((stranger.get(&callback).await, began.elapsed()));
    proxy.heal();
    let saved = eventually("saving once it is back", async || {
        let page = browser.post_form("/records", &form).await;
        (page.status == 303).then_some(page)
    })
    .await;

    for (page, took) in &pages {
        assert_told(&app, page, 503, *took);
    }
    pages[5].0.assert_shows("What you typed is kept on this page.");
    assert!(saved.location().starts_with("/records/"));
}

#[tokio::test]
async fn while_the_provider_says_nothing_logging_in_and_out_end_in_time() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let logout = browser.get("/home").await.hidden_inputs("/auth/logout");
    let mut stranger = app.browser();
    let login = stranger.begin_login("acme", "").await;
    let callback = stranger.log_in_up_to_callback("acme-editor", &login).await;
    let for_long = FailureMode::Delay(Duration::from_mins(1));
    for endpoint in [Endpoint::Discovery, Endpoint::Jwks, Endpoint::Token] {
        app.stack.auth0().fail(endpoint, for_long.clone());
    }

    let began = Instant::now();
    let not_finished = stranger.get(&callback).await;
    let took_finishing = began.elapsed();
    app.stack.restart(Service::Frontend, &[]).await.unwrap();
    let began = Instant::now();
    let not_begun = stranger.get("/auth/login?organization=acme").await;
    let took_beginning = began.elapsed();
    let began = Instant::now();
    let logged_out = browser.post_form("/auth/logout", &logout).await;
    let took_ending = began.elapsed();

    assert_told(&app, &not_finished, 503, took_finishing);
    assert_told(&app, &not_begun, 503, took_beginning);
    not_finished.assert_shows("The login service does not answer");
    not_begun.assert_shows("The login service does not answer");
    assert_eq!(logged_out.status, 200, "{}", logged_out.html);
    assert!(took_ending < IN_TIME, "{took_ending:?}");
    assert!(app.sessions().await.is_empty());
}

/// With a redirect of the token request our secret would go along.
#[tokio::test]
async fn no_redirect_of_the_provider_is_followed() {
    let app = TestApp::start().await;
    let elsewhere = Auth0::start(Auth0Options::sample("http://localhost:3000")).await.unwrap();
    let redirect = |endpoint, path| {
        let address = format!("{}{path}", elsewhere.issuer());
        app.stack.auth0().fail(endpoint, FailureMode::Redirect(address));
    };
    let mut browser = app.browser();
    let login = browser.begin_login("acme", "").await;
    let callback = browser.log_in_up_to_callback("acme-editor", &login).await;

    redirect(Endpoint::Token, "oauth/token");
    let not_finished = browser.get(&callback).await;
    app.stack.restart(Service::Frontend, &[]).await.unwrap();
    redirect(Endpoint::Discovery, ".well-known/openid-configuration");
    let not_begun = browser.get("/auth/login?organization=acme").await;

    for page in [not_finished, not_begun] {
        assert_eq!(page.status, 503, "{}", page.html);
        page.assert_shows("The login service does not answer");
    }
    for endpoint in [Endpoint::Token, Endpoint::Discovery] {
        assert_eq!(elsewhere.requests(endpoint), 0, "{endpoint:?}");
        assert!(app.stack.auth0().requests(endpoint) > 0, "{endpoint:?}");
    }
}
