//! Things that we need and that do not answer.

use tonic::Code;

use crate::app::{TestApp, creation, reason};

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
