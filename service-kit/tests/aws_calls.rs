//! Calls of a real AWS client, against a server that answers as AWS does, are counted by how they
//! ended.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{collections::VecDeque, future::pending, net::SocketAddr, sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    config::{
        BehaviorVersion, Builder, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig,
    },
    types::AttributeValue,
};
use axum::{Router, http::StatusCode};
use prometheus_client::{encoding::text, registry::Registry};
use service_kit::aws::CallMetrics;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Mutex, Notify},
};

/// A status and a body.
type Answer = (u16, &'static str);

/// So long that no attempt ends by it.
const LONG: Duration = Duration::from_mins(1);

/// The address of a server that gives `answers` in turn and then, having said that it was asked,
/// none.
async fn server(answers: &[Answer]) -> (SocketAddr, Arc<Notify>) {
    let answers = Arc::new(Mutex::new(VecDeque::from(answers.to_vec())));
    let silent = Arc::new(Notify::new());
    let asked = Arc::clone(&silent);
    let answer = move || {
        let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
        async move {
            if let Some((status, body)) = answers.lock().await.pop_front() {
                return (StatusCode::from_u16(status).unwrap(), body);
            }
            asked.notify_one();
            pending().await
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer)).await });
    (address, silent)
}

/// A client that is measured, with three attempts of this length.
fn client(server: SocketAddr, attempt: Duration) -> (Client, Registry) {
    let mut registry = Registry::default();
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("id", "key", None, None, "test"))
        .endpoint_url(format!("http://{server}"))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(3)
                .with_initial_backoff(Duration::from_millis(1)),
        )
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(attempt).build())
        .interceptor(CallMetrics::register(&mut registry))
        .build();
    (Client::from_conf(config), registry)
}

async fn get(client: &Client) {
    let key = AttributeValue::S("b".to_owned());
    let _ = client.get_item().table_name("records").key("a", key).send().await;
}

/// What is measured of the one call: its outcome and its retries.
fn measured(registry: &Registry) -> (String, String) {
    let mut text = String::new();
    text::encode(&mut text, registry).unwrap();
    let call = r#"service="DynamoDB",operation="GetItem""#;
    let of = |start: &str, end: &str| {
        let mut found = text.lines().filter_map(|line| line.strip_prefix(start)?.strip_suffix(end));
        let one = found.next().unwrap_or_else(|| panic!("no {start:?} in:\n{text}")).to_owned();
        assert_eq!(found.next(), None, "{text}");
        one
    };
    let outcome = of(&format!("aws_call_duration_seconds_count{{{call},outcome=\""), "\"} 1");
    (outcome, of(&format!("aws_call_retries_total{{{call}}} "), ""))
}

const REFUSED: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}"#;
const THROTTLED: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}"#;
const CANCELLED: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
    "CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict"}]}"#;
const CANCELLED_FOR_PACE: &str = r#"{"__type":"TransactionCanceledException",
    "CancellationReasons":[{"Code":"None","Item":{"a":{"S":"b"}}},{"Code":"ThrottlingError"}]}"#;

#[tokio::test]
async fn a_call_is_counted_by_how_it_was_answered() {
    let cases: [(&[Answer], (&str, &str)); 7] = [
        (&[(200, "{}")], ("ok", "0")),
        (&[(500, "{}"), (400, THROTTLED), (200, "{}")], ("ok", "2")),
        (&[(400, REFUSED)], ("refused", "0")),
        (&[(400, CANCELLED)], ("refused", "0")),
        (&[(400, CANCELLED_FOR_PACE)], ("throttled", "0")),
        (&[(400, THROTTLED); 3], ("throttled", "2")),
        (&[(503, "<html>out of order</html>"); 3], ("failed", "2")),
    ];
    for (answers, (outcome, retries)) in cases {
        let (server, _) = server(answers).await;
        let (client, registry) = client(server, LONG);

        get(&client).await;

        assert_eq!(measured(&registry), (outcome.to_owned(), retries.to_owned()), "{answers:?}");
    }
}

#[tokio::test]
async fn no_answer_is_a_timeout() {
    let (server, _) = server(&[]).await;
    let (client, registry) = client(server, Duration::from_millis(50));

    get(&client).await;

    assert_eq!(measured(&registry), ("timeout".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn nobody_at_the_address_is_a_failure() {
    // It keeps the port from others, and never listens.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let (client, registry) = client(address, LONG);

    get(&client).await;

    assert_eq!(measured(&registry), ("failed".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn a_call_that_its_caller_gave_up_is_a_timeout() {
    let (server, asked) = server(&[]).await;
    let (client, registry) = client(server, LONG);

    tokio::select! {
        () = get(&client) => panic!("there was no answer"),
        () = asked.notified() => {}
    }

    assert_eq!(measured(&registry), ("timeout".to_owned(), "0".to_owned()));
}
