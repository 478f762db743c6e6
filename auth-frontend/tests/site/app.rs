//! One running system for one test.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::AttributeValue,
};
use dev_stack::{FaultProxy, Service, Stack, StackOptions};

use crate::browser::Browser;

/// A row of the table of sessions.
type Row = HashMap<String, AttributeValue>;

pub(crate) struct TestApp {
    pub(crate) stack: Stack,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self { stack: Stack::start(StackOptions::for_test().unwrap()).await.unwrap() }
    }

    /// With two frontends, the first of which is where browsers go by themselves.
    pub(crate) async fn start_two() -> Self {
        let options = StackOptions { frontend_replicas: 2, ..StackOptions::for_test().unwrap() };
        Self { stack: Stack::start(options).await.unwrap() }
    }

    /// With these variables for the frontend.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        let mut options = StackOptions::for_test().unwrap();
        for (name, value) in variables {
            options.variables.push((Service::Frontend, (*name).to_owned(), (*value).to_owned()));
        }
        Self { stack: Stack::start(options).await.unwrap() }
    }

    /// What stands between the frontend and its table from now on, and fails on demand.
    pub(crate) async fn frontend_behind_faults(&self) -> FaultProxy {
        let proxy = FaultProxy::start(self.stack.dynamodb().port()).await.unwrap();
        let url = proxy.url();
        let variables = [("AWS_ENDPOINT_URL_DYNAMODB", url.as_str())];
        self.stack.restart(Service::Frontend, &variables).await.unwrap();
        proxy
    }

    /// A browser that has never been here.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.stack.app_url())
    }

    /// A browser in which somebody is logged in.
    pub(crate) async fn logged_in(&self, username: &str, organization: &str) -> Browser {
        let mut browser = self.browser();
        let page = browser.log_in(username, organization, "").await;
        assert_eq!((page.status, page.path()), (200, "/home"), "{}", page.html);
        browser
    }

    /// Every line that the frontend has logged.
    pub(crate) fn log(&self) -> Vec<String> {
        self.stack.logs(Service::Frontend)
    }

    fn dynamodb(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
            .endpoint_url(self.stack.dynamodb().url())
            .build();
        Client::from_conf(config)
    }

    /// Every row of the table of sessions. Logout tokens, and what has ended at the provider, are
    /// remembered there as well.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        let rows = self.dynamodb().scan().table_name("sessions").send().await.unwrap();
        rows.items.unwrap_or_default()
    }

    /// Every session that is kept.
    pub(crate) async fn sessions(&self) -> Vec<Row> {
        self.rows().await.into_iter().filter(|row| row.contains_key("Sealed")).collect()
    }

    /// Sets when each session expires and was last used, in seconds from now.
    pub(crate) async fn age_sessions(&self, expires_in: i64, seen: i64) {
        self.set_sessions("Expires_At", expires_in).await;
        self.set_sessions("Last_Seen", seen).await;
    }

    /// Sets a time of each session, in seconds from now.
    pub(crate) async fn set_sessions(&self, attribute: &str, from_now: i64) {
        let time = jiff::Timestamp::now().as_second() + from_now;
        for session in self.sessions().await {
            self.set(&session, attribute, time).await;
        }
    }

    /// Sets when it was heard what has ended at the provider, in seconds from now.
    pub(crate) async fn set_words(&self, from_now: i64) {
        let time = jiff::Timestamp::now().as_millisecond() + from_now * 1000;
        for word in self.rows().await.iter().filter(|row| row.contains_key("Heard_At")) {
            self.set(word, "Heard_At", time).await;
        }
    }

    async fn set(&self, row: &Row, attribute: &str, value: i64) {
        self.dynamodb()
            .update_item()
            .table_name("sessions")
            .key("Session_Hash", row["Session_Hash"].clone())
            .update_expression("SET #attribute = :value")
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":value", AttributeValue::N(value.to_string()))
            .send()
            .await
            .unwrap();
    }

    /// Puts so many sessions like it beside the one that is kept.
    pub(crate) async fn copy_session(&self, copies: usize) {
        let [session] = <[Row; 1]>::try_from(self.sessions().await).unwrap();
        for copy in 0..copies {
            let mut row = session.clone();
            row.insert("Session_Hash".to_owned(), AttributeValue::S(format!("copy {copy}")));
            let put = self.dynamodb().put_item().table_name("sessions").set_item(Some(row));
            put.send().await.unwrap();
        }
    }

    /// Removes from each session what the indexes find it by, as if it had begun within the last
    /// second: they do not show it yet.
    pub(crate) async fn hide_sessions_from_indexes(&self) {
        for session in self.sessions().await {
            self.dynamodb()
                .update_item()
                .table_name("sessions")
                .key("Session_Hash", session["Session_Hash"].clone())
                .update_expression("REMOVE Sid, Person_Hash, Began")
                .send()
                .await
                .unwrap();
        }
    }
}

/// Asks again and again until the answer is there, for what another process does in its own time.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("did not come about within ten seconds: {what}");
}
