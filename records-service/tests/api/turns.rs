//! Lists of large records: a megabyte each, and hundreds at a time would be more than a process has.

use futures_util::{StreamExt, stream};
use http::Response;
use hyper::body::Incoming;
use records_proto::v1 as pb;
use tonic::{Code, Status};

use crate::{
    app::{TestApp, text},
    wire::{LIST_RECORDS, Wire, framed},
};

const IN_FLIGHT: &str = "grpc_server_requests_in_flight";
/// A list ends with 1 MB, which is so many of these. Notes may have 100,000 characters, which is less
/// if each is one byte.
const NOTE: &str = "é";
const NOTES_BYTES: usize = 120 * 1024;
const IN_A_LIST: usize = 8;
/// How many of one organization may be read, or large and not taken.
const TURNS_OF_ONE: usize = 16;

const ACME: (&str, &str) = ("acme-admin", "acme");
const GLOBEX: (&str, &str) = ("globex-admin", "globex");

/// A system in which both organizations have more large records than a list has room for.
async fn with_large_records() -> TestApp {
    let app = TestApp::start().await;
    for (username, organization) in [ACME, GLOBEX] {
        let client = app.user(username, organization);
        let notes = NOTE.repeat(NOTES_BYTES / NOTE.len());
        for _ in 0..=IN_A_LIST {
            client.create(&[("notes", text(&notes))]).await.unwrap();
        }
    }
    app
}

/// So many lists of which nothing is taken, with their connection: a few are asked for at a time, so that
/// DynamoDB is not what they wait for. Their calls have as long as a call may have.
async fn untaken(
    app: &TestApp,
    (username, organization): (&str, &str),
    count: usize,
) -> (Wire, Vec<Result<Response<Incoming>, Status>>) {
    let token = app.auth0.user_token(username, organization).unwrap();
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("grpc-timeout", "60S")];
    let wire = Wire::connect_taking(&app.serve.address, 0).await;
    let calls = (0..count).map(|_| {
        let all = framed(&pb::ListRecordsRequest::default());
        wire.unread_call(LIST_RECORDS, &headers, all.into())
    });
    let answers = stream::iter(calls).buffered(8).collect().await;
    (wire, answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn large_lists_that_one_organization_does_not_take_leave_half_of_the_turns_to_others() {
    let app = with_large_records().await;

    for (one, other) in [(ACME, GLOBEX), (GLOBEX, ACME)] {
        let (of_one, of_other) = (app.user(one.0, one.1), app.user(other.0, other.1));
        let name = of_one.list(0, "").await.unwrap().records.remove(0).name;
        let (wire, answers) = untaken(&app, one, TURNS_OF_ONE).await;
        assert!(answers.iter().all(Result::is_ok));

        let token = app.auth0.user_token(one.0, one.1).unwrap();
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("grpc-timeout", "500m")];
        let all = framed(&pb::ListRecordsRequest::default());
        let second = Wire::connect(&app.serve.address).await;
        let waiting = second.call(LIST_RECORDS, &headers, all.into()).await.unwrap();
        let record = of_one.get(&name).await;
        let list = of_other.list(0, "").await.unwrap();

        assert_eq!(waiting.unwrap_err().code(), Code::DeadlineExceeded);
        // A record takes no turn.
        assert!(record.is_ok());
        assert_eq!(list.records.len(), IN_A_LIST);
        wire.cut();
        app.serve.wait_for(IN_FLIGHT, 0.0).await;
        assert_eq!(of_one.list(0, "").await.unwrap().records.len(), IN_A_LIST);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_large_lists_as_there_are_places_take_little_memory() {
    let app = with_large_records().await;
    let before = app.serve.most_memory_mib();

    // Both have as many places as they may.
    tokio::join!(untaken(&app, ACME, 128), untaken(&app, GLOBEX, 128));

    let more = app.serve.most_memory_mib() - before;
    eprintln!("{more} MiB more than the {before} of before");
    assert!(more < 128, "{more} MiB");
}
