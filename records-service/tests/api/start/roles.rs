//! The roles of `aws/roles.yaml` allow what the processes do, and no more; the README says the same.

use std::{
    collections::BTreeSet,
    process::Command,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tonic::transport::Channel;

use super::{
    account::{Account, success},
    backups::Backups,
    proxy::{self, refusal},
    template::{file, resources},
};
use crate::app::{Service, TestApp, command, creation};

/// What a role may do with what: an action, and the last part of an ARN.
type Rights = BTreeSet<(String, String)>;

/// What every process may look at, for `preflight`.
const LOOKS: [&str; 4] = [
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:DescribeContinuousBackups",
    "sqs:GetQueueAttributes",
];

fn list(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().unwrap()).collect(),
        value => vec![value.as_str().unwrap()],
    }
}

fn rights_of(role: &str) -> Rights {
    let resources = resources("roles.yaml");
    let mut rights = Rights::new();
    for policy in resources[role]["Properties"]["Policies"].as_array().unwrap() {
        for statement in policy["PolicyDocument"]["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow");
            for arn in list(&statement["Resource"]) {
                let resource = arn.rsplit(':').next().unwrap();
                for action in list(&statement["Action"]) {
                    assert!(!action.contains('*') && !arn.contains('*'), "{action} on {arn}");
                    rights.insert((action.to_owned(), resource.to_owned()));
                }
            }
        }
    }
    rights
}

/// An AWS that lets a role do what it may.
struct Guarded {
    allowed: Rights,
    dynamodb: String,
    sqs: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    used: Mutex<Rights>,
    denied: Mutex<Rights>,
}

impl Guarded {
    async fn of(role: &str, dynamodb: String, sqs: String) -> Self {
        let allowed = rights_of(role);
        let seen = Arc::<Seen>::default();
        let guard = |needed: fn(&str, &Value) -> Vec<(String, String)>| {
            let (allowed, seen) = (allowed.clone(), seen.clone());
            move |operation: &str, sent: &Value| {
                for right in needed(operation, sent) {
                    if !allowed.contains(&right) {
                        let message = format!("not authorized to perform: {}", right.0);
                        seen.denied.lock().unwrap().insert(right);
                        return Some(refusal("AccessDeniedException", &message));
                    }
                    seen.used.lock().unwrap().insert(right);
                }
                None
            }
        };
        let dynamodb = proxy::start(dynamodb, guard(needed_of_dynamodb)).await;
        let sqs = proxy::start(sqs, guard(needed_of_sqs)).await;
        Self { allowed, dynamodb, sqs, seen }
    }

    /// The same command with the rights of the role alone.
    fn run(&self, mut command: Command) -> Command {
        command.env("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb);
        command.env("AWS_ENDPOINT_URL_SQS", &self.sqs);
        command
    }

    fn assert_nothing_lacks_and_nothing_is_idle(&self) {
        assert_eq!(*self.seen.denied.lock().unwrap(), Rights::new());
        assert_eq!(*self.seen.used.lock().unwrap(), self.allowed);
    }
}

/// The rights that a call needs. Source: "Actions, resources, and condition keys for Amazon DynamoDB"
/// in the Service Authorization Reference; a transaction needs the rights of its parts.
fn needed_of_dynamodb(operation: &str, sent: &Value) -> Vec<(String, String)> {
    let right =
        |action: &str, table: &str| (format!("dynamodb:{action}"), format!("table/{table}"));
    match operation {
        "TransactWriteItems" => {
            let parts = sent["TransactItems"].as_array().unwrap().iter();
            parts
                .flat_map(|part| part.as_object().unwrap())
                .map(|(kind, part)| {
                    assert_ne!(kind, "ConditionCheck", "its action has another name");
                    right(&format!("{kind}Item"), part["TableName"].as_str().unwrap())
                })
                .collect()
        }
        "BatchWriteItem" => {
            let tables = sent["RequestItems"].as_object().unwrap().keys();
            tables.map(|table| right(operation, table)).collect()
        }
        _ => {
            let table = sent["TableName"].as_str().unwrap();
            let index = sent["IndexName"].as_str().map(|index| format!("{table}/index/{index}"));
            vec![right(operation, index.as_deref().unwrap_or(table))]
        }
    }
}

/// Batches need the rights of what they hold. Source: as above, for Amazon SQS.
fn needed_of_sqs(operation: &str, sent: &Value) -> Vec<(String, String)> {
    let action = operation.strip_suffix("Batch").unwrap_or(operation);
    let queue = sent["QueueUrl"].as_str().or_else(|| sent["QueueName"].as_str()).unwrap();
    vec![(format!("sqs:{action}"), queue.rsplit('/').next().unwrap().to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_process_needs_the_rights_of_its_role_and_uses_them_all() {
    let account = Account::open().await;
    let backups = Backups::start(account.dynamodb.url()).await;
    let guarded = async |role| Guarded::of(role, backups.url.clone(), account.sqs.url()).await;
    let (provision, serve, audit) =
        (guarded("Provision").await, guarded("RecordsService").await, guarded("AuditWorker").await);

    // Protection that is added later is another call than that from the start.
    success(&mut provision.run(account.provision()));
    success(provision.run(account.provision()).env("TABLE_PROTECTION", "true"));
    let process = |name| command(name, &account.dynamodb, &account.sqs, &account.auth0);
    let mut app = {
        let serve = Service::start(&mut serve.run(process("serve")));
        let audit = Service::start(&mut audit.run(process("audit")));
        let url = format!("http://{}", serve.address);
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        let Account { auth0, dynamodb, sqs, .. } = account;
        TestApp { auth0, dynamodb, sqs, serve, audit, channel }
    };
    let admin = app.user("acme-admin", "acme");
    let mut request = creation(&[]);
    request.request_id = uuid::Uuid::new_v4().to_string();
    let record = admin.send(request).await.unwrap();
    admin.get(&record.name).await.unwrap();
    admin.list(10, "").await.unwrap();
    admin.trail_of(1).await;
    app.wait_until_the_outbox_is_empty().await;
    assert!(app.serve.terminate().success());
    assert!(app.audit.terminate().success());
    for (guarded, process) in [(&serve, "serve"), (&audit, "audit")] {
        let mut preflight = guarded.run(app.command("preflight"));
        success(preflight.arg(process));
    }

    provision.assert_nothing_lacks_and_nothing_is_idle();
    serve.assert_nothing_lacks_and_nothing_is_idle();
    audit.assert_nothing_lacks_and_nothing_is_idle();
}

#[test]
fn no_role_may_scan_use_partiql_delete_tables_or_change_the_trail() {
    let resources = resources("roles.yaml");
    let roles = resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::IAM::Role");
    let mut looked_at = 0;
    for (role, _) in roles {
        for (action, resource) in rights_of(role) {
            for forbidden in ["Scan", "PartiQL", "DeleteTable", "DeleteQueue", "Export"] {
                assert!(!action.contains(forbidden), "{role}: {action} on {resource}");
            }
            // What is in the trail stays there as it is.
            let changes = ["UpdateItem", "DeleteItem", "BatchWriteItem"];
            let changes = changes.iter().any(|it| action.ends_with(it));
            assert!(!changes || resource != "table/audit-trail", "{role}: {action}");
        }
        looked_at += 1;
    }
    assert_eq!(looked_at, 4);
}

/// The rights in a cell such as "on `a`, `b`: `GetItem`, `Query`; on `c`: `PutItem`".
fn rights_in(cell: &str, service: &str, prefix: &str) -> Rights {
    let quoted = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
    };
    let mut rights = Rights::new();
    for part in cell.split(';').filter(|part| !part.trim().is_empty()) {
        let (resources, actions) = part.split_once(": ").unwrap();
        for resource in quoted(resources) {
            for action in quoted(actions) {
                rights.insert((format!("{service}:{action}"), format!("{prefix}{resource}")));
            }
        }
    }
    rights
}

#[test]
fn the_readme_has_the_rights_of_each_role() {
    let readme = file("README.md");
    for (process, role) in [
        ("serve", "RecordsService"),
        ("audit", "AuditWorker"),
        ("auth-frontend", "AuthFrontend"),
        ("provision", "Provision"),
    ] {
        let row =
            readme.lines().find(|line| line.starts_with(&format!("| `{process}` | on "))).unwrap();
        let cells: Vec<_> = row.split('|').collect();
        let mut written = rights_in(cells[2], "dynamodb", "table/");
        written.extend(rights_in(cells[3], "sqs", ""));

        let mut rights = rights_of(role);
        if process != "provision" {
            rights.retain(|(action, _)| !LOOKS.contains(&action.as_str()));
        }
        assert_eq!(written, rights, "{process}");
    }
    for look in LOOKS {
        let name = look.split_once(':').unwrap().1;
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
}
