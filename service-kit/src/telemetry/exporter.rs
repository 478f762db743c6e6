//! The export of traces: OTLP over HTTP with protobuf, configured by the variables of the
//! OpenTelemetry specification. It never makes a request wait, and never breaks one: what the
//! collector does not take is dropped.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};
use tokio::runtime::Runtime;
use url::Url;

use crate::{
    config::Environment,
    http,
    telemetry::{Chain, Lines},
    trace,
};

/// How long the last spans may take to be sent.
const FLUSH: Duration = Duration::from_secs(2);
/// At most one failure is logged in this time.
const QUIET: Duration = Duration::from_mins(1);

/// The export of the traces of this process, or none where no collector is configured.
pub struct Exporter(Option<SdkTracerProvider>);

impl Exporter {
    /// Starts the export to the collector at `OTEL_EXPORTER_OTLP_ENDPOINT` (to which `/v1/traces` is
    /// added) or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, unless `OTEL_SDK_DISABLED` is `true`. The
    /// process is called `org-records-<process>` unless `OTEL_SERVICE_NAME` says otherwise.
    ///
    /// Every span is kept unless `OTEL_TRACES_SAMPLER` says otherwise. A mistake in the variables is
    /// recorded. The OpenTelemetry SDK reads some of them from the process itself.
    ///
    /// Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment
    /// Variable Specification".
    pub fn from_environment(env: &mut Environment, process: &'static str) -> Self {
        let disabled =
            env.optional("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        if disabled {
            return Self(None);
        }
        let Some(endpoint) = endpoint(env) else { return Self(None) };
        let (spoken, sampled, timeout) = (check_protocol(env), check_sampler(env), timeout(env));
        let (true, true, Some(timeout)) = (spoken, sampled, timeout) else { return Self(None) };
        match provider(&endpoint, timeout, resource(env, process)) {
            Ok(provider) => {
                trace::record_with(provider.tracer("org-records"));
                Self(Some(provider))
            }
            Err(error) => {
                env.mistake("OTEL_EXPORTER_OTLP_ENDPOINT", format!("cannot be used: {error}"));
                Self(None)
            }
        }
    }

    /// Sends what is left, for two seconds at most. Spans that begin afterwards are not recorded.
    pub async fn shut_down(self) {
        let Some(provider) = self.0 else { return };
        // It waits for the thread that sends.
        let shutdown =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH)).await;
        if !matches!(shutdown, Ok(Ok(()))) {
            tracing::warn!("the last spans were not all exported");
        }
    }
}

fn endpoint(env: &mut Environment) -> Option<Url> {
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

    if env.optional(TRACES).is_some() {
        return env.url(TRACES);
    }
    env.optional(ALL)?;
    let mut url = env.url(ALL)?;
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

/// The variable of the two that counts: that for traces alone goes before that for everything.
fn specific(env: &Environment, name: &str) -> String {
    let traces = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
    if env.optional(&traces).is_some() { traces } else { format!("OTEL_EXPORTER_OTLP_{name}") }
}

/// A collector's gRPC port would not understand us, and nobody would know why.
fn check_protocol(env: &mut Environment) -> bool {
    let variable = specific(env, "PROTOCOL");
    let spoken = env.optional(&variable).is_none_or(|protocol| protocol == "http/protobuf");
    if !spoken {
        env.mistake(&variable, "only http/protobuf is spoken here");
    }
    spoken
}

/// The SDK reads these itself, and takes every trace where it does not understand them.
fn check_sampler(env: &mut Environment) -> bool {
    let (variable, problem) = match env.optional("OTEL_TRACES_SAMPLER") {
        None
        | Some("always_on" | "always_off" | "parentbased_always_on" | "parentbased_always_off") => {
            return true;
        }
        Some("traceidratio" | "parentbased_traceidratio") => {
            let ratio = env.optional("OTEL_TRACES_SAMPLER_ARG").map(str::parse::<f64>);
            if ratio.is_some_and(|it| it.is_ok_and(|it| (0.0..=1.0).contains(&it))) {
                return true;
            }
            ("OTEL_TRACES_SAMPLER_ARG", "must be a number from 0 to 1")
        }
        Some(_) => (
            "OTEL_TRACES_SAMPLER",
            "must be always_on, always_off or traceidratio, or one of these after parentbased_",
        ),
    };
    env.mistake(variable, problem);
    false
}

/// How long an export may take.
fn timeout(env: &mut Environment) -> Option<Duration> {
    let variable = specific(env, "TIMEOUT");
    env.or(&variable, "10000").map(Duration::from_millis)
}

/// Who the spans are from. `OTEL_RESOURCE_ATTRIBUTES` goes before what we say, and
/// `OTEL_SERVICE_NAME` before both.
fn resource(env: &Environment, process: &str) -> Resource {
    let resource = Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_service_name(format!("org-records-{process}"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match env.optional("OTEL_SERVICE_NAME") {
        Some(name) => resource.with_service_name(name.to_owned()).build(),
        None => resource.build(),
    }
}

fn provider(
    endpoint: &Url,
    timeout: Duration,
    resource: Resource,
) -> Result<SdkTracerProvider, HttpError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new(timeout)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.as_str())
        .with_timeout(timeout)
        .build()?;
    // Its queue is bounded; a span that finds it full is dropped.
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

/// Sends from the thread that the SDK exports on, with a runtime of its own: export goes on
/// whatever the process's own runtime is busy with, and takes nothing from it.
struct Sender {
    runtime: Runtime,
    client: reqwest::Client,
    reports: Lines,
}

impl Sender {
    fn new(timeout: Duration) -> Result<Self, HttpError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // The runtime sleeps between exports, and would not see that a connection was closed.
        let client = http::builder().timeout(timeout).pool_max_idle_per_host(0).build()?;
        Ok(Self { runtime, client, reports: Lines::new(1, QUIET) })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response =
            self.client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
        let mut answer = Response::builder().status(response.status());
        for (name, value) in response.headers() {
            answer = answer.header(name, value);
        }
        let body = http::body_of(response).await?;
        Ok(answer.body(body.into())?)
    }

    fn report(&self, error: &dyn fmt::Display) {
        if let Some(unlogged) = self.reports.next() {
            tracing::warn!(%error, unlogged, "cannot export traces");
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let outcome = self.runtime.block_on(self.send(request));
        match &outcome {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.report(&response.status()),
            Err(error) => self.report(&Chain(error.as_ref())),
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_collector_nothing_is_exported_and_nothing_checked() {
        let cases: [&[(&str, &str)]; 2] = [
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "sometimes")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere"), ("OTEL_SDK_DISABLED", "True")],
        ];
        for variables in cases {
            let mut env = Environment::from_pairs(variables.iter().copied());

            let exporter = Exporter::from_environment(&mut env, "test");

            assert!(exporter.0.is_none() && env.finish(Some(())).is_ok(), "{variables:?}");
        }
    }

    #[test]
    fn a_mistake_is_named_by_its_variable() {
        const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let mistakes = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
        ];
        for (variable, text) in mistakes {
            let mut env = Environment::from_pairs([ENDPOINT, (variable, text)]);

            let exporter = Exporter::from_environment(&mut env, "test");

            let mistakes = env.finish(Some(())).unwrap_err().to_string();
            assert!(mistakes.contains("1 mistake(s)"), "{mistakes}");
            assert!(mistakes.contains(&format!("\n  {variable}: ")), "{mistakes}");
            assert!(exporter.0.is_none(), "{variable}");
        }
    }

    #[test]
    fn traces_have_a_path_of_their_own_unless_their_endpoint_is_given_whole() {
        let cases = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", "http://c:4318/v1/traces"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c/otlp/", "https://c/otlp/v1/traces"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/t", "http://c/t"),
        ];
        for (variable, text, url) in cases {
            let mut env = Environment::from_pairs([(variable, text)]);

            assert_eq!(endpoint(&mut env).unwrap().as_str(), url);
        }
    }
}
