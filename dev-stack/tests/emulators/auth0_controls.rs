//! What a test or a developer does to the provider: keys, failures, members, lifetimes.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use dev_stack::{
    auth0::{Endpoint, FailureMode},
    samples,
};
use reqwest::{StatusCode, header::ORIGIN};
use serde_json::{Value, json};

use crate::browser::{self, Browser, exchange, http, request, token, verified};

#[tokio::test]
async fn a_rotated_key_stays_published_until_it_is_revoked() {
    let auth0 = browser::auth0().await;
    let old = auth0.user_token("acme-admin", "acme").unwrap();

    auth0.rotate_keys().unwrap();
    let new = auth0.user_token("acme-admin", "acme").unwrap();

    verified(&auth0, &old, samples::AUDIENCE).await;
    verified(&auth0, &new, samples::AUDIENCE).await;
    assert_ne!(kid(&old), kid(&new));
    auth0.revoke_old_keys().unwrap();
    let published = auth0.jwks()["keys"].as_array().unwrap().clone();
    assert_eq!(published.len(), 1);
    assert_eq!(published[0]["kid"], json!(kid(&new)));
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn tokens_can_be_made_for_people_and_programs_and_bent_in_any_way() {
    let auth0 = browser::auth0().await;

    let machine = auth0.machine_token("acme-machine", "acme").unwrap();
    let claims = verified(&auth0, &machine, samples::AUDIENCE).await;
    assert_eq!(claims["gty"], "client-credentials");

    let mut bent = auth0.user_claims("acme-admin", "acme").unwrap();
    bent["org_id"] = json!("org_other");
    let bent = auth0.sign(&auth0.header(), &bent);
    assert_eq!(verified(&auth0, &bent, samples::AUDIENCE).await["org_id"], "org_other");

    assert!(auth0.user_token("nobody", "acme").is_err());
    assert!(auth0.user_token("acme-admin", "globex").is_err());
    assert!(auth0.machine_token("acme-machine", "globex").is_err());
    let id = auth0.id_token_claims("acme-admin", "acme").unwrap();
    assert_eq!(id["aud"], samples::WEB_CLIENT_ID);
}

#[tokio::test]
async fn every_endpoint_can_fail_and_recover() {
    let auth0 = browser::auth0().await;
    let jwks = format!("{}.well-known/jwks.json", auth0.issuer());
    let status = async |url: &str| http().get(url).send().await.unwrap().status();

    auth0.fail(Endpoint::Jwks, FailureMode::Status(500));
    assert_eq!(status(&jwks).await, StatusCode::INTERNAL_SERVER_ERROR);
    auth0.fail(Endpoint::Jwks, FailureMode::Delay(Duration::from_millis(200)));
    let started = Instant::now();
    assert_eq!(status(&jwks).await, StatusCode::OK);
    assert!(started.elapsed() >= Duration::from_millis(200));
    auth0.fail(Endpoint::Jwks, FailureMode::Hold);
    let mut held = pin!(status(&jwks));
    let asked = async {
        while auth0.requests(Endpoint::Jwks) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    tokio::select! {
        answer = &mut held => panic!("{answer} was not held"),
        () = asked => auth0.recover(),
    }
    assert_eq!(held.await, StatusCode::OK);
    let denied = |error: &str| FailureMode::OAuthError {
        error: error.to_owned(),
        description: "on demand".to_owned(),
    };
    auth0.fail(Endpoint::Authorize, denied("temporarily_unavailable"));
    let back = Browser::new(&auth0).authorize(&request("acme")).await.app();
    assert_eq!(back["error"], "temporarily_unavailable");
    auth0.fail(Endpoint::Token, denied("access_denied"));
    let (refused, body) = token(&auth0, &exchange("code")).await;
    assert_eq!((refused, &body["error"]), (StatusCode::FORBIDDEN, &json!("access_denied")));

    auth0.recover();
    Browser::new(&auth0).authorize(&request("acme")).await.page();
}

#[tokio::test]
async fn a_removed_member_gets_no_more_codes_or_tokens() {
    let auth0 = browser::auth0().await;
    let browser = Browser::new(&auth0);
    browser.log_in(&request("acme"), "acme-editor").await.app();

    auth0.remove_member("acme-editor", "acme").unwrap();

    assert_eq!(browser.authorize(&request("acme")).await.app()["error"], "access_denied");
    assert!(auth0.user_token("acme-editor", "acme").is_err());
    auth0.add_member("acme-editor", "acme", &["records:read"]).unwrap();
    assert!(browser.authorize(&request("acme")).await.app().contains_key("code"));
}

#[tokio::test]
async fn tokens_can_be_made_to_expire_soon() {
    let auth0 = browser::auth0().await;

    auth0.set_token_lifetime(Duration::from_secs(5));

    let claims = auth0.user_claims("acme-admin", "acme").unwrap();
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 5);
}

#[tokio::test]
async fn a_developer_has_the_same_controls_by_hand() {
    let auth0 = browser::auth0().await;
    let act = async |action: &str, form: &[(&str, &str)]| {
        let url = format!("{}local/{action}", auth0.issuer());
        let response = http().post(url).form(form).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };

    let (status, invitation) = act("invite", &[("organization", "acme")]).await;
    assert_eq!(status, StatusCode::OK);
    let link = invitation["result"].as_str().unwrap();
    assert!(link.starts_with("http://localhost:3000/auth/login?invitation="), "{link}");
    act("expire-invitations", &[]).await;
    let (_, ticket) = link.split_once("invitation=").unwrap();
    let ticket = ticket.split('&').next().unwrap();
    let expired = browser::with(request("acme"), &[("invitation", ticket)]);
    let back = Browser::new(&auth0).authorize(&expired).await.app();
    assert_eq!(back["error_description"], "invitation not found or already used");
    let old = auth0.header();
    act("rotate-keys", &[]).await;
    assert_ne!(auth0.header(), old);
    act("remove-member", &[("username", "acme-viewer"), ("organization", "acme")]).await;
    assert!(auth0.user_token("acme-viewer", "acme").is_err());
    act("fail", &[("endpoint", "token"), ("status", "503")]).await;
    let url = format!("{}oauth/token", auth0.issuer());
    assert_eq!(http().post(url).send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    act("recover", &[]).await;
    act("token-lifetime", &[("seconds", "7")]).await;
    let claims = auth0.user_claims("acme-admin", "acme").unwrap();
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 7);
    for wrong in [("invite", vec![]), ("fail", vec![("endpoint", "moon")])] {
        assert_eq!(act(wrong.0, &wrong.1).await.0, StatusCode::BAD_REQUEST);
    }
    let (status, _, page) = Browser::new(&auth0).open("/local").await.page();
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("Local Auth0 (development)") && page.contains("globex-admin"));
}

#[tokio::test]
async fn other_sites_and_names_do_not_reach_the_local_controls() {
    let auth0 = browser::auth0().await;
    let url = format!("{}local/end-sessions", auth0.issuer());
    let own = auth0.issuer().trim_end_matches('/').to_owned();

    let status = async |header: &str, value: &str| {
        let request = http().post(&url).header(header, value);
        request.send().await.unwrap().status()
    };

    assert_eq!(status(ORIGIN.as_str(), &own).await, StatusCode::OK);
    assert_eq!(status(ORIGIN.as_str(), "http://evil.example").await, StatusCode::FORBIDDEN);
    assert_eq!(status(ORIGIN.as_str(), "null").await, StatusCode::FORBIDDEN);
    assert_eq!(status("host", "evil.example:4000").await, StatusCode::FORBIDDEN);
}
