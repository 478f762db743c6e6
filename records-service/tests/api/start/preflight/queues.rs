//! Queues that are not as they must be.

use aws_sdk_sqs::types::QueueAttributeName::{
    FifoQueue, MaximumMessageSize, QueueArn, RedrivePolicy, VisibilityTimeout,
};
use serde_json::json;

use super::{Account, Found};

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_without_dead_letters_or_too_small_for_events_is_found() {
    let account = Account::provisioned().await;
    let small = [(MaximumMessageSize, "262144"), (VisibilityTimeout, "5")];
    account.create_queue("bare", &small).await;

    let url = account.sqs.queue_url("bare");
    let found = Found::by(account.preflight("serve").env("AUDIT_QUEUE_URL", &url));

    assert_eq!(found.code, 1);
    found.assert_states(&[
        ("queue bare: message size", "wrong"),
        ("queue bare: visibility timeout", "warning"),
        ("queue bare: dead-letter queue", "missing"),
    ]);
    found.assert_shows(&format!(
        "\n  aws --region eu-central-1 sqs set-queue-attributes --queue-url {url} --attributes MaximumMessageSize=1048576\n"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_have_no_queue_or_come_too_soon_are_found() {
    let account = Account::provisioned().await;
    let arn = account.queue("audit-events-dlq").await[&QueueArn].clone();
    let delete = account.queues.delete_queue();
    delete.queue_url(account.sqs.queue_url("audit-events-dlq")).send().await.unwrap();
    let hasty = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": "1" }).to_string();
    account.create_queue("hasty", &[(RedrivePolicy, &hasty)]).await;

    let queue = account.sqs.queue_url("hasty");
    let found = Found::by(account.preflight("audit").env("AUDIT_QUEUE_URL", queue));

    assert_eq!(found.code, 1);
    found.assert_states(&[
        ("queue hasty: dead-letter queue", "missing"),
        ("queue hasty: receipts before the dead letters", "warning"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_needs_fifo_dead_letters() {
    let account = Account::provisioned().await;
    for (name, dead_letters) in [("good", "dead.fifo"), ("bad", "audit-events-dlq")] {
        if name == "good" {
            account.create_queue(dead_letters, &[(FifoQueue, "true")]).await;
        }
        let arn = account.queue(dead_letters).await[&QueueArn].clone();
        let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 5 }).to_string();
        let attributes = [(FifoQueue, "true"), (RedrivePolicy, redrive.as_str())];
        account.create_queue(&format!("{name}.fifo"), &attributes).await;
    }
    let check = |process, name: &str| {
        let url = account.sqs.queue_url(name);
        Found::by(account.preflight(process).env("AUDIT_QUEUE_URL", url))
    };

    let [serve, audit] = ["serve", "audit"].map(|process| check(process, "good.fifo"));
    let bad = check("audit", "bad.fifo");

    serve.assert_states(&[("queue good.fifo: sqs:SendMessage", "ok")]);
    audit.assert_states(&[]);
    bad.assert_states(&[("queue bad.fifo: dead-letter queue", "wrong")]);
    assert_eq!([serve.code, audit.code, bad.code], [0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_another_region_is_named() {
    let account = Account::provisioned().await;
    let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/audit-events";

    let found = Found::by(account.preflight("audit").env("AUDIT_QUEUE_URL", url));

    assert_eq!(found.code, 1);
    found.assert_states(&[("queue audit-events", "wrong")]);
    found.assert_shows("AUDIT_QUEUE_URL is in eu-west-1, AWS_REGION is eu-central-1");
}
