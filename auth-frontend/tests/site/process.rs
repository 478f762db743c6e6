//! The process: its configuration, its start and its end.

use std::{
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use dev_stack::Service;

use crate::app::{TestApp, eventually};

fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auth-frontend"));
    command.env_clear().current_dir(std::env::temp_dir()).envs(variables.iter().copied());
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(variables).args(arguments).output().unwrap()
}

#[test]
fn every_mistake_in_the_configuration_is_listed_and_nothing_starts() {
    let ended = run(
        &[],
        &[
            ("APP_BASE_URL", "localhost"),
            ("AUTH0_SECRET_FILE", "/does/not/exist"),
            ("RECORDS_SERVICE_URL", "not a url"),
        ],
    );

    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8(ended.stderr).unwrap();
    for variable in [
        "APP_BASE_URL",
        "AUTH0_DOMAIN",
        "AUTH0_CLIENT_ID",
        "AUTH0_CLIENT_SECRET",
        "AUTH0_AUDIENCE",
        "AUTH0_SECRET_FILE",
        "RECORDS_SERVICE_URL",
    ] {
        assert!(said.contains(&format!("\n  {variable}: ")), "{variable} in {said}");
    }
}

#[tokio::test]
async fn a_health_check_tells_whether_the_process_beside_it_is_ready() {
    let app = TestApp::start().await;
    let ops = app.stack.ops_url(Service::Frontend);
    let address = format!("127.0.0.1:{}", ops.rsplit_once(':').unwrap().1);
    let check = || run(&["healthcheck"], &[("OPS_ADDRESS", &address)]);

    let running = check();
    app.stack.stop_service(Service::Frontend).await;
    let stopped = check();

    assert_eq!(running.status.code(), Some(0));
    assert_eq!(stopped.status.code(), Some(1));
    assert!(String::from_utf8(stopped.stdout).unwrap().starts_with("not ready: "));
}

#[tokio::test]
async fn told_to_stop_it_goes_on_while_clients_leave() {
    let app = TestApp::start_with(&[("SHUTDOWN_PAUSE_SECONDS", "5")]).await;
    let ready_url = format!("{}/readyz", app.stack.ops_url(Service::Frontend));
    let mut browser = app.browser();
    let before = browser.get("/").await;

    let (ended, after) = tokio::join!(app.stack.stop_service(Service::Frontend), async {
        let mut probe = app.browser();
        eventually("not being ready", async || {
            (probe.get(&ready_url).await.status == 503).then_some(())
        })
        .await;
        browser.get("/").await
    });

    assert!(before.status == 200 && !before.headers.contains_key("connection"));
    assert_eq!((after.status, &after.headers["connection"]), (200, &"close".parse().unwrap()));
    assert!(ended.unwrap().success(), "{ended:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn told_to_stop_before_it_has_started_it_ends_as_well() {
    use rustix::process::{Pid, Signal, kill_process};

    // It asks the machine for its region, and gets no answer.
    let machine = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", machine.local_addr().unwrap());
    let mut starting = command(&[
        ("APP_BASE_URL", "https://records.example"),
        ("AUTH0_DOMAIN", "tenant.eu.auth0.com"),
        ("AUTH0_AUDIENCE", "https://records.example/api"),
        ("AUTH0_CLIENT_ID", "client"),
        ("AUTH0_CLIENT_SECRET", "secret"),
        ("AUTH0_SECRET", "0123456789abcdef0123456789abcdef"),
        ("RECORDS_SERVICE_URL", "http://localhost:1"),
        ("RECORDS_SERVICE_PLAINTEXT", "true"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &silent),
    ])
    .stdout(Stdio::null())
    .spawn()
    .unwrap();
    let question = machine.accept().unwrap();

    kill_process(Pid::from_child(&starting), Signal::TERM).unwrap();
    let ended = starting.wait().unwrap();

    // The first process of a container is not ended by a signal that it has no answer to.
    assert_eq!(ended.code(), Some(0), "{ended}");
    drop(question);
}

#[test]
fn help_is_the_manual_of_the_environment() {
    let help = run(&["--help"], &[]);

    assert!(help.status.success());
    let said = String::from_utf8(help.stdout).unwrap();
    assert!(said.contains("APP_BASE_URL") && said.contains("AUTH0_CLIENT_SECRET"), "{said}");
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_process_is_told_to_stop() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let mut other = browser.clone();
    let form = browser.record_form(&[("title", "In time"), ("category", "Asset")]).await;

    let (page, status) = tokio::join!(
        browser.post_form("/records", &form),
        app.stack.stop_service(Service::Frontend)
    );
    app.stack.restart(Service::Frontend, &[]).await.unwrap();
    let list = eventually("the page after the restart", async || {
        Some(other.get("/records").await).filter(|page| page.status == 200)
    })
    .await;

    assert_eq!(page.status, 303, "{}", page.html);
    assert!(status.unwrap().success(), "{status:?}");
    list.assert_shows("In time");
    assert!(app.log().iter().any(|line| line.contains("\"message\":\"stopped\"")));
}
