//! `preflight`: checks what `serve` or `audit` needs before it runs, with the environment and the
//! rights that it will have. It knows what each process needs, not how that is checked.
//!
//! The rights here are all that the processes use. The README's table and the roles in `aws/` say the
//! same, and a test compares them.

use service_kit::{
    http,
    identity::VerifierSettings,
    preflight::{
        Finding, Report, State,
        aws::Account,
        provider,
        table::{
            self,
            Right::{BatchWriteItem, DeleteItem, GetItem, PutItem, Query, UpdateItem},
            TableUse,
        },
        within,
    },
    telemetry::Chain,
};
use url::Url;

use crate::{
    audit::queue::{self, QueueRight},
    config::{AuditConfig, ServeConfig, Transport},
    grpc::Tls,
    store::tables,
};

/// What `serve` needs.
pub async fn preflight_serve(config: &ServeConfig) -> Report {
    let used = [
        TableUse {
            shape: tables::records(&config.tables.records),
            variable: "RECORDS_TABLE",
            rights: &[GetItem, Query, PutItem],
        },
        TableUse {
            shape: tables::outbox(&config.tables.outbox),
            variable: "OUTBOX_TABLE",
            rights: &[PutItem, Query, UpdateItem, DeleteItem, BatchWriteItem],
        },
        TableUse {
            shape: tables::trail(&config.tables.audit),
            variable: "AUDIT_TABLE",
            rights: &[Query],
        },
    ];
    let (aws, issuer) = tokio::join!(
        aws(&used, &config.queue_url, &[QueueRight::SendMessage]),
        within("issuer", issuer(&config.verifier)),
    );
    report("serve", [aws, issuer, certificates(&config.transport)].concat())
}

/// What `audit` needs.
pub async fn preflight_audit(config: &AuditConfig) -> Report {
    let used = [TableUse {
        shape: tables::trail(&config.tables.audit),
        variable: "AUDIT_TABLE",
        rights: &[PutItem],
    }];
    let rights = [
        QueueRight::ReceiveMessage,
        QueueRight::DeleteMessage,
        QueueRight::ChangeMessageVisibility,
    ];
    report("audit", aws(&used, &config.queue_url, &rights).await)
}

fn report(process: &'static str, mut findings: Vec<Finding>) -> Report {
    findings.insert(0, Finding::ok("configuration"));
    Report { process, findings }
}

/// Credentials, tables, queue and clock.
async fn aws(tables: &[TableUse<'_>], queue_url: &Url, rights: &[QueueRight]) -> Vec<Finding> {
    let (account, mut findings) = Account::open().await;
    let Some(account) = account else {
        let advice = "once there are region and credentials";
        findings.push(Finding::new("tables, queue and rights", State::Unchecked, advice));
        return findings;
    };
    let tables = tables.iter().map(|used| within(used.shape.name, table::check(&account, *used)));
    let (tables, queue) = tokio::join!(
        futures_util::future::join_all(tables),
        within("queue", queue::check(&account, queue_url, rights)),
    );
    findings.extend(tables.into_iter().flatten());
    findings.extend(queue);
    findings.extend(account.clock_finding());
    findings
}

/// Certificate and key of the gRPC port, and who may be its client.
fn certificates(transport: &Transport) -> Vec<Finding> {
    let Transport::Tls(files) = transport else { return Vec::new() };
    let what = "certificates";
    vec![match Tls::load(files) {
        Ok(_) => Finding::ok(what),
        Err(error) => Finding::new(what, State::Wrong, Chain(&error).to_string()),
    }]
}

async fn issuer(settings: &VerifierSettings) -> Vec<Finding> {
    let client = match http::client() {
        Ok(client) => client,
        Err(error) => {
            let advice = format!("{error}: are the machine's certificates there?");
            return vec![Finding::new("issuer", State::Wrong, advice)];
        }
    };
    let (mut findings, _) = provider::check(&client, &settings.issuer).await;
    findings.push(Finding::new(
        format!("audience {}", settings.audience),
        State::Unchecked,
        "only a token shows whether Auth0 has such an API; auth-frontend preflight asks it",
    ));
    findings
}
