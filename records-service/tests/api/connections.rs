//! How connections end: of age, because there are too many, and when the process stops.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use records_proto::v1 as pb;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::{Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::{
    app::{Client, Service, TestApp, creation},
    wire::{LIST_RECORDS, Wire},
};

const IN_FLIGHT: &str = "grpc_server_requests_in_flight";
const CONNECTIONS: &str = "grpc_server_connections";
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_ends_with_notice_and_its_calls_are_answered() {
    let app = TestApp::start_with(&[("MAX_CONNECTION_AGE_SECONDS", "1")]).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let (wire, message, call) = loop {
        let wire = Wire::connect(&app.serve.address).await;
        let (message, call) = wire.slow_call(&token, LIST_RECORDS);
        while !call.is_finished() && app.serve.metric(IN_FLIGHT).await != Some(1.0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if !call.is_finished() {
            break (wire, message, call);
        }
        // On a slow machine a connection may be old before anything was asked on it.
        assert!(is_of_the_connection(&call.await.unwrap().unwrap_err()));
    };

    wire.told().await;
    message.send(()).unwrap();

    call.await.unwrap().unwrap();
    app.serve.wait_for(CONNECTIONS, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_again_loses_nothing_to_the_age_of_its_connections() {
    let app = TestApp::start_with(&[("MAX_CONNECTION_AGE_SECONDS", "1")]).await;
    let ada = app.user("acme-admin", "acme");

    let started = Instant::now();
    let mut names = Vec::new();
    while started.elapsed() < Duration::from_secs(4) {
        names.push(create_at_last(&ada).await);
    }

    assert_eq!(all_records(&ada).await, names);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed_at_once_and_others_are_not_disturbed() {
    // One is the test's own channel.
    let app = TestApp::start_with(&[("MAX_CONNECTIONS", "2")]).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let second = Wire::connect(&app.serve.address).await;
    app.serve.wait_for(CONNECTIONS, 2.0).await;

    let third = Wire::connect(&app.serve.address).await;
    let (_message, refused) = third.slow_call(&token, LIST_RECORDS);

    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap().unwrap();
    assert!(refused.unwrap_err().message().starts_with("connection: "));
    assert!(app.user("acme-admin", "acme").list(0, "").await.is_ok());
    second.cut();
    app.serve.wait_for(CONNECTIONS, 1.0).await;
    let fourth = Wire::connect(&app.serve.address).await;
    let (message, answered) = fourth.slow_call(&token, LIST_RECORDS);
    message.send(()).unwrap();
    answered.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nobody_speaks_leaves_its_place_to_others() {
    // One is the test's own channel.
    let mut app = TestApp::start_with(&[("MAX_CONNECTIONS", "3")]).await;
    let mute = TcpStream::connect(&app.serve.address).await.unwrap();
    let mut stammering = TcpStream::connect(&app.serve.address).await.unwrap();
    stammering.write_all(b"PRI * HTTP/2.0").await.unwrap();
    app.serve.wait_for(CONNECTIONS, 3.0).await;

    app.serve.wait_for(CONNECTIONS, 1.0).await;

    drop((mute, stammering));
    let _mute = TcpStream::connect(&app.serve.address).await.unwrap();
    app.serve.wait_for(CONNECTIONS, 2.0).await;
    let stopping = Instant::now();
    assert_eq!(app.serve.terminate().code(), Some(0));
    // Without a signal to stop, it would have had ten seconds.
    assert!(stopping.elapsed() < Duration::from_secs(9), "{:?}", stopping.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_when_the_process_stops_are_answered_and_watchers_are_told() {
    let mut app = TestApp::start().await;
    let wire = Wire::connect(&app.serve.address).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let (message, call) = wire.slow_call(&token, LIST_RECORDS);
    app.serve.wait_for(IN_FLIGHT, 1.0).await;
    let mut health = HealthClient::new(app.channel.clone());
    let watched = health.watch(HealthCheckRequest::default()).await;
    let mut watched = watched.unwrap().into_inner();
    let next = async |watched: &mut tonic::Streaming<_>| {
        let answer: Option<tonic_health::pb::HealthCheckResponse> =
            tokio::time::timeout(PATIENCE, watched.message()).await.unwrap().unwrap();
        answer.map(|answer| answer.status().as_str_name())
    };
    assert_eq!(next(&mut watched).await, Some("SERVING"));

    app.serve.ask_to_stop();

    assert_eq!(next(&mut watched).await, Some("NOT_SERVING"));
    assert_eq!(next(&mut watched).await, None);
    wire.told().await;
    assert!(TcpStream::connect(&app.serve.address).await.is_err());
    let stopping = Instant::now();
    message.send(()).unwrap();
    call.await.unwrap().unwrap();
    assert_eq!(app.serve.stopped().code(), Some(0));
    // Nothing is left to wait for; what is, has more than a minute.
    assert!(stopping.elapsed() < Duration::from_secs(30), "{:?}", stopping.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_let_in_by_the_system_and_not_yet_by_the_process_is_answered_when_it_stops() {
    let mut app = TestApp::start().await;
    // All at once would be more than one organization may have under way.
    let tokens = [("acme-admin", "acme"), ("globex-admin", "globex")]
        .map(|(username, organization)| app.auth0.user_token(username, organization).unwrap());

    app.serve.signal("STOP");
    let mut calls = Vec::new();
    for _ in 0..100 {
        for token in &tokens {
            let wire = Wire::connect(&app.serve.address).await;
            let (message, call) = wire.slow_call(token, LIST_RECORDS);
            message.send(()).unwrap();
            calls.push((wire, call));
        }
    }
    // What was begun may not be sent yet, and who has sent nothing by then is told to go elsewhere.
    let deadline = Instant::now() + PATIENCE;
    while clients_with_a_call_unread(&app.serve.address) < calls.len() {
        assert!(Instant::now() < deadline, "not all calls are sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.serve.ask_to_stop();
    app.serve.signal("CONT");

    for (_wire, call) in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(app.serve.stopped().code(), Some(0));
}

/// How many clients have sent this address more that it has not read than HTTP/2 itself begins with,
/// which is some 100 bytes. A call with its token has more than a thousand. Source: `proc_net_tcp` in
/// the documentation of Linux.
fn clients_with_a_call_unread(address: &str) -> usize {
    let (_, port) = address.rsplit_once(':').unwrap();
    let here = format!(":{:04X}", port.parse::<u16>().unwrap());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let waiting = sockets.lines().filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, remote) = (columns.next()?, columns.next()?);
        let (_, unread) = columns.nth(1)?.split_once(':')?;
        let unread = u32::from_str_radix(unread, 16).ok()?;
        (local.ends_with(&here) && unread > 512).then_some(remote)
    });
    waiting.collect::<BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_loses_no_request_of_clients_that_come_again() {
    let mut app = TestApp::start().await;
    let address = format!("127.0.0.1:{}", dev_stack::free_port().unwrap());
    let mut command = app.command("serve");
    command.env("RECORDS_ADDRESS", &address);
    app.serve.kill();
    app.serve = Service::start(&mut command);
    app.channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();

    let done = Arc::new(AtomicBool::new(false));
    let load = (0..8).map(|_| {
        let (client, done) = (app.user("acme-admin", "acme"), Arc::clone(&done));
        tokio::spawn(async move {
            let mut names = Vec::new();
            while !done.load(Ordering::Relaxed) {
                names.push(create_at_last(&client).await);
            }
            names
        })
    });
    let load: Vec<_> = load.collect();
    let ada = app.user("acme-admin", "acme");
    for _ in 0..3 {
        create_at_last(&ada).await;
        assert_eq!(app.serve.terminate().code(), Some(0));
        app.serve = Service::start(&mut command);
    }
    create_at_last(&ada).await;
    done.store(true, Ordering::Relaxed);

    let mut created = 4;
    for task in load {
        created += task.await.unwrap().len();
    }
    assert_eq!(all_records(&ada).await.len(), created);
}

/// Makes a record as a careful client does: with a request id.
async fn create_at_last(client: &Client) -> String {
    let mut request = creation(&[]);
    request.request_id = uuid::Uuid::new_v4().to_string();
    at_last(|| client.send(request.clone())).await.name
}

/// Calls again where the connection failed the call. What the service itself answers is not repeated.
async fn at_last<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(status) => {
                assert!(is_of_the_connection(&status), "{status:?}");
                assert!(Instant::now() < deadline, "{status:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Whatever the service answers has details.
fn is_of_the_connection(status: &Status) -> bool {
    status.get_details_error_info().is_none()
}

/// The names of all records, oldest first.
async fn all_records(client: &Client) -> Vec<String> {
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page: pb::ListRecordsResponse = at_last(|| client.list(100, &token)).await;
        names.extend(page.records.into_iter().map(|record| record.name));
        token = page.next_page_token;
        if token.is_empty() {
            names.reverse();
            return names;
        }
    }
}
