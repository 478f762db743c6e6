//! Who is let in, and to what.

use std::time::Duration;

use dev_stack::auth0::{Endpoint, FailureMode};
use records_proto::v1::{self as pb, records_service_client::RecordsServiceClient};
use serde_json::json;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::app::{TestApp, reason};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reads_and_does_not_create() {
    let app = TestApp::start().await;
    let viewer = app.user("acme-viewer", "acme");

    let status = viewer.create(&[]).await.unwrap_err();

    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "PERMISSION_DENIED")
    );
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["permission"], "records:create");
    assert!(viewer.list(0, "").await.is_ok());
    assert_eq!(viewer.events(0, "").await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_a_good_token_of_an_organization() {
    let app = TestApp::start().await;
    let claims = app.auth0.user_claims("acme-admin", "acme").unwrap();
    let header = app.auth0.header();
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        app.auth0.sign(&header, &claims)
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        app.auth0.sign(&header, &claims)
    };
    let good = app.auth0.sign(&header, &claims);
    assert!(app.with_token(&good).list(0, "").await.is_ok());
    let id_token = app.auth0.id_token_claims("acme-admin", "acme").unwrap();
    let flipped = if good.ends_with('A') { "B" } else { "A" };

    let refused = [
        ("no token", String::new()),
        ("nonsense", "abc".to_owned()),
        (
            "a changed signature",
            format!("{}{flipped}{}", &good[..good.len() - 10], &good[good.len() - 9..]),
        ),
        ("expired", with("exp", json!(1_700_000_000))),
        ("not valid yet", with("nbf", json!(4_000_000_000_u64))),
        ("no expiry", without("exp")),
        ("no subject", without("sub")),
        ("another issuer", with("iss", json!("https://evil.example/"))),
        (
            "the issuer without its slash",
            with("iss", json!(app.auth0.issuer().trim_end_matches('/'))),
        ),
        ("a list of issuers", with("iss", json!([app.auth0.issuer()]))),
        ("another audience", with("aud", json!("https://other.example/api"))),
        ("no audience", without("aud")),
        ("no organization", without("org_id")),
        ("an odd organization", with("org_id", json!("org_acme#x"))),
        ("an organization that is no text", with("org_id", json!(["org_acme"]))),
        ("permissions that are null", with("permissions", json!(null))),
        ("an ID token", app.auth0.sign(&header, &id_token)),
        ("an ID token for our audience", with("nonce", json!("n"))),
    ];
    for (what, token) in refused {
        let status = app.with_token(&token).list(0, "").await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unauthenticated, "UNAUTHENTICATED"),
            "{what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_any_authorization_is_unauthenticated() {
    let app = TestApp::start().await;
    let mut anonymous = RecordsServiceClient::new(app.channel.clone());

    let status = anonymous.list_records(pb::ListRecordsRequest::default()).await.unwrap_err();

    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_recorded_as_one() {
    let app = TestApp::start().await;
    let token = app.auth0.machine_token("acme-machine", "acme").unwrap();

    let creator = app.with_token(&token).create(&[]).await.unwrap().creator.unwrap();

    assert_eq!(creator.kind(), pb::ActorKind::Machine);
    assert_eq!(creator.id, "acme-machine@clients");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_without_logging_anybody_out() {
    let app = TestApp::start().await;
    let before = app.user("acme-admin", "acme");
    before.list(0, "").await.unwrap();

    app.auth0.rotate_keys().unwrap();
    let after = app.user("acme-admin", "acme");

    assert!(before.list(0, "").await.is_ok());
    assert!(after.list(0, "").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_are_asked_for_once_in_a_while_only() {
    let app = TestApp::start().await;
    app.user("acme-admin", "acme").list(0, "").await.unwrap();
    let mut header = app.auth0.header();
    let claims = app.auth0.user_claims("acme-admin", "acme").unwrap();
    header["kid"] = json!("no such key");
    let unknown = app.with_token(&app.auth0.sign(&header, &claims));
    assert_eq!(unknown.list(0, "").await.unwrap_err().code(), Code::Unauthenticated);

    // The one fetch of this half minute is spent, so a key that the issuer really has made since
    // then is unknown as well, and the issuer is spared.
    app.auth0.rotate_keys().unwrap();
    let rotated = app.user("acme-admin", "acme").list(0, "").await.unwrap_err();

    assert_eq!(rotated.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_issuer_is_unavailable_and_known_keys_serve_on() {
    let mut app = TestApp::start().await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let other = app.auth0.user_token("acme-viewer", "acme").unwrap();
    app.with_token(&token).list(0, "").await.unwrap();

    app.auth0.stop().await;

    assert!(app.with_token(&other).list(0, "").await.is_ok());
    app.kill_and_restart().await;
    let status = app.with_token(&token).list(0, "").await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "UNAVAILABLE"));
    let details = status.get_error_details();
    assert!(details.retry_info().unwrap().retry_delay.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_is_named_as_such() {
    let app = TestApp::start().await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    app.auth0.fail(Endpoint::Jwks, FailureMode::Delay(Duration::from_secs(20)));
    let mut request = Request::new(pb::ListRecordsRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request.set_timeout(Duration::from_secs(2));

    let status = RecordsServiceClient::new(app.channel.clone()).list_records(request).await;

    let status = status.unwrap_err();
    let expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_does_not_end_the_fetch_of_keys_for_the_others() {
    let app = TestApp::start().await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    app.auth0.fail(Endpoint::Jwks, FailureMode::Delay(Duration::from_secs(1)));
    let mut hasty = Request::new(pb::ListRecordsRequest::default());
    hasty.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    hasty.set_timeout(Duration::from_millis(300));
    let refused = RecordsServiceClient::new(app.channel.clone()).list_records(hasty).await;
    assert!(refused.is_err());

    // The issuer dies as soon as it has answered the one fetch that is under way.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    app.auth0.fail(Endpoint::Jwks, FailureMode::Status(500));

    assert!(app.with_token(&token).list(0, "").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_permissions_has_the_defaults_of_a_person_or_the_scope_of_a_machine() {
    let app = TestApp::start_with(&[("DEFAULT_PERMISSIONS", "")]).await;
    let without_permissions = |mut claims: serde_json::Value, scope: &str| {
        claims.as_object_mut().unwrap().remove("permissions");
        claims["scope"] = json!(scope);
        app.with_token(&app.auth0.sign(&app.auth0.header(), &claims))
    };
    let person = app.auth0.user_claims("acme-admin", "acme").unwrap();
    let machine = app.auth0.machine_claims("acme-machine", "acme").unwrap();

    let person = without_permissions(person, "openid records:read");
    let machine = without_permissions(machine, "records:read");

    assert_eq!(person.list(0, "").await.unwrap_err().code(), Code::PermissionDenied);
    assert!(machine.list(0, "").await.is_ok());
    assert_eq!(machine.create(&[]).await.unwrap_err().code(), Code::PermissionDenied);
}
