//! Emulators that stop, come back, outlive their process, and meet a taken port.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dev_stack::{Auth0, Auth0Options, DynamoDb, Error, Sqs, Storage};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::{dynamodb, sqs};

#[tokio::test]
async fn dynamodb_comes_back_on_its_port_with_its_tables() {
    let folder = tempfile::tempdir().unwrap();
    for storage in [Storage::Memory, Storage::Folder(folder.path().to_owned())] {
        let emulator = DynamoDb::start(storage, 0).await.unwrap();
        let client = dynamodb::client(&emulator.url());
        dynamodb::create_table(&client).await;

        emulator.stop().await;
        assert!(TcpStream::connect(("127.0.0.1", emulator.port())).await.is_err());
        emulator.resume().await.unwrap();

        let tables = client.list_tables().send().await.unwrap();
        assert_eq!(tables.table_names(), ["records"]);
    }
}

#[tokio::test]
async fn dynamodb_in_a_folder_outlives_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let storage = || Storage::Folder(folder.path().to_owned());
    let first = DynamoDb::start(storage(), 0).await.unwrap();
    let port = first.port();
    let client = dynamodb::client(&first.url());
    dynamodb::create_table(&client).await;
    let item = |name: &str| AttributeValue::S(name.to_owned());
    let put = client.put_item().table_name("records").item("Organization_ID", item("org_acme"));
    put.item("Record_ID", item("rec#1")).send().await.unwrap();

    first.stop().await;
    drop(first);
    let _second = DynamoDb::start(storage(), port).await.unwrap();

    let found = client.get_item().table_name("records").key("Organization_ID", item("org_acme"));
    let found = found.key("Record_ID", item("rec#1")).send().await.unwrap();
    assert!(found.item.is_some());
}

#[tokio::test]
async fn sqs_comes_back_on_its_port_with_its_messages() {
    let emulator = Sqs::start(Storage::Memory, 0).await.unwrap();
    let client = sqs::client(&emulator.url());
    let queue = sqs::create(&client, "audit-events").await;
    client.send_message().queue_url(&queue).message_body("kept").send().await.unwrap();
    let waiting = sqs::create(&client, "empty").await;
    let receiver =
        tokio::spawn(client.receive_message().queue_url(waiting).wait_time_seconds(20).send());

    // Not held up by the receiver, which would wait for another twenty seconds.
    tokio::time::timeout(Duration::from_secs(5), emulator.stop()).await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", emulator.port())).await.is_err());
    emulator.resume().await.unwrap();

    let messages = sqs::receive(&client, &queue).await;
    assert_eq!(messages[0].body(), Some("kept"));
    receiver.abort();
}

#[tokio::test]
async fn sqs_in_a_folder_outlives_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let storage = || Storage::Folder(folder.path().to_owned());
    let first = Sqs::start(storage(), 0).await.unwrap();
    let port = first.port();
    let client = sqs::client(&first.url());
    let queue = sqs::create(&client, "audit-events").await;
    let send = client.send_message().queue_url(&queue).message_body("kept \u{1F600}");
    send.message_group_id("org_acme").send().await.unwrap();

    first.stop().await;
    drop(first);
    let second = Sqs::start(storage(), port).await.unwrap();

    let messages = sqs::receive(&client, &queue).await;
    assert_eq!(messages[0].body(), Some("kept \u{1F600}"));
    // What was deleted does not come back either.
    let receipt = messages[0].receipt_handle().unwrap();
    client.delete_message().queue_url(&queue).receipt_handle(receipt).send().await.unwrap();
    second.stop().await;
    drop(second);
    let _third = Sqs::start(storage(), port).await.unwrap();
    assert!(sqs::receive(&client, &queue).await.is_empty());
}

#[tokio::test]
async fn sqs_takes_from_a_journal_just_whole_messages_that_its_snapshot_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let storage = || Storage::Folder(folder.path().to_owned());
    let first = Sqs::start(storage(), 0).await.unwrap();
    let client = sqs::client(&first.url());
    let queue = sqs::create(&client, "audit-events").await;
    client.send_message().queue_url(&queue).message_body("known").send().await.unwrap();
    first.stop().await;
    drop(first);
    // What a kill between writing the snapshot and removing the journal leaves, and one in the
    // middle of a line.
    let snapshot = std::fs::read(folder.path().join("queues.json")).unwrap();
    let snapshot: serde_json::Value = serde_json::from_slice(&snapshot).unwrap();
    let known = snapshot[0]["queues"][0]["messages"][0].clone();
    let mut new = known.clone();
    new["message_id"] = "5a3b1e00-0000-4000-8000-000000000001".into();
    new["body"] = "new".into();
    let line = |message| json!({ "queue": "audit-events", "message": message }).to_string();
    let journal = format!("{}\n{}\n{}", line(&known), line(&new), &line(&new)[..100]);
    std::fs::write(folder.path().join("sent-99.jsonl"), journal).unwrap();

    let second = Sqs::start(storage(), 0).await.unwrap();

    let client = sqs::client(&second.url());
    let messages = sqs::receive(&client, &second.queue_url("audit-events")).await;
    let bodies: Vec<_> = messages.iter().filter_map(|message| message.body()).collect();
    assert_eq!(bodies, ["known", "new"]);
}

#[tokio::test]
async fn auth0_in_a_folder_keeps_its_keys_and_members() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Auth0Options {
        storage: Storage::Folder(folder.path().to_owned()),
        ..Auth0Options::sample("http://localhost:3000")
    };
    let first = Auth0::start(options()).await.unwrap();
    first.rotate_keys().unwrap();
    first.remove_member("acme-editor", "acme").unwrap();
    let keys = first.jwks();
    drop(first);

    let second = Auth0::start(options()).await.unwrap();

    assert_eq!(second.jwks(), keys);
    assert!(second.user_token("acme-editor", "acme").is_err());
    assert!(second.user_token("acme-admin", "acme").is_ok());
}

#[tokio::test]
async fn a_taken_port_is_named_in_one_line_with_its_purpose() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();

    let errors = [
        DynamoDb::start(Storage::Memory, port).await.err().unwrap(),
        Sqs::start(Storage::Memory, port).await.err().unwrap(),
        Auth0::start(Auth0Options {
            address: ([127, 0, 0, 1], port).into(),
            ..Auth0Options::sample("http://localhost:3000")
        })
        .await
        .err()
        .unwrap(),
    ];

    for (error, purpose) in errors.iter().zip(["DynamoDB", "SQS", "Auth0"]) {
        let text = error.to_string();
        assert!(matches!(error, Error::PortTaken { .. }));
        assert!(text.contains(&format!("port {port} is taken")), "{text}");
        assert!(text.contains(purpose) && !text.contains('\n'), "{text}");
    }
}
