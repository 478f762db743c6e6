//! `provision` on tables and queues that are missing, there already, tuned, or not as needed.

use std::process::Command;

use aws_sdk_dynamodb::types::{KeyType, ScalarAttributeType};
use aws_sdk_sqs::types::QueueAttributeName::{
    MaximumMessageSize, MessageRetentionPeriod, QueueArn, RedrivePolicy, VisibilityTimeout,
};
use serde_json::{Value, json};

use super::{
    account::{Account, TABLES, success},
    backups::Backups,
};

/// Runs to the end, and answers with the error of the last log line if that is a failure.
fn failure(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let line: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(line["message"], "cannot go on");
    line["error"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_account_gets_tables_and_queues_and_again_nothing_changes() {
    let account = Account::open().await;

    let printed = success(&mut account.provision());

    let (queue, dead_letters) =
        (account.queue("audit-events").await, account.queue("audit-events-dlq").await);
    for (attribute, value) in [(MaximumMessageSize, "1048576"), (MessageRetentionPeriod, "1209600")]
    {
        assert_eq!(queue[&attribute], value);
        assert_eq!(dead_letters[&attribute], value);
    }
    assert_eq!(queue[&VisibilityTimeout], "60");
    assert_eq!(
        account.redrive("audit-events").await,
        json!({ "deadLetterTargetArn": dead_letters[&QueueArn], "maxReceiveCount": 5 })
    );
    let url = account.sqs.queue_url("audit-events");
    assert!(printed.ends_with(&format!("AUDIT_QUEUE_URL={url}\n")), "{printed}");
    let mut tables = Vec::new();
    for name in TABLES {
        tables.push(account.table(name).await);
    }

    let printed = success(&mut account.provision());

    assert!(printed.ends_with(&format!("AUDIT_QUEUE_URL={url}\n")), "{printed}");
    assert!(!printed.contains("\"made\":true"), "{printed}");
    assert!(!printed.contains("tuned"), "{printed}");
    assert_eq!(account.queue("audit-events").await, queue);
    assert_eq!(account.queue("audit-events-dlq").await, dead_letters);
    for table in tables {
        assert_eq!(account.table(table.table_name().unwrap()).await, table);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_tuned_on_a_queue_stays_but_it_takes_every_event() {
    let account = Account::open().await;
    let graveyard = [(MessageRetentionPeriod, "864000")];
    account.create_queue("graveyard", &graveyard).await;
    let arn = account.queue("graveyard").await[&QueueArn].clone();
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 9 }).to_string();
    let tuned = [
        (MessageRetentionPeriod, "86400"),
        (VisibilityTimeout, "120"),
        (RedrivePolicy, policy.as_str()),
    ];
    account.create_queue("audit-events", &tuned).await;
    account.create_queue("audit-events-dlq", &[(MaximumMessageSize, "262144")]).await;

    success(&mut account.provision());

    let queue = account.queue("audit-events").await;
    for (attribute, value) in tuned {
        assert_eq!(queue[&attribute], value);
    }
    assert_eq!(queue[&MaximumMessageSize], "1048576");
    assert_eq!(account.queue("audit-events-dlq").await[&MaximumMessageSize], "1048576");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_without_a_dead_letter_queue_gets_one() {
    let account = Account::open().await;
    account.create_queue("audit-events", &[(MaximumMessageSize, "262144")]).await;

    success(&mut account.provision());

    let arn = &account.queue("audit-events-dlq").await[&QueueArn];
    assert_eq!(account.redrive("audit-events").await["deadLetterTargetArn"], *arn);
    assert_eq!(account.queue("audit-events").await[&MaximumMessageSize], "1048576");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_key_is_named_and_left_alone() {
    let account = Account::open().await;
    let hash = |name, kind| (name, KeyType::Hash, kind);
    account.create_table("other-name", &[hash("Owner", ScalarAttributeType::S)]).await;
    let range = ("Record_ID", KeyType::Range, ScalarAttributeType::N);
    let key = [hash("Organization_ID", ScalarAttributeType::S), range];
    account.create_table("other-type", &key).await;

    for (table, found) in [
        ("other-name", "HASH Owner (S)"),
        ("other-type", "HASH Organization_ID (S), RANGE Record_ID (N)"),
    ] {
        let before = account.table(table).await;

        let error = failure(account.provision().env("RECORDS_TABLE", table));

        assert_eq!(
            error,
            format!(
                "the table {table} exists, but its key is {found} instead of \
                 HASH Organization_ID (S), RANGE Record_ID (S)"
            )
        );
        assert_eq!(account.table(table).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_its_index_is_named() {
    let account = Account::open().await;
    let key = [("Session_Hash", KeyType::Hash, ScalarAttributeType::S)];
    account.create_table("sessions", &key).await;

    let error = failure(&mut account.provision());

    assert_eq!(
        error,
        "the table sessions exists, but it has no index by-sid, and it has no index by-person"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_rows_end_by_another_attribute_or_must_stay_is_named() {
    let account = Account::open().await;
    success(&mut account.provision());
    account.set_expiry("sessions", "Expires_At", false).await;
    account.set_expiry("sessions", "Ends", true).await;

    let other = failure(&mut account.provision());
    account.set_expiry("audit-trail", "Ends", true).await;
    let must_stay = failure(&mut account.provision());

    assert_eq!(other, "the table sessions exists, but its rows end by Ends instead of Expires_At");
    assert_eq!(
        must_stay,
        "the table audit-trail exists, but its rows end by Ends, and those of this table must stay"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_tables_are_protected_as_soon_as_they_can_be_and_once() {
    let account = Account::open().await;
    let backups = Backups::start(account.dynamodb.url()).await;
    let provision = || {
        let mut command = account.provision();
        command.env("AWS_ENDPOINT_URL_DYNAMODB", &backups.url).env("TABLE_PROTECTION", "true");
        command
    };
    let change = |operation: &str, table: &str| (operation.to_owned(), table.to_owned());

    success(&mut provision());

    let first = backups.take_changes();
    for table in TABLES {
        assert_eq!(account.table(table).await.deletion_protection_enabled(), Some(true));
        let wish = change("UpdateContinuousBackups", table);
        // The one that is refused, and one that is not. Where an answer was late, it was asked for again.
        assert!(first.iter().filter(|made| **made == wish).count() >= 2, "{first:?}");
    }
    assert!(!first.iter().any(|(operation, _)| operation == "UpdateTable"), "{first:?}");

    success(&mut provision());

    assert_eq!(backups.take_changes(), []);

    let unprotect = account.tables.update_table().table_name("sessions");
    unprotect.deletion_protection_enabled(false).send().await.unwrap();
    success(&mut provision());

    let mut changes = backups.take_changes();
    changes.dedup();
    assert_eq!(changes, [change("UpdateTable", "sessions")]);
    assert_eq!(account.table("sessions").await.deletion_protection_enabled(), Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_is_named_with_its_table() {
    let account = Account::open().await;
    let backups = Backups::start(account.dynamodb.url()).await;
    backups.forbid("UpdateTimeToLive");

    let error = failure(account.provision().env("AWS_ENDPOINT_URL_DYNAMODB", &backups.url));

    assert!(error.starts_with("UpdateTimeToLive failed for records: "), "{error}");
    assert!(error.contains("not authorized to perform: dynamodb:UpdateTimeToLive"), "{error}");
}
