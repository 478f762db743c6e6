//! What people and programs are let in to.

use dev_stack::samples;
use records_proto::v1 as pb;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use crate::app::{TestApp, reason};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reads_and_does_not_create() {
    let app = TestApp::start().await;
    let viewer = app.user("acme-viewer", "acme");

    let status = viewer.create(&[]).await.unwrap_err();

    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "PERMISSION_DENIED")
    );
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["permission"], "records:create");
    assert!(viewer.list(0, "").await.is_ok());
    assert_eq!(viewer.events(0, "").await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_permissions_has_the_defaults_of_a_person_or_the_scope_of_a_machine() {
    let app = TestApp::start_with(&[("DEFAULT_PERMISSIONS", "")]).await;
    let without_permissions = |mut claims: serde_json::Value, scope: &str| {
        claims.as_object_mut().unwrap().remove("permissions");
        claims["scope"] = json!(scope);
        app.with_token(&app.auth0.sign(&app.auth0.header(), &claims))
    };
    let person = app.auth0.user_claims("acme-admin", "acme").unwrap();
    let machine = app.auth0.machine_claims("acme-machine", "acme").unwrap();

    let person = without_permissions(person, "openid records:read");
    let machine = without_permissions(machine, "records:read");

    assert_eq!(person.list(0, "").await.unwrap_err().code(), Code::PermissionDenied);
    assert!(machine.list(0, "").await.is_ok());
    assert_eq!(machine.create(&[]).await.unwrap_err().code(), Code::PermissionDenied);
}

/// What the token endpoint says to a program, status and body.
async fn client_credentials(
    app: &TestApp,
    client: &str,
    parameters: &[(&str, &str)],
) -> (u16, Value) {
    let form: Vec<_> = [("grant_type", "client_credentials"), ("audience", samples::AUDIENCE)]
        .iter()
        .chain(parameters)
        .copied()
        .collect();
    let request =
        service_kit::http::client().unwrap().post(format!("{}oauth/token", app.auth0.issuer()));
    let request = request.basic_auth(client, Some(samples::MACHINE_SECRET)).form(&form);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_client_credentials_is_recorded_as_a_machine_of_its_one_organization() {
    let app = TestApp::start().await;
    let organization = [("organization", samples::ACME)];

    let (status, tokens) = client_credentials(&app, samples::ACME_MACHINE, &organization).await;
    assert_eq!(status, 200, "{tokens}");
    let machine = app.with_token(tokens["access_token"].as_str().unwrap());
    let record = machine.create(&[]).await.unwrap();

    let creator = record.creator.clone().unwrap();
    assert_eq!(creator.kind(), pb::ActorKind::Machine);
    assert_eq!(creator.id, "acme-machine@clients");
    let trail = machine.trail_of(1).await;
    assert_eq!(trail[0].actor, record.creator);
    let ada = app.user("acme-admin", "acme");
    assert_eq!(ada.get(&record.name).await.unwrap(), record);
    let other = app.with_token(&app.auth0.machine_token("globex-machine", "globex").unwrap());
    assert_eq!(other.get(&record.name).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(other.list(0, "").await.unwrap().records, []);
    assert_eq!(other.events(0, "").await.unwrap().events, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_do_what_it_was_granted_and_has_asked_for() {
    let app = TestApp::start().await;
    let asked = |scope| [("organization", "acme"), ("scope", scope)];

    let (status, tokens) =
        client_credentials(&app, samples::ACME_MACHINE, &asked("records:read")).await;
    assert_eq!(status, 200, "{tokens}");
    let reader = app.with_token(tokens["access_token"].as_str().unwrap());
    let (beyond, _) = client_credentials(&app, samples::ACME_MACHINE, &asked("forms:manage")).await;

    assert!(reader.list(0, "").await.is_ok());
    let refused = reader.create(&[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["permission"], "records:create");
    assert_eq!(reader.events(0, "").await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(beyond, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_without_an_organization_or_of_another_is_refused() {
    let app = TestApp::start().await;

    let (nowhere, _) = client_credentials(&app, samples::ACME_MACHINE, &[]).await;
    let elsewhere = [("organization", samples::GLOBEX)];
    let (elsewhere, _) = client_credentials(&app, samples::ACME_MACHINE, &elsewhere).await;
    // A tenant can be set up to give such tokens; they are worth nothing here.
    let mut claims = app.auth0.machine_claims("acme-machine", "acme").unwrap();
    claims.as_object_mut().unwrap().retain(|name, _| !name.starts_with("org_"));
    let homeless = app.with_token(&app.auth0.sign(&app.auth0.header(), &claims));

    assert_eq!((nowhere, elsewhere), (400, 403));
    let status = homeless.list(0, "").await.unwrap_err();
    let expected = (Code::Unauthenticated, "UNAUTHENTICATED");
    assert_eq!((status.code(), reason(&status).as_str()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_a_machine_in_the_token_profile_of_rfc_9068_too() {
    let app = TestApp::start().await;
    let mut header = app.auth0.header();
    header["typ"] = json!("at+jwt");
    let mut claims = app.auth0.machine_claims("acme-machine", "acme").unwrap();
    claims.as_object_mut().unwrap().remove("gty");
    claims["client_id"] = json!(samples::ACME_MACHINE);
    claims["jti"] = json!("6Q8FPNrwkXJxEmCdzcPdMS");
    let machine = app.with_token(&app.auth0.sign(&header, &claims));

    let creator = machine.create(&[]).await.unwrap().creator.unwrap();

    assert_eq!(creator.kind(), pb::ActorKind::Machine);
}
