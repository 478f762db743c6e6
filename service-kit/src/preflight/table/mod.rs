//! Checks one DynamoDB table: that it is there and as it must be, and that this process may do with
//! it what it does. It does not know what is kept there.

mod rights;

use aws_sdk_dynamodb::{
    Client,
    config::Builder,
    types::{
        IndexStatus, PointInTimeRecoveryStatus, TableDescription, TableStatus,
        TimeToLiveDescription, TimeToLiveStatus,
    },
};
use futures_util::future::join_all;

use super::{
    Finding, Mend, State,
    aws::{Account, Obstacle, judge},
};
use serde_json::{Value, json};

use crate::tables::{Difference, IndexShape, TableShape};

pub use rights::Right;

/// What makes tables that are missing, and sets what is missing on them.
const PROVISION: &str = "records-service provision";

/// A table that a process uses.
#[derive(Debug, Clone, Copy)]
pub struct TableUse<'a> {
    /// How it must look.
    pub shape: TableShape<'a>,
    /// The variable that names it.
    pub variable: &'static str,
    /// What is done with its rows.
    pub rights: &'a [Right],
}

/// A look at one table.
struct Look<'a> {
    account: &'a Account,
    client: Client,
    used: TableUse<'a>,
    what: String,
    arn: String,
}

/// Checks a table. Its rights are tried on a key that no row has, each by a call that DynamoDB
/// answers with nothing or refuses after it has looked at the right: none reads, writes or deletes
/// a row.
pub async fn check(account: &Account, used: TableUse<'_>) -> Vec<Finding> {
    let client =
        Client::from_conf(Builder::from(&account.sdk).interceptor(account.clock.clone()).build());
    let name = used.shape.name;
    let what = format!("table {name}");
    let arn = account.arn("dynamodb", None, &format!("table/{name}"));
    // Its future holds one for each call, which would be carried about.
    Box::pin(Look { account, client, used, what, arn }.look()).await
}

impl Look<'_> {
    async fn look(mut self) -> Vec<Finding> {
        let (table, expiry, recovery) =
            tokio::join!(self.describe(), self.time_to_live(), self.recovery());
        let mut findings = Vec::new();
        let usable = match table {
            Ok(table) => {
                if let Some(arn) = table.table_arn() {
                    arn.clone_into(&mut self.arn);
                }
                let shape = self.shape_findings(&table);
                let usable = shape.is_empty();
                findings.extend(shape);
                if usable {
                    findings.push(Finding::ok(format!("{}: key and indexes", self.what)));
                }
                findings.push(self.protection(&table));
                usable
            }
            // The rights can be tried without a look at the table.
            Err(denied @ Obstacle::Denied(_)) => {
                findings.push(self.finding("DescribeTable", denied));
                true
            }
            Err(obstacle) => {
                let finding = obstacle.finding(
                    self.what.clone(),
                    "dynamodb:DescribeTable",
                    &self.arn,
                    &format!(
                        "make it by the command below, or name yours in {}",
                        self.used.variable
                    ),
                );
                findings.push(if finding.state == State::Missing {
                    finding.mended_by(Mend::Command(PROVISION.to_owned()))
                } else {
                    finding
                });
                return findings;
            }
        };
        findings.push(expiry);
        findings.push(recovery);
        if usable {
            let tries = self.used.rights.iter().map(|right| self.try_right(*right));
            findings.extend(join_all(tries).await);
        } else {
            let what = format!("{}: rights", self.what);
            findings.push(Finding::new(what, State::Unchecked, "once the table is as it must be"));
        }
        findings
    }

    /// A finding about an aspect, of which the obstacle's action is the name.
    fn finding(&self, operation: &str, obstacle: Obstacle) -> Finding {
        let action = format!("dynamodb:{operation}");
        let what = format!("{}: {action}", self.what);
        obstacle.finding(what, &action, &self.arn, "the table is not there")
    }

    async fn describe(&self) -> Result<TableDescription, Obstacle> {
        let answer = self.client.describe_table().table_name(self.used.shape.name).send().await;
        let described = judge(answer, &[])?.and_then(|answer| answer.table);
        described.ok_or_else(|| Obstacle::Odd("nothing about the table".to_owned()))
    }

    /// What keeps the table from being used.
    fn shape_findings(&self, table: &TableDescription) -> Vec<Finding> {
        let wrong = |advice: String| Finding::new(&self.what, State::Wrong, advice);
        match table.table_status() {
            Some(TableStatus::Active | TableStatus::Updating) | None => {}
            Some(TableStatus::Creating) => {
                return vec![wrong("it is being made: run again in a minute".to_owned())];
            }
            Some(other) => {
                let advice = format!("its status is {other}: see it in the console");
                return vec![wrong(advice)];
            }
        }
        let differences = self.used.shape.differences(table);
        let differences = differences.into_iter().map(|difference| self.mended(&difference));
        let unfinished = table.global_secondary_indexes().iter().filter(|index| {
            matches!(index.index_status(), Some(IndexStatus::Creating | IndexStatus::Deleting))
                && self.used.shape.indexes.iter().any(|ours| index.index_name() == Some(ours.name))
        });
        let unfinished = unfinished.map(|index| {
            let name = index.index_name().unwrap_or_default();
            wrong(format!("its index {name} is being made or deleted: run again in some minutes"))
        });
        differences.chain(unfinished).collect()
    }

    fn mended(&self, difference: &Difference) -> Finding {
        let table = self.used.shape.name;
        let update = format!("dynamodb update-table --table-name {table}");
        let (advice, command) = match difference {
            Difference::Key { .. } => {
                let variable = self.used.variable;
                (format!("a key cannot be changed, name another table in {variable}"), None)
            }
            Difference::NoIndex(name) => {
                let index = self.used.shape.indexes.iter().find(|index| index.name == *name);
                let index = index.map(|index| {
                    let attributes = [Some(index.hash), index.range].into_iter().flatten();
                    let attributes: Vec<_> = attributes
                        .map(|name| format!("AttributeName={name},AttributeType=S"))
                        .collect();
                    format!(
                        "{update} --attribute-definitions {} --global-secondary-index-updates '{}'",
                        attributes.join(" "),
                        creation(index)
                    )
                });
                ("add it, which takes a while".to_owned(), index)
            }
            Difference::IndexKey { name, .. } | Difference::IndexRows(name) => {
                let delete = json!([{ "Delete": { "IndexName": name } }]);
                let command = format!("{update} --global-secondary-index-updates '{delete}'");
                ("delete that index, then run again".to_owned(), Some(command))
            }
        };
        let finding = Finding::new(&self.what, State::Wrong, format!("{difference}: {advice}"));
        match command {
            Some(command) => finding.mended_by(self.account.mend_by_aws(&command)),
            None => finding,
        }
    }

    fn protection(&self, table: &TableDescription) -> Finding {
        let what = format!("{}: deletion protection", self.what);
        if table.deletion_protection_enabled() == Some(true) {
            return Finding::ok(what);
        }
        let command = format!(
            "dynamodb update-table --table-name {} --deletion-protection-enabled",
            self.used.shape.name
        );
        Finding::new(what, State::Warning, "turn it on")
            .mended_by(self.account.mend_by_aws(&command))
    }

    async fn time_to_live(&self) -> Finding {
        let name = self.used.shape.name;
        let what = format!("{}: time to live", self.what);
        let answer = self.client.describe_time_to_live().table_name(name).send().await;
        let found = match judge(answer, &[]) {
            Ok(answer) => answer.and_then(|answer| answer.time_to_live_description),
            Err(obstacle) => return self.finding("DescribeTimeToLive", obstacle),
        };
        let found = found.unwrap_or_else(|| TimeToLiveDescription::builder().build());
        let on = matches!(
            found.time_to_live_status(),
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        );
        let theirs = found.attribute_name().unwrap_or_default();
        let set = |enabled: bool, attribute: &str| {
            self.account.mend_by_aws(&format!(
                "dynamodb update-time-to-live --table-name {name} \
                 --time-to-live-specification Enabled={enabled},AttributeName={attribute}"
            ))
        };
        match (self.used.shape.expiry, on) {
            (None, false) => Finding::ok(format!("{what}, which must be off")),
            (None, true) => {
                let advice = format!("turn it off: rows that end by {theirs} are lost");
                Finding::new(what, State::Wrong, advice).mended_by(set(false, theirs))
            }
            (Some(ours), true) if theirs == ours => Finding::ok(what),
            (Some(ours), true) => {
                let advice = format!(
                    "rows end by {theirs}, but must by {ours}: turn it off, and after an hour on"
                );
                Finding::new(what, State::Wrong, advice).mended_by(set(false, theirs))
            }
            (Some(ours), false) => {
                let advice = format!("turn it on, by {ours}");
                Finding::new(what, State::Wrong, advice).mended_by(set(true, ours))
            }
        }
    }

    async fn recovery(&self) -> Finding {
        let name = self.used.shape.name;
        let what = format!("{}: point-in-time recovery", self.what);
        let answer = self.client.describe_continuous_backups().table_name(name).send().await;
        let answer = match judge(answer, &[]) {
            Ok(answer) => answer,
            Err(Obstacle::Denied(_)) => {
                let advice = "this role may not look (dynamodb:DescribeContinuousBackups)";
                return Finding::new(what, State::Unchecked, advice);
            }
            Err(Obstacle::Odd(said)) => {
                return Finding::new(what, State::Unchecked, format!("DynamoDB says {said}"));
            }
            Err(obstacle) => return self.finding("DescribeContinuousBackups", obstacle),
        };
        let status = answer
            .and_then(|answer| answer.continuous_backups_description)
            .and_then(|backups| backups.point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status);
        if status == Some(PointInTimeRecoveryStatus::Enabled) {
            return Finding::ok(what);
        }
        let command = format!(
            "dynamodb update-continuous-backups --table-name {name} \
             --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        );
        Finding::new(what, State::Warning, "turn it on")
            .mended_by(self.account.mend_by_aws(&command))
    }
}

/// An index as the AWS command line takes it.
fn creation(index: &IndexShape) -> Value {
    let element = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    let key = [Some(element(index.hash, "HASH")), index.range.map(|name| element(name, "RANGE"))];
    let key: Vec<_> = key.into_iter().flatten().collect();
    let projection = if index.whole_rows { "ALL" } else { "KEYS_ONLY" };
    json!([{
        "Create": {
            "IndexName": index.name,
            "KeySchema": key,
            "Projection": { "ProjectionType": projection },
        }
    }])
}
