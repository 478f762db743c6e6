//! Replicas of records-service that come, die and fall silent under load, and one of which somebody
//! takes all that they may.

use std::time::{Duration, Instant};

use dev_stack::{Fault, FaultProxy, Replica, Service, Stack, StackOptions};
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use crate::{
    balancer::Background,
    browser::{Browser, http},
    caller::Caller,
    load::Load,
    outbox,
};

/// The longest that a page may take, and what a busy machine may add.
const PAGE_DEADLINE: Duration = Duration::from_millis(7500);
/// How soon new replicas have their share of the load.
const SPREAD: Duration = Duration::from_secs(30);
/// So many calls tell how they are shared out.
const ENOUGH: u64 = 30;
/// How long events may take that were left behind.
const DELIVERY: Duration = Duration::from_secs(20);

fn replicas(count: usize) -> Vec<Replica> {
    (0..count).map(|number| Service::Records.replica(number)).collect()
}

async fn start(records_replicas: usize, variables: &[(&str, &str)]) -> Stack {
    let mut options = StackOptions { records_replicas, ..StackOptions::for_test().unwrap() };
    for (name, value) in variables {
        options.variables.push((Service::Records, (*name).to_owned(), (*value).to_owned()));
    }
    Stack::start(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_under_load_fails_no_page_and_loses_no_record() {
    let stack = start(2, &[]).await;
    let mut load = Load::none();
    load.add_people(stack.app_url(), 4).await;
    load.go_on_for(60).await;

    for replica in replicas(2) {
        stack.kill(replica).await;
        load.go_on_for(60).await;
        stack.restart(replica, &[]).await.unwrap();
        has_a_share(&stack, &[replica]).await;
    }
    let tally = load.end().await;

    tally.assert_no_failure(PAGE_DEADLINE);
    let caller = Caller::of_acme(&stack, stack.grpc_url());
    caller.assert_each_once(&tally.titles, DELIVERY).await;
    outbox::assert_empties(&stack, DELIVERY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_falls_silent_fails_no_page_and_holds_none_up_for_long() {
    let stack = start(2, &[]).await;
    let port = stack.url(Service::Records.replica(1)).rsplit_once(':').unwrap().1.parse().unwrap();
    let proxy = FaultProxy::start(port).await.unwrap();
    let urls = format!("{},{}", stack.grpc_url(), proxy.url());
    stack.restart(Service::Frontend, &[("RECORDS_SERVICE_URL", &urls)]).await.unwrap();
    let mut load = Load::none();
    load.add_people(stack.app_url(), 4).await;
    load.go_on_for(60).await;

    proxy.inject(Fault::Silence);
    load.go_on_for(200).await;
    proxy.heal();
    has_a_share(&stack, &replicas(2)).await;
    let tally = load.end().await;

    tally.assert_no_failure(PAGE_DEADLINE);
    let caller = Caller::of_acme(&stack, stack.grpc_url());
    caller.assert_each_once(&tally.titles, DELIVERY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_added_take_their_share_of_the_load_within_thirty_seconds() {
    let variables = [("MAX_CONNECTION_AGE_SECONDS", "3"), ("SHUTDOWN_PAUSE_SECONDS", "1")];
    let stack = start(3, &variables).await;
    let all = replicas(3);
    for replica in &all[1..] {
        stack.stop_service(*replica).await;
    }
    let mut background = Background::default();
    let ready = background.probe(&stack, &all);
    let service_url = background.balance_connections(ready.clone()).await;
    let mut people = Load::none();
    people.add_people(stack.app_url(), 4).await;
    people.go_on_for(30).await;

    for replica in &all[1..] {
        stack.restart(*replica, &[]).await.unwrap();
    }
    has_a_share(&stack, &all).await;
    let people = people.end().await;
    // Each on a connection of its own, which a replica ends when it is old.
    let mut callers = Load::none();
    for replica in &all[1..] {
        stack.stop_service(*replica).await;
    }
    // A caller repeats once, and would fail if it was led to both that are gone.
    ready.until(1).await;
    for number in 0..6 {
        let caller = Caller::of_acme(&stack, service_url.clone());
        callers.add_callers(&format!("connection {number}"), &caller, 1);
    }
    callers.go_on_for(30).await;
    for replica in &all[1..] {
        stack.restart(*replica, &[]).await.unwrap();
    }
    has_a_share(&stack, &all).await;
    let callers = callers.end().await;

    people.assert_no_failure(PAGE_DEADLINE);
    callers.assert_no_failure(PAGE_DEADLINE);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_half_of_one_replica_in_calls_that_are_not_taken_is_served_by_the_other() {
    let stack = start(2, &[("MAX_IN_FLIGHT", "8")]).await;
    let browser = Browser::logged_in(stack.app_url(), "acme-admin", "acme").await;
    let first = Service::Records.replica(0);
    // No answer is taken on this connection.
    let endpoint = Endpoint::new(stack.url(first)).unwrap().initial_stream_window_size(0);
    let caller = Caller::over(&stack, endpoint.connect_lazy());
    let mut untaken = JoinSet::<()>::new();
    for _ in 0..4 {
        let caller = caller.clone();
        untaken.spawn(async move {
            loop {
                drop(caller.list().await);
            }
        });
    }
    while metric(&stack, first, "grpc_server_requests_in_flight").await < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    for _ in 0..60 {
        let page = browser.get("/records").await;
        assert_eq!(page.status, 200, "{}", page.html);
    }

    let frontend = Service::Frontend.replica(0);
    let asked_again = metric(&stack, frontend, "records_call_retries_total{").await;
    assert!(asked_again >= 5, "{asked_again}");
}

/// Waits until each of these replicas has answered at least a fifth of the calls since the last
/// look, of all that they answered together.
async fn has_a_share(stack: &Stack, wanted: &[Replica]) {
    let started = Instant::now();
    let mut before = calls(stack, wanted).await;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = calls(stack, wanted).await;
        let lately: Vec<_> = now.iter().zip(&before).map(|(now, before)| now - before).collect();
        let all: u64 = lately.iter().sum();
        if all >= ENOUGH {
            if lately.iter().all(|calls| *calls * 5 >= all) {
                eprintln!("spread after {:?}", started.elapsed());
                return;
            }
            before = now;
        }
        let took = started.elapsed();
        assert!(took < SPREAD, "after {took:?} the replicas answer {lately:?}");
    }
}

/// How many calls each of the replicas has answered.
async fn calls(stack: &Stack, replicas: &[Replica]) -> Vec<u64> {
    let answered = "grpc_server_request_duration_seconds_count{";
    join_all(replicas.iter().map(|replica| metric(stack, *replica, answered))).await
}

/// The sum of all series of a replica that begin like this.
async fn metric(stack: &Stack, replica: Replica, series: &str) -> u64 {
    let url = format!("{}/metrics", stack.ops_url(replica));
    let text = http().build().unwrap().get(url).send().await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(series));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
