//! An endpoint of AWS in front of an emulator: it answers some calls itself and passes the others on.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::IntoResponse,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// An answer in place of the emulator's.
pub(crate) type Instead = Option<(u16, Value)>;

/// Starts one, and answers with its URL. `instead` is asked about every call: its operation and what
/// was sent.
pub(crate) async fn start(
    emulator: String,
    instead: impl Fn(&str, &Value) -> Instead + Send + Sync + 'static,
) -> String {
    let instead = Arc::new(instead);
    let client = service_kit::http::client().unwrap();
    let answer = async move |headers: HeaderMap, body: Bytes| {
        let sent: Value = serde_json::from_slice(&body).unwrap();
        let operation = headers["x-amz-target"].to_str().unwrap().rsplit('.').next().unwrap();
        let (status, text) = match instead(operation, &sent) {
            Some((status, answer)) => (status, answer.to_string()),
            None => pass_on(&client, &emulator, &headers, body).await,
        };
        let json = HeaderValue::from_static("application/x-amz-json-1.0");
        (StatusCode::from_u16(status).unwrap(), [("content-type", json)], text).into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(async move |headers, body| answer(headers, body).await);
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

/// A receiver may wait for 20 seconds, which is more than our client does.
async fn pass_on(
    client: &reqwest::Client,
    emulator: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> (u16, String) {
    let mut request = client.post(emulator).body(body).timeout(Duration::from_secs(30));
    for name in ["x-amz-target", "authorization", "content-type", "x-amz-date"] {
        request = request.header(name, &headers[name]);
    }
    match request.send().await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(error) => (502, error.to_string()),
    }
}

/// An error as AWS words it.
pub(crate) fn refusal(code: &str, message: &str) -> (u16, Value) {
    (400, json!({ "__type": code, "message": message }))
}
