//! More calls than may be in flight, callers who are slow, and callers who are nobody.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use dev_stack::auth0::{Endpoint, FailureMode};
use futures_util::stream;
use records_proto::v1::{self as pb, records_service_client::RecordsServiceClient};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_types::StatusExt;

use crate::{
    app::{TestApp, reason},
    wire::{LIST_RECORDS, Wire, framed},
};

const IN_FLIGHT: &str = "grpc_server_requests_in_flight";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_too_many_is_told_at_once_to_come_back_while_health_answers() {
    let app = TestApp::start_with(&[("MAX_IN_FLIGHT", "1")]).await;
    let wire = Wire::connect(&app.serve.address).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let (message, first) = wire.slow_call(&token, LIST_RECORDS);
    app.serve.wait_for(IN_FLIGHT, 1.0).await;

    let started = Instant::now();
    let of_another_organization = app.user("globex-admin", "globex").list(0, "").await;
    let mut stranger = RecordsServiceClient::new(app.channel.clone());
    let of_a_stranger = stranger.list_records(pb::ListRecordsRequest::default()).await;
    let took = started.elapsed();

    // The first call would have been in the way for a minute.
    assert!(took < Duration::from_secs(30), "{took:?}");
    for status in [of_another_organization.unwrap_err(), of_a_stranger.unwrap_err()] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "FULL"));
        let details = status.get_error_details();
        assert!(details.retry_info().unwrap().retry_delay.is_some());
    }
    assert_eq!(app.serve.metric("grpc_server_requests_shed_total").await, Some(2.0));
    assert_eq!(app.serve.metric("grpc_server_requests_limit").await, Some(1.0));
    let health = HealthClient::new(app.channel.clone()).check(HealthCheckRequest::default()).await;
    assert_eq!(health.unwrap().into_inner().status, 1);

    message.send(()).unwrap();

    first.await.unwrap().unwrap();
    app.serve.wait_for(IN_FLIGHT, 0.0).await;
    assert!(app.user("globex-admin", "globex").list(0, "").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_leaves_its_place_to_others() {
    let app = TestApp::start_with(&[("MAX_IN_FLIGHT", "1")]).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();

    // The call is cancelled, and then the connection breaks; its deadline is a minute away.
    let wire = Wire::connect(&app.serve.address).await;
    let (_message, call) = wire.slow_call(&token, LIST_RECORDS);
    app.serve.wait_for(IN_FLIGHT, 1.0).await;
    call.abort();
    app.serve.wait_for(IN_FLIGHT, 0.0).await;
    let (_message, _call) = wire.slow_call(&token, LIST_RECORDS);
    app.serve.wait_for(IN_FLIGHT, 1.0).await;
    wire.cut();
    app.serve.wait_for(IN_FLIGHT, 0.0).await;

    assert!(app.user("globex-admin", "globex").list(0, "").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_is_given_up() {
    let app = TestApp::start().await;
    app.auth0.fail(Endpoint::Jwks, FailureMode::Hold);
    let cancelled = "grpc_server_request_duration_seconds_count{service=\"records.v1.RecordsService\",\
                     method=\"ListRecords\",code=\"CANCELLED\"}";

    // The service waits three seconds for keys: a call that is given up later has ended before.
    let deadline = Instant::now() + Duration::from_secs(30);
    while app.serve.metric(cancelled).await != Some(1.0) {
        assert!(Instant::now() < deadline, "no call is given up");
        let ada = app.user("acme-admin", "acme");
        let call = tokio::spawn(async move { ada.list(0, "").await });
        while !call.is_finished() && app.serve.metric(IN_FLIGHT).await != Some(1.0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        call.abort();
        app.serve.wait_for(IN_FLIGHT, 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_does_not_arrive_ends_with_the_deadline_of_its_call() {
    let app = TestApp::start_with(&[("MAX_IN_FLIGHT", "1")]).await;
    let wire = Wire::connect(&app.serve.address).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let authorization = format!("Bearer {token}");
    let half = stream::iter([Ok::<_, Status>(Bytes::from_static(&[0, 0, 0, 0, 9, 1]))]);
    let half = Body::from_stream(stream::StreamExt::chain(half, stream::pending()));
    let headers = [("authorization", authorization.as_str()), ("grpc-timeout", "300m")];

    let status = wire.call(LIST_RECORDS, &headers, half).await.unwrap().unwrap_err();

    let expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    app.serve.wait_for(IN_FLIGHT, 0.0).await;
    assert!(app.user("globex-admin", "globex").list(0, "").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_not_take_as_long_as_its_call() {
    let app = TestApp::start_with(&[("MAX_IN_FLIGHT", "1")]).await;
    let wire = Wire::connect(&app.serve.address).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let asked = Instant::now();
    let (_message, call) = wire.slow_call(&token, LIST_RECORDS);

    let status = call.await.unwrap().unwrap_err();

    let took = asked.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(30), "{took:?}");
    let expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    app.serve.wait_for(IN_FLIGHT, 0.0).await;
    assert!(app.user("globex-admin", "globex").list(0, "").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_the_contract_keep_no_probe_from_its_answer() {
    let app = TestApp::start().await;
    let reflection = || ServerReflectionClient::new(app.channel.clone());
    let mut asking = Vec::new();
    for _ in 0..32 {
        let stream = reflection().server_reflection_info(stream::pending()).await.unwrap();
        asking.push(stream);
    }

    let too_many = reflection().server_reflection_info(stream::pending()).await.unwrap_err();

    assert_eq!(too_many.code(), Code::ResourceExhausted);
    let health = HealthClient::new(app.channel.clone()).check(HealthCheckRequest::default()).await;
    assert!(health.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_takes_keeps_its_place_and_ends_with_its_connection() {
    let app = TestApp::start_with(&[("MAX_IN_FLIGHT", "4")]).await;
    // Neither organization may have all places.
    let people = [("acme-admin", "acme", [0, 100]), ("globex-admin", "globex", [1, 100])];
    let mut unread = Vec::new();
    for (username, organization, windows) in people {
        app.user(username, organization).create(&[]).await.unwrap();
        let token = app.auth0.user_token(username, organization).unwrap();
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str())];
        for bytes in windows {
            let wire = Wire::connect_taking(&app.serve.address, bytes).await;
            let all = framed(&pb::ListRecordsRequest::default());
            let answer = wire.unread_call(LIST_RECORDS, &headers, all.into()).await.unwrap();
            unread.push((answer, wire));
        }
    }

    for (username, organization, _) in people {
        let refused = app.user(username, organization).list(0, "").await.unwrap_err();
        assert_eq!(reason(&refused), "FULL");
    }
    app.serve.wait_for(IN_FLIGHT, 0.0).await;
    app.serve.wait_for("grpc_server_connections", 1.0).await;
    for (username, organization, _) in people {
        let page = app.user(username, organization).list(0, "").await.unwrap();
        assert_eq!(page.records.len(), 1);
    }
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_anybody_may_ask_is_short_and_little_at_a_time() {
    let app = TestApp::start().await;
    let health = || HealthClient::new(app.channel.clone());
    let long = HealthCheckRequest { service: "x".repeat(5000) };

    let refused = health().check(long).await.unwrap_err();
    let mut watching = Vec::new();
    for _ in 0..256 {
        let watched = health().watch(HealthCheckRequest::default()).await.unwrap();
        watching.push(watched);
    }
    let too_many = health().check(HealthCheckRequest::default()).await.unwrap_err();

    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(too_many.code(), Code::ResourceExhausted);
    assert!(app.user("acme-admin", "acme").list(0, "").await.is_ok());
    drop(watching);
    let deadline = Instant::now() + Duration::from_secs(30);
    while health().check(HealthCheckRequest::default()).await.is_err() {
        assert!(Instant::now() < deadline, "nobody watches any more, and there is no room");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_refusals_take_few_lines_of_the_log_and_are_counted_there() {
    let app = TestApp::start().await;
    let wire = Wire::connect(&app.serve.address).await;
    let started = Instant::now();

    let calls: Vec<_> = (0..500).map(|_| wire.call(LIST_RECORDS, &[], Body::empty())).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unauthenticated);
    }
    let took = started.elapsed();
    // Whatever was left out so far is counted in the next line that is written.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(wire.call(LIST_RECORDS, &[], Body::empty()).await.unwrap().is_err());

    let (mut lines, mut unlogged) = (0, 0);
    while lines + unlogged < 501 {
        let line = app.serve.next_line();
        if line["message"] == "refused" {
            lines += 1;
            unlogged += line["unlogged"].as_u64().unwrap();
        }
    }
    assert_eq!(lines + unlogged, 501);
    assert!(lines <= 50 * (took.as_secs() + 3), "{lines} lines in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_before_their_message_is_read() {
    let app = TestApp::start().await;
    let wire = Wire::connect(&app.serve.address).await;
    // As much as one call may send unread. Whoever reads it waits for the rest until it is too late.
    let begin = stream::iter([Ok::<_, Status>(Bytes::from(vec![0; 64 * 1024]))]);
    let endless = Body::from_stream(stream::StreamExt::chain(begin, stream::pending()));

    let status = wire.call(LIST_RECORDS, &[], endless).await.unwrap().unwrap_err();

    let expected = (Code::Unauthenticated, "UNAUTHENTICATED");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
    assert!(app.user("acme-admin", "acme").list(0, "").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_contract_does_not_have_is_unimplemented_and_named_other() {
    let app = TestApp::start().await;
    let wire = Wire::connect(&app.serve.address).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let unknown = ["/records.v1.RecordsService/Nothing", "/records.v2.Anything/At/All", "/"];

    for path in unknown {
        let (message, answer) = wire.slow_call(&token, path);
        let status = answer.await.unwrap().unwrap_err();
        drop(message);
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }

    let metrics = app.serve.metrics().await;
    let series = "grpc_server_request_duration_seconds_count{service=\"other\",method=\"other\",\
                  code=\"UNIMPLEMENTED\"}";
    assert_eq!(metrics.get(series), Some(3.0));
    assert!(!metrics.text().contains("Nothing") && !metrics.text().contains("Anything"));
}

async fn assert_serves_on(app: &TestApp, wire: &Wire) {
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let (message, answer) = wire.slow_call(&token, LIST_RECORDS);
    message.send(()).unwrap();
    answer.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_refusals_do_not_cost_a_caller_its_connection() {
    let app = TestApp::start().await;
    let wire = Wire::connect(&app.serve.address).await;

    for _ in 0..3000 {
        let unread = Body::from_stream(stream::pending::<Result<Bytes, Status>>());
        let status = wire.call(LIST_RECORDS, &[], unread).await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    }

    assert_serves_on(&app, &wire).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_on_their_way_to_a_refusal_do_not_cost_a_caller_its_connection() {
    let app = TestApp::start().await;
    let wire = Wire::connect(&app.serve.address).await;

    for _ in 0..100 {
        let mut calls = Vec::new();
        for _ in 0..100 {
            // The message follows the headers so late that the refusal meets it.
            let late = stream::once(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok::<_, Status>(framed(&()))
            });
            calls.push(wire.call(LIST_RECORDS, &[], Body::from_stream(late)));
        }
        for call in calls {
            let status = call.await.unwrap().unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
        }
    }

    assert_serves_on(&app, &wire).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_their_limit_are_refused_and_the_connection_serves_on() {
    let app = TestApp::start().await;
    let wire = Wire::connect(&app.serve.address).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let authorization = format!("Bearer {token}");
    let (long, longest_token) = ("x".repeat(30 * 1024), "x".repeat(16 * 1024));
    let names: Vec<_> = (0..700).map(|number| format!("x-{number}")).collect();
    let one_long = [("authorization", authorization.as_str()), ("x-long", &long)];
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();

    for headers in [&one_long[..], &many] {
        let answer = wire.unread_call(LIST_RECORDS, headers, Body::empty()).await.unwrap();
        assert_eq!(answer.status(), http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }

    // A token may be as long as any that is looked at.
    let authorization_of_nobody = format!("Bearer {longest_token}");
    let headers = [("authorization", authorization_of_nobody.as_str())];
    let refused = wire.call(LIST_RECORDS, &headers, Body::empty()).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_serves_on(&app, &wire).await;
    assert_eq!(app.serve.metric("grpc_server_connections").await, Some(2.0));
}
