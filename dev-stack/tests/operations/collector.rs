//! A trace collector as far as these tests need one: it takes OTLP over HTTP and remembers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::DefaultBodyLimit, http::HeaderMap, routing::post};
use dev_stack::{Service, StackOptions};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value, trace::v1 as otlp,
};
use prost::Message;

use crate::balancer;

/// What the services say to be let in.
pub(crate) const KEY: &str = "Bearer the-collector's-key";
/// Far more than spans need to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A step of work, as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// `service.name` of who sent it.
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) kind: otlp::span::SpanKind,
    pub(crate) trace_id: String,
    pub(crate) id: String,
    /// Empty where it is the first of its trace.
    pub(crate) parent_id: String,
    pub(crate) attributes: Vec<(String, String)>,
}

/// A running collector.
pub(crate) struct Collector {
    pub(crate) url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

/// Lets every process send its traces there, soon after they are made.
pub(crate) fn export_to(options: &mut StackOptions, url: impl Fn(Service) -> String) {
    for service in Service::ALL {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url(service)),
            ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization={}", KEY.replace(' ', "%20"))),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (service, name.to_owned(), value));
        options.variables.extend(variables);
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let received = Arc::clone(&spans);
        let take = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["authorization"], KEY);
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            received.lock().unwrap().extend(request.resource_spans.into_iter().flat_map(spans_of));
        };
        let (listener, url) = balancer::listen().await;
        let router =
            Router::new().route("/v1/traces", post(take)).layer(DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, spans }
    }

    /// The spans of the trace that holds a span like this, once `complete` is content with them.
    pub(crate) async fn trace_with(
        &self,
        wanted: impl Fn(&Span) -> bool,
        complete: impl Fn(&[Span]) -> bool,
    ) -> Vec<Span> {
        let started = Instant::now();
        loop {
            let all = self.all();
            if let Some(one) = all.iter().find(|span| wanted(span)) {
                let trace: Vec<_> =
                    all.iter().filter(|span| span.trace_id == one.trace_id).cloned().collect();
                if complete(&trace) {
                    return trace;
                }
            }
            assert!(started.elapsed() < PATIENCE, "the trace did not come: {all:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything that was received.
    pub(crate) fn all(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

fn spans_of(received: otlp::ResourceSpans) -> Vec<Span> {
    let resource = received.resource.unwrap_or_default();
    let service = resource.attributes.iter().find(|attribute| attribute.key == "service.name");
    let service = service.map(|attribute| text(attribute.value.as_ref())).unwrap_or_default();
    let spans = received.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans
        .map(|span| Span {
            service: service.clone(),
            kind: span.kind(),
            trace_id: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            attributes: span
                .attributes
                .into_iter()
                .map(|attribute| (attribute.key, text(attribute.value.as_ref())))
                .chain(span.status.map(|status| ("status".to_owned(), status.message)))
                .collect(),
            name: span.name,
        })
        .collect()
}

fn text(value: Option<&opentelemetry_proto::tonic::common::v1::AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
