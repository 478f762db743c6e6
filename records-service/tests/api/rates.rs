//! Callers and organizations that call more often than they may.

use std::time::{Duration, Instant};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::app::{Client, TestApp, reason};

/// One a second, after so many at once: a test has time for those, and not for many more.
const BURST: usize = 10;

fn limited(by: &str) -> String {
    format!("grpc_server_requests_limited_total{{by=\"{by}\"}}")
}

/// What `count` calls one after the other are answered, of which those that are not let in must all
/// be told so in the same way.
async fn served_of(count: usize, client: &Client) -> usize {
    let mut served = 0;
    for _ in 0..count {
        match client.list(0, "").await {
            Ok(_) => served += 1,
            Err(status) => assert_is_limited(&status),
        }
    }
    served
}

fn assert_is_limited(status: &Status) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::ResourceExhausted, "RATE_LIMITED"),
        "{status:?}"
    );
    let details = status.get_error_details();
    let delay = details.retry_info().unwrap().retry_delay;
    assert!(delay.is_some_and(|delay| !delay.is_zero()), "{delay:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_calls_too_often_is_told_when_to_come_back_and_others_notice_nothing() {
    let app = TestApp::start_with(&[("CALLER_RATE_PER_SECOND", "1"), ("CALLER_BURST", "10")]).await;
    let admin = app.user("acme-admin", "acme");
    let started = Instant::now();

    let served = served_of(5 * BURST, &admin).await;

    let took = usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!((BURST..=BURST + took + 1).contains(&served), "{served} in {took} s");
    // Neither somebody else of the organization, nor the same person in another one, pays for it.
    for (username, organization) in [
        ("acme-editor", "acme"),
        ("consultant", "acme"),
        ("consultant", "globex"),
        ("globex-admin", "globex"),
    ] {
        assert!(app.user(username, organization).list(0, "").await.is_ok(), "{username}");
    }
    // A new token is no new caller.
    assert_is_limited(&refused_at_last(&app, "acme-admin").await);
    // It is enough to wait for as long as one is told to.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(admin.list(0, "").await.is_ok());
    let metrics = app.serve.metrics().await;
    let refused = u32::try_from(5 * BURST - served).unwrap();
    assert!(metrics.get(&limited("caller")).unwrap() >= f64::from(refused));
    assert_eq!(metrics.get(&limited("organization")), Some(0.0));
    for name in ["acme", "auth0|"] {
        assert!(!metrics.text().contains(name), "{name} in {}", metrics.text());
    }
    // They say nothing about how the service does.
    assert!(!metrics.text().contains("code=\"RESOURCE_EXHAUSTED\""), "{}", metrics.text());
    assert_eq!(metrics.get("grpc_server_requests_in_flight"), Some(0.0));
}

/// What somebody is told who calls until it is too often, each time with a token just made.
async fn refused_at_last(app: &TestApp, username: &str) -> Status {
    loop {
        if let Err(status) = app.user(username, "acme").list(0, "").await {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flood_of_one_organization_does_not_slow_another() {
    let limits = [("ORGANIZATION_RATE_PER_SECOND", "1"), ("ORGANIZATION_BURST", "10")];
    let app = TestApp::start_with(&limits).await;
    let flood: Vec<_> = ["acme-admin", "acme-editor", "acme-viewer", "consultant"]
        .map(|username| app.user(username, "acme"))
        .into_iter()
        .map(|client| tokio::spawn(async move { served_of(200, &client).await }))
        .collect();

    let gloria = app.user("globex-admin", "globex");
    let mut slow = 0;
    for _ in 0..BURST {
        let asked = Instant::now();
        gloria.list(0, "").await.unwrap();
        slow += usize::from(asked.elapsed() >= Duration::from_secs(2));
    }

    let mut served = 0;
    for task in flood {
        served += task.await.unwrap();
    }
    // A stall of the machine holds up the one that is under way.
    assert!(slow <= 1, "{slow} of {BURST} took two seconds");
    assert!((BURST..800 / 2).contains(&served), "{served} of 800");
    let metrics = app.serve.metrics().await;
    let refused = u32::try_from(800 - served).unwrap();
    assert_eq!(metrics.get(&limited("organization")), Some(f64::from(refused)));
    assert_eq!(metrics.get(&limited("caller")), Some(0.0));
    // None of these is a fault of the service.
    loop {
        let line = app.serve.next_line();
        assert_ne!(line["message"], "failed", "{line}");
        if line["message"] == "refused" {
            assert_eq!(line["level"], "INFO", "{line}");
            assert!(line["error"].as_str().unwrap().contains("of this organization"), "{line}");
            return;
        }
    }
}
