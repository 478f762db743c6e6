//! Lists of large records: a megabyte each, and hundreds at a time would be more than a process has.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all, stream};
use http::Response;
use hyper::body::Incoming;
use records_proto::v1 as pb;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    app::{Client, TestApp, reason, text},
    wire::{LIST_RECORDS, Wire, framed},
};

const IN_FLIGHT: &str = "grpc_server_requests_in_flight";
const LIMITED: &str = "grpc_server_requests_limited_total{by=\"places\"}";
const SHED: &str = "grpc_server_requests_shed_total";
/// A list ends with 1 MB, which is so many of these. Notes may have 100,000 characters, which is less
/// if each is one byte.
const NOTE: &str = "é";
const NOTES_BYTES: usize = 120 * 1024;
const IN_A_LIST: usize = 8;
/// How many large ones of one organization may be untaken, of twice as many.
const LARGE_OF_ONE: usize = 16;

/// A system with the tokens of people of three organizations, each of which has more large records than
/// a list has room for.
async fn with_large_records() -> (TestApp, [String; 3]) {
    let app = TestApp::start().await;
    let tokens = ["org_acme", "org_globex", "org_initech"].map(|organization| {
        let mut claims = app.auth0.user_claims("acme-admin", "acme").unwrap();
        claims["org_id"] = json!(organization);
        app.auth0.sign(&app.auth0.header(), &claims)
    });
    for token in &tokens {
        let client = app.with_token(token);
        let notes = NOTE.repeat(NOTES_BYTES / NOTE.len());
        for _ in 0..=IN_A_LIST {
            client.create(&[("notes", text(&notes))]).await.unwrap();
        }
    }
    (app, tokens)
}

/// Asks for a large list of which nothing is taken. The call has as long as a call may have.
async fn untaken(wire: &Wire, token: &str) -> Result<Response<Incoming>, Status> {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("grpc-timeout", "60S")];
    let all = framed(&pb::ListRecordsRequest::default());
    wire.unread_call(LIST_RECORDS, &headers, all.into()).await
}

/// As many as are kept of one organization, with their connection: a few are asked for at a time, so
/// that DynamoDB is not what they wait for.
async fn all_kept(app: &TestApp, token: &str) -> (Wire, Vec<Response<Incoming>>) {
    let wire = Wire::connect_taking(&app.serve.address, 0).await;
    let lists = (0..LARGE_OF_ONE).map(|_| kept(&wire, token));
    let lists = stream::iter(lists).buffered(4).collect().await;
    (wire, lists)
}

/// One of them, asked for again where DynamoDB did not answer in time, as on a slow machine.
async fn kept(wire: &Wire, token: &str) -> Response<Incoming> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = untaken(wire, token).await.unwrap();
        // An error would be in its headers.
        let Some(status) = Status::from_header_map(answer.headers()) else { return answer };
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(Instant::now() < deadline, "{status:?}");
    }
}

/// Asserts that a large list, and none that is small, is turned away for this reason.
async fn assert_large_lists_alone_are_turned_away(client: &Client, because: &str) {
    let large = client.list(0, "").await.unwrap_err();
    let small = client.list(1, "").await.unwrap();

    assert_eq!((large.code(), reason(&large).as_str()), (Code::ResourceExhausted, because));
    let delay = large.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| !delay.is_zero()), "{delay:?}");
    assert_eq!(small.records.len(), 1);
    assert!(client.get(&small.records[0].name).await.is_ok());
}

async fn assert_has_room(client: &Client) {
    assert_eq!(client.list(0, "").await.unwrap().records.len(), IN_A_LIST);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_lists_that_one_organization_does_not_take_are_in_no_others_way() {
    let (app, [acme, globex, _]) = with_large_records().await;

    for (one, other) in [(&acme, &globex), (&globex, &acme)] {
        let (of_one, of_other) = (app.with_token(one), app.with_token(other));
        let (wire, _lists) = all_kept(&app, one).await;

        assert_large_lists_alone_are_turned_away(&of_one, "OVER_SHARE").await;
        assert_has_room(&of_other).await;

        wire.cut();
        app.serve.wait_for(IN_FLIGHT, 0.0).await;
        assert_has_room(&of_one).await;
    }
    assert_eq!(app.serve.metric(LIMITED).await, Some(2.0));
    assert_eq!(app.serve.metric(SHED).await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_large_lists_as_are_kept_stop_no_small_one() {
    let (app, tokens) = with_large_records().await;
    let clients = tokens.each_ref().map(|token| app.with_token(token));

    let kept = join_all(tokens[..2].iter().map(|token| all_kept(&app, token))).await;
    for (client, because) in clients.iter().zip(["OVER_SHARE", "OVER_SHARE", "FULL"]) {
        assert_large_lists_alone_are_turned_away(client, because).await;
    }

    let metrics = app.serve.metrics().await;
    assert_eq!((metrics.get(LIMITED), metrics.get(SHED)), (Some(2.0), Some(1.0)));
    // What is counted there is not counted as a failure as well.
    assert!(!metrics.text().contains("code=\"RESOURCE_EXHAUSTED\""));
    for (wire, _lists) in kept {
        wire.cut();
    }
    app.serve.wait_for(IN_FLIGHT, 0.0).await;
    for client in &clients {
        assert_has_room(client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_large_lists_as_there_are_places_take_little_memory() {
    let (app, [acme, globex, _]) = with_large_records().await;
    let before = app.serve.most_memory_mib();

    // Both have as many places as they may.
    let flood = async |token| {
        let wire = Wire::connect_taking(&app.serve.address, 0).await;
        let lists = (0..128).map(|_| untaken(&wire, token));
        let lists: Vec<_> = stream::iter(lists).buffered(8).collect().await;
        (wire, lists)
    };
    tokio::join!(flood(&acme), flood(&globex));

    let more = app.serve.most_memory_mib() - before;
    eprintln!("{more} MiB more than the {before} of before");
    assert!(more < 128, "{more} MiB");
}
