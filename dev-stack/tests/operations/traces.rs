//! What the services tell a trace collector, and what becomes of them without one.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use dev_stack::{Service, Stack, StackOptions, samples};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    browser::Browser,
    collector::{self, Collector, Span},
};

const TITLE: &str = "A title that nobody else reads";
/// So long a failure to export is not logged again.
const QUIET: Duration = Duration::from_mins(1);
const METHOD: &str = "records.v1.RecordsService/CreateRecord";
/// A record's way from the page to the trail.
const STEPS: [(SpanKind, &str); 7] = [
    (SpanKind::Server, "POST /records"),
    (SpanKind::Client, METHOD),
    (SpanKind::Server, METHOD),
    (SpanKind::Client, "DynamoDB.TransactWriteItems"),
    (SpanKind::Producer, "audit event send"),
    (SpanKind::Consumer, "audit event process"),
    (SpanKind::Client, "DynamoDB.PutItem"),
];

/// A system that sends its traces there.
async fn tracing_to(url: impl Fn(Service) -> String) -> Stack {
    let mut options = StackOptions::for_test().unwrap();
    collector::export_to(&mut options, url);
    Stack::start(options).await.unwrap()
}

/// How often each step is in a trace.
fn steps_in(trace: &[Span]) -> [usize; STEPS.len()] {
    STEPS.map(|(kind, name)| {
        trace.iter().filter(|span| span.kind == kind && span.name == name).count()
    })
}

/// The one span of this kind and name, whose parent is this one.
fn child<'a>(trace: &'a [Span], parent: &Span, kind: SpanKind, name: &str) -> &'a Span {
    let is_it =
        |span: &&Span| span.kind == kind && span.name == name && span.parent_id == parent.id;
    let found: Vec<_> = trace.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{kind:?} {name} below {} in {trace:#?}", parent.name);
    found[0]
}

#[tokio::test]
async fn a_record_is_one_trace_from_the_page_to_the_trail() {
    let collector = Collector::start().await;
    let stack = tracing_to(|_| collector.url.clone()).await;
    let ada = Browser::logged_in(stack.app_url(), "acme-admin", "acme").await;

    let (mut trace, mut seen) = (Vec::new(), Vec::new());
    // On a busy machine a step that takes too long is done twice, and then another record is looked
    // at.
    for _ in 0..5 {
        let form = ada.record_form(TITLE).await;
        assert_eq!(ada.post("/records", &form).await.status, 303);
        let is_new = |span: &Span| span.name == "POST /records" && !seen.contains(&span.trace_id);
        trace = collector.trace_with(is_new, |trace| !steps_in(trace).contains(&0)).await;
        if steps_in(&trace) == [1; STEPS.len()] {
            break;
        }
        seen.push(trace[0].trace_id.clone());
    }

    assert_eq!(steps_in(&trace), [1; STEPS.len()], "{trace:#?}");
    let page = trace.iter().find(|span| span.name == "POST /records").unwrap();
    assert_eq!((page.kind, page.parent_id.as_str()), (SpanKind::Server, ""));
    child(&trace, page, SpanKind::Client, "DynamoDB.GetItem");
    let call = child(&trace, page, SpanKind::Client, METHOD);
    let answer = child(&trace, call, SpanKind::Server, METHOD);
    let commit = child(&trace, answer, SpanKind::Client, "DynamoDB.TransactWriteItems");
    let sending = child(&trace, answer, SpanKind::Producer, "audit event send");
    let storing = child(&trace, answer, SpanKind::Consumer, "audit event process");
    let stored = child(&trace, storing, SpanKind::Client, "DynamoDB.PutItem");
    let services = [page, call, answer, commit, sending, storing, stored]
        .map(|span| span.service.trim_start_matches("org-records-"));
    assert_eq!(services, ["frontend", "frontend", "serve", "serve", "serve", "audit", "audit"]);
    let route = ("http.route".to_owned(), "/records".to_owned());
    assert!(page.attributes.contains(&route), "{page:?}");
    for span in collector.all() {
        let text = format!("{span:?}");
        let private = [TITLE, "eyJ", "Bearer", "session", samples::ACME, "acme", "Acme", "Ada"];
        assert!(!private.iter().any(|word| text.contains(word)), "{text}");
    }
}

#[tokio::test]
async fn the_reference_on_an_error_page_is_the_id_of_its_trace() {
    let collector = Collector::start().await;
    let stack = tracing_to(|_| collector.url.clone()).await;
    let ada = Browser::logged_in(stack.app_url(), "acme-admin", "acme").await;

    let page = ada.get("/records/0198c0de-0000-7000-8000-000000000000").await;

    assert_eq!(page.status, 404);
    let reference = page.reference();
    let names = ["GET /records/{id}", "records.v1.RecordsService/GetRecord"];
    let is_whole =
        |trace: &[Span]| names.iter().all(|name| trace.iter().any(|span| span.name == *name));
    collector.trace_with(|span| span.trace_id == reference, is_whole).await;
}

#[tokio::test]
async fn without_a_collector_pages_answer_and_nothing_waits_for_it_at_the_end() {
    // One that takes everything and answers nothing, and one that is not there.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    // Its port stays taken, so that nobody else comes to listen there.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let gone_url = format!("http://{}", gone.local_addr().unwrap());
    let started = Instant::now();
    let stack = tracing_to(|service| match service {
        Service::Frontend | Service::Audit => silent_url.clone(),
        Service::Records => gone_url.clone(),
    })
    .await;

    let ada = Browser::logged_in(stack.app_url(), "acme-admin", "acme").await;
    for number in 0..20 {
        let form = ada.record_form(&format!("{number}")).await;
        assert_eq!(ada.post("/records", &form).await.status, 303);
    }

    for service in [Service::Frontend, Service::Records, Service::Audit] {
        let asked = Instant::now();
        let ended = stack.stop_service(service).await.unwrap();
        // An export may take ten seconds; the last one is given two.
        assert!(ended.success() && asked.elapsed() < Duration::from_secs(8), "{service:?} {ended}");
    }
    let failures = stack.logs(Service::Records);
    let failures = failures.iter().filter(|line| line.contains("cannot export traces"));
    let (failures, took) = (failures.count() as u64, started.elapsed());
    let most = 1 + took.as_secs() / QUIET.as_secs();
    assert!(
        (1..=most).contains(&failures),
        "a failure is logged, and not again and again: {failures} times in {took:?}"
    );
}
