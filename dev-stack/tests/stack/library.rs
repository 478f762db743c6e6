//! `Stack`: start, kill, restart, logs, stop.

use std::time::Duration;

use dev_stack::{Error, Service, Stack, StackOptions, Storage, samples};
use records_proto::v1::{ListRecordsRequest, Record, records_service_client::RecordsServiceClient};
use tokio::net::TcpStream;
use tonic::Request;

async fn records(stack: &Stack, client: &str, organization: &str) -> Vec<Record> {
    let token = stack.auth0().machine_token(client, organization).unwrap();
    let mut service = RecordsServiceClient::connect(stack.grpc_url()).await.unwrap();
    let mut request = Request::new(ListRecordsRequest { page_size: 100, ..Default::default() });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    service.list_records(request).await.unwrap().into_inner().records
}

/// Whether somebody listens at a URL of this machine.
async fn answers(url: &str) -> bool {
    let port = url.rsplit(':').next().unwrap().trim_end_matches('/').parse::<u16>().unwrap();
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

#[tokio::test]
async fn a_system_starts_from_nothing_and_stops_without_a_trace() {
    let stack = Stack::start(StackOptions::for_test().unwrap()).await.unwrap();
    let urls = [
        stack.app_url().to_owned(),
        stack.grpc_url(),
        stack.ops_url(Service::Records),
        stack.ops_url(Service::Audit),
        stack.ops_url(Service::Frontend),
        stack.dynamodb().url(),
        stack.sqs().url(),
        stack.auth0().issuer().to_owned(),
    ];
    for url in &urls {
        assert!(answers(url).await, "{url}");
    }
    assert!(records(&stack, samples::ACME_MACHINE, samples::ACME).await.is_empty());
    for service in Service::ALL {
        let logs = stack.logs(service);
        assert!(logs.iter().any(|line| line.contains("listening")), "{service:?}: {logs:#?}");
        assert!(stack.pid(service).is_some());
    }

    tokio::time::timeout(Duration::from_secs(15), stack.stop()).await.unwrap();

    for url in &urls {
        assert!(!answers(url).await, "{url}");
    }
}

#[tokio::test]
async fn a_killed_service_stays_dead_until_it_is_started_again() {
    let stack = Stack::start(StackOptions::for_test().unwrap()).await.unwrap();

    let status = stack.kill(Service::Records).await.unwrap();
    assert!(!status.success());
    assert!(!answers(&stack.grpc_url()).await);
    assert_eq!(stack.pid(Service::Records), None);

    stack.restart(Service::Records, &[("RUST_LOG", "debug")]).await.unwrap();
    assert!(answers(&stack.grpc_url()).await);

    let asked = stack.stop_service(Service::Records).await.unwrap();
    assert!(asked.success(), "{asked}");
}

#[tokio::test]
async fn a_replica_is_a_process_with_addresses_of_its_own() {
    let mut options = StackOptions::for_test().unwrap();
    (options.records_replicas, options.frontend_replicas) = (2, 2);
    let stack = Stack::start(options).await.unwrap();

    for service in [Service::Records, Service::Frontend] {
        let second = service.replica(1);
        assert_ne!(stack.pid(service), stack.pid(second));
        stack.kill(service).await;
        assert!(!answers(&stack.url(service)).await && answers(&stack.url(second)).await);
        assert!(!answers(&stack.ops_url(service)).await && answers(&stack.ops_url(second)).await);
    }
}

#[tokio::test]
async fn a_service_that_dies_by_itself_is_started_again_where_that_is_wished() {
    let options = StackOptions { restarts: true, ..StackOptions::for_test().unwrap() };
    let stack = Stack::start(options).await.unwrap();
    let first = stack.pid(Service::Audit).unwrap();

    kill(first);

    let again = async {
        while stack.pid(Service::Audit).is_none_or(|pid| pid == first) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while !answers(&stack.ops_url(Service::Audit)).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.unwrap();
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn sample_records_are_created_once_for_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let options = || {
        let mut options = StackOptions::for_test().unwrap();
        options.samples = true;
        options.emulators.storage = Storage::Folder(folder.path().to_owned());
        options
    };

    let mut seen = Vec::new();
    for _ in 0..2 {
        let stack = Stack::start(options()).await.unwrap();
        let acme = records(&stack, samples::ACME_MACHINE, samples::ACME).await;
        let globex = records(&stack, samples::GLOBEX_MACHINE, samples::GLOBEX).await;
        assert!(acme.len() >= 5 && globex.len() >= 5);
        seen.push((acme, globex));
        stack.stop().await;
    }

    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_service_that_cannot_start_is_named_with_its_last_lines() {
    let mut options = StackOptions::for_test().unwrap();
    options.variables.push((Service::Frontend, "AUTH0_CLIENT_ID".to_owned(), String::new()));

    let error = Stack::start(options).await.err().unwrap();

    let text = error.to_string();
    assert!(matches!(error, Error::Ended { .. }), "{text}");
    assert!(text.contains("auth-frontend") && text.contains("AUTH0_CLIENT_ID"), "{text}");
}

#[tokio::test]
async fn a_service_that_never_becomes_ready_is_named_with_what_was_seen() {
    let mut options = StackOptions::for_test().unwrap();
    let elsewhere = format!("127.0.0.1:{}", dev_stack::free_port().unwrap());
    options.variables.push((Service::Audit, "OPS_ADDRESS".to_owned(), elsewhere));
    // The others, which are waited for first, must have started by then.
    options.patience = Duration::from_secs(10);

    let error = Stack::start(options).await.err().unwrap();

    let text = error.to_string();
    assert!(matches!(error, Error::NotReady { .. }), "{text}");
    assert!(text.contains("records-audit is not ready after 10 s"), "{text}");
    assert!(text.contains("listening"), "{text}");
}

#[tokio::test]
async fn a_missing_binary_is_named_with_how_to_build_it() {
    let mut options = StackOptions::for_test().unwrap();
    options.binaries = tempfile::tempdir().unwrap().path().to_owned();

    let error = Stack::start(options).await.err().unwrap();

    let text = error.to_string();
    assert!(text.contains("records-service") && text.contains("cargo build --workspace"), "{text}");
}

#[tokio::test]
async fn a_folder_serves_one_system_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = || {
        let mut options = StackOptions::for_test().unwrap();
        options.emulators.storage = Storage::Folder(folder.path().to_owned());
        options
    };
    let first = Stack::start(options()).await.unwrap();

    let error = Stack::start(options()).await.err().unwrap();

    assert!(matches!(error, Error::InUse { .. }), "{error}");
    first.stop().await;
}
