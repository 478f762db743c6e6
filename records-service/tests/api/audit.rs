//! The life of an event.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use records_proto::v1 as pb;
use serde_json::json;
use tokio::net::TcpListener;

use crate::app::{TestApp, number, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_created_record_has_one_event_in_its_own_trail() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let gloria = app.user("globex-admin", "globex");

    let record = ada.create(&[("amount", number("1.50"))]).await.unwrap();
    let [event] = ada.trail_of(1).await.try_into().unwrap();

    assert_eq!(event.r#type, "records.record.created.v1");
    assert_eq!(event.record, record.name);
    assert_eq!(event.version, 1);
    assert_eq!(event.actor, record.creator);
    assert_eq!(event.event_time, record.create_time);
    assert_eq!(event.changes.len(), 3);
    assert_eq!(event.changes["amount"], pb::FieldChange { old: None, new: Some(number("1.5")) });
    assert_eq!((event.prev_hash.len(), event.hash.len()), (0, 64));
    assert!(event.traceparent.starts_with("00-"));
    assert!(gloria.events(0, "").await.unwrap().events.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_pages_newest_first() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    for i in 0..5 {
        ada.create(&[("title", text(&format!("No. {i}")))]).await.unwrap();
    }
    let all = ada.trail_of(5).await;

    let first = ada.events(3, "").await.unwrap();
    let second = ada.events(3, &first.next_page_token).await.unwrap();

    assert_eq!([first.events, second.events].concat(), all);
    assert_eq!(second.next_page_token, "");
    assert_eq!(all[0].changes["title"].new, Some(text("No. 4")));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_queue_that_is_down() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");

    app.sqs.stop().await;
    let mut names = Vec::new();
    for _ in 0..10 {
        names.push(ada.create(&[]).await.unwrap().name);
    }
    app.sqs.resume().await.unwrap();

    let mut recorded: Vec<_> = ada.trail_of(10).await.into_iter().map(|e| e.record).collect();
    recorded.sort();
    assert_eq!(recorded, names);
    app.wait_until_the_outbox_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_survives_a_crash_between_commit_and_send() {
    let mut app = TestApp::start_with(&[("FAILPOINTS", "relay-before-send=sleep(600000)")]).await;
    let record = app.user("acme-admin", "acme").create(&[]).await.unwrap();
    assert_eq!(app.outbox_rows().await, 1);

    app.kill_and_restart().await;

    let [event] = app.user("acme-admin", "acme").trail_of(1).await.try_into().unwrap();
    assert_eq!(event.record, record.name);
    app.wait_until_the_outbox_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_whose_clock_was_wrong_does_not_keep_the_others_from_sweeping() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    app.sqs.stop().await;
    ada.create(&[]).await.unwrap();
    app.serve.wait_for("outbox_late_events", 1.0).await;

    app.lend_the_sweep_lease(Duration::from_hours(1)).await;
    app.sqs.resume().await.unwrap();

    app.wait_until_the_outbox_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_takes_batches_and_none_of_their_events_is_asked_less_and_less() {
    let failed = |id| json!({ "Id": id, "Code": "InternalError", "SenderFault": false });
    let failed: Vec<_> = (0..10).map(|id| failed(id.to_string())).collect();
    let answer = json!({ "Successful": [], "Failed": failed }).to_string();
    let kind = [("content-type", "application/x-amz-json-1.0")];
    let queue = Router::new().fallback(async move || (kind, answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, queue).await });
    let app = TestApp::start_with(&[("AWS_ENDPOINT_URL_SQS", &url)]).await;
    let ada = app.user("acme-admin", "acme");

    for _ in 0..5 {
        ada.create(&[]).await.unwrap();
    }

    for message in ["cannot send events; they stay in the outbox", "cannot sweep the outbox"] {
        // Some lines come before it; without it there would be others without end.
        let mut lines = (0..100).map(|_| app.serve.next_line());
        assert!(lines.any(|line| line["message"].as_str().unwrap().starts_with(message)));
    }
    assert_eq!(app.outbox_rows().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_worker_that_is_down() {
    let mut app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    app.kill_audit_worker();
    let record = ada.create(&[]).await.unwrap();
    app.wait_until_the_outbox_is_empty().await;

    app.restart_audit_worker();

    assert_eq!(ada.trail_of(1).await[0].record, record.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_twice_is_stored_once_and_a_forged_one_never() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    ada.create(&[]).await.unwrap();
    ada.trail_of(1).await;
    let payload = app.trail_payload("org_acme00000000000").await;

    let mut forged: serde_json::Value = serde_json::from_str(&payload).unwrap();
    forged["data"]["actor"]["name"] = json!("Somebody Else");
    app.enqueue(&payload).await;
    app.enqueue("not an event").await;
    app.enqueue(&forged.to_string()).await;
    // A later event shows that the earlier messages have been looked at.
    ada.create(&[("title", text("later"))]).await.unwrap();

    let trail = ada.trail_of(2).await;
    assert_eq!(trail[0].changes["title"].new, Some(text("later")));
    assert_eq!(trail[1].actor.as_ref().unwrap().display_name, "Ada Admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_no_row_can_hold_does_not_hold_up_the_others() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    ada.create(&[]).await.unwrap();
    ada.trail_of(1).await;
    let payload = app.trail_payload("org_acme00000000000").await;
    let event: serde_json::Value = serde_json::from_str(&payload).unwrap();

    let nobodys = payload.replacen("org_acme00000000000", "", 1);
    let huge = payload.replacen("A laptop", &"x".repeat(500 * 1024), 1);
    // The row holds the kind a second time.
    let kind = format!("records.record.created.v1{}", "x".repeat(40 * 1024));
    let wordy = payload.replacen("records.record.created.v1", &kind, 1);
    let wordy = wordy.replacen("A laptop", &"x".repeat(330 * 1024), 1);
    for unfit in [nobodys, huge, wordy] {
        app.enqueue(&rehashed(&unfit, event["data"]["hash"].as_str().unwrap())).await;
    }
    app.audit.wait_for("audit_events_total{outcome=\"refused\"}", 3.0).await;
    ada.create(&[]).await.unwrap();

    assert_eq!(ada.trail_of(2).await.len(), 2);
}

/// The event with the hash that it should have, as if it had been made like this.
fn rehashed(event: &str, old_hash: &str) -> String {
    let unhashed = event.replacen(old_hash, "", 1);
    let hash = digest(&SHA256, format!("\n{unhashed}").as_bytes());
    let hex = hash.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    event.replacen(old_hash, &hex, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_sqs_refuses_arrives_unchanged() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let odd = "\u{fffe}\u{ffff}\u{1}\u{7f}\u{85}\u{2028} end";

    ada.create(&[("notes", text(odd))]).await.unwrap();

    let [event] = ada.trail_of(1).await.try_into().unwrap();
    assert_eq!(event.changes["notes"].new, Some(text(odd)));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_kept_in_hand_while_the_trail_does_not_answer() {
    let mut app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    app.kill_audit_worker();
    let record = ada.create(&[]).await.unwrap();
    app.wait_until_the_outbox_is_empty().await;

    // The worker receives the event and cannot store it. Left alone, the message would come back
    // only after the minute in which the queue hides it, and five times at most.
    app.dynamodb.stop().await;
    app.restart_audit_worker();
    app.wait_until_a_message_is_in_flight().await;
    app.dynamodb.resume().await.unwrap();

    assert_eq!(ada.trail_of(1).await[0].record, record.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_nobody_can_read_does_not_hold_up_the_others() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    for shard in ["00", "07", "15"] {
        app.put_odd_row("records-outbox", &[("Shard", shard), ("Event_ID", "0")]).await;
    }
    let organization = ("Organization_ID", "org_acme00000000000");
    app.put_odd_row("audit-trail", &[organization, ("Event_ID", "odd")]).await;

    app.sqs.stop().await;
    for _ in 0..10 {
        ada.create(&[]).await.unwrap();
    }
    app.sqs.resume().await.unwrap();

    assert_eq!(ada.trail_of(10).await.len(), 10);
}
