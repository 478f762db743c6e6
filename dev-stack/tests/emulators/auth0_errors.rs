//! What the provider answers to an application's mistakes, in Auth0's words.

use std::time::Duration;

use dev_stack::{Auth0, Auth0Options, samples};
use reqwest::StatusCode;
use serde_json::json;

use crate::browser::{self, APP, Browser, exchange, request, token, with};

#[tokio::test]
async fn a_request_without_a_trusted_destination_ends_on_a_page_and_goes_nowhere() {
    let auth0 = browser::auth0().await;
    let evil = "http://evil.example/<b>";
    let cases = [
        (("client_id", ""), StatusCode::BAD_REQUEST, "Missing required parameter: client_id"),
        (("client_id", "nobody"), StatusCode::BAD_REQUEST, "Unknown client: nobody"),
        (("redirect_uri", ""), StatusCode::BAD_REQUEST, "Missing required parameter: redirect_uri"),
        (("redirect_uri", evil), StatusCode::FORBIDDEN, "Callback URL mismatch."),
    ];

    for (change, expected, text) in cases {
        let landed = Browser::new(&auth0).authorize(&with(request("acme"), &[change])).await;
        let (status, _, html) = landed.page();
        assert_eq!(status, expected, "{change:?}");
        assert!(html.contains(text) && !html.contains("<b>"), "{html}");
    }
}

#[tokio::test]
async fn other_mistakes_go_back_to_the_application_with_its_state() {
    let auth0 = browser::auth0().await;
    let cases = [
        (("response_type", ""), "invalid_request", "Missing required parameter: response_type"),
        (
            ("response_type", "token"),
            "unsupported_response_type",
            "Unsupported response type: token",
        ),
        (("response_mode", "form_post"), "invalid_request", "Unsupported response mode: form_post"),
        (("code_challenge", ""), "invalid_request", "Missing required parameter: code_challenge"),
        (("code_challenge", "short"), "invalid_request", "Invalid code_challenge length"),
        (
            ("code_challenge_method", "plain"),
            "invalid_request",
            "code_challenge_method must be S256",
        ),
        (("audience", "https://x"), "access_denied", "Service not found: https://x"),
        (
            ("organization", "nowhere"),
            "invalid_request",
            "parameter organization is invalid: organization nowhere does not exist",
        ),
        (("invitation", "made-up"), "invalid_request", "invitation not found or already used"),
        (("prompt", "none"), "login_required", "Login required"),
    ];

    for (change, error, description) in cases {
        let landed = Browser::new(&auth0).authorize(&with(request("acme"), &[change])).await;
        let back = landed.app();
        assert_eq!(back["error"], error, "{change:?}");
        assert_eq!(back["error_description"], description);
        assert_eq!(back["state"], "the state & more");
    }
}

#[tokio::test]
async fn who_is_not_a_member_is_sent_back_with_access_denied() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);

    let after_login = browser.log_in(&request("globex"), "acme-admin").await.app();
    let with_session = browser.authorize(&request("globex")).await.app();

    let id = "auth0|5f7c8ec7c33c6c004bbafe01";
    let expected = format!("user {id} is not part of the {} organization", samples::GLOBEX);
    for back in [after_login, with_session] {
        assert_eq!(back["error"], "access_denied");
        assert_eq!(back["error_description"], expected);
        assert_eq!(back["state"], "the state & more");
    }
}

#[tokio::test]
async fn a_silent_request_that_would_have_to_ask_for_the_organization_is_refused() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);
    browser.log_in(&request("acme"), "acme-admin").await.app();

    let silent = with(request("acme"), &[("prompt", "none")]);
    assert!(browser.authorize(&silent).await.app().contains_key("code"));
    let nameless = with(request(""), &[("prompt", "none")]);
    assert_eq!(browser.authorize(&nameless).await.app()["error"], "interaction_required");
}

/// A code of a finished login.
async fn code(auth0: &Auth0) -> String {
    let back = Browser::new(auth0).log_in(&request("acme"), "acme-admin").await;
    back.app().remove("code").unwrap()
}

fn changed<'a>(form: &[(&'a str, &'a str)], name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    form.iter()
        .map(|&(known, old)| (known, if known == name { value } else { old }))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

#[tokio::test]
async fn a_code_is_refused_with_a_wrong_verifier_or_redirect_uri_and_is_spent_by_the_attempt() {
    let auth0 = browser::auth0().await;
    let cases = [
        ("code_verifier", "another-verifier", "Failed to verify code verifier"),
        ("code_verifier", "", "Failed to verify code verifier"),
        (
            "redirect_uri",
            "http://localhost:3000/other",
            "The redirect URI is wrong. You sent http://localhost:3000/other, and we expected \
             http://localhost:3000/auth/callback",
        ),
    ];

    for (name, value, description) in cases {
        let code = code(&auth0).await;
        let form = exchange(&code);
        let (status, body) = token(&auth0, &changed(&form, name, value)).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(body, json!({ "error": "invalid_grant", "error_description": description }));
        let (status, body) = token(&auth0, &form).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(body["error_description"], "Invalid authorization code");
    }
}

#[tokio::test]
async fn a_code_used_twice_takes_its_refresh_token_with_it() {
    let auth0 = browser::auth0().await;
    let lasting = with(request("acme"), &[("scope", "openid offline_access")]);
    let back = Browser::new(&auth0).log_in(&lasting, "acme-admin").await.app();
    let (_, tokens) = token(&auth0, &exchange(&back["code"])).await;

    let (status, body) = token(&auth0, &exchange(&back["code"])).await;

    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(body["error"], "invalid_grant");
    let (status, body) = token(&auth0, &refresh(&tokens)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(body["error_description"], "Unknown or invalid refresh token.");
}

fn refresh(tokens: &serde_json::Value) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "refresh_token"),
        ("client_id", samples::WEB_CLIENT_ID),
        ("client_secret", samples::WEB_CLIENT_SECRET),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ]
}

#[tokio::test]
async fn a_refresh_token_rotates_and_its_reuse_ends_the_family() {
    let auth0 = browser::auth0().await;
    let lasting = with(request("acme"), &[("scope", "openid profile offline_access")]);
    let back = Browser::new(&auth0).log_in(&lasting, "acme-admin").await.app();
    let (_, first) = token(&auth0, &exchange(&back["code"])).await;

    let (status, second) = token(&auth0, &refresh(&first)).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let (status, _) = token(&auth0, &refresh(&first)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = token(&auth0, &refresh(&second)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_code_that_is_too_old_is_refused() {
    let options = Auth0Options { code_lifetime: Duration::ZERO, ..Auth0Options::sample(APP) };
    let auth0 = Auth0::start(options).await.unwrap();
    let code = code(&auth0).await;

    let (status, body) = token(&auth0, &exchange(&code)).await;

    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(body["error_description"], "Invalid authorization code");
}

#[tokio::test]
async fn the_token_endpoint_refuses_clients_and_grants_in_auth0s_words() {
    let auth0 = browser::auth0().await;
    let code = code(&auth0).await;
    let form = exchange(&code);
    let machine = [
        ("grant_type", "authorization_code"),
        ("client_id", samples::ACME_MACHINE),
        ("client_secret", samples::MACHINE_SECRET),
        ("code", code.as_str()),
    ];
    let cases = [
        (changed(&form, "client_secret", "wrong"), 401, "access_denied", "Unauthorized"),
        (changed(&form, "client_secret", ""), 401, "access_denied", "Unauthorized"),
        (changed(&form, "client_id", "nobody"), 401, "access_denied", "Unauthorized"),
        (changed(&form, "client_id", ""), 401, "invalid_client", "Missing client_id"),
        (
            changed(&form, "grant_type", ""),
            400,
            "invalid_request",
            "Missing required parameter: grant_type",
        ),
        (
            changed(&form, "grant_type", "password"),
            403,
            "unsupported_grant_type",
            "Unsupported grant type: password",
        ),
        (
            machine.to_vec(),
            403,
            "unauthorized_client",
            "Grant type 'authorization_code' not allowed for the client.",
        ),
    ];

    for (form, expected, error, description) in cases {
        let (status, body) = token(&auth0, &form).await;
        assert_eq!(status, expected, "{form:?}");
        assert_eq!(body, json!({ "error": error, "error_description": description }));
    }
    // None of them spent the code.
    assert_eq!(token(&auth0, &form).await.0, StatusCode::OK);
}

#[tokio::test]
async fn client_credentials_are_for_granted_organizations_and_scopes_alone() {
    let auth0 = browser::auth0().await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", samples::ACME_MACHINE),
        ("client_secret", samples::MACHINE_SECRET),
        ("audience", samples::AUDIENCE),
        ("organization", "acme"),
        ("scope", "records:read"),
    ];
    let cases = [
        ("audience", "", 403, "access_denied"),
        ("audience", "https://x", 403, "access_denied"),
        ("organization", "", 400, "invalid_request"),
        ("organization", "globex", 403, "access_denied"),
        ("organization", "nowhere", 403, "access_denied"),
        ("scope", "records:read forms:manage", 403, "access_denied"),
        ("client_secret", "wrong", 401, "access_denied"),
    ];

    for (name, value, expected, error) in cases {
        let (status, body) = token(&auth0, &changed(&form, name, value)).await;
        assert_eq!(status, expected, "{name}={value}: {body}");
        assert_eq!(body["error"], error, "{name}={value}: {body}");
    }
    assert_eq!(token(&auth0, &form).await.0, StatusCode::OK);
}
