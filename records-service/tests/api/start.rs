//! Starting, with good and bad configuration.

use std::process::Command;

use crate::{
    app::{TestApp, command},
    reflection::services,
};

mod account;
mod backups;
mod preflight;
mod provision;
pub(crate) mod proxy;
mod reader;
mod roles;
mod storage;
mod template;

#[test]
fn every_configuration_mistake_is_listed_before_anything_binds() {
    let output = Command::new(env!("CARGO_BIN_EXE_records-service"))
        .arg("serve")
        .env_clear()
        .envs([
            ("AUTH0_ISSUER_URL", "ftp://issuer.example"),
            ("AUDIT_QUEUE_URL", "no url"),
            ("PAGE_TOKEN_SECRET_FILE", "/does/not/exist"),
            ("RECORDS_ADDRESS", "everywhere"),
            ("GRPC_REFLECTION", "perhaps"),
            ("MAX_IN_FLIGHT", "0"),
            ("GRPC_TLS_KEY", "/does/not/exist"),
            ("GRPC_TLS_CLIENT_CA", "/dev/null"),
            ("GRPC_TLS_RELOAD_SECONDS", "0"),
            ("CALLER_RATE_PER_SECOND", "0"),
            ("CALLER_BURST", "0"),
            ("ORGANIZATION_RATE_PER_SECOND", "-1"),
            ("ORGANIZATION_BURST", "much"),
            ("MAX_CONNECTIONS", "many"),
            ("MAX_CONNECTION_AGE_SECONDS", "0"),
        ])
        .output()
        .unwrap();

    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    for variable in [
        "AUTH0_ISSUER_URL",
        "AUTH0_AUDIENCE",
        "AUDIT_QUEUE_URL",
        "PAGE_TOKEN_SECRET_FILE",
        "RECORDS_ADDRESS",
        "GRPC_REFLECTION",
        "MAX_IN_FLIGHT",
        "GRPC_TLS_CERT",
        "GRPC_TLS_KEY",
        "GRPC_TLS_CLIENT_CA",
        "GRPC_TLS_RELOAD_SECONDS",
        "CALLER_RATE_PER_SECOND",
        "CALLER_BURST",
        "ORGANIZATION_RATE_PER_SECOND",
        "ORGANIZATION_BURST",
        "MAX_CONNECTIONS",
        "MAX_CONNECTION_AGE_SECONDS",
    ] {
        assert!(printed.contains(&format!("\n  {variable}: ")), "{variable} is not in:\n{printed}");
    }
    assert!(!String::from_utf8(output.stdout).unwrap().contains("listening"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_starts_without_a_region() {
    let app = TestApp::start().await;
    for subcommand in ["serve", "audit", "provision"] {
        let mut command = command(subcommand, &app.dynamodb, &app.sqs, &app.auth0);
        // Without the second the SDK would ask the metadata service of a machine in AWS.
        command.env("AWS_REGION", "").env("AWS_EC2_METADATA_DISABLED", "true");

        let output = command.output().unwrap();

        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success(), "{subcommand}: {printed}");
        assert!(printed.contains("AWS_REGION: is not set"), "{subcommand}: {printed}");
        assert!(!printed.contains("listening"), "{subcommand}: {printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_tells_whether_a_process_is_ready_and_in_one_line_why_not() {
    let app = TestApp::start().await;
    let check = |ops_address: &str| {
        let mut command = app.command("healthcheck");
        let output = command.env("OPS_ADDRESS", ops_address).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let nobody = format!("127.0.0.1:{}", dev_stack::free_port().unwrap());

    let ready = [check(&app.serve.ops_address), check(&app.audit.ops_address)];
    let (code, said) = check(&nobody);

    assert_eq!(ready, [(Some(0), String::new()), (Some(0), String::new())]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("not ready: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_the_contract_can_be_asked_for_without_a_token() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    let app = TestApp::start().await;

    for service in ["", "records.v1.RecordsService", "records.v1.AuditService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(app.channel.clone()).check(request).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service}");
    }
    let names = services(&app.channel).await;
    assert!(names.contains(&"records.v1.FormsService".to_owned()), "{names:?}");
}
