//! SQS as the relay and the audit worker use it, and where bare awsim is not as AWS is.

use std::time::{Duration, Instant};

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    error::ProvideErrorMetadata as _,
    types::{
        Message, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
        SendMessageBatchResultEntry,
    },
};
use dev_stack::{Sqs, Storage};

pub(crate) fn client(url: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .endpoint_url(url)
        .build();
    Client::from_conf(config)
}

const MEBIBYTE: usize = 1_048_576;

async fn fresh() -> (Sqs, Client, String) {
    let sqs = Sqs::start(Storage::Memory, 0).await.unwrap();
    let client = client(&sqs.url());
    let queue = create(&client, "audit-events").await;
    (sqs, client, queue)
}

pub(crate) async fn create(client: &Client, name: &str) -> String {
    client.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap()
}

fn entry(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap()
}

pub(crate) async fn receive(client: &Client, queue: &str) -> Vec<Message> {
    let request = client
        .receive_message()
        .queue_url(queue)
        .max_number_of_messages(10)
        .message_system_attribute_names(MessageSystemAttributeName::All);
    request.send().await.unwrap().messages.unwrap_or_default()
}

#[tokio::test]
async fn a_queue_url_is_known_before_the_queue_exists() {
    let sqs = Sqs::start(Storage::Memory, 0).await.unwrap();
    let client = client(&sqs.url());
    let expected = format!("http://localhost:{}/000000000000/audit-events", sqs.port());

    let created = create(&client, "audit-events").await;
    let found = client.get_queue_url().queue_name("audit-events").send().await.unwrap();
    let listed = client.list_queues().send().await.unwrap();

    assert_eq!(sqs.queue_url("audit-events"), expected);
    assert_eq!(created, expected);
    assert_eq!(found.queue_url(), Some(expected.as_str()));
    assert_eq!(listed.queue_urls(), [expected]);
}

#[tokio::test]
async fn a_client_of_another_region_sees_the_same_queues() {
    let (sqs, _client, queue) = fresh().await;
    let config = client(&sqs.url()).config().to_builder().region(Region::new("ap-south-1")).build();
    let elsewhere = Client::from_conf(config);

    let sent = elsewhere.send_message().queue_url(&queue).message_body("hello").send().await;

    assert!(sent.is_ok(), "{sent:?}");
}

#[tokio::test]
async fn a_waiting_receiver_hears_of_a_message_at_once() {
    let (_sqs, client, queue) = fresh().await;
    let mut waiting = tokio::spawn({
        let (client, queue) = (client.clone(), queue.clone());
        async move {
            let request = client.receive_message().queue_url(queue).wait_time_seconds(20);
            (request.send().await.unwrap().messages.unwrap_or_default(), Instant::now())
        }
    });
    tokio::time::timeout(Duration::from_secs(1), &mut waiting).await.unwrap_err();

    let sent_at = Instant::now();
    client.send_message().queue_url(&queue).message_body("hello").send().await.unwrap();
    let (messages, received_at) = waiting.await.unwrap();

    assert_eq!(messages[0].body(), Some("hello"));
    let took = received_at - sent_at;
    assert!(took < Duration::from_secs(10), "it was left to the end of the wait: {took:?}");
}

#[tokio::test]
async fn waiting_ends_empty_after_its_time() {
    let (_sqs, client, queue) = fresh().await;
    let started = Instant::now();

    let request = client.receive_message().queue_url(&queue).wait_time_seconds(1);
    let answer = request.send().await.unwrap();

    assert!(answer.messages().is_empty());
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_standard_queue_takes_a_message_group() {
    let (_sqs, client, queue) = fresh().await;

    let request = client.send_message().queue_url(&queue).message_body("one");
    request.message_group_id("org_acme").send().await.unwrap();
    let grouped = SendMessageBatchRequestEntry::builder().id("two").message_body("two");
    let grouped = grouped.message_group_id("org_globex").build().unwrap();
    client.send_message_batch().queue_url(&queue).entries(grouped).send().await.unwrap();

    let mut seen: Vec<_> = receive(&client, &queue)
        .await
        .into_iter()
        .map(|message| {
            let group = &message.attributes.unwrap()[&MessageSystemAttributeName::MessageGroupId];
            (message.body.unwrap(), group.clone())
        })
        .collect();
    seen.sort();
    let expected = [("one", "org_acme"), ("two", "org_globex")];
    assert_eq!(seen, expected.map(|(body, group)| (body.to_owned(), group.to_owned())));
}

#[tokio::test]
async fn a_character_that_sqs_does_not_carry_fails_its_entry_alone() {
    let (_sqs, client, queue) = fresh().await;

    let answer = client
        .send_message_batch()
        .queue_url(&queue)
        .entries(entry("good", "fine \u{1F600}"))
        .entries(entry("bad", "broken \u{FFFE}"))
        .entries(entry("good2", "tab\tnewline\n"))
        .send()
        .await
        .unwrap();

    let successful: Vec<_> =
        answer.successful().iter().map(SendMessageBatchResultEntry::id).collect();
    assert_eq!(successful, ["good", "good2"]);
    assert_eq!(answer.failed().len(), 1);
    let failed = &answer.failed()[0];
    assert_eq!(
        (failed.id(), failed.code(), failed.sender_fault()),
        ("bad", "InvalidMessageContents", true)
    );
    let alone = client.send_message().queue_url(&queue).message_body("\u{FFFF}").send().await;
    assert!(alone.unwrap_err().into_service_error().is_invalid_message_contents());
    assert_eq!(receive(&client, &queue).await.len(), 2);
}

#[tokio::test]
async fn a_message_has_at_most_a_mebibyte_and_so_has_a_batch() {
    let (_sqs, client, queue) = fresh().await;
    let send =
        |size: usize| client.send_message().queue_url(&queue).message_body("x".repeat(size)).send();
    let batch = |first: usize, second: usize| {
        client
            .send_message_batch()
            .queue_url(&queue)
            .entries(entry("a", &"x".repeat(first)))
            .entries(entry("b", &"y".repeat(second)))
            .send()
    };

    send(MEBIBYTE).await.unwrap();
    let too_large = send(MEBIBYTE + 1).await.unwrap_err().into_service_error();
    let fits = batch(600_000, MEBIBYTE - 600_000).await.unwrap();
    let too_long = batch(600_000, MEBIBYTE - 599_999).await.unwrap_err().into_service_error();

    assert_eq!(too_large.code(), Some("InvalidParameterValue"));
    assert_eq!(fits.successful().len(), 2);
    assert!(too_long.is_batch_request_too_long(), "{too_long:?}");
    let attributes = client
        .get_queue_attributes()
        .queue_url(&queue)
        .attribute_names(QueueAttributeName::MaximumMessageSize)
        .send()
        .await
        .unwrap();
    let sizes = attributes.attributes.unwrap();
    assert_eq!(sizes[&QueueAttributeName::MaximumMessageSize], MEBIBYTE.to_string());
}

#[tokio::test]
async fn a_message_received_as_often_as_allowed_goes_to_the_dead_letter_queue() {
    let (_sqs, client, _queue) = fresh().await;
    let dead = create(&client, "retried-dlq").await;
    let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:retried-dlq","maxReceiveCount":3}"#;
    let queue = client
        .create_queue()
        .queue_name("retried")
        .attributes(QueueAttributeName::RedrivePolicy, policy)
        .attributes(QueueAttributeName::VisibilityTimeout, "0")
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    client.send_message().queue_url(&queue).message_body("poison").send().await.unwrap();

    let mut counts = Vec::new();
    for _ in 0..3 {
        let message = receive(&client, &queue).await.remove(0);
        let count =
            &message.attributes.unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount];
        counts.push(count.clone());
    }
    let fourth = receive(&client, &queue).await;
    let dead = receive(&client, &dead).await;

    assert_eq!(counts, ["1", "2", "3"]);
    assert!(fourth.is_empty());
    assert_eq!(dead[0].body(), Some("poison"));
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_an_error_of_its_own() {
    let (sqs, client, _queue) = fresh().await;
    let nowhere = sqs.queue_url("nowhere");

    let single = client.send_message().queue_url(&nowhere).message_body("x").send().await;
    let batch =
        client.send_message_batch().queue_url(&nowhere).entries(entry("a", "x")).send().await;
    let receive = client.receive_message().queue_url(&nowhere).send().await;

    assert!(single.unwrap_err().into_service_error().is_queue_does_not_exist());
    assert!(batch.unwrap_err().into_service_error().is_queue_does_not_exist());
    assert!(receive.unwrap_err().into_service_error().is_queue_does_not_exist());
}
