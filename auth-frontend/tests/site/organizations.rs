//! From one organization to another: by the top bar, by a link, by an invitation, and never without
//! being asked.

use std::collections::BTreeMap;

use dev_stack::{Service, samples};
use reqwest::Method;

use crate::{
    app::TestApp,
    browser::{Browser, Page},
};

fn assert_lands(page: &Page, path: &str, organization: &str) {
    assert_eq!((page.status, page.path()), (200, path), "{}", page.html);
    page.assert_shows(&format!("Organization: </span><bdi>{organization}</bdi>"));
}

/// Switches by the form of this page, as somebody whose password is asked for. Answers what the
/// provider was asked, and where it ended.
async fn switched_by_password(
    browser: &mut Browser,
    page: &Page,
    username: &str,
) -> (BTreeMap<String, String>, Page) {
    let form = page.hidden_inputs("/auth/switch");
    let begun = browser.post_form("/auth/switch", &form).await;
    let asked = begun.location_query();
    let password = browser.follow(begun).await;
    let accepted = browser.fill_in_password(&password, username).await;
    (asked, browser.follow(accepted).await)
}

#[tokio::test]
async fn every_page_of_who_is_logged_in_says_which_organization_and_how_to_switch() {
    let app = TestApp::start().await;
    let mut ada = app.logged_in("acme-admin", "acme").await;

    for path in ["/home", "/records", "/records/new", "/audit", "/records/x", "/auth/switch"] {
        let page = ada.get(path).await;
        page.assert_shows("Organization: </span><bdi>acme</bdi>");
        assert!(page.link("Switch").starts_with("/auth/switch"), "{path}");
    }
    assert_eq!(ada.get("/records/new").await.link("Switch"), "/auth/switch?return_to=%2Frecords");
}

#[tokio::test]
async fn switching_ends_the_session_and_asks_for_no_password() {
    let app = TestApp::start().await;
    let mut connie = app.logged_in("consultant", "acme").await;
    let mut left_behind = connie.clone();
    let saved = connie.save_record(&[("title", "Of acme"), ("category", "Asset")]).await;
    let of_acme = saved.location().to_owned();

    let records = connie.get("/records").await;
    let begun = connie.switch(&records, "Globex").await;
    let asked = begun.location_query();
    let between = left_behind.get("/home").await;
    let sessions_between = app.sessions().await.len();
    let landed = connie.follow(begun).await;

    assert_eq!(asked["organization"], "globex");
    assert!(!asked.contains_key("prompt"));
    assert_eq!(between.status, 303, "the session has ended before the other begins");
    assert_eq!(sessions_between, 0);
    assert_lands(&landed, "/records", "globex");
    landed.assert_lacks("Of acme");
    assert_eq!(connie.get(&of_acme).await.status, 404);
    assert_eq!(app.sessions().await.len(), 1);
    let metrics = connie.get(&format!("{}/metrics", app.stack.ops_url(Service::Frontend))).await;
    metrics.assert_shows(r#"sessions_ended_total{reason="switched"} 1"#);
}

#[tokio::test]
async fn with_no_organization_named_the_provider_asks_for_it() {
    let app = TestApp::start().await;
    let mut connie = app.logged_in("consultant", "acme").await;

    let home = connie.get("/home").await;
    let begun = connie.switch(&home, "").await;
    let choice = connie.follow(begun).await;
    let state = choice.hidden("state");
    let form = [("state", state.as_str()), ("organization", "globex")];
    let chosen = connie.post(choice.url.as_str(), &form).await;
    let landed = connie.follow(chosen).await;

    assert_eq!(choice.path(), "/u/organization");
    assert_lands(&landed, "/home", "globex");
}

#[tokio::test]
async fn who_may_not_switch_finds_the_way_back_without_a_password() {
    let app = TestApp::start().await;
    let mut ada = app.logged_in("acme-admin", "acme").await;

    for (organization, status, title) in [
        ("globex", 403, "You are not a member of this organization"),
        ("nowhere", 400, "There is no such organization"),
    ] {
        let home = ada.get("/home").await;
        let begun = ada.switch(&home, organization).await;
        let refused = ada.follow(begun).await;
        let back = ada.open(&refused.link("Back to acme")).await;

        assert_eq!(refused.status, status);
        refused.assert_shows(title);
        assert_lands(&back, "/home", "acme");
    }
}

#[tokio::test]
async fn while_the_provider_is_down_people_stay_where_they_are() {
    let app = TestApp::start().await;
    let mut connie = app.logged_in("consultant", "acme").await;
    app.stack.auth0().stop().await;
    app.stack.restart(Service::Frontend, &[]).await.unwrap();

    let home = connie.get("/home").await;
    let down = connie.switch(&home, "globex").await;
    let still = connie.get("/home").await;

    assert_eq!(down.status, 503);
    down.assert_shows("The login service does not answer");
    down.assert_shows("Organization: </span><bdi>acme</bdi>");
    assert_lands(&still, "/home", "acme");
}

#[tokio::test]
async fn switching_to_where_one_is_changes_nothing() {
    let app = TestApp::start().await;
    let mut connie = app.logged_in("consultant", "acme").await;
    let session = connie.jar["session"].clone();

    for organization in ["acme", "Acme", samples::ACME] {
        let records = connie.get("/records").await;
        let stayed = connie.switch(&records, organization).await;
        assert_eq!((stayed.status, stayed.location()), (303, "/records"));
    }

    assert_eq!(connie.jar["session"], session);
    assert_eq!(connie.get("/home").await.status, 200);
}

#[tokio::test]
async fn nobody_is_switched_by_another_site_or_by_a_page_of_an_older_session() {
    let app = TestApp::start().await;
    let mut connie = app.logged_in("consultant", "acme").await;
    let token = connie.get("/auth/switch").await.hidden("csrf_token");
    let form = [("csrf_token", token.as_str()), ("organization", "globex")];

    let from_elsewhere = connie
        .request(Method::POST, "/auth/switch")
        .header("sec-fetch-site", "cross-site")
        .header("origin", "https://evil.example")
        .form(&form);
    let from_elsewhere = connie.send(from_elsewhere).await;
    let without_token = connie.post("/auth/switch", &[("organization", "globex")]).await;
    let home = connie.get("/home").await;
    let begun = connie.switch(&home, "globex").await;
    connie.follow(begun).await;
    let stale = [("csrf_token", token.as_str()), ("organization", "acme")];
    let stale = connie.post("/auth/switch", &stale).await;

    assert_eq!((from_elsewhere.status, without_token.status, stale.status), (403, 403, 403));
    stale.assert_shows("You have logged in again since you opened this page.");
    stale.assert_shows("You are working in <strong><bdi>globex</bdi></strong>");
    assert_lands(&connie.get("/home").await, "/home", "globex");
}

#[tokio::test]
async fn a_switch_sent_after_the_session_has_ended_is_a_login() {
    let app = TestApp::start().await;
    let mut connie = app.logged_in("consultant", "acme").await;
    let page = connie.get("/auth/switch?return_to=/records").await;
    let mut form = page.hidden_inputs("/auth/switch");
    form.push(("organization".to_owned(), "globex".to_owned()));
    app.age_sessions(-1, -60).await;

    let begun = connie.post_form("/auth/switch", &form).await;
    let landed = connie.follow(begun).await;
    let anonymous = app.browser().get("/auth/switch").await;

    assert_lands(&landed, "/records", "globex");
    assert_eq!((anonymous.status, anonymous.location()), (303, "/?return_to="));
}

#[tokio::test]
async fn a_link_to_the_same_organization_leads_straight_on() {
    let app = TestApp::start().await;
    let mut connie = app.logged_in("consultant", "acme").await;

    for link in [
        "/auth/login?organization=acme&return_to=/records/new",
        "/auth/login?organization=ACME&organization_name=globex&return_to=/records/new",
        &format!("/auth/login?organization={}&return_to=/records/new", samples::ACME),
        "/auth/login?return_to=/records/new",
    ] {
        let page = connie.get(link).await;
        assert_eq!((page.status, page.location()), (303, "/records/new"), "{link}");
    }
}

#[tokio::test]
async fn a_link_to_another_organization_asks_before_it_leads_there() {
    let app = TestApp::start().await;
    let mut connie = app.logged_in("consultant", "acme").await;

    let page = connie.get("/auth/login?organization=globex&return_to=/records/new").await;
    let unnamed = connie.get(&format!("/auth/login?organization={}", samples::GLOBEX)).await;
    let stayed = connie.get(&page.link("Stay in <bdi>acme")).await;
    let form = page.hidden_inputs("/auth/switch");
    let begun = connie.post_form("/auth/switch", &form).await;
    let landed = connie.follow(begun).await;

    assert_eq!(page.status, 200);
    page.assert_shows("Switch to <bdi>globex</bdi>?");
    page.assert_shows("you are working in <strong><bdi>acme</bdi></strong>");
    unnamed.assert_shows("leads to another organization");
    assert_lands(&stayed, "/home", "acme");
    assert_lands(&landed, "/records/new", "globex");
}

#[tokio::test]
async fn an_invitation_to_another_organization_asks_first_and_then_makes_a_member() {
    let app = TestApp::start().await;
    let link = app.stack.auth0().invite("globex", &["records:read"]).unwrap();
    let mut ada = app.logged_in("acme-admin", "acme").await;

    let page = ada.get(&link).await;
    page.assert_shows("This invitation leads to another organization");
    let (asked, landed) = switched_by_password(&mut ada, &page, "acme-admin").await;

    assert!(asked.contains_key("invitation") && asked["organization"] == samples::GLOBEX);
    assert!(!asked.contains_key("organization_name"));
    assert_lands(&landed, "/home", "globex");
}

#[tokio::test]
async fn an_invitation_to_the_same_organization_may_be_for_another_account() {
    let app = TestApp::start().await;
    let link = app.stack.auth0().invite("acme", &["records:read"]).unwrap();
    let mut ada = app.logged_in("acme-admin", "acme").await;

    let page = ada.get(&link).await;
    page.assert_shows("You are in <bdi>acme</bdi> already");
    assert_eq!(page.link("Go on as <bdi>Ada Admin"), "/home");
    let (asked, landed) = switched_by_password(&mut ada, &page, "newcomer").await;

    assert_eq!(asked["prompt"], "login", "the provider knows the first account");
    assert_lands(&landed, "/home", "acme");
    landed.assert_shows("Nico Newcomer");
}

#[tokio::test]
async fn who_uses_another_account_is_asked_for_its_password_after_the_switch_page_too() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let stranger = browser.log_in("acme-admin", "globex", "/records").await;
    browser.log_in_again("acme", "").await;

    let page = browser.open(&stranger.link("Use another account")).await;
    let (asked, landed) = switched_by_password(&mut browser, &page, "globex-admin").await;

    page.assert_shows("Switch to <bdi>globex</bdi>?");
    assert_eq!((&*asked["prompt"], &*asked["organization"]), ("login", "globex"));
    assert_lands(&landed, "/records", "globex");
}

#[tokio::test]
async fn who_was_removed_is_refused_at_the_next_login_and_keeps_the_session_until_it_ends() {
    let app = TestApp::start().await;
    let mut eddie = app.logged_in("acme-editor", "acme").await;

    app.stack.auth0().remove_member("acme-editor", "acme").unwrap();
    let still = eddie.get("/records").await;
    app.age_sessions(-1, -60).await;
    let refused = eddie.log_in_again("acme", "/records").await;
    app.stack.auth0().add_member("acme-editor", "acme", &["records:read"]).unwrap();
    let again = eddie.log_in_again("acme", "/records").await;
    let landed = eddie.follow(again).await;

    assert_eq!(still.status, 200);
    assert_eq!(refused.status, 403);
    refused.assert_shows("You are not a member of this organization");
    refused.assert_shows("does not belong to “acme”, or no longer does");
    assert!(refused.link("Use another account").contains("return_to=%2Frecords"));
    assert_lands(&landed, "/records", "acme");
}
