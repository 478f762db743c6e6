//! What the frontend asks of DynamoDB is what its role may: the README has its rights, the test of
//! `aws/roles.yaml` in records-service compares the two.

use std::{collections::BTreeSet, fs};

use dev_stack::Service;

use crate::app::TestApp;

/// The actions on rows in the README's table, which has the resources before each colon.
fn granted() -> BTreeSet<String> {
    let readme = fs::read_to_string(format!("{}/../README.md", env!("CARGO_MANIFEST_DIR")));
    let readme = readme.unwrap();
    let row = readme.lines().find(|line| line.starts_with("| `auth-frontend` | on ")).unwrap();
    let parts = row.split('|').nth(2).unwrap().split(';');
    let actions =
        parts.flat_map(|part| part.split_once(": ").unwrap().1.split('`').skip(1).step_by(2));
    actions.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn the_frontend_sends_what_its_role_may_and_nothing_else() {
    let app = TestApp::start().await;

    let mut browser = app.logged_in("acme-admin", "acme").await;
    browser.get("/home").await;
    // By use after a minute, a session is extended.
    app.age_sessions(60, -29 * 60).await;
    let home = browser.get("/home").await;
    browser.get("/sessions").await;
    browser.post("/auth/logout", &[("csrf_token", &home.hidden("csrf_token"))]).await;

    let ops = app.stack.ops_url(Service::Frontend);
    let metrics = reqwest::get(format!("{ops}/metrics")).await.unwrap().text().await.unwrap();
    let called = metrics.lines().filter_map(|line| {
        let labels = line.strip_prefix("aws_call_duration_seconds_count{service=\"DynamoDB\",")?;
        labels.strip_prefix("operation=\"")?.split_once('"')
    });
    let called: BTreeSet<_> = called.map(|(operation, _)| operation.to_owned()).collect();
    assert_eq!(called, granted());
}
