//! Logging in, and everything that can come of it.

use dev_stack::{
    Service,
    auth0::{Endpoint, FailureMode},
};

use crate::app::{TestApp, eventually};

#[tokio::test]
async fn a_person_logs_in_by_organization_and_lands_on_home() {
    let app = TestApp::start().await;
    let mut browser = app.browser();

    let start = browser.get("/").await;
    let form = start.html.contains(r#"action="/auth/login""#);
    let begun = browser.get("/auth/login?organization=acme").await;
    let asked = begun.location_query();
    let password = browser.follow(begun).await;
    let callback = browser.log_in_up_to_callback("acme-admin", &password).await;
    let landed = browser.get(&callback).await;
    let home = browser.open("/").await;

    assert!(start.status == 200 && form);
    assert_eq!(asked["scope"], "openid profile");
    assert_eq!(asked["audience"], "https://records.local/api");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["organization"], "acme");
    assert_eq!(asked["redirect_uri"], format!("{}/auth/callback", app.stack.app_url()));
    assert!(asked["state"].len() > 40 && asked["nonce"].len() > 20);
    assert_eq!((landed.status, landed.location()), (303, "/home"));
    assert_eq!(home.path(), "/home");
    home.assert_shows("Ada Admin");
    assert!(!browser.jar.keys().any(|name| name.starts_with("txn-")), "{:?}", browser.jar.keys());
}

#[tokio::test]
async fn a_login_returns_to_where_the_person_was_going_and_never_elsewhere() {
    let app = TestApp::start().await;
    let mut browser = app.browser();

    let sent_away = browser.get("/records?page_token=a%2Fb").await;
    let start = browser.follow(sent_away).await;
    start.assert_shows("Log in to see that page.");
    let return_to = start.hidden("return_to");
    let page = browser.begin_login("acme", &return_to).await;
    let callback = browser.log_in_up_to_callback("acme-editor", &page).await;
    let landed = browser.get(&callback).await;

    assert_eq!(landed.location(), "/records?page_token=a%2Fb");
    for elsewhere in [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/.//evil.example",
        "/x/..//evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/home\r\nset-cookie: session=planted",
        "/auth/logout",
    ] {
        let page = browser.log_in_again("acme", elsewhere).await;
        assert_eq!((page.status, page.location()), (303, "/home"), "{elsewhere}");
    }
}

#[tokio::test]
async fn two_tabs_log_in_at_once_and_no_callback_serves_twice_or_elsewhere() {
    let app = TestApp::start().await;
    let mut browser = app.browser();

    let first = browser.begin_login("acme", "/records").await;
    let second = browser.begin_login("acme", "/records/new").await;
    let second = browser.log_in_up_to_callback("acme-admin", &second).await;
    let first = browser.log_in_up_to_callback("acme-admin", &first).await;
    let stolen = app.browser().get(&second).await;
    let second_landed = browser.get(&second).await;
    let first_landed = browser.get(&first).await;
    let replayed = browser.get(&first).await;
    let forged = browser.get("/auth/callback?code=x&state=AAAAAAAA.y").await;
    let empty = browser.get("/auth/callback").await;

    assert_eq!(stolen.status, 400);
    stolen.assert_shows("This login can no longer be finished");
    assert_eq!((second_landed.status, second_landed.location()), (303, "/records/new"));
    assert_eq!((first_landed.status, first_landed.location()), (303, "/records"));
    for page in [&replayed, &forged, &empty] {
        assert_eq!(page.status, 400);
        page.assert_shows("This login can no longer be finished");
    }
    assert_eq!(app.sessions().await.len(), 1, "each login ends the session before it");
}

#[tokio::test]
async fn a_login_begins_a_new_session_and_ends_the_one_before() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("consultant", "acme").await;
    let mut before = browser.clone();

    let page = browser.log_in_again("globex", "").await;
    let home = browser.follow(page).await;

    home.assert_shows("globex");
    assert_ne!(before.jar["session"], browser.jar["session"]);
    assert_eq!(before.get("/home").await.location(), "/?return_to=%2Fhome");
}

#[tokio::test]
async fn what_goes_wrong_at_the_provider_has_a_page_and_a_way_to_try_again() {
    let app = TestApp::start().await;
    let mut browser = app.browser();

    let unknown = browser.begin_login("nowhere", "/records/new").await;
    let stranger = browser.log_in("globex-admin", "acme", "/records/new").await;
    app.stack.auth0().end_sessions();
    app.stack.auth0().fail(
        Endpoint::Authorize,
        FailureMode::OAuthError {
            error: "access_denied".to_owned(),
            description: "someone@example.com did not authorize the request".to_owned(),
        },
    );
    let denied = browser.begin_login("acme", "/records/new").await;
    app.stack.auth0().recover();
    let odd = browser.get("/auth/login?organization=%00").await;

    assert_eq!((unknown.status, unknown.path()), (400, "/auth/callback"));
    unknown.assert_shows("Nothing here is called “nowhere”");
    assert_eq!(unknown.link("Choose an organization"), "/?return_to=%2Frecords%2Fnew");
    assert_eq!(stranger.status, 403);
    stranger.assert_shows("You are not a member of this organization");
    assert_eq!(stranger.link("Choose an organization"), "/?return_to=%2Frecords%2Fnew");
    assert_eq!(denied.status, 403);
    denied.assert_shows("You were not logged in");
    denied.assert_lacks("someone@example.com");
    assert_eq!(denied.link("Log in"), "/auth/login?return_to=%2Frecords%2Fnew");
    assert_eq!(odd.status, 400);
    assert!(!browser.jar.contains_key("session"));
    let log = app.log().join("\n");
    assert!(log.contains(&denied.reference()) && !log.contains("someone@example.com"));
}

#[tokio::test]
async fn a_login_for_another_organization_than_was_asked_for_does_not_count() {
    let app = TestApp::start().await;
    let mut browser = app.browser();

    for (asked, given) in [("acme", "globex"), ("org_acme00000000000", "globex")] {
        let begun = browser.get(&format!("/auth/login?organization={asked}")).await;
        let swapped = begun
            .location()
            .replace(&format!("organization={asked}"), &format!("organization={given}"));
        let mut page = browser.open(&swapped).await;
        if page.path() == "/u/login" {
            page = browser.fill_in_password(&page, "consultant").await;
            page = browser.follow(page).await;
        }

        assert_eq!(page.status, 403, "{}", page.html);
        page.assert_shows("You were logged in to another organization");
        assert!(!browser.jar.contains_key("session"));
    }
}

#[tokio::test]
async fn an_invitation_link_lets_a_newcomer_in_once() {
    let app = TestApp::start().await;
    let link = app.stack.auth0().invite("acme", &["records:read"]).unwrap();
    let mut browser = app.browser();

    let begun = browser.get(&link).await;
    let passed_on = begun.location_query();
    let password = browser.follow(begun).await;
    let page = browser.fill_in_password(&password, "newcomer").await;
    let home = browser.follow(page).await;
    let again = app.browser().open(&link).await;

    assert!(passed_on.contains_key("invitation") && passed_on.contains_key("organization"));
    assert!(!passed_on.contains_key("organization_name"));
    assert_eq!(home.path(), "/home");
    home.assert_shows("Nico Newcomer");
    assert_eq!(again.status, 400);
    again.assert_shows("This invitation is no longer good");
}

#[tokio::test]
async fn logins_go_on_when_the_provider_rotates_its_keys() {
    let app = TestApp::start().await;
    app.logged_in("acme-admin", "acme").await;

    app.stack.auth0().rotate_keys().unwrap();
    app.stack.auth0().revoke_old_keys().unwrap();

    // The first unknown key is looked for at once.
    app.logged_in("acme-admin", "acme").await;
}

#[tokio::test]
async fn while_the_provider_is_down_a_page_says_so_and_logins_work_when_it_is_back() {
    let app = TestApp::start().await;
    app.stack.auth0().stop().await;
    let mut browser = app.browser();

    let down = browser.get("/auth/login?organization=acme&return_to=/records").await;
    let start = browser.get("/").await;
    app.stack.auth0().resume().await.unwrap();
    let page = eventually("a login page", async || {
        let page = browser.begin_login("acme", "/records").await;
        (page.path() == "/u/login").then_some(page)
    })
    .await;
    app.stack.auth0().fail(Endpoint::Token, FailureMode::Status(500));
    let callback = browser.log_in_up_to_callback("acme-admin", &page).await;
    let failed = browser.get(&callback).await;

    assert_eq!(down.status, 503);
    down.assert_shows("The login service does not answer");
    assert_eq!(down.link("Try again"), "/?return_to=%2Frecords");
    assert_eq!(start.status, 200);
    assert_eq!(failed.status, 503);
    failed.assert_shows("The login service does not answer");
    assert!(app.log().iter().any(|line| line.contains(&failed.reference())));
    assert!(!browser.jar.contains_key("session"));
}

#[tokio::test]
async fn the_frontend_starts_and_answers_without_the_outside_world() {
    let app = TestApp::start().await;
    app.stack.emulators().stop().await;
    app.stack.kill(Service::Records).await;

    app.stack.restart(Service::Frontend, &[]).await.unwrap();
    let mut browser = app.browser();

    assert_eq!(browser.get("/").await.status, 200);
    assert_eq!(browser.get("/home").await.status, 303);
    assert_eq!(browser.get("/auth/login").await.status, 503);
}
