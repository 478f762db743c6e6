//! `preflight` where everything is as it must be, and where one thing is not.

mod queues;

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::{
    primitives::{DateTime, DateTimeFormat},
    types::{AttributeValue, KeyType, ScalarAttributeType},
};
use axum::{Json, Router, routing::get};
use dev_stack::{Fault, FaultProxy};
use serde_json::json;
use tokio::net::TcpListener;

use super::{
    account::{Account, TABLES, success},
    backups::Backups,
};
use crate::app::command;

/// What a run has found.
struct Found {
    code: i32,
    /// State and advice, by what was checked.
    rows: BTreeMap<String, (String, String)>,
    printed: String,
}

impl Found {
    fn by(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let columns = |line: &str| {
            let mut columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
            let mut next = || columns.next().unwrap_or_default().to_owned();
            (next(), (next(), next()))
        };
        // A title and an empty line come first, then the names of the columns.
        let rows = printed.lines().skip(3).take_while(|line| !line.is_empty()).map(columns);
        Self { code: output.status.code().unwrap(), rows: rows.collect(), printed }
    }

    fn state(&self, what: &str) -> &str {
        let row = self.rows.get(what);
        &row.unwrap_or_else(|| panic!("{what} is not in:\n{}", self.printed)).0
    }

    /// Checks that all is well but for these.
    fn assert_states(&self, exceptions: &[(&str, &str)]) {
        for (what, state) in exceptions {
            assert_eq!(self.state(what), *state, "{what} in:\n{}", self.printed);
        }
        for (what, (state, _)) in &self.rows {
            let is_expected = exceptions.iter().any(|(exception, _)| exception == what);
            assert!(is_expected || is_fine(what, state), "{what}: {state} in:\n{}", self.printed);
        }
    }

    fn assert_shows(&self, text: &str) {
        assert!(self.printed.contains(text), "{text:?} is not in:\n{}", self.printed);
    }
}

/// The emulator has no backups, and tables of tests are not protected.
fn is_fine(what: &str, state: &str) -> bool {
    let is_local = what.ends_with(": deletion protection")
        || what.ends_with(": point-in-time recovery")
        || what.starts_with("audience ");
    state == "ok" || is_local
}

impl Account {
    async fn provisioned() -> Self {
        let account = Self::open().await;
        success(&mut account.provision());
        account
    }

    fn preflight(&self, process: &str) -> Command {
        let mut command = command("preflight", &self.dynamodb, &self.sqs, &self.auth0);
        command.arg(process);
        command
    }

    /// Everything in all tables.
    async fn rows(&self) -> Vec<Vec<std::collections::HashMap<String, AttributeValue>>> {
        let mut tables = Vec::new();
        for name in TABLES {
            let scan = self.tables.scan().table_name(name).send().await;
            tables.push(scan.unwrap().items.unwrap());
        }
        tables
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_as_it_must_be_both_processes_can_run() {
    let account = Account::open().await;
    let backups = Backups::start(account.dynamodb.url()).await;
    let protected = |mut command: Command| {
        command.env("AWS_ENDPOINT_URL_DYNAMODB", &backups.url).env("TABLE_PROTECTION", "true");
        command
    };
    success(&mut protected(account.provision()));

    for process in ["serve", "audit"] {
        let found = Found::by(&mut protected(account.preflight(process)));

        let unchecked: Vec<_> = found
            .rows
            .iter()
            .filter(|(_, (state, _))| state != "ok")
            .map(|(what, _)| what)
            .collect();
        let expected: &[_] =
            if process == "serve" { &["audience https://records.local/api"] } else { &[] };
        assert_eq!(unchecked, expected, "{}", found.printed);
        assert_eq!(found.code, 0, "{}", found.printed);
        found.assert_shows(&format!("{process} can run: "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_sent_or_received() {
    let account = Account::provisioned().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = account.tables.put_item().table_name("records-outbox");
    put.item("Shard", text("00")).item("Event_ID", text("1")).send().await.unwrap();
    let url = account.sqs.queue_url("audit-events");
    let send = account.queues.send_message().queue_url(&url);
    send.message_body("a message").send().await.unwrap();
    let before = (account.rows().await, account.queue("audit-events").await);

    for process in ["serve", "audit"] {
        assert_eq!(Found::by(&mut account.preflight(process)).code, 0);
    }

    let after = (account.rows().await, account.queue("audit-events").await);
    assert_eq!(after, before);
    let receive = account.queues.receive_message().queue_url(&url).max_number_of_messages(10);
    let receive = receive.message_system_attribute_names("ApproximateReceiveCount".into());
    let [message]: [_; 1] = receive.send().await.unwrap().messages.unwrap().try_into().unwrap();
    let counts = message.attributes.unwrap();
    assert_eq!(counts.values().collect::<Vec<_>>(), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_account_lacks_tables_and_queue_and_is_told_how_to_make_them() {
    let account = Account::open().await;

    let found = Found::by(&mut account.preflight("serve"));

    assert_eq!(found.code, 1);
    found.assert_states(&[
        ("table records", "missing"),
        ("table records-outbox", "missing"),
        ("table audit-trail", "missing"),
        ("queue audit-events", "missing"),
    ]);
    found.assert_shows("\n  records-service provision\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_key_is_wrong_and_its_rights_stay_unchecked() {
    let account = Account::provisioned().await;
    let hash = |name, kind| (name, KeyType::Hash, kind);
    let range = ("Record_ID", KeyType::Range, ScalarAttributeType::N);
    let key = [hash("Organization_ID", ScalarAttributeType::S), range];
    account.create_table("other", &key).await;
    account.set_expiry("other", "Expires_At", true).await;

    let found = Found::by(account.preflight("serve").env("RECORDS_TABLE", "other"));

    assert_eq!(found.code, 1);
    found.assert_states(&[("table other", "wrong"), ("table other: rights", "unchecked")]);
    found.assert_shows(
        "its key is HASH Organization_ID (S), RANGE Record_ID (N) instead of \
         HASH Organization_ID (S), RANGE Record_ID (S): a key cannot be changed, name another table \
         in RECORDS_TABLE",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_missing_comes_with_the_command_that_makes_it() {
    let account = Account::provisioned().await;
    let hash = ("Organization_ID", KeyType::Hash, ScalarAttributeType::S);
    let range = ("Event_ID", KeyType::Range, ScalarAttributeType::S);
    account.create_table("bare", &[hash, range]).await;

    let found = Found::by(account.preflight("audit").env("AUDIT_TABLE", "bare"));

    assert_eq!(found.code, 1);
    found.assert_states(&[("table bare", "wrong"), ("table bare: rights", "unchecked")]);
    found.assert_shows(
        "\n  aws --region eu-central-1 dynamodb update-table --table-name bare --attribute-definitions \
         AttributeName=Organization_ID,AttributeType=S \
         AttributeName=Record_Version,AttributeType=S --global-secondary-index-updates '[",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn time_to_live_is_on_where_rows_end_and_off_where_they_must_stay() {
    let account = Account::provisioned().await;
    account.set_expiry("records", "Expires_At", false).await;
    account.set_expiry("records-outbox", "Expires_At", true).await;

    let found = Found::by(&mut account.preflight("serve"));

    assert_eq!(found.code, 1);
    found.assert_states(&[
        ("table records: time to live", "wrong"),
        ("table records-outbox: time to live", "wrong"),
    ]);
    for (table, enabled) in [("records", true), ("records-outbox", false)] {
        found.assert_shows(&format!(
            "\n  aws --region eu-central-1 dynamodb update-time-to-live --table-name {table} \
             --time-to-live-specification Enabled={enabled},AttributeName=Expires_At\n"
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_that_is_denied_is_in_one_policy_to_add() {
    let account = Account::provisioned().await;
    let tables = FaultProxy::start(account.dynamodb.port()).await.unwrap();
    let queues = FaultProxy::start(account.sqs.port()).await.unwrap();
    let tables_denied = ["PutItem", "UpdateItem", "BatchWriteItem"];
    for operation in tables_denied {
        tables.inject_for(operation, Fault::access_denied());
    }
    queues.inject_for("SendMessageBatch", Fault::access_denied());

    let found = Found::by(
        account
            .preflight("serve")
            .env("AWS_ENDPOINT_URL_DYNAMODB", tables.url())
            .env("AWS_ENDPOINT_URL_SQS", queues.url()),
    );

    assert_eq!(found.code, 1);
    found.assert_states(&[
        ("table records: dynamodb:PutItem", "denied"),
        ("table records-outbox: dynamodb:PutItem", "denied"),
        ("table records-outbox: dynamodb:UpdateItem", "denied"),
        ("table records-outbox: dynamodb:BatchWriteItem", "denied"),
        ("queue audit-events: sqs:SendMessage", "denied"),
    ]);
    let policy = found.printed.split_once("\n{\n").unwrap().1.split_once("\n}\n").unwrap().0;
    let policy: serde_json::Value = serde_json::from_str(&format!("{{{policy}}}")).unwrap();
    let outbox = account.table("records-outbox").await.table_arn.unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 3, "{policy}");
    assert!(statements.contains(&json!({
        "Effect": "Allow",
        "Action": ["dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
        "Resource": outbox,
    })));
    assert!(statements.contains(&json!({
        "Effect": "Allow",
        "Action": ["sqs:SendMessage"],
        "Resource": "arn:aws:sqs:eu-central-1:000000000000:audit-events",
    })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_look_is_tried_all_the_same() {
    let account = Account::provisioned().await;
    let tables = FaultProxy::start(account.dynamodb.port()).await.unwrap();
    let queues = FaultProxy::start(account.sqs.port()).await.unwrap();
    tables.inject_for("DescribeTable", Fault::access_denied());
    queues.inject_for("GetQueueAttributes", Fault::access_denied());

    let found = Found::by(
        account
            .preflight("audit")
            .env("AWS_ENDPOINT_URL_DYNAMODB", tables.url())
            .env("AWS_ENDPOINT_URL_SQS", queues.url()),
    );

    assert_eq!(found.code, 1);
    found.assert_states(&[
        ("table audit-trail: dynamodb:DescribeTable", "denied"),
        ("queue audit-events: sqs:GetQueueAttributes", "denied"),
    ]);
    for right in ["table audit-trail: dynamodb:PutItem", "queue audit-events: sqs:ReceiveMessage"] {
        assert_eq!(found.state(right), "ok");
    }
    found.assert_shows("\"arn:aws:dynamodb:eu-central-1:*:table/audit-trail\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_answer_is_unreachable_and_holds_nobody_up() {
    let account = Account::provisioned().await;
    let tables = FaultProxy::start(account.dynamodb.port()).await.unwrap();
    tables.inject(Fault::Silence);
    account.sqs.stop().await;
    account.auth0.stop().await;

    let began = std::time::Instant::now();
    let found =
        Found::by(account.preflight("serve").env("AWS_ENDPOINT_URL_DYNAMODB", tables.url()));

    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(found.code, 1);
    let issuer = format!("issuer {}", account.auth0.issuer());
    found.assert_states(&[
        ("table records", "unreachable"),
        ("table records-outbox", "unreachable"),
        ("table audit-trail", "unreachable"),
        ("queue audit-events", "unreachable"),
        (&issuer, "unreachable"),
        ("issuer's keys", "unreachable"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_of_another_name_another_time_and_without_good_keys_is_wrong() {
    let account = Account::provisioned().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let date = DateTime::from(SystemTime::now() - Duration::from_secs(95));
    let date = date.fmt(DateTimeFormat::HttpDate).unwrap();
    let metadata = ([("date", date)], Json(json!({ "issuer": url })));
    let keys = Json(json!({ "keys": [{ "kty": "oct", "kid": "1", "k": "AAAA" }] }));
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(async || metadata))
        .route("/.well-known/jwks.json", get(async || keys));
    tokio::spawn(async { axum::serve(listener, router).await });

    let found = Found::by(account.preflight("serve").env("AUTH0_ISSUER_URL", &url));

    assert_eq!(found.code, 1);
    found.assert_states(&[
        (&format!("issuer {url}/"), "wrong"),
        ("clock, by that of the issuer", "wrong"),
        ("issuer's keys", "wrong"),
    ]);
    found.assert_shows(&format!("it calls itself {url}, and the slash counts"));
    found.assert_shows("s ahead, 30 s are granted");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_it_says_where_the_sdk_has_looked() {
    let account = Account::open().await;
    let mut command = account.preflight("audit");
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    // Without this the SDK would ask the metadata service of a machine in AWS.
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent");

    let found = Found::by(&mut command);

    assert_eq!(found.code, 1);
    found.assert_states(&[
        ("AWS credentials", "missing"),
        ("tables, queue and rights", "unchecked"),
    ]);
    found.assert_shows("WebIdentityToken: ");
}

#[test]
fn mistakes_in_the_configuration_are_all_listed() {
    let output = Command::new(env!("CARGO_BIN_EXE_records-service"))
        .args(["preflight", "audit"])
        .env_clear()
        .envs([("OPS_ADDRESS", "everywhere"), ("AUDIT_QUEUE_URL", "no url")])
        .output()
        .unwrap();

    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    for variable in ["OPS_ADDRESS", "AUDIT_QUEUE_URL"] {
        assert!(printed.contains(&format!("\n  {variable}: ")), "{variable} is not in:\n{printed}");
    }
}
