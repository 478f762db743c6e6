//! One of two organizations: what it has that the other must not see.

use std::time::{Duration, Instant};

use dev_stack::samples::{ACME, GLOBEX, PERMISSIONS};
use records_proto::v1 as pb;
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::{TestApp, creation, text},
    wire::Whole,
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) id: &'static str,
    /// The token of somebody who is a member of this organization alone.
    pub(super) admin: String,
    /// That of somebody who is a member of both.
    pub(super) consultant: String,
    pub(super) records: Vec<pb::Record>,
    /// What the consultant has asked for already. It says the same in both organizations but for
    /// its request id.
    pub(super) creation: pb::CreateRecordRequest,
    pub(super) records_page: String,
    pub(super) events_page: String,
    /// What the other organization must never see.
    secrets: Vec<String>,
}

/// A token of a sample user with exactly these permissions.
pub(super) fn token(
    app: &TestApp,
    username: &str,
    organization: &str,
    permissions: &[&str],
) -> String {
    let mut claims = app.auth0.user_claims(username, organization).unwrap();
    claims["permissions"] = json!(permissions);
    app.auth0.sign(&app.auth0.header(), &claims)
}

impl Side {
    pub(super) async fn plant(app: &TestApp, name: &'static str) -> Self {
        let username = format!("{name}-admin");
        let admin = token(app, &username, name, &PERMISSIONS);
        let consultant = token(app, "consultant", name, &PERMISSIONS);
        let client = app.with_token(&admin);
        let mut records = Vec::new();
        for number in 1..=3 {
            let title = text(&format!("Canary {number} of {name}"));
            records.push(client.create(&[("title", title)]).await.unwrap());
        }
        let mut creation = creation(&[]);
        creation.request_id = Uuid::new_v4().to_string();
        records.push(app.with_token(&consultant).send(creation.clone()).await.unwrap());
        let events = client.trail_of(records.len()).await;
        let records_page = client.list(1, "").await.unwrap().next_page_token;
        let events_page = client.events(1, "").await.unwrap().next_page_token;
        assert!(!records_page.is_empty() && !events_page.is_empty());

        let person = app.auth0.user_claims(&username, name).unwrap();
        let names = records[0].creator.iter().map(|admin| admin.display_name.clone());
        let mut secrets: Vec<_> = names.collect();
        secrets.extend([name.to_owned(), person["sub"].as_str().unwrap().to_owned()]);
        secrets.extend([creation.request_id.clone(), records_page.clone(), events_page.clone()]);
        secrets.extend(records.iter().map(|record| id_of(&record.name)));
        secrets.extend(events.into_iter().flat_map(|event| [event.id, event.hash]));
        assert!(secrets.len() > 14 && secrets.iter().all(|secret| secret.len() >= 4));
        let id = if name == "acme" { ACME } else { GLOBEX };
        Self { name, id, admin, consultant, records, creation, records_page, events_page, secrets }
    }

    /// All its records and events, once every record has its event.
    pub(super) async fn everything(&self, app: &TestApp) -> (Vec<pb::Record>, Vec<pb::AuditEvent>) {
        let client = app.with_token(&self.admin);
        let records = client.list(100, "").await.unwrap().records;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = client.events(100, "").await.unwrap().events;
            if events.len() >= records.len() {
                assert_eq!(events.len(), records.len());
                return (records, events);
            }
            assert!(Instant::now() < deadline, "the trail lacks events");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nothing of this side is in an answer to the other.
    pub(super) fn assert_hidden_in(&self, answer: &Whole, what: &str) {
        assert!(
            !self.is_seen_in(answer),
            "{what} shows something of {}:\n{}",
            self.name,
            answer.seen
        );
    }

    pub(super) fn is_seen_in(&self, answer: &Whole) -> bool {
        self.secrets.iter().any(|secret| answer.seen.contains(secret))
    }
}

pub(super) fn id_of(name: &str) -> String {
    name.strip_prefix("records/").unwrap().to_owned()
}
