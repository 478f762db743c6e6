//! Access tokens that get nobody in, all refused alike, and the good ones that differ from what
//! Auth0 gives every day.

mod claims;
mod forge;
mod good;
mod headers;
mod keys;
mod shapes;

use std::collections::BTreeSet;

use dev_stack::{Auth0, Auth0Options, auth0::Endpoint};
use records_proto::v1::{self as pb, records_service_client::RecordsServiceClient};
use tonic::{Code, Request, Status, metadata::MetadataValue};

use crate::app::{TestApp, reason};
use forge::Forge;

/// What is wrong, or odd, and the values of `authorization` that a call is sent with.
pub(crate) type Row = (String, Vec<String>);

/// A row of a token that is sent as it should be.
fn bearer(what: &str, token: impl AsRef<str>) -> Row {
    (what.to_owned(), vec![format!("Bearer {}", token.as_ref())])
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_stale_swapped_and_malformed_tokens_are_all_refused_alike() {
    let app = TestApp::start().await;
    let rival = Auth0::start(Auth0Options::sample("http://localhost:3000")).await.unwrap();
    let before = app.auth0.header();
    app.auth0.rotate_keys().unwrap();
    let forge = Forge::new(&app.auth0, &rival);
    let good = forge.good();
    call(&app, &[format!("Bearer {good}")]).await.unwrap();
    let anonymous = call(&app, &[]).await.unwrap_err();
    let expected = (Code::Unauthenticated, "UNAUTHENTICATED");
    assert_eq!((anonymous.code(), reason(&anonymous).as_str()), expected);

    let corpus = [
        keys::algorithms(&forge),
        keys::other_keys(&forge, &before["kid"]),
        headers::rows(&forge),
        claims::who_and_for_whom(&forge),
        claims::times(&forge),
        claims::organizations(&forge),
        claims::twice(&forge),
        shapes::tampered(&forge, &good),
        shapes::malformed(&forge, &good),
        shapes::schemes(&good),
    ]
    .concat();

    let names: BTreeSet<_> = corpus.iter().map(|(what, _)| what).collect();
    assert_eq!(names.len(), corpus.len(), "each row has a name of its own");
    assert!(names.len() >= 150, "there are {} rows", names.len());
    for (what, values) in &corpus {
        let refused = match call(&app, values).await {
            Ok(()) => panic!("accepted: {what}"),
            Err(status) => status,
        };
        // Whatever is wrong, a stranger learns no more than that there was no good token.
        assert_eq!(told(&refused), told(&anonymous), "{what}");
    }
    assert_eq!(rival.requests(Endpoint::Jwks), 0, "a token led the service to another's keys");
    assert!(app.auth0.requests(Endpoint::Jwks) <= 2, "one fetch, and one for all unknown keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn good_tokens_of_every_kind_are_accepted() {
    let app = TestApp::start().await;
    let rival = Auth0::start(Auth0Options::sample("http://localhost:3000")).await.unwrap();
    let before = app.auth0.user_token("acme-viewer", "acme").unwrap();
    app.auth0.rotate_keys().unwrap();
    let forge = Forge::new(&app.auth0, &rival);

    for (what, values) in good::rows(&forge, &before) {
        let outcome = call(&app, &values).await;
        assert!(outcome.is_ok(), "{what}: {outcome:?}");
    }
    assert_eq!(rival.requests(Endpoint::Jwks), 0, "a token led the service to another's keys");
}

async fn call(app: &TestApp, authorization: &[String]) -> Result<(), Status> {
    let mut request = Request::new(pb::ListRecordsRequest::default());
    for value in authorization {
        let value = MetadataValue::try_from(value.as_bytes()).unwrap();
        request.metadata_mut().append("authorization", value);
    }
    let mut records = RecordsServiceClient::new(app.channel.clone());
    records.list_records(request).await.map(|_| ())
}

/// All that a refusal says, but for the time of the answer.
fn told(status: &Status) -> (Code, &str, &[u8], BTreeSet<String>) {
    let metadata = status.metadata().clone().into_headers();
    let said = metadata.iter().filter(|(name, _)| *name != "date");
    let said = said.map(|(name, value)| format!("{name}: {value:?}")).collect();
    (status.code(), status.message(), status.details(), said)
}
