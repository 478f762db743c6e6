//! One organization that keeps as many places as it can get.

use records_proto::v1 as pb;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    app::{TestApp, reason},
    wire::{LIST_RECORDS, Wire, framed},
};

const IN_FLIGHT: &str = "grpc_server_requests_in_flight";
const LIMITED: &str = "grpc_server_requests_limited_total{by=\"places\"}";

/// Two people of an organization, then two of another.
const EITHER_WAY: [[(&str, &str); 4]; 2] = [
    [
        ("acme-admin", "acme"),
        ("acme-viewer", "acme"),
        ("globex-admin", "globex"),
        ("consultant", "globex"),
    ],
    [
        ("globex-admin", "globex"),
        ("consultant", "globex"),
        ("acme-admin", "acme"),
        ("acme-viewer", "acme"),
    ],
];

fn assert_has_its_share(status: &Status) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::ResourceExhausted, "OVER_SHARE"),
        "{status:?}"
    );
    assert!(status.message().contains("this organization at once"), "{status:?}");
    let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| !delay.is_zero()), "{delay:?}");
}

/// Makes the service fetch the issuer's keys. While it waits for them a call has a place, and nobody's
/// share yet.
async fn with_keys(app: &TestApp) {
    app.user("acme-admin", "acme").list(0, "").await.unwrap();
    app.serve.wait_for(IN_FLIGHT, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_one_organization_holds_back_leave_half_of_the_places_to_others() {
    let app = TestApp::start_with(&[("MAX_IN_FLIGHT", "4")]).await;
    let wire = Wire::connect(&app.serve.address).await;
    with_keys(&app).await;

    for [one, colleague, other, another] in EITHER_WAY {
        let held = [one, colleague].map(|(username, organization)| {
            wire.slow_call(&app.auth0.user_token(username, organization).unwrap(), LIST_RECORDS)
        });
        app.serve.wait_for(IN_FLIGHT, 2.0).await;

        for (username, organization) in [one, colleague] {
            let refused = app.user(username, organization).list(0, "").await.unwrap_err();
            assert_has_its_share(&refused);
        }
        for (username, organization) in [other, another] {
            assert!(app.user(username, organization).list(0, "").await.is_ok(), "{username}");
        }

        for (message, answer) in held {
            message.send(()).unwrap();
            answer.await.unwrap().unwrap();
        }
        app.serve.wait_for(IN_FLIGHT, 0.0).await;
        assert!(app.user(one.0, one.1).list(0, "").await.is_ok());
    }
    assert_eq!(app.serve.metric(LIMITED).await, Some(4.0));
    assert_eq!(app.serve.metric("grpc_server_requests_shed_total").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_one_organization_does_not_take_leave_half_of_the_places_to_others() {
    let app = TestApp::start_with(&[("MAX_IN_FLIGHT", "4")]).await;

    for [one, colleague, other, another] in EITHER_WAY {
        let mut untaken = Vec::new();
        for (username, organization) in [one, colleague] {
            let token = app.auth0.user_token(username, organization).unwrap();
            let authorization = format!("Bearer {token}");
            let headers = [("authorization", authorization.as_str())];
            let wire = Wire::connect_taking(&app.serve.address, 0).await;
            let all = framed(&pb::ListRecordsRequest::default());
            let answer = wire.unread_call(LIST_RECORDS, &headers, all.into()).await.unwrap();
            untaken.push((wire, answer));
        }

        for (username, organization) in [one, colleague] {
            let refused = app.user(username, organization).list(0, "").await.unwrap_err();
            assert_has_its_share(&refused);
        }
        for (username, organization) in [other, another] {
            assert!(app.user(username, organization).list(0, "").await.is_ok(), "{username}");
        }

        for (wire, _answer) in untaken {
            wire.cut();
        }
        app.serve.wait_for(IN_FLIGHT, 0.0).await;
        assert!(app.user(one.0, one.1).list(0, "").await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_a_place_has_not_called_more_often_by_it() {
    let rates = [("CALLER_RATE_PER_SECOND", "1"), ("CALLER_BURST", "10")];
    let rates_too = [("ORGANIZATION_RATE_PER_SECOND", "1"), ("ORGANIZATION_BURST", "10")];
    let variables = [&rates[..], &rates_too, &[("MAX_IN_FLIGHT", "2")]].concat();
    let app = TestApp::start_with(&variables).await;
    with_keys(&app).await;
    let wire = Wire::connect(&app.serve.address).await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let (message, held) = wire.slow_call(&token, LIST_RECORDS);
    app.serve.wait_for(IN_FLIGHT, 1.0).await;
    let ada = app.with_token(&token);

    for _ in 0..50 {
        assert_has_its_share(&ada.list(0, "").await.unwrap_err());
    }

    message.send(()).unwrap();
    held.await.unwrap().unwrap();
    app.serve.wait_for(IN_FLIGHT, 0.0).await;
    assert!(ada.list(0, "").await.is_ok());
}
