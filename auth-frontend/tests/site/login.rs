//! Logging in, and everything that can come of it.

use std::time::Duration;

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
        let mut browser = browser.clone();
        browser.jar.remove("session");
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
    let mut nobody = browser.clone();
    nobody.jar.remove("session");
    let replayed_by_nobody = nobody.get(&first).await;
    let forged = nobody.get("/auth/callback?code=x&state=AAAAAAAA.y").await;
    let empty = nobody.get("/auth/callback").await;

    assert_eq!(stolen.status, 400);
    stolen.assert_shows("This login can no longer be finished");
    assert_eq!((second_landed.status, second_landed.location()), (303, "/records/new"));
    assert_eq!((first_landed.status, first_landed.location()), (303, "/records"));
    assert_eq!((replayed.status, replayed.location()), (303, "/home"), "logged in already");
    for page in [&replayed_by_nobody, &forged, &empty] {
        assert_eq!(page.status, 400);
        page.assert_shows("It was finished already, or was begun in another browser");
        assert_eq!(page.link("Log in"), "/");
    }
    assert_eq!(app.sessions().await.len(), 1, "each login ends the session before it");
}

#[tokio::test]
async fn a_login_begins_a_new_session_and_ends_the_one_before() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let acme = browser.begin_login("acme", "").await;
    let globex = browser.begin_login("globex", "").await;
    let globex = browser.log_in_up_to_callback("consultant", &globex).await;
    let acme = browser.fill_in_password(&acme, "consultant").await;
    let home = browser.follow(acme).await;
    home.assert_shows("acme");
    let mut before = browser.clone();

    let home = browser.open(&globex).await;

    home.assert_shows("globex");
    assert_ne!(before.jar["session"], browser.jar["session"]);
    assert_eq!(before.get("/home").await.location(), "/?return_to=%2Fhome");
}

#[tokio::test]
async fn what_goes_wrong_at_the_provider_has_a_page_and_a_way_to_try_again() {
    let app = TestApp::start().await;
    let mut browser = app.browser();

    let unknown = browser.begin_login("nowhere", "/records/new").await;
    let corrected = browser.get(&unknown.link("Choose an organization")).await;
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
    corrected.assert_shows("value=\"nowhere\"");
    assert_eq!(corrected.hidden("return_to"), "/records/new");
    assert_eq!(stranger.status, 403);
    stranger.assert_shows("You are not a member of this organization");
    assert_eq!(stranger.link("Choose an organization"), "/?return_to=%2Frecords%2Fnew");
    assert_eq!(denied.status, 403);
    denied.assert_shows("You were not logged in");
    denied.assert_lacks("someone@example.com");
    assert_eq!(denied.link("Log in"), "/auth/login?organization=acme&return_to=%2Frecords%2Fnew");
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
    let organization = &passed_on["organization"];
    assert_eq!(again.link("Log in"), format!("/auth/login?organization={organization}"));
}

#[tokio::test]
async fn an_invitation_that_is_too_old_has_a_page_and_makes_nobody_a_member() {
    let app = TestApp::start().await;
    let link = app.stack.auth0().invite("acme", &["records:read"]).unwrap();
    app.stack.auth0().expire_invitations().unwrap();

    let too_old = app.browser().open(&link).await;
    let stranger = app.browser().log_in("newcomer", "acme", "").await;

    assert_eq!(too_old.status, 400);
    too_old.assert_shows("This one has been used, or is too old.");
    assert_eq!(stranger.status, 403);
}

#[tokio::test]
async fn what_can_be_no_invitation_and_no_organization_has_a_page_and_begins_no_login() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let too_long = "x".repeat(513);

    for odd in ["two%20words", "a%0Ab", "%00", "caf%C3%A9", too_long.as_str()] {
        let address = "/auth/login?organization=acme&return_to=/records&invitation=";
        let page = browser.get(&format!("{address}{odd}")).await;

        assert_eq!(page.status, 400, "{odd}");
        page.assert_shows("This invitation is no longer good");
        assert_eq!(page.link("Log in"), "/auth/login?organization=acme&return_to=%2Frecords");
    }
    for odd in ["a%0Ab".to_owned(), "x".repeat(101), "é".repeat(51)] {
        let page = browser.get(&format!("/auth/login?organization={odd}")).await;

        assert_eq!(page.status, 400, "{odd}");
        page.assert_shows("There is no such organization");
    }
    assert!(browser.jar.is_empty(), "{:?}", browser.jar.keys());
}

#[tokio::test]
async fn each_refusal_of_the_provider_has_its_page_and_keeps_what_was_asked_for() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let cases = [
        ("access_denied", 403, "You were not logged in", "Log in"),
        ("unauthorized", 403, "You were not logged in", "Log in"),
        ("login_required", 403, "Please enter your password once more", "Log in"),
        ("server_error", 503, "The login service does not answer", "Try again"),
        ("temporarily_unavailable", 503, "The login service does not answer", "Try again"),
        ("invalid_scope", 403, "The login service refused this login", "Try again"),
        ("an_error_of_tomorrow", 403, "The login service refused this login", "Try again"),
    ];

    for (error, status, title, way) in cases {
        let mode = FailureMode::OAuthError {
            error: error.to_owned(),
            description: "private words of the provider".to_owned(),
        };
        app.stack.auth0().fail(Endpoint::Authorize, mode);
        let page = browser.begin_login("acme", "/records/new").await;
        app.stack.auth0().recover();

        assert_eq!(page.status, status, "{error}");
        page.assert_shows(title);
        page.assert_lacks("private words");
        let again = browser.open(&page.link(way)).await;
        assert_eq!(again.path(), "/u/login", "{error}");
        let page = browser.fill_in_password(&again, "acme-admin").await;
        let landed = browser.follow(page).await;
        assert_eq!((landed.status, landed.path()), (200, "/records/new"), "{error}");
        browser.jar.clear();
    }
}

#[tokio::test]
async fn a_login_left_open_for_an_hour_is_begun_again_with_all_that_was_asked_for() {
    let secret = "a secret of the tests with 32 letters or more";
    let app = TestApp::start_with(&[("AUTH0_SECRET", secret)]).await;
    let mut browser = app.browser();
    let page = browser.begin_login("acme", "/records/new").await;
    let callback = browser.log_in_up_to_callback("acme-admin", &page).await;
    browser.age_login_attempts(secret, Duration::from_hours(1));

    let expired = browser.get(&callback).await;
    let again = browser.open(&expired.link("Begin again")).await;

    assert_eq!(expired.status, 400);
    expired.assert_shows("This login can no longer be finished");
    expired.assert_shows("It was left open for more than ten minutes");
    assert_eq!((again.status, again.path()), (200, "/records/new"), "{}", again.html);
}

#[tokio::test]
async fn a_login_that_the_provider_has_forgotten_begins_again_with_all_that_was_asked_for() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let page = browser.begin_login("acme", "/records/new").await;
    let elsewhere = "/auth/login?iss=https%3A%2F%2Fevil.example%2F";

    let gone = browser.get(page.url.join("/u/login?state=gone").unwrap().as_str()).await;
    let begun = browser.get(&gone.link("Start again at Org Records")).await;
    let asked = begun.location_query();
    let page = browser.follow(begun).await;
    let page = browser.fill_in_password(&page, "acme-editor").await;
    let landed = browser.follow(page).await;
    let by_another = browser.clone().get(elsewhere).await;
    let of_nobody = app.browser().get(elsewhere).await;

    gone.assert_shows("This login is no longer open");
    assert_eq!(asked["organization"], "acme");
    assert_eq!((landed.status, landed.path()), (200, "/records/new"));
    assert_eq!((by_another.status, by_another.location()), (303, "/home"));
    assert!(!of_nobody.location_query().contains_key("organization"));
}

#[tokio::test]
async fn who_is_not_a_member_gets_in_with_another_account_though_the_provider_knows_the_first() {
    let app = TestApp::start().await;
    let mut browser = app.browser();

    let stranger = browser.log_in("globex-admin", "acme", "/records").await;
    let silently = browser.begin_login("acme", "/records").await;
    let asked = browser.open(&stranger.link("Use another account")).await;
    let page = browser.fill_in_password(&asked, "acme-admin").await;
    let landed = browser.follow(page).await;

    assert_eq!((stranger.status, silently.status), (403, 403));
    stranger.assert_shows("does not belong to “acme”, or no longer does");
    assert_eq!((landed.status, landed.path()), (200, "/records"));
    landed.assert_shows("Ada Admin");
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
    assert_eq!(down.link("Try again"), "/auth/login?organization=acme&return_to=%2Frecords");
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
