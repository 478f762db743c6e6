//! The command itself: what it prints, and how it ends.

use std::{path::Path, process::Stdio, time::Duration};

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

    let lines = running.until("Ctrl-C stops everything").await.join("\n");
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

    let lines = running.until("RECORDS_SERVICE_URL").await;
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
    for name in ["AUTH0_SECRET", "PAGE_TOKEN_SECRET", "AUTH0_CLIENT_SECRET", "SESSIONS_TABLE"] {
        assert!(lines.iter().any(|line| line.starts_with(&format!("export {name}="))), "{name}");
    }
}
