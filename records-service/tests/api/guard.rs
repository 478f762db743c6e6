//! A defect of the store, which here takes another organization than the caller's for the partition
//! of its rows: nothing of it gets as far as the wire.

use std::sync::{Arc, Mutex};

use dev_stack::samples::{ACME, GLOBEX};
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    app::{Service, TestApp, reason},
    start::proxy,
};

const STOPPED: &str = "store_calls_stopped_total";

/// What a process sent to DynamoDB.
type Sent = Arc<Mutex<Vec<(String, Value)>>>;

/// Starts a process that takes every organization for globex, with a note of what it sends.
async fn start_mistaken(app: &TestApp, process: &str) -> (Service, Sent) {
    let sent = Sent::default();
    let note = sent.clone();
    let noted = proxy::start(app.dynamodb.url(), move |operation, body| {
        note.lock().unwrap().push((operation.to_owned(), body.clone()));
        None
    });
    let mut command = app.command(process);
    command.env("FAILPOINTS", format!("store-partition=return({GLOBEX})"));
    command.env("AWS_ENDPOINT_URL_DYNAMODB", noted.await);
    (Service::start(&mut command), sent)
}

/// Nothing but the outbox and what tables look like was asked for, and in nobody's name.
fn assert_harmless(sent: &Sent) {
    for (operation, body) in sent.lock().unwrap().iter() {
        let of_the_outbox = body["TableName"] == "records-outbox";
        assert!(operation == "DescribeTable" || of_the_outbox, "{operation} {body}");
        assert!(!body.to_string().contains("org_"), "{operation} {body}");
    }
}

/// Reads the log up to the line that says that a request was stopped.
fn stopped_line(service: &Service) -> Value {
    loop {
        let line = service.next_line();
        if line["message"].as_str().unwrap().starts_with("a request to DynamoDB was stopped") {
            return line;
        }
    }
}

/// Answers with the reference that the caller was given.
fn assert_internal(status: &Status) -> String {
    assert_eq!((status.code(), reason(status).as_str()), (Code::Internal, "INTERNAL"));
    let whole = format!("{status:?}");
    assert!(!whole.contains("globex") && !whole.contains("partition"), "{whole}");
    let details = status.get_error_details();
    details.request_info().expect("a fault of ours has a reference").request_id.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_asks_for_another_organizations_rows_is_stopped_on_the_way_out() {
    let mut app = TestApp::start().await;
    let secret = app.user("globex-admin", "globex").create(&[]).await.unwrap();
    let (mistaken, sent) = start_mistaken(&app, "serve").await;
    let right = std::mem::replace(&mut app.serve, mistaken);
    app.connect().await;
    let ada = app.user("acme-admin", "acme");

    let reference = assert_internal(&ada.get(&secret.name).await.unwrap_err());
    assert_internal(&ada.list(0, "").await.unwrap_err());
    assert_internal(&ada.create(&[]).await.unwrap_err());
    assert_internal(&ada.events(0, "").await.unwrap_err());

    assert_harmless(&sent);
    assert_eq!(app.serve.metric(STOPPED).await, Some(4.0));
    assert_eq!(right.metric(STOPPED).await, Some(0.0));
    let line = stopped_line(&app.serve);
    assert_eq!(line["span"]["trace_id"], reference, "{line}");
    assert_eq!(line["level"], "ERROR", "{line}");
    assert!(line.to_string().contains(ACME) && !line.to_string().contains(GLOBEX), "{line}");
    // Where the caller is of the organization that the mistake names, it is none.
    let gloria = app.user("globex-admin", "globex");
    assert_eq!(gloria.get(&secret.name).await.unwrap(), secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_would_go_into_another_organizations_trail_is_stopped_on_the_way_out() {
    let mut app = TestApp::start().await;
    app.kill_audit_worker();
    let (mistaken, sent) = start_mistaken(&app, "audit").await;
    app.audit = mistaken;
    let ada = app.user("acme-admin", "acme");

    ada.create(&[]).await.unwrap();
    stopped_line(&app.audit);

    assert_harmless(&sent);
    assert!(app.audit.metric(STOPPED).await.unwrap() >= 1.0);
    // The message is kept for a worker that makes no mistake.
    app.wait_until_a_message_is_in_flight().await;
    let gloria = app.user("globex-admin", "globex");
    for client in [ada, gloria] {
        assert!(client.events(0, "").await.unwrap().events.is_empty());
    }
}
