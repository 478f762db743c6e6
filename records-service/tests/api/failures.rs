//! Things that we need and that do not answer.

use std::time::{Duration, Instant};

use dev_stack::{Fault, FaultProxy};
use records_proto::v1 as pb;
use tonic::Code;

use crate::{
    app::{Service, TestApp, creation, reason},
    wire::{Wire, framed},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_database_is_unavailable_within_the_deadline_and_comes_back() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let record = ada.create(&[]).await.unwrap();

    app.dynamodb.stop().await;
    let started = std::time::Instant::now();
    let read = ada.get(&record.name).await.unwrap_err();
    let mut request = creation(&[]);
    request.request_id = uuid::Uuid::new_v4().to_string();
    let written = ada.send(request.clone()).await.unwrap_err();

    assert!(started.elapsed().as_secs() < 10);
    for status in [read, written] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "UNAVAILABLE"));
        assert!(!status.message().contains("dispatch"), "{}", status.message());
    }
    app.dynamodb.resume().await.unwrap();
    assert_eq!(ada.get(&record.name).await.unwrap(), record);
    ada.send(request).await.unwrap();
    assert_eq!(ada.list(0, "").await.unwrap().records.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_service_finishes_the_events_it_has_committed() {
    let mut app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    for _ in 0..20 {
        ada.create(&[]).await.unwrap();
    }

    let status = app.serve.terminate();

    assert_eq!(status.code(), Some(0));
    assert_eq!(app.outbox_rows().await, 0);
    app.restart().await;
    assert_eq!(app.user("acme-admin", "acme").trail_of(20).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_time_has_run_out_asks_nothing_more_of_aws() {
    let app = TestApp::start().await;
    let record = app.user("acme-admin", "acme").create(&[]).await.unwrap();
    let proxy = FaultProxy::start(app.dynamodb.port()).await.unwrap();
    let mut command = app.command("serve");
    let serve = Service::start(command.env("AWS_ENDPOINT_URL_DYNAMODB", proxy.url()));
    let wire = Wire::connect(&serve.address).await;
    let token = format!("Bearer {}", app.auth0.user_token("acme-admin", "acme").unwrap());
    let request = framed(&pb::GetRecordRequest { name: record.name });
    let get = async |timeout| {
        let headers = [("authorization", token.as_str()), ("grpc-timeout", timeout)];
        let request = request.clone().into();
        wire.call("/records.v1.RecordsService/GetRecord", &headers, request).await.unwrap()
    };
    // The keys of the issuer, for which the next call has no time.
    get("60S").await.unwrap();
    let before = serve.metrics().await;
    proxy.inject_for("GetItem", Fault::Silence);

    // One attempt has more time than the whole call had. It was given up with it, and is counted as
    // what it was; a second one would be on its way else. On a slow machine the time may have run out
    // before anything was asked for.
    let labels = "service=\"DynamoDB\",operation=\"GetItem\"";
    let ended = format!("aws_call_duration_seconds_count{{{labels},outcome=\"timeout\"}}");
    let deadline = Instant::now() + Duration::from_secs(30);
    let metrics = loop {
        let status = get("400m").await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        let metrics = serve.metrics().await;
        if metrics.get(&ended) == Some(1.0) {
            break metrics;
        }
        assert!(Instant::now() < deadline, "{}", metrics.text());
    };
    let retries = format!("aws_call_retries_total{{{labels}}}");
    assert_eq!(metrics.get(&retries), before.get(&retries));
    assert_eq!(metrics.get("grpc_server_requests_in_flight"), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_internal_error_of_its_call_alone() {
    let app = TestApp::start_with(&[("FAILPOINTS", "call-authorize=1*panic(a secret)")]).await;
    let ada = app.user("acme-admin", "acme");

    let status = ada.list(0, "").await.unwrap_err();

    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "INTERNAL"));
    assert!(!status.message().contains("secret"));
    assert!(ada.list(0, "").await.is_ok());
    let series = "grpc_server_request_duration_seconds_count{service=\"records.v1.RecordsService\",\
                  method=\"ListRecords\",code=\"INTERNAL\"}";
    assert_eq!(app.serve.metric(series).await, Some(1.0));
    assert_eq!(app.serve.metric("grpc_server_requests_in_flight").await, Some(0.0));
}
