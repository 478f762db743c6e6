//! The command itself: what it prints, and how it ends.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use dev_stack::StackPorts;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
};

use crate::library::kill;

/// The command with ports and a folder of its own.
fn dev_stack(ports: &StackPorts, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev-stack"));
    let ports = [
        ("APP", ports.app),
        ("APP_OPS", ports.app_ops),
        ("GRPC", ports.grpc),
        ("RECORDS_OPS", ports.records_ops),
        ("AUDIT_OPS", ports.audit_ops),
        ("AUTH0", ports.auth0),
        ("DYNAMODB", ports.dynamodb),
        ("SQS", ports.sqs),
    ];
    for (name, port) in ports {
        command.env(format!("DEV_STACK_{name}_PORT"), port.to_string());
    }
    command
        .env("DEV_STACK_DATA", data)
        .env("DEV_STACK_NO_BUILD", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        // Nobody reads the errors here, and a full pipe would hold it up.
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The lines up to one that holds the text.
    async fn until(&mut self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let found = line.contains(text);
                seen.push(line);
                if found {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(Duration::from_mins(1), reading).await.unwrap_or(false);
        assert!(found, "no {text:?} in {seen:#?}");
        seen
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

fn sqs(port: u16) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .endpoint_url(format!("http://localhost:{port}"))
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

async fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

#[tokio::test]
async fn a_taken_port_is_named_in_one_line_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let ports = StackPorts { grpc: port, ..StackPorts::free().unwrap() };
    let folder = tempfile::tempdir().unwrap();

    let output = dev_stack(&ports, &folder.path().join("data")).output().await.unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    for part in ["gRPC of records-service", "--grpc-port", "DEV_STACK_GRPC_PORT"] {
        assert!(errors.contains(part), "{errors}");
    }
    assert!(errors.contains(&format!("port {port} is taken")), "{errors}");
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn the_system_shows_where_to_log_in_and_stops_when_asked_to() {
    let ports = StackPorts::free().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(dev_stack(&ports, folder.path()));

    let mut lines = running.until("Ctrl-C stops everything").await.join("\n");
    // What the services say comes by another way than what the command says.
    if !lines.contains("auth-frontend   |") {
        lines += &running.until("auth-frontend   |").await.join("\n");
    }
    running.signal(Signal::TERM);
    let ended = tokio::time::timeout(Duration::from_secs(20), running.child.wait()).await.unwrap();

    assert!(ended.unwrap().success());
    assert!(lines.contains(&format!("Org Records is ready: http://localhost:{}", ports.app)));
    for part in ["acme-admin", "globex-admin", "consultant", "correct-horse", "auth-frontend   |"] {
        assert!(lines.contains(part), "{lines}");
    }
    for port in [ports.app, ports.grpc, ports.auth0, ports.dynamodb, ports.sqs] {
        assert!(!listens(port).await);
    }
}

#[tokio::test]
async fn nothing_outlives_a_command_that_is_killed() {
    let ports = StackPorts::free().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(dev_stack(&ports, folder.path()));
    running.until("Ctrl-C stops everything").await;
    assert!(listens(ports.grpc).await && listens(ports.app_ops).await);

    kill(running.child.id().unwrap());
    running.child.wait().await.unwrap();

    let gone = async {
        for port in [ports.app, ports.app_ops, ports.grpc, ports.records_ops, ports.audit_ops] {
            while listens(port).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
}

#[tokio::test]
async fn the_outside_world_alone_prints_the_environment_and_nothing_else() {
    let ports = StackPorts::free().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = dev_stack(&ports, folder.path());
    command.arg("emulators");
    let mut running = Running::start(command);

    let lines = running.until("AUTH0_CLIENT_SECRET").await;
    assert!(
        listens(ports.auth0).await && listens(ports.dynamodb).await && listens(ports.sqs).await
    );
    assert!(!listens(ports.grpc).await && !listens(ports.app).await);
    running.signal(Signal::INT);
    let ended = tokio::time::timeout(Duration::from_secs(10), running.child.wait()).await.unwrap();
    let rest = running.lines.next_line().await.unwrap();

    assert!(ended.unwrap().success());
    assert_eq!(rest, None);
    assert!(
        lines.iter().all(|line| line.starts_with("export ") && line.ends_with('\'')),
        "{lines:#?}"
    );
    let expected = [
        format!("export AUTH0_ISSUER_URL='http://localhost:{}/'", ports.auth0),
        format!("export AWS_ENDPOINT_URL_DYNAMODB='http://localhost:{}'", ports.dynamodb),
        format!(
            "export AUDIT_QUEUE_URL='http://localhost:{}/000000000000/audit-events'",
            ports.sqs
        ),
        format!("export APP_BASE_URL='http://localhost:{}'", ports.app),
    ];
    for line in expected {
        assert!(lines.contains(&line), "{line} is not in {lines:#?}");
    }
    for name in ["AUTH0_SECRET", "PAGE_TOKEN_SECRET", "AUTH0_CLIENT_SECRET"] {
        let start = format!("export {name}_FILE='");
        let path = lines.iter().find_map(|line| line.strip_prefix(&start)?.strip_suffix('\''));
        assert!(std::fs::read(path.unwrap()).unwrap().len() >= 32, "{name}");
    }
}

#[tokio::test]
async fn what_the_queue_took_is_there_after_a_kill() {
    let ports = StackPorts::free().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let emulators = || {
        let mut command = dev_stack(&ports, folder.path());
        command.arg("emulators");
        Running::start(command)
    };
    let sqs = sqs(ports.sqs);
    let mut first = emulators();
    first.until("AUDIT_QUEUE_URL").await;
    let created = sqs.create_queue().queue_name("audit-events").send().await.unwrap();
    let queue = created.queue_url.unwrap();

    // One after the other, so that snapshots are taken in between, and the last just before the end.
    let mut taken = BTreeSet::new();
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        let body = format!("message {}", taken.len());
        sqs.send_message().queue_url(&queue).message_body(&body).send().await.unwrap();
        taken.insert(body);
    }
    kill(first.child.id().unwrap());
    first.child.wait().await.unwrap();
    let mut second = emulators();
    second.until("AUDIT_QUEUE_URL").await;

    let mut found = BTreeSet::new();
    loop {
        let request = sqs.receive_message().queue_url(&queue).max_number_of_messages(10);
        let messages = request.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            break;
        }
        found.extend(messages.into_iter().filter_map(|message| message.body));
    }
    assert_eq!(found, taken);
}

#[tokio::test]
async fn the_health_check_tells_whether_the_outside_world_answers() {
    let ports = StackPorts::free().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let check = || dev_stack(&ports, folder.path()).arg("healthcheck").output();
    let before = check().await.unwrap();
    let mut command = dev_stack(&ports, folder.path());
    command.arg("emulators");
    let mut running = Running::start(command);
    running.until("AUDIT_QUEUE_URL").await;

    let during = check().await.unwrap();

    assert_eq!(before.status.code(), Some(1));
    let errors = String::from_utf8(before.stderr).unwrap();
    assert!(errors.contains("the local Auth0 does not answer"), "{errors}");
    assert!(during.status.success(), "{during:?}");
}
