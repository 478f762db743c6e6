//! What is in discovery, in the tokens and behind the userinfo endpoint.

use dev_stack::{Auth0, Auth0Options, auth0::Api, samples};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::browser::{self, APP, Browser, exchange, http, request, token, verified, with};

async fn login(auth0: &Auth0, request: &[(String, String)], username: &str) -> Value {
    let back = Browser::new(auth0).log_in(request, username).await.app();
    let (status, tokens) = token(auth0, &exchange(&back["code"])).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    tokens
}

fn names(claims: &Value) -> Vec<&str> {
    let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn discovery_is_as_auth0s_with_the_slash_and_hs256() {
    let auth0 = browser::auth0().await;
    let issuer = auth0.issuer();
    assert_eq!(issuer, format!("http://localhost:{}/", auth0.port()));

    let url = format!("{issuer}.well-known/openid-configuration");
    let document: Value = http().get(url).send().await.unwrap().json().await.unwrap();

    assert_eq!(document["issuer"], issuer);
    assert_eq!(document["end_session_endpoint"], format!("{issuer}oidc/logout"));
    assert_eq!(document["jwks_uri"], format!("{issuer}.well-known/jwks.json"));
    let algorithms = document["id_token_signing_alg_values_supported"].as_array().unwrap();
    assert!(algorithms.contains(&json!("RS256")) && algorithms.contains(&json!("HS256")));
    for key in auth0.jwks()["keys"].as_array().unwrap() {
        assert_eq!(names(key), ["alg", "e", "kid", "kty", "n", "use"]);
    }
}

#[tokio::test]
async fn a_persons_access_token_says_who_where_and_what_they_may() {
    let auth0 = browser::auth0().await;
    let scope = "openid profile email records:read records:create forms:manage nonsense";

    let tokens = login(&auth0, &with(request("acme"), &[("scope", scope)]), "acme-editor").await;

    let token = tokens["access_token"].as_str().unwrap();
    let claims = verified(&auth0, token, samples::AUDIENCE).await;
    assert_eq!(
        names(&claims),
        [
            "aud",
            "azp",
            "exp",
            samples::NAME_CLAIM,
            "iat",
            "iss",
            "org_id",
            "org_name",
            "permissions",
            "scope",
            "sub"
        ]
    );
    assert_eq!(claims["aud"], json!([samples::AUDIENCE, format!("{}userinfo", auth0.issuer())]));
    assert_eq!(claims["sub"], "auth0|5f7c8ec7c33c6c004bbafe02");
    assert_eq!(claims[samples::NAME_CLAIM], "Eddie Editor");
    assert_eq!((&claims["org_id"], &claims["org_name"]), (&json!(samples::ACME), &json!("acme")));
    assert_eq!(claims["azp"], samples::WEB_CLIENT_ID);
    // With RBAC nobody gets a scope beyond their permissions.
    assert_eq!(claims["scope"], "openid profile email records:read records:create");
    assert_eq!(tokens["scope"], claims["scope"]);
    let expected = ["records:read", "records:create", "records:update", "records:delete"];
    assert_eq!(claims["permissions"], json!(expected));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 86400);
    let direct = auth0.user_claims("acme-editor", "acme").unwrap();
    assert_eq!(names(&direct), names(&claims));
}

#[tokio::test]
async fn an_id_token_is_as_auth0_makes_it() {
    let auth0 = browser::auth0().await;

    let plain = login(&auth0, &request("acme"), "acme-admin").await;
    let aged = login(&auth0, &with(request("acme"), &[("max_age", "60")]), "acme-admin").await;
    let scant = login(&auth0, &with(request("acme"), &[("scope", "openid")]), "acme-admin").await;

    let id = |tokens: &Value| tokens["id_token"].as_str().unwrap().to_owned();
    let claims = verified(&auth0, &id(&plain), samples::WEB_CLIENT_ID).await;
    assert_eq!(
        names(&claims),
        [
            "aud",
            "email",
            "email_verified",
            "exp",
            "iat",
            "iss",
            "name",
            "nickname",
            "nonce",
            "org_id",
            "org_name",
            "sid",
            "sub",
            "updated_at"
        ]
    );
    assert_eq!(claims["aud"], samples::WEB_CLIENT_ID);
    assert_eq!(claims["name"], "Ada Admin");
    let updated_at = claims["updated_at"].as_str().unwrap();
    assert_eq!((updated_at.len(), &updated_at[23..]), (24, "Z"), "{updated_at}");
    let claims = verified(&auth0, &id(&aged), samples::WEB_CLIENT_ID).await;
    assert!(claims["auth_time"].is_i64());
    let claims = verified(&auth0, &id(&scant), samples::WEB_CLIENT_ID).await;
    assert_eq!(claims.get("name"), None);
}

#[tokio::test]
async fn a_machine_token_is_for_one_organization() {
    let auth0 = browser::auth0().await;
    let form = [
        ("grant_type", "client_credentials"),
        ("audience", samples::AUDIENCE),
        ("organization", samples::GLOBEX),
    ];

    let url = format!("{}oauth/token", auth0.issuer());
    let request = http().post(url).form(&form);
    let request = request.basic_auth(samples::GLOBEX_MACHINE, Some(samples::MACHINE_SECRET));
    let tokens: Value = request.send().await.unwrap().json().await.unwrap();

    let token = tokens["access_token"].as_str().unwrap();
    let claims = verified(&auth0, token, samples::AUDIENCE).await;
    assert_eq!(
        names(&claims),
        [
            "aud",
            "azp",
            "exp",
            "gty",
            "iat",
            "iss",
            "org_id",
            "org_name",
            "permissions",
            "scope",
            "sub"
        ]
    );
    assert_eq!(claims["aud"], samples::AUDIENCE);
    assert_eq!(claims["sub"], "globex-machine@clients");
    assert_eq!(claims["gty"], "client-credentials");
    assert_eq!(claims["org_id"], samples::GLOBEX);
    assert_eq!(claims["permissions"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn the_token_endpoint_takes_json_too() {
    let auth0 = browser::auth0().await;
    let body = json!({
        "grant_type": "client_credentials",
        "client_id": samples::ACME_MACHINE,
        "client_secret": samples::MACHINE_SECRET,
        "audience": samples::AUDIENCE,
        "organization": "acme",
    });

    let url = format!("{}oauth/token", auth0.issuer());
    let response = http().post(url).json(&body).send().await.unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn a_tenant_without_rbac_says_nothing_of_permissions() {
    let api = Api { rbac: false, ..samples::api() };
    let auth0 = Auth0::start(Auth0Options { api, ..Auth0Options::sample(APP) }).await.unwrap();

    let claims = auth0.user_claims("acme-admin", "acme").unwrap();

    assert_eq!(claims.get("permissions"), None);
}

#[tokio::test]
async fn userinfo_answers_tokens_with_and_without_an_api() {
    let auth0 = browser::auth0().await;
    let for_api = login(&auth0, &request("acme"), "acme-admin").await;
    let opaque = login(&auth0, &with(request("acme"), &[("audience", "")]), "acme-admin").await;
    assert!(!opaque["access_token"].as_str().unwrap().contains('.'));
    let userinfo = |token: Value| {
        let request = http().get(format!("{}userinfo", auth0.issuer()));
        request.bearer_auth(token.as_str().unwrap()).send()
    };

    for tokens in [&for_api, &opaque] {
        let answer = userinfo(tokens["access_token"].clone()).await.unwrap();
        let claims: Value = answer.json().await.unwrap();
        assert_eq!(
            names(&claims),
            ["email", "email_verified", "name", "nickname", "sub", "updated_at"]
        );
    }
    let refused = userinfo(for_api["id_token"].clone()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers().contains_key("www-authenticate"));
}
