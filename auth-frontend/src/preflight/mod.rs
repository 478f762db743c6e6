//! `preflight`: checks what the frontend needs before it runs, with the environment and the rights that
//! it will have. It knows what it needs, not how tables, provider or records-service are checked.

mod login;
mod records;

use futures_util::future::join_all;
use service_kit::{
    http,
    preflight::{
        Finding, Report, State,
        aws::Account,
        provider,
        table::{
            self,
            Right::{DeleteItem, GetItem, PutItem, QueryIndex, UpdateItem},
            TableUse,
        },
        within,
    },
    tables::{self, SESSIONS_BY_PERSON, SESSIONS_BY_SID},
};

use crate::config::Config;

/// What the frontend needs. The rights here are all that it uses.
pub async fn preflight(config: &Config) -> Report {
    let replicas = config.records_urls.iter().map(async |url| {
        let check = async { vec![records::check(url, &config.records_tls).await] };
        within(&format!("records-service {url}"), check).await
    });
    let (sessions, issuer, replicas) = tokio::join!(
        sessions(&config.sessions_table),
        within("issuer", issuer(config)),
        join_all(replicas),
    );
    let mut findings = vec![Finding::ok("configuration")];
    findings.extend(sessions);
    findings.extend(issuer);
    findings.extend(replicas.into_iter().flatten());
    Report { process: "auth-frontend", findings }
}

/// Credentials, the table of sessions and the clock.
async fn sessions(table: &str) -> Vec<Finding> {
    let (account, mut findings) = Account::open().await;
    let Some(account) = account else {
        let advice = "once there are region and credentials";
        findings.push(Finding::new("table and rights", State::Unchecked, advice));
        return findings;
    };
    let used = TableUse {
        shape: tables::sessions(table),
        variable: "SESSIONS_TABLE",
        rights: &[
            GetItem,
            PutItem,
            UpdateItem,
            DeleteItem,
            QueryIndex(SESSIONS_BY_SID),
            QueryIndex(SESSIONS_BY_PERSON),
        ],
    };
    findings.extend(within(table, table::check(&account, used)).await);
    findings.extend(account.clock_finding());
    findings
}

/// The issuer, and whether it would let people log in here.
async fn issuer(config: &Config) -> Vec<Finding> {
    let client = match http::client() {
        Ok(client) => client,
        Err(error) => {
            let advice = format!("{error}: are the machine's certificates there?");
            return vec![Finding::new("issuer", State::Wrong, advice)];
        }
    };
    let (mut findings, metadata) = provider::check(&client, &config.tokens.issuer).await;
    // Only the issuer that is configured gets to see the client's secret.
    match metadata.filter(|found| found.issuer == config.tokens.issuer.as_str()) {
        Some(metadata) => findings.extend(login::check(&client, &metadata, config).await),
        None => findings.push(Finding::new(
            "login",
            State::Unchecked,
            "once the issuer is as it must be",
        )),
    }
    findings
}
