//! `preflight` where everything is as it must be, and where one thing is not.

use std::{collections::BTreeMap, process::Command};

use dev_stack::{Fault, FaultProxy, Service};

use crate::app::TestApp;

/// What a run has found.
pub(crate) struct Found {
    code: i32,
    /// The state of each thing that was checked.
    states: BTreeMap<String, String>,
    printed: String,
}

impl TestApp {
    /// Runs with the frontend's own environment, but for these variables.
    pub(crate) fn preflight(&self, changes: &[(&str, &str)]) -> Found {
        let emulators = self.stack.emulators();
        let mut command = Command::new(env!("CARGO_BIN_EXE_auth-frontend"));
        command.arg("preflight").env_clear().current_dir(std::env::temp_dir());
        command.envs(emulators.shared_variables()).envs(emulators.frontend_variables());
        for (name, value) in changes {
            command.env(name, value).env_remove(format!("{name}_FILE"));
        }
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let columns = |line: &str| {
            let mut columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
            let mut next = || columns.next().unwrap_or_default().to_owned();
            (next(), next())
        };
        // A title and an empty line come first, then the names of the columns.
        let states = printed.lines().skip(3).take_while(|line| !line.is_empty()).map(columns);
        Found { code: output.status.code().unwrap(), states: states.collect(), printed }
    }

    fn callback(&self) -> String {
        format!("login: client id, callback {}/auth/callback", self.stack.app_url())
    }
}

impl Found {
    /// Checks that all is well but for these. The emulator has no backups, and no protection.
    pub(crate) fn assert_states(&self, exceptions: &[(&str, &str)]) {
        for (what, state) in exceptions {
            let found = self.states.get(*what).map(String::as_str);
            assert_eq!(found, Some(*state), "{what} in:\n{}", self.printed);
        }
        for (what, state) in &self.states {
            let is_local = what.ends_with("protection") || what.ends_with("recovery");
            let is_expected = exceptions.iter().any(|(exception, _)| exception == what);
            let is_fine = state == "ok" || is_local || what.starts_with("audience ");
            assert!(is_expected || is_fine, "{what}: {state} in:\n{}", self.printed);
        }
    }

    pub(crate) fn assert_shows(&self, text: &str) {
        assert!(self.printed.contains(text), "{text:?} is not in:\n{}", self.printed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_as_it_must_be_the_frontend_can_run_and_nothing_has_changed() {
    let app = TestApp::start().await;
    app.logged_in("acme-admin", "acme").await;
    let before = app.sessions().await;

    let found = app.preflight(&[]);

    assert_eq!(found.code, 0, "{}", found.printed);
    found.assert_states(&[]);
    let rights: Vec<_> =
        found.states.keys().filter_map(|what| what.split_once(": dynamodb:")).collect();
    let sessions = |right| ("table sessions", right);
    let used = [
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query of index by-person",
        "Query of index by-sid",
        "UpdateItem",
    ];
    assert_eq!(rights, used.map(sessions));
    for what in [app.callback().as_str(), "login: client secret"] {
        assert_eq!(found.states[what], "ok");
    }
    assert_eq!(app.sessions().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_auth0_does_not_know_is_named() {
    let app = TestApp::start().await;

    let stranger = app.preflight(&[("AUTH0_CLIENT_ID", "stranger")]);
    let elsewhere = app.preflight(&[("APP_BASE_URL", "http://elsewhere.localhost")]);
    let other = app.preflight(&[
        ("AUTH0_CLIENT_SECRET", "a-secret-of-somebody-else"),
        ("AUTH0_AUDIENCE", "https://other.example/api"),
    ]);

    stranger.assert_states(&[(&app.callback(), "wrong"), ("login: client secret", "wrong")]);
    stranger.assert_shows("Auth0 knows no application of this AUTH0_CLIENT_ID");
    let callback = "login: client id, callback http://elsewhere.localhost/auth/callback";
    elsewhere.assert_states(&[(callback, "wrong")]);
    elsewhere.assert_shows("add http://elsewhere.localhost/auth/callback to the application's");
    let audience = "audience https://other.example/api";
    other.assert_states(&[("login: client secret", "wrong"), (audience, "wrong")]);
    assert_eq!([stranger.code, elsewhere.code, other.code], [1, 1, 1]);
    assert!(!other.printed.contains("a-secret-of-somebody-else"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_records_service_that_is_down_or_something_else_is_found() {
    let app = TestApp::start().await;
    let good = format!("{}/", app.stack.grpc_url());
    let other = format!("{}/", app.stack.dynamodb().url());

    let both = app.preflight(&[("RECORDS_SERVICE_URL", &format!("{good},{other}"))]);
    app.stack.stop_service(Service::Records).await;
    let down = app.preflight(&[]);

    let what = |url: &str| format!("records-service {url}");
    assert_eq!((both.code, down.code), (1, 1));
    assert_eq!(both.states[&what(&good)], "ok");
    assert_ne!(both.states[&what(&other)], "ok");
    down.assert_states(&[(&what(&good), "unreachable")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down_and_a_right_that_is_denied_are_found() {
    let app = TestApp::start().await;
    let tables = FaultProxy::start(app.stack.dynamodb().port()).await.unwrap();
    tables.inject_for("UpdateItem", Fault::access_denied());
    app.stack.auth0().stop().await;

    let found = app.preflight(&[("AWS_ENDPOINT_URL_DYNAMODB", &tables.url())]);

    assert_eq!(found.code, 1);
    let issuer = format!("issuer {}", app.stack.auth0().issuer());
    found.assert_states(&[
        ("table sessions: dynamodb:UpdateItem", "denied"),
        (&issuer, "unreachable"),
        ("issuer's keys", "unreachable"),
        ("login", "unchecked"),
    ]);
    found.assert_shows("\"dynamodb:UpdateItem\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_secret_is_a_mistake_in_the_configuration() {
    let app = TestApp::start().await;

    let found = app.preflight(&[("AUTH0_SECRET", "short")]);

    assert_eq!((found.code, found.printed.as_str()), (2, ""));
}
