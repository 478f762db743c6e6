//! DynamoDB's point-in-time recovery and its refusals, in front of an emulator that has neither.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// An endpoint that answers for backups itself, as AWS does for a new table, and passes everything
/// else on.
pub(super) struct Backups {
    pub(super) url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The operations and tables of all calls.
    calls: Mutex<Vec<(String, String)>>,
    /// By table, how often recovery was asked for. The first time it cannot be had yet.
    wishes: Mutex<HashMap<String, u32>>,
    /// An operation that nobody has the right to.
    forbidden: Mutex<Option<&'static str>>,
}

impl Backups {
    pub(super) async fn start(emulator: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Seen>::default();
        let state = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, state.clone(), emulator.clone()));
            }
        });
        Self { url, seen }
    }

    pub(super) fn forbid(&self, operation: &'static str) {
        *self.seen.forbidden.lock().unwrap() = Some(operation);
    }

    /// The calls since the last time that change something, with their tables.
    pub(super) fn take_changes(&self) -> Vec<(String, String)> {
        let mut calls = std::mem::take(&mut *self.seen.calls.lock().unwrap());
        calls.retain(|(operation, _)| !operation.starts_with("Describe"));
        calls
    }
}

impl Seen {
    /// The answer to a call, unless the emulator has to give it.
    fn answer(&self, operation: &str, table: &str) -> Option<(u16, Value)> {
        self.calls.lock().unwrap().push((operation.to_owned(), table.to_owned()));
        if *self.forbidden.lock().unwrap() == Some(operation) {
            let message = format!("not authorized to perform: dynamodb:{operation}");
            return Some((400, json!({ "__type": "AccessDeniedException", "message": message })));
        }
        let mut wishes = self.wishes.lock().unwrap();
        let wishes = wishes.entry(table.to_owned()).or_default();
        match operation {
            "DescribeContinuousBackups" => {}
            "UpdateContinuousBackups" => *wishes += 1,
            _ => return None,
        }
        if operation.starts_with("Update") && *wishes == 1 {
            return Some((
                400,
                json!({
                    "__type":
                        "com.amazonaws.dynamodb.v20120810#ContinuousBackupsUnavailableException",
                    "message": "Backups are being enabled for the table",
                }),
            ));
        }
        let status = if *wishes > 1 { "ENABLED" } else { "DISABLED" };
        let description = json!({
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": status },
        });
        Some((200, json!({ "ContinuousBackupsDescription": description })))
    }
}

/// Answers one request and closes the connection.
async fn answer(mut stream: TcpStream, seen: Arc<Seen>, emulator: String) {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await.unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
    }
    // A connection that was opened ahead and closed.
    let Some(length) = headers.get("content-length") else { return };
    let mut body = vec![0; length.parse().unwrap()];
    read.read_exact(&mut body).await.unwrap();

    let request: Value = serde_json::from_slice(&body).unwrap();
    let target = &headers["x-amz-target"];
    let operation = target.rsplit('.').next().unwrap();
    let answered = seen.answer(operation, request["TableName"].as_str().unwrap());
    let (status, body) = if let Some((status, body)) = answered {
        (status, body.to_string())
    } else {
        let mut passed_on = service_kit::http::client().unwrap().post(emulator).body(body);
        for name in ["x-amz-target", "authorization", "content-type", "x-amz-date"] {
            passed_on = passed_on.header(name, &headers[name]);
        }
        let answer = passed_on.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.0\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    write.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
}
