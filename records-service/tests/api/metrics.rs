//! What `/metrics` says.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tonic::Code;

use crate::app::{Service, TestApp};

/// How long a value may take to become what it should be.
const PATIENCE: Duration = Duration::from_secs(30);

/// One look at `/metrics`.
pub(crate) struct Metrics {
    text: String,
    values: HashMap<String, f64>,
}

impl Metrics {
    /// The value of a series, written as `/metrics` writes it.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl Service {
    pub(crate) async fn metrics(&self) -> Metrics {
        let url = format!("http://{}/metrics", self.ops_address);
        // What the client is made for may not take as long as a test has.
        let request = service_kit::http::client().unwrap().get(url).timeout(PATIENCE);
        let text = request.send().await.unwrap().text().await.unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        };
        let values = samples.map(sample).collect();
        Metrics { text, values }
    }

    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        self.metrics().await.get(series)
    }

    /// Waits until a series has this value.
    pub(crate) async fn wait_for(&self, series: &str, value: f64) {
        let wish = format!("{series} is {value}");
        self.look_until(&wish, |metrics| metrics.get(series) == Some(value)).await;
    }

    /// Waits until these series together have at least this value, and gives the look that shows it.
    async fn wait_for_at_least(&self, series: &[&str], value: f64) -> Metrics {
        let sum = |metrics: &Metrics| -> f64 {
            series.iter().filter_map(|series| metrics.get(series)).sum()
        };
        let wish = format!("{series:?} are {value} or more");
        self.look_until(&wish, |metrics| sum(metrics) >= value).await
    }

    async fn look_until(&self, wish: &str, is_so: impl Fn(&Metrics) -> bool) -> Metrics {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.metrics().await;
            if is_so(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < deadline, "not so: {wish}, in {}", metrics.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

const STORED: &str = "audit_events_total{outcome=\"stored\"}";
const DUPLICATE: &str = "audit_events_total{outcome=\"duplicate\"}";

fn calls(method: &str, code: &str) -> String {
    format!(
        "grpc_server_request_duration_seconds_count{{service=\"records.v1.RecordsService\",\
         method=\"{method}\",code=\"{code}\"}}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_shows_and_whose_it_is_does_not() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let gloria = app.user("globex-admin", "globex");

    let record = ada.create(&[]).await.unwrap();
    gloria.create(&[]).await.unwrap();
    assert_eq!(gloria.get(&record.name).await.unwrap_err().code(), Code::NotFound);
    ada.trail_of(1).await;
    gloria.trail_of(1).await;
    // What is sent leaves the outbox after it was counted.
    app.wait_until_the_outbox_is_empty().await;

    let serve = app.serve.metrics().await;
    assert_eq!(serve.get(&calls("CreateRecord", "OK")), Some(2.0));
    assert_eq!(serve.get(&calls("GetRecord", "NOT_FOUND")), Some(1.0));
    let transactions = "aws_call_duration_seconds_count{service=\"DynamoDB\",\
                        operation=\"TransactWriteItems\",outcome=\"ok\"}";
    assert_eq!(serve.get(transactions), Some(2.0));
    let fetches = "provider_fetches_total{document=\"jwks\",outcome=\"ok\"}";
    assert_eq!(serve.get(fetches), Some(1.0));
    let published = |path| serve.get(&format!("relay_events_published_total{{path=\"{path}\"}}"));
    // On a slow machine an event may go both ways.
    assert!(published("fast").unwrap() + published("sweep").unwrap() >= 2.0);
    assert_eq!(serve.get("relay_publish_failures_total"), Some(0.0));
    assert_eq!(serve.get("grpc_server_requests_in_flight"), Some(0.0));
    assert_eq!(serve.get("grpc_server_requests_limit"), Some(256.0));
    assert_eq!(serve.get("grpc_server_requests_shed_total"), Some(0.0));
    assert_eq!(serve.get("grpc_server_connections"), Some(1.0));
    assert_eq!(serve.get("org_records_ready"), Some(1.0));
    // On a slow machine DynamoDB may be asked again for what it has stored, which is a duplicate then.
    let again = "aws_call_retries_total{service=\"DynamoDB\",operation=\"PutItem\"}";
    let audit = app.audit.wait_for_at_least(&[STORED, again], 2.0).await;
    let stored = audit.get(STORED).unwrap();
    let delays = audit.get("audit_event_delay_seconds_count").unwrap();
    assert!(stored <= delays && delays <= 2.0, "{stored} are stored, after {delays} delays");
    assert!(audit.get("audit_received_timestamp_seconds").unwrap() > 1_700_000_000.0);
    for (process, metrics) in [("serve", serve), ("audit", audit)] {
        assert!(metrics.text().contains(&format!("process=\"{process}\"")));
        for name in ["acme", "globex", &record.name["records/".len()..]] {
            assert!(!metrics.text().contains(name), "{name} in {}", metrics.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_messages_is_counted() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    ada.create(&[]).await.unwrap();
    ada.trail_of(1).await;
    let before = app.audit.wait_for_at_least(&[STORED, DUPLICATE], 1.0).await;
    let duplicates = before.get(DUPLICATE).unwrap();

    app.enqueue(&app.trail_payload("org_acme00000000000").await).await;
    app.enqueue("no event").await;

    // On a slow machine even the first event may come twice, and later than the others.
    app.audit.wait_for_at_least(&[DUPLICATE], duplicates + 1.0).await;
    app.audit.wait_for_at_least(&["audit_events_total{outcome=\"refused\"}"], 1.0).await;
    assert!(app.audit.metric(STORED).await.unwrap() <= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_the_outbox_shows_in_the_process_that_sweeps_and_in_no_other() {
    const LATE: &str = "outbox_late_events";
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    // It has the lease: it was there first and has swept.
    app.serve.wait_for(LATE, 0.0).await;
    let mut other = Service::start(&mut app.command("serve"));

    app.sqs.stop().await;
    for _ in 0..3 {
        ada.create(&[]).await.unwrap();
    }
    let mut sweeping = app.serve;
    let deadline = Instant::now() + PATIENCE;
    let shown = loop {
        let shown = sweeping.metrics().await;
        let shown_by_other = other.metrics().await;
        if shown.get(LATE) == Some(3.0) && !shown_by_other.text().contains("outbox_") {
            break shown;
        }
        assert!(Instant::now() < deadline, "{}{}", shown.text(), shown_by_other.text());
        tokio::time::sleep(Duration::from_millis(20)).await;
        // A lease ends while its process is stalled, and then the other one has it.
        std::mem::swap(&mut sweeping, &mut other);
    };

    assert!(shown.get("outbox_oldest_age_seconds").unwrap() >= 2.0);
    assert!(shown.get("outbox_swept_timestamp_seconds").unwrap() > 1_700_000_000.0);
    sweeping.wait_for_at_least(&["relay_publish_failures_total"], 3.0).await;

    sweeping.kill();
    other.wait_for(LATE, 3.0).await;
    app.sqs.resume().await.unwrap();

    other.wait_for(LATE, 0.0).await;
    // The process that committed them may send some the fast way, and the other has only one way.
    let published = |path| format!("relay_events_published_total{{path=\"{path}\"}}");
    other.wait_for_at_least(&[&published("sweep"), &published("fast")], 3.0).await;
    assert_eq!(other.metric("outbox_oldest_age_seconds").await, Some(0.0));
}
