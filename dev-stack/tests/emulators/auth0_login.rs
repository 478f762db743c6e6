//! Logins that succeed, and those a person gets wrong on the way.

use std::time::Duration;

use dev_stack::samples;
use reqwest::StatusCode;

use crate::browser::{self, Browser, exchange, request, token, verified, with};

#[tokio::test]
async fn a_login_gives_tokens_of_the_organization() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);

    let back = browser.log_in(&request("acme"), "acme-admin").await.app();
    let (status, tokens) = token(&auth0, &exchange(&back["code"])).await;

    assert_eq!(back["state"], "the state & more");
    assert_eq!(status, StatusCode::OK, "{tokens}");
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 86400);
    assert_eq!(tokens.get("refresh_token"), None);
    let access = tokens["access_token"].as_str().unwrap();
    let claims = verified(&auth0, access, samples::AUDIENCE).await;
    assert_eq!(claims["org_id"], samples::ACME);
    let id = tokens["id_token"].as_str().unwrap();
    let claims = verified(&auth0, id, samples::WEB_CLIENT_ID).await;
    assert_eq!(claims["nonce"], "the nonce");
}

#[tokio::test]
async fn an_organization_may_be_named_by_its_id_or_its_name_in_any_case() {
    let auth0 = browser::auth0().await;

    for organization in ["acme", "ACME", samples::ACME] {
        let back = Browser::new(&auth0).log_in(&request(organization), "acme-viewer").await.app();
        assert!(back.contains_key("code"), "{organization}: {back:?}");
    }
}

#[tokio::test]
async fn without_an_organization_the_provider_asks_for_one() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);

    let (status, url, html) = browser.authorize(&request("")).await.page();
    assert_eq!((status, url.path()), (StatusCode::OK, "/u/organization"));
    let wrong = browser.submit("/u/organization", &html, &[("organization", "<acme>")]).await;
    let (status, _, html) = wrong.page();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(html.contains("does not exist") && html.contains("&lt;acme&gt;"), "{html}");
    let right = browser.submit("/u/organization", &html, &[("organization", "Acme")]).await;
    let (_, url, html) = right.page();
    assert_eq!(url.path(), "/u/login");
    assert!(html.contains("Acme Corporation"), "{html}");
    let login = [("username", "acme-admin"), ("password", samples::PASSWORD)];
    let back = browser.submit("/u/login", &html, &login).await.app();

    let (status, _) = token(&auth0, &exchange(&back["code"])).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_password_gives_the_same_page_again_and_tells_nothing() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);
    let (_, _, html) = browser.authorize(&request("acme")).await.page();

    let wrong = [("username", "acme-admin"), ("password", "wrong")];
    let (status, _, known) = browser.submit("/u/login", &html, &wrong).await.page();
    let stranger = [("username", "\"><script>"), ("password", samples::PASSWORD)];
    let (_, _, unknown) = browser.submit("/u/login", &html, &stranger).await.page();

    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(known.contains("Wrong username or password"));
    assert!(known.contains(r#"value="acme-admin""#));
    assert!(unknown.contains("Wrong username or password"));
    assert!(!unknown.contains("<script>"));
    // And the login goes on.
    let right = [("username", "acme-admin"), ("password", samples::PASSWORD)];
    assert!(browser.submit("/u/login", &known, &right).await.app().contains_key("code"));
}

#[tokio::test]
async fn guessing_passwords_closes_the_account_for_a_while() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);
    let (_, _, html) = browser.authorize(&request("acme")).await.page();

    for _ in 0..10 {
        browser.submit("/u/login", &html, &[("username", "acme-admin"), ("password", "x")]).await;
    }
    let right = [("username", "acme-admin"), ("password", samples::PASSWORD)];
    let (status, _, page) = browser.submit("/u/login", &html, &right).await.page();

    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(page.contains("blocked"), "{page}");
    let other = [("username", "acme-editor"), ("password", samples::PASSWORD)];
    assert!(browser.submit("/u/login", &html, &other).await.app().contains_key("code"));
}

#[tokio::test]
async fn a_second_organization_needs_no_password_unless_it_is_asked_for() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);
    browser.log_in(&request("acme"), "consultant").await.app();

    let silent = browser.authorize(&request("globex")).await.app();
    let forced = with(request("globex"), &[("prompt", "login")]);
    let (_, asked, _) = browser.authorize(&forced).await.page();
    let aged = with(request("globex"), &[("max_age", "0")]);
    let (_, too_old, _) = browser.authorize(&aged).await.page();

    let (_, tokens) = token(&auth0, &exchange(&silent["code"])).await;
    let access = tokens["access_token"].as_str().unwrap();
    let claims = verified(&auth0, access, samples::AUDIENCE).await;
    assert_eq!(claims["org_id"], samples::GLOBEX);
    assert_eq!(asked.path(), "/u/login");
    assert_eq!(too_old.path(), "/u/login");
}

#[tokio::test]
async fn an_invitation_makes_a_member_once() {
    let auth0 = browser::auth0().await;
    let link = auth0.invite("acme", &["records:read"]).unwrap();
    let link = url::Url::parse(&link).unwrap();
    assert!(link.as_str().starts_with("http://localhost:3000/auth/login?invitation="));
    let invitation: std::collections::HashMap<_, _> = link.query_pairs().into_owned().collect();
    assert_eq!(invitation["organization"], samples::ACME);
    assert_eq!(invitation["organization_name"], "acme");
    let invited =
        with(request(samples::ACME), &[("invitation", invitation["invitation"].as_str())]);

    // Somebody who happens to be logged in does not use it up.
    let browser = Browser::new(&auth0);
    browser.log_in(&request("globex"), "globex-admin").await.app();
    let (_, _, html) = browser.authorize(&invited).await.page();
    assert!(html.contains("You are invited to Acme Corporation"), "{html}");

    let newcomer = Browser::new(&auth0);
    let back = newcomer.log_in(&invited, "newcomer").await.app();
    let (_, tokens) = token(&auth0, &exchange(&back["code"])).await;
    let access = tokens["access_token"].as_str().unwrap();
    let claims = verified(&auth0, access, samples::AUDIENCE).await;
    assert_eq!(claims["permissions"], serde_json::json!(["records:read"]));

    let again = Browser::new(&auth0).authorize(&invited).await.app();
    assert_eq!(again["error"], "invalid_request");
    assert_eq!(again["error_description"], "invitation not found or already used");
}

#[tokio::test]
async fn a_login_page_of_another_browser_is_refused() {
    let auth0 = browser::auth0().await;
    let victim = Browser::new(&auth0);
    let attacker = Browser::new(&auth0);
    let (_, _, html) = attacker.authorize(&request("acme")).await.page();
    // The victim has a login of their own under way.
    victim.authorize(&request("acme")).await.page();

    let login = [("username", "acme-admin"), ("password", samples::PASSWORD)];
    let (status, _, page) = victim.submit("/u/login", &html, &login).await.page();

    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(page.contains("no longer open") && page.contains("http://localhost:3000/auth/login"));
}

#[tokio::test]
async fn two_logins_in_one_browser_both_finish() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);
    let (_, _, first) = browser.authorize(&request("acme")).await.page();
    let (_, _, second) = browser.authorize(&request("globex")).await.page();
    let login = [("username", "consultant"), ("password", samples::PASSWORD)];

    let first = browser.submit("/u/login", &first, &login).await.app();
    let second = browser.submit("/u/login", &second, &login).await.app();

    assert_eq!(token(&auth0, &exchange(&first["code"])).await.0, StatusCode::OK);
    assert_eq!(token(&auth0, &exchange(&second["code"])).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_login_hint_fills_in_the_username() {
    let auth0 = browser::auth0().await;
    let hinted = with(request("acme"), &[("login_hint", "acme-editor"), ("screen_hint", "signup")]);

    let (_, _, html) = Browser::new(&auth0).authorize(&hinted).await.page();

    assert!(html.contains(r#"value="acme-editor""#), "{html}");
}

#[tokio::test]
async fn ended_sessions_ask_for_the_password_again() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);
    browser.log_in(&request("acme"), "acme-admin").await.app();

    auth0.end_sessions();

    let (_, url, _) = browser.authorize(&request("acme")).await.page();
    assert_eq!(url.path(), "/u/login");
}

#[tokio::test]
async fn the_provider_can_go_away_and_come_back_in_the_middle_of_a_login() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);
    let (_, _, html) = browser.authorize(&request("acme")).await.page();

    tokio::time::timeout(Duration::from_secs(5), auth0.stop()).await.unwrap();
    let down = browser::http().get(format!("{}.well-known/jwks.json", auth0.issuer())).send().await;
    auth0.resume().await.unwrap();

    assert!(down.unwrap_err().is_connect());
    let login = [("username", "acme-admin"), ("password", samples::PASSWORD)];
    assert!(browser.submit("/u/login", &html, &login).await.app().contains_key("code"));
}
