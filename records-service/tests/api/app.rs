//! One running system for one test: DynamoDB, SQS, Auth0, and the service's own binary as `serve`
//! and `audit`.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use dev_stack::{Auth0, Auth0Options, DynamoDb, Sqs, Storage};
use records_proto::v1::{
    self as pb, Value, audit_service_client::AuditServiceClient,
    forms_service_client::FormsServiceClient, records_service_client::RecordsServiceClient,
    value::Kind,
};
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct TestApp {
    pub(crate) auth0: Auth0,
    pub(crate) dynamodb: DynamoDb,
    pub(crate) sqs: Sqs,
    pub(crate) serve: Service,
    pub(crate) audit: Service,
    pub(crate) channel: Channel,
}

/// A started `records-service`, killed when dropped.
pub(crate) struct Service {
    child: Child,
    lines: Mutex<Receiver<String>>,
    /// Where gRPC is served; empty for `audit`.
    pub(crate) address: String,
    pub(crate) ops_address: String,
}

/// Puts an access token into every call.
#[derive(Clone)]
pub(crate) struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = format!("Bearer {}", self.0).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// The services as one person or program sees them.
pub(crate) struct Client {
    pub(crate) records: RecordsServiceClient<InterceptedService<Channel, Bearer>>,
    pub(crate) forms: FormsServiceClient<InterceptedService<Channel, Bearer>>,
    pub(crate) audit: AuditServiceClient<InterceptedService<Channel, Bearer>>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With these variables for `serve` beside the usual ones.
    pub(crate) async fn start_with(extra: &[(&str, &str)]) -> Self {
        let auth0 = Auth0::start(Auth0Options::sample("http://localhost:3000")).await.unwrap();
        let dynamodb = DynamoDb::start(Storage::Memory, 0).await.unwrap();
        let sqs = Sqs::start(Storage::Memory, 0).await.unwrap();

        let provision = command("provision", &dynamodb, &sqs, &auth0).output().unwrap();
        assert!(provision.status.success(), "{}", String::from_utf8_lossy(&provision.stdout));
        let serve =
            Service::start(command("serve", &dynamodb, &sqs, &auth0).envs(extra.iter().copied()));
        let audit = Service::start(&mut command("audit", &dynamodb, &sqs, &auth0));
        let channel = Channel::from_shared(format!("http://{}", serve.address))
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self { auth0, dynamodb, sqs, serve, audit, channel }
    }

    /// `records-service` with the environment of this system, and no other.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        command(subcommand, &self.dynamodb, &self.sqs, &self.auth0)
    }

    /// Kills `serve` (SIGKILL) and starts it again, without any extra variable.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.serve.kill();
        self.restart().await;
    }

    /// Starts `serve` again after its end.
    pub(crate) async fn restart(&mut self) {
        let mut command = command("serve", &self.dynamodb, &self.sqs, &self.auth0);
        self.serve = Service::start(&mut command);
        self.connect().await;
    }

    /// Speaks with the `serve` that is there now.
    pub(crate) async fn connect(&mut self) {
        let url = format!("http://{}", self.serve.address);
        self.channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    }

    pub(crate) fn kill_audit_worker(&mut self) {
        self.audit.kill();
    }

    pub(crate) fn restart_audit_worker(&mut self) {
        let mut command = command("audit", &self.dynamodb, &self.sqs, &self.auth0);
        self.audit = Service::start(&mut command);
    }

    pub(crate) fn user(&self, username: &str, organization: &str) -> Client {
        self.with_token(&self.auth0.user_token(username, organization).unwrap())
    }

    pub(crate) fn with_token(&self, token: &str) -> Client {
        let bearer = || Bearer(token.to_owned());
        let channel = || self.channel.clone();
        Client {
            records: RecordsServiceClient::with_interceptor(channel(), bearer())
                .max_decoding_message_size(8 * 1024 * 1024),
            forms: FormsServiceClient::with_interceptor(channel(), bearer()),
            audit: AuditServiceClient::with_interceptor(channel(), bearer())
                .max_decoding_message_size(8 * 1024 * 1024),
        }
    }
}

/// `records-service` with the environment of this system, and no other.
pub(crate) fn command(subcommand: &str, dynamodb: &DynamoDb, sqs: &Sqs, auth0: &Auth0) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_records-service"));
    command.arg(subcommand).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).envs([
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb.url()),
        ("AWS_ENDPOINT_URL_SQS", &sqs.url()),
        ("AUDIT_QUEUE_URL", &sqs.queue_url("audit-events")),
        ("AUTH0_ISSUER_URL", auth0.issuer()),
        ("AUTH0_AUDIENCE", "https://records.local/api"),
        ("RECORDS_ADDRESS", "127.0.0.1:0"),
        ("GRPC_PLAINTEXT", "true"),
        ("OPS_ADDRESS", "127.0.0.1:0"),
        ("PAGE_TOKEN_SECRET", "a-secret-of-tests-with-more-than-32-characters"),
        ("TABLE_PROTECTION", "false"),
        ("LOG_FORMAT", "json"),
    ]);
    command
}

impl Service {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let lines = log_lines(&mut child);
        let deadline = Instant::now() + PATIENCE;
        let mut grpc = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).expect("the service says where it listens");
            let line: serde_json::Value = serde_json::from_str(&line).expect("logs are JSON");
            if line["message"] == "listening" {
                let address = line["address"].as_str().unwrap().to_owned();
                // The ops port is named last.
                if line["port"] == "ops" {
                    let lines = Mutex::new(lines);
                    return Self { child, lines, address: grpc, ops_address: address };
                }
                grpc = address;
            }
        }
    }

    /// What it logs next.
    pub(crate) fn next_line(&self) -> serde_json::Value {
        let line = self.lines.lock().unwrap().recv_timeout(PATIENCE);
        serde_json::from_str(&line.expect("the service logs something")).expect("logs are JSON")
    }

    /// The most that it has held in memory so far.
    pub(crate) fn most_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop (SIGTERM).
    pub(crate) fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits until it has stopped.
    pub(crate) fn stopped(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.ask_to_stop();
        self.stopped()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's lines; read to the end so that it never waits for a full pipe.
fn log_lines(child: &mut Child) -> Receiver<String> {
    let stdout = child.stdout.take().unwrap();
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

pub(crate) fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

pub(crate) fn number(number: &str) -> Value {
    Value { kind: Some(Kind::NumberValue(number.to_owned())) }
}

/// A request for a record that fits the form, with these fields changed or added.
pub(crate) fn creation(changes: &[(&str, Value)]) -> pb::CreateRecordRequest {
    let mut fields = BTreeMap::from([
        ("title".to_owned(), text("A laptop")),
        ("category".to_owned(), text("Asset")),
    ]);
    fields.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let record = pb::Record { fields, ..pb::Record::default() };
    pb::CreateRecordRequest { record: Some(record), request_id: String::new() }
}

/// The paths and reasons of an `INVALID_ARGUMENT`.
pub(crate) fn violations(status: &Status) -> Vec<(String, String)> {
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("it has a BadRequest").field_violations;
    violations.iter().map(|v| (v.field.clone(), v.reason.clone())).collect()
}

/// The reason in the `ErrorInfo`, after a check of its domain.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has an ErrorInfo");
    assert_eq!(info.domain, "org-records");
    info.reason.clone()
}

impl Client {
    pub(crate) async fn create(&self, changes: &[(&str, Value)]) -> Result<pb::Record, Status> {
        self.send(creation(changes)).await
    }

    pub(crate) async fn send(
        &self,
        request: pb::CreateRecordRequest,
    ) -> Result<pb::Record, Status> {
        Ok(self.records.clone().create_record(request).await?.into_inner())
    }

    pub(crate) async fn get(&self, name: &str) -> Result<pb::Record, Status> {
        let request = pb::GetRecordRequest { name: name.to_owned() };
        Ok(self.records.clone().get_record(request).await?.into_inner())
    }

    pub(crate) async fn list(
        &self,
        page_size: i32,
        page_token: &str,
    ) -> Result<pb::ListRecordsResponse, Status> {
        let request = pb::ListRecordsRequest { page_size, page_token: page_token.to_owned() };
        Ok(self.records.clone().list_records(request).await?.into_inner())
    }

    pub(crate) async fn events(
        &self,
        page_size: i32,
        page_token: &str,
    ) -> Result<pb::ListAuditEventsResponse, Status> {
        let request = pb::ListAuditEventsRequest { page_size, page_token: page_token.to_owned() };
        Ok(self.audit.clone().list_audit_events(request).await?.into_inner())
    }

    /// The trail once it holds `count` events; the worker needs a moment.
    pub(crate) async fn trail_of(&self, count: usize) -> Vec<pb::AuditEvent> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.events(100, "").await.unwrap().events;
            if events.len() >= count || Instant::now() > deadline {
                assert_eq!(events.len(), count);
                return events;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
