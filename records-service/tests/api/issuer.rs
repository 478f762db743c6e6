//! The issuer rotates its keys, is slow, or is down, while calls come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dev_stack::{
    Auth0, Auth0Options,
    auth0::{Endpoint, FailureMode},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use records_proto::v1 as pb;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    app::{TestApp, reason},
    wire::{LIST_RECORDS, Wire, framed},
};

/// A token like no other, which the service cannot remember.
fn fresh_token(app: &TestApp, number: usize) -> String {
    let mut claims = app.auth0.user_claims("acme-admin", "acme").unwrap();
    claims["jti"] = json!(number.to_string());
    app.auth0.sign(&app.auth0.header(), &claims)
}

/// The same under a key that nobody has.
fn token_of_no_key(app: &TestApp, number: usize) -> String {
    let mut header = app.auth0.header();
    header["kid"] = json!(format!("no-such-key-{number}"));
    app.auth0.sign(&header, &app.auth0.user_claims("acme-admin", "acme").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_under_load_and_nobody_is_refused() {
    const CALLERS: usize = 8;
    const ROUNDS: usize = 40;
    let app = TestApp::start().await;
    app.user("acme-admin", "acme").list(1, "").await.unwrap();
    let old: Vec<_> = (0..CALLERS * ROUNDS).map(|number| fresh_token(&app, number)).collect();
    let (app, old, round) = (Arc::new(app), Arc::new(old), Arc::new(AtomicUsize::new(0)));

    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (app, old, round) = (app.clone(), old.clone(), round.clone());
        callers.spawn(async move {
            for _ in 0..ROUNDS {
                let number = round.fetch_add(1, Ordering::SeqCst);
                if number == CALLERS * ROUNDS / 2 {
                    app.auth0.rotate_keys().unwrap();
                }
                let new = fresh_token(&app, CALLERS * ROUNDS + number);
                for token in [&old[number], &new] {
                    app.with_token(token).list(1, "").await.unwrap();
                }
            }
        });
    }
    callers.join_all().await;

    assert_eq!(round.load(Ordering::SeqCst), CALLERS * ROUNDS);
    assert_eq!(app.auth0.requests(Endpoint::Jwks), 2, "at first, and for the new key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_is_one_fetch_and_keeps_nobody_else_out() {
    const ROOM: usize = 48;
    let app = TestApp::start_with(&[("MAX_IN_FLIGHT", &ROOM.to_string())]).await;
    app.user("acme-admin", "acme").list(1, "").await.unwrap();
    let known: Vec<_> = (0..20).map(|number| fresh_token(&app, number)).collect();
    app.auth0.fail(Endpoint::Jwks, FailureMode::Hold);

    // As many as there are places, while the issuer takes its time.
    let mut flood: FuturesUnordered<_> = (0..ROOM)
        .map(|number| {
            let stranger = app.with_token(&token_of_no_key(&app, number));
            async move { stranger.list(1, "").await.unwrap_err().code() }
        })
        .collect();
    let sent_away = flood.next().await.unwrap();
    assert_eq!(sent_away, Code::Unavailable);
    for token in known {
        app.with_token(&token).list(1, "").await.unwrap();
    }
    app.auth0.recover();
    let codes: Vec<_> = flood.collect().await;

    let refused = codes.iter().filter(|code| **code == Code::Unauthenticated).count();
    assert!(
        refused > 0
            && codes
                .iter()
                .all(|code| { matches!(code, Code::Unauthenticated | Code::Unavailable) }),
        "{codes:?}"
    );
    for number in ROOM..5 * ROOM {
        let stranger = app.with_token(&token_of_no_key(&app, number));
        assert_eq!(stranger.list(1, "").await.unwrap_err().code(), Code::Unauthenticated);
    }
    assert_eq!(app.auth0.requests(Endpoint::Jwks), 2, "at first, and one for all of the flood");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_are_asked_for_once_in_a_while_only() {
    let app = TestApp::start().await;
    app.user("acme-admin", "acme").list(0, "").await.unwrap();
    let unknown = app.with_token(&token_of_no_key(&app, 0));
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

    app.auth0.resume().await.unwrap();
    let back = Instant::now();
    while let Err(status) = app.with_token(&token).list(0, "").await {
        assert_eq!(status.code(), Code::Unavailable);
        assert!(back.elapsed() < Duration::from_secs(10), "it does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_fetched_from_where_the_issuer_redirects_to() {
    let app = TestApp::start().await;
    let elsewhere = Auth0::start(Auth0Options::sample("http://localhost:3000")).await.unwrap();
    let address = format!("{}.well-known/jwks.json", elsewhere.issuer());
    app.auth0.fail(Endpoint::Jwks, FailureMode::Redirect(address));

    let status = app.user("acme-admin", "acme").list(0, "").await.unwrap_err();

    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(elsewhere.requests(Endpoint::Jwks), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_an_issuer_that_fails_is_no_reason_to_log_in_again() {
    let app = TestApp::start().await;
    app.user("acme-admin", "acme").list(0, "").await.unwrap();
    app.auth0.rotate_keys().unwrap();
    app.auth0.fail(Endpoint::Jwks, FailureMode::Status(503));
    let rotated = app.user("acme-admin", "acme");

    assert_eq!(rotated.list(0, "").await.unwrap_err().code(), Code::Unavailable);

    app.auth0.recover();
    let back = Instant::now();
    while let Err(status) = rotated.list(0, "").await {
        assert_eq!(status.code(), Code::Unavailable);
        assert!(back.elapsed() < Duration::from_secs(10), "it does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_is_named_as_such() {
    let app = TestApp::start().await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    app.auth0.fail(Endpoint::Jwks, FailureMode::Hold);
    // Without a timer of the client's own, which could be first.
    let wire = Wire::connect(&app.serve.address).await;
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("grpc-timeout", "300m")];
    let all = framed(&pb::ListRecordsRequest::default());

    let status = wire.call(LIST_RECORDS, &headers, all.into()).await.unwrap().unwrap_err();

    let expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_does_not_end_the_fetch_of_keys_for_the_others() {
    let app = TestApp::start().await;
    let hasty = app.user("acme-admin", "acme");
    app.auth0.fail(Endpoint::Jwks, FailureMode::Hold);
    let call = tokio::spawn(async move { hasty.list(0, "").await });
    while app.auth0.requests(Endpoint::Jwks) == 0 {
        assert!(!call.is_finished(), "it is answered without keys");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    call.abort();
    app.serve.wait_for("grpc_server_requests_in_flight", 0.0).await;

    // The issuer dies as soon as it has answered the one fetch that is under way.
    app.auth0.recover();
    let fetched = "provider_fetches_total{document=\"jwks\",outcome=\"ok\"}";
    app.serve.wait_for(fetched, 1.0).await;
    app.auth0.fail(Endpoint::Jwks, FailureMode::Status(500));

    assert!(app.user("acme-admin", "acme").list(0, "").await.is_ok());
}
