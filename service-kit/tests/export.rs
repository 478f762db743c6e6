//! Traces arrive at a collector: one test, because what spans are recorded with is the process's own
//! and is set once.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span as Received, span::SpanKind, status::StatusCode},
};
use prost::Message;
use service_kit::{
    config::Environment,
    telemetry::Exporter,
    trace::{Span, TraceContext},
};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

/// The address of a collector, and what it receives.
async fn collector() -> (String, UnboundedReceiver<ExportTraceServiceRequest>) {
    let (sender, received) = unbounded_channel();
    let sender = Arc::new(sender);
    let take = move |headers: HeaderMap, body: Bytes| {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        sender.send(ExportTraceServiceRequest::decode(body).unwrap()).unwrap();
        async {}
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/otlp/", listener.local_addr().unwrap());
    let router = Router::new().route("/otlp/v1/traces", post(take));
    tokio::spawn(async { axum::serve(listener, router).await });
    (url, received)
}

/// The ids of a span as they are written in a `traceparent` header.
fn ids(context: TraceContext) -> (String, String) {
    let header = context.to_string();
    let mut parts = header.split('-').skip(1).map(ToOwned::to_owned);
    (parts.next().unwrap(), parts.next().unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn named<'a>(spans: &'a [Received], name: &str) -> &'a Received {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

#[tokio::test]
async fn steps_of_work_reach_the_collector_as_one_trace() {
    let (url, mut received) = collector().await;
    let mut env = Environment::from_pairs([("OTEL_EXPORTER_OTLP_ENDPOINT", url)]);
    let before = Span::server("before", None).context();
    let exporter = Exporter::from_environment(&mut env, "test");
    env.finish(Some(())).unwrap();

    let mut page = Span::server("GET /records", None);
    page.set("http.response.status_code", 503);
    page.fail("unavailable");
    let call = Span::client(format!("call {}", 1), page.context());
    let (trace_id, page_id) = ids(page.context());
    let (_, call_id) = ids(call.context());
    let elsewhere = TraceContext::parse(&call.context().to_string()).unwrap();
    drop(Span::consumer("work", elsewhere));
    let unsampled = TraceContext::parse(&format!("00-{trace_id}-{page_id}-00")).unwrap();
    let unseen = Span::server("unseen", unsampled).context();
    drop((page, call));
    timeout(Duration::from_secs(5), exporter.shut_down()).await.unwrap();
    let afterwards = Span::server("afterwards", before).context();

    let request = received.recv().await.unwrap();
    assert_eq!(request.resource_spans.len(), 1);
    let resource = request.resource_spans[0].resource.clone().unwrap();
    let text = format!("{:?}", resource.attributes);
    assert!(
        text.contains("org-records-test") && text.contains(env!("CARGO_PKG_VERSION")),
        "{text}"
    );
    let spans = &request.resource_spans[0].scope_spans[0].spans;
    assert_eq!(spans.len(), 3, "{spans:#?}");

    let page = named(spans, "GET /records");
    assert_eq!(page.kind(), SpanKind::Server);
    assert_eq!((hex(&page.trace_id), hex(&page.span_id)), (trace_id.clone(), page_id.clone()));
    assert!(page.parent_span_id.is_empty() && page.end_time_unix_nano > page.start_time_unix_nano);
    assert_eq!(page.attributes[0].key, "http.response.status_code");
    let status = page.status.clone().unwrap();
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "unavailable"));
    let call = named(spans, "call 1");
    assert_eq!((call.kind(), hex(&call.parent_span_id)), (SpanKind::Client, page_id));
    let work = named(spans, "work");
    assert_eq!((work.kind(), hex(&work.parent_span_id)), (SpanKind::Consumer, call_id));
    assert!([call, work].iter().all(|span| hex(&span.trace_id) == trace_id));

    assert!(unseen.to_string().starts_with(&format!("00-{trace_id}-")));
    assert!(unseen.to_string().ends_with("-00"), "the caller's wish is not handed on: {unseen}");
    assert_ne!(ids(before).0, "0".repeat(32));
    assert_eq!(ids(before).0, ids(afterwards).0, "without export a trace goes on all the same");
}
