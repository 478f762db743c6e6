//! The fault proxy in front of a DynamoDB, with the real AWS SDK, which makes one attempt.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata as _, SdkError},
    operation::put_item::PutItemError,
    types::AttributeValue,
};
use dev_stack::{DynamoDb, Fault, FaultProxy, Storage};

use crate::dynamodb::create_table;

/// Far more than an answer needs that comes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a sender waits who gives up.
const HASTE: Duration = Duration::from_secs(1);

struct Behind {
    proxy: FaultProxy,
    client: Client,
    /// Past the proxy.
    direct: Client,
    _dynamodb: DynamoDb,
}

impl Behind {
    async fn start() -> Self {
        let dynamodb = DynamoDb::start(Storage::Memory, 0).await.unwrap();
        let proxy = FaultProxy::start(dynamodb.port()).await.unwrap();
        let direct = client(&dynamodb.url());
        create_table(&direct).await;
        Self { client: client(&proxy.url()), proxy, direct, _dynamodb: dynamodb }
    }

    async fn put(&self, record: &str) -> Result<(), SdkError<PutItemError>> {
        put(&self.client, record).await
    }

    /// Whether the table holds it.
    async fn has(&self, record: &str) -> bool {
        let get = self.direct.get_item().table_name("records").consistent_read(true);
        let get = get.key("Organization_ID", text("org_acme")).key("Record_ID", text(record));
        get.send().await.unwrap().item.is_some()
    }

    /// The bytes and the end of the answer to a request, on a connection of its own.
    fn exchange(&self, patience: Duration) -> (Vec<u8>, Option<ErrorKind>) {
        let mut stream =
            TcpStream::connect(self.proxy.url().trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer).err();
        (answer, end.map(|error| error.kind()))
    }
}

async fn put(client: &Client, record: &str) -> Result<(), SdkError<PutItemError>> {
    let put = client.put_item().table_name("records");
    let put = put.item("Organization_ID", text("org_acme")).item("Record_ID", text(record));
    put.send().await.map(|_| ())
}

fn client(url: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build())
        .endpoint_url(url)
        .build();
    Client::from_conf(config)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_happens_until_something_is_injected_and_after_it_has_ended() {
    let behind = Behind::start().await;

    behind.put("before").await.unwrap();
    behind.proxy.inject(Fault::Reset);
    let during = behind.put("during").await.unwrap_err();
    behind.proxy.heal();
    behind.put("after").await.unwrap();

    assert!(matches!(during, SdkError::DispatchFailure(_)), "{during:?}");
    assert!(behind.has("before").await && behind.has("after").await);
    assert!(!behind.has("during").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_was_given_is_counted_by_its_operation() {
    let behind = Behind::start().await;

    behind.put("one").await.unwrap();
    behind.put("two").await.unwrap();
    behind.proxy.inject(Fault::dynamodb_throttle());
    behind.put("never").await.unwrap_err();

    assert_eq!((behind.proxy.passed("PutItem"), behind.proxy.passed("UpdateItem")), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_those_of_aws() {
    let behind = Behind::start().await;
    let faults = [
        (Fault::dynamodb_throttle(), "ProvisionedThroughputExceededException"),
        (Fault::sqs_throttle(), "RequestThrottled"),
        (Fault::access_denied(), "AccessDeniedException"),
        (Fault::aws_error(500, "InternalServerError"), "InternalServerError"),
    ];

    for (fault, code) in faults {
        behind.proxy.inject(fault);
        let error = behind.put("never").await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{error:?}");
    }

    behind.proxy.inject(Fault::page(503));
    let error = behind.put("never").await.unwrap_err();
    assert_eq!(error.raw_response().map(|answer| answer.status().as_u16()), Some(503));
    assert!(!behind.has("never").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_transaction_tells_its_reasons() {
    let behind = Behind::start().await;
    behind.proxy.inject(Fault::transaction_canceled(&["None", "TransactionConflict"]));

    let error = behind.client.transact_write_items().send().await.unwrap_err();

    let error = error.into_service_error();
    assert!(error.is_transaction_canceled_exception(), "{error:?}");
    let reasons = format!("{error:?}");
    assert!(reasons.contains("TransactionConflict"), "{reasons}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operation_fails_and_the_others_work() {
    let behind = Behind::start().await;
    behind.proxy.inject_for("PutItem", Fault::access_denied());

    let denied = behind.put("denied").await.unwrap_err();
    let allowed = behind.client.describe_table().table_name("records").send().await;

    assert_eq!(denied.code(), Some("AccessDeniedException"));
    assert!(allowed.is_ok(), "{allowed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_request_arrives_although_its_sender_has_given_up() {
    let behind = Behind::start().await;
    let latency = Duration::from_millis(1500);
    behind.proxy.inject(Fault::Latency(latency));

    let started = Instant::now();
    // A sender that is held up gives up before it has sent anything, and then the next one counts.
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep(HASTE) => {}
            answer = behind.put("late") => panic!("somebody waited for {answer:?}"),
        }
        let arrived = behind.has("late").await;
        let elapsed = started.elapsed();
        assert!(!arrived || elapsed >= latency, "it arrived after {elapsed:?}");
        if arrived {
            break;
        }
        assert!(elapsed < PATIENCE, "it never arrived");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_is_cut_has_taken_effect() {
    let behind = Behind::start().await;

    for (name, after, reset) in [("all", 0, true), ("half", 30, true), ("closed", 30, false)] {
        behind.proxy.inject(Fault::CutAnswer { after, reset });
        let error = behind.put(name).await.unwrap_err();
        let (bytes, end) = behind.exchange(PATIENCE);

        let lost = matches!(error, SdkError::DispatchFailure(_) | SdkError::ResponseError(_));
        assert!(lost, "{error:?}");
        assert!(behind.has(name).await, "{name}");
        assert_eq!(bytes.len(), after, "{name}");
        assert_eq!(end, reset.then_some(ErrorKind::ConnectionReset), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_network_is_silent_on_connections_open_and_new_and_heals_for_new_ones() {
    let behind = Behind::start().await;
    behind.put("before").await.unwrap();
    behind.proxy.inject(Fault::Silence);

    let open = tokio::time::timeout(HASTE, behind.put("open")).await;
    let (bytes, end) = behind.exchange(Duration::from_millis(300));
    behind.proxy.heal();
    // The other client may keep a connection that it opened during the silence and did not need.
    put(&client(&behind.proxy.url()), "healed").await.unwrap();

    assert!(open.is_err(), "{open:?}");
    assert_eq!((bytes.len(), end), (0, Some(ErrorKind::WouldBlock)), "no answer and no end");
    assert!(!behind.has("open").await && behind.has("healed").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_no_answer() {
    let behind = Behind::start().await;

    behind.proxy.inject(Fault::Garbage);
    let garbage = behind.put("garbage").await.unwrap_err();
    behind.proxy.inject(Fault::page(200));
    let page = behind.client.get_item().table_name("records").key("a", text("b")).send().await;

    assert!(matches!(garbage, SdkError::DispatchFailure(_)), "{garbage:?}");
    assert!(page.is_err(), "{page:?}");
    assert!(!behind.has("garbage").await);
}
