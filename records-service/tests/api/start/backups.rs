//! DynamoDB's point-in-time recovery and its refusals, in front of an emulator that has neither.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::proxy::{self, Instead, refusal};

/// An endpoint that answers for backups itself, as AWS does for a new table, and passes everything
/// else on.
pub(super) struct Backups {
    pub(super) url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The operations and tables of all calls.
    calls: Mutex<Vec<(String, String)>>,
    /// By table, how often recovery was asked for. The first time it cannot be had yet.
    wishes: Mutex<HashMap<String, u32>>,
    /// An operation that nobody has the right to.
    forbidden: Mutex<Option<&'static str>>,
}

impl Backups {
    pub(super) async fn start(emulator: String) -> Self {
        let seen = Arc::<Seen>::default();
        let state = seen.clone();
        let url = proxy::start(emulator, move |operation, sent| {
            state.answer(operation, sent["TableName"].as_str().unwrap_or_default())
        });
        Self { url: url.await, seen }
    }

    pub(super) fn forbid(&self, operation: &'static str) {
        *self.seen.forbidden.lock().unwrap() = Some(operation);
    }

    /// The calls since the last time that change something, with their tables.
    pub(super) fn take_changes(&self) -> Vec<(String, String)> {
        let mut calls = std::mem::take(&mut *self.seen.calls.lock().unwrap());
        calls.retain(|(operation, _)| !operation.starts_with("Describe"));
        calls
    }
}

impl Seen {
    /// The answer to a call, unless the emulator has to give it.
    fn answer(&self, operation: &str, table: &str) -> Instead {
        self.calls.lock().unwrap().push((operation.to_owned(), table.to_owned()));
        if *self.forbidden.lock().unwrap() == Some(operation) {
            let message = format!("not authorized to perform: dynamodb:{operation}");
            return Some(refusal("AccessDeniedException", &message));
        }
        let mut wishes = self.wishes.lock().unwrap();
        let wishes = wishes.entry(table.to_owned()).or_default();
        match operation {
            "DescribeContinuousBackups" => {}
            "UpdateContinuousBackups" => *wishes += 1,
            _ => return None,
        }
        if operation.starts_with("Update") && *wishes == 1 {
            return Some(refusal(
                "com.amazonaws.dynamodb.v20120810#ContinuousBackupsUnavailableException",
                "Backups are being enabled for the table",
            ));
        }
        Some((200, description(*wishes > 1)))
    }
}

fn description(is_enabled: bool) -> Value {
    let status = if is_enabled { "ENABLED" } else { "DISABLED" };
    json!({
        "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": status },
        },
    })
}
