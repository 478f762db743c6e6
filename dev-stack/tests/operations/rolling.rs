//! A new version is rolled out: every process is restarted, one after the other, while people and
//! internal services go on working.

use std::time::Duration;

use dev_stack::{Service, Stack, StackOptions};

use crate::{
    balancer::{Background, listen},
    caller::Caller,
    load::Load,
    outbox,
};

const RECORDS: usize = 3;
const FRONTENDS: usize = 2;
/// The longest that a page may take, and what a busy machine may add.
const DEADLINE: Duration = Duration::from_millis(7500);
/// How long events may take that were left behind.
const DELIVERY: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_request_and_loses_no_record() {
    let (listener, app_url) = listen().await;
    let mut options = StackOptions::for_test().unwrap();
    options.records_replicas = RECORDS;
    options.frontend_replicas = FRONTENDS;
    options.emulators.app_url = Some(app_url.clone());
    for service in [Service::Records, Service::Frontend] {
        // Whoever probes may be late on a busy machine, and must have seen them leave by then.
        options.variables.push((service, "SHUTDOWN_PAUSE_SECONDS".to_owned(), "4".to_owned()));
    }
    let stack = Stack::start(options).await.unwrap();
    let frontends: Vec<_> = (0..FRONTENDS).map(|n| Service::Frontend.replica(n)).collect();
    let records: Vec<_> = (0..RECORDS).map(|n| Service::Records.replica(n)).collect();
    let mut background = Background::default();
    let ready_frontends = background.probe(&stack, &frontends);
    background.balance_requests(listener, ready_frontends.clone());
    let ready_records = background.probe(&stack, &records);
    let service_url = background.balance_connections(ready_records.clone()).await;
    let by_service = Caller::of_acme(&stack, service_url);
    let by_watching = Caller::over(&stack, background.balanced_channel(ready_records.clone()));
    let mut load = Load::none();
    load.add_people(&app_url, 3).await;
    load.add_callers("one connection", &by_service, 2);
    load.add_callers("balanced", &by_watching, 2);
    load.go_on_for(100).await;

    // The worker several times: what the queue hands over at that moment must not stay hidden.
    let workers = [Service::Audit.replica(0); 3];
    for replica in records.into_iter().chain(frontends).chain(workers) {
        stack.restart(replica, &[]).await.unwrap();
        ready_records.until(RECORDS).await;
        ready_frontends.until(FRONTENDS).await;
        load.go_on_for(20).await;
    }
    load.go_on_for(100).await;
    let tally = load.end().await;

    tally.assert_no_failure(DEADLINE);
    by_watching.assert_each_once(&tally.titles, DELIVERY).await;
    outbox::assert_empties(&stack, DELIVERY).await;
}
