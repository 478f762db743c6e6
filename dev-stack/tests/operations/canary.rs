//! Nothing secret or personal gets into logs, metrics or traces, whatever happens: everything of
//! that kind in a day's work is known here, and looked for in all that the processes say.

use std::time::{Duration, Instant};

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use dev_stack::{
    LogLine, Service, Stack, StackOptions,
    auth0::{Endpoint, FailureMode},
    samples,
};
use records_proto::v1::{
    CreateRecordRequest, GetRecordRequest, ListRecordsRequest, Record, Value,
    records_service_client::RecordsServiceClient, value::Kind,
};
use reqwest::header::SET_COOKIE;
use serde_json::json;
use tokio::sync::mpsc;
use tonic::{Code, Request, transport::Channel};
use url::Url;

use crate::{
    browser::{Browser, Form, Page, http},
    collector::{self, Collector},
};

/// Far more than an event needs to the trail.
const PATIENCE: Duration = Duration::from_secs(30);

/// What nobody may read afterwards, and what it is.
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    fn of(stack: &Stack) -> Self {
        let mut canaries = Self(Vec::new());
        for (what, text) in [
            ("a token", "eyJ"),
            ("a password", samples::PASSWORD),
            ("a machine's secret", samples::MACHINE_SECRET),
            ("a person's name", "Ada Admin"),
            ("a username", "acme-admin"),
            ("an e-mail address", "@example.com"),
        ] {
            canaries.plant(what, text);
        }
        let emulators = stack.emulators();
        let variables = [emulators.records_variables(), emulators.frontend_variables()].concat();
        for (name, value) in variables {
            if name.ends_with("_SECRET") {
                canaries.plant(name, value);
            }
        }
        canaries
    }

    fn plant(&mut self, what: &'static str, text: impl Into<String>) {
        let text = text.into();
        assert!(text.len() >= 6 || text == "eyJ", "{what} would be found anywhere: {text:?}");
        self.0.push((what, text));
    }

    /// The cookie that an answer sets, its value only.
    fn plant_cookie(&mut self, what: &'static str, page: &Page) {
        let cookie = page.headers[SET_COOKIE].to_str().unwrap();
        let value = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
        self.plant(what, value);
    }

    /// The parameters of an address.
    fn plant_query(&mut self, address: &str, names: &[&'static str]) {
        let address = Url::parse(address).unwrap();
        for &name in names {
            let (_, value) = address.query_pairs().find(|(found, _)| found == name).unwrap();
            self.plant(name, value);
        }
    }

    /// All of them that are in this text.
    fn found_in<'a>(&'a self, text: &str) -> Vec<&'a (&'static str, String)> {
        self.0.iter().filter(|(_, canary)| text.contains(canary.as_str())).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_metrics_and_traces_of_a_days_work_hold_nothing_private() {
    let said = days_work(None).await;

    assert!(!said.lines.iter().any(|line| line.text.contains(r#""level":"DEBUG""#)));
    said.assert_nothing_private();
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_do_logs_of_everything_that_can_be_logged_for_debugging() {
    let said = days_work(Some("debug")).await;

    for service in Service::ALL {
        let of_it = |line: &&LogLine| {
            line.process == service.name() && line.text.contains(r#""level":"DEBUG""#)
        };
        assert!(said.lines.iter().filter(of_it).count() > 100, "{service:?} says too little");
    }
    said.assert_nothing_private();
}

/// Everything that was said in a day, and what must not be in it.
struct Said {
    canaries: Canaries,
    /// What a person read on a page of an error, and hands to support.
    reference: String,
    lines: Vec<LogLine>,
    metrics: Vec<String>,
    traces: Vec<String>,
}

impl Said {
    fn assert_nothing_private(&self) {
        // What may be there is there, so that the search is one of the right places.
        let is_logged = |text: &str| self.lines.iter().any(|line| line.text.contains(text));
        assert!(is_logged(&self.reference) && is_logged(samples::ACME));
        assert!(self.metrics.iter().all(|text| text.contains("build_info")), "metrics");
        assert!(self.traces.iter().any(|text| text.contains("CreateRecord")), "traces");
        // And what must not be there would be found.
        for (what, canary) in &self.canaries.0 {
            let line = format!("a line about {canary}");
            assert!(!self.canaries.found_in(&line).is_empty(), "{what}");
        }

        for LogLine { process, text } in &self.lines {
            let found = self.canaries.found_in(text);
            assert!(found.is_empty(), "{found:?} in the log of {process}: {text}");
        }
        for text in self.metrics.iter().chain(&self.traces) {
            let found = self.canaries.found_in(text);
            assert!(found.is_empty(), "{found:?} in {text}");
        }
    }
}

/// A day of every process, good and bad, with their logs at this level.
async fn days_work(level: Option<&str>) -> Said {
    let collector = Collector::start().await;
    let (log, mut lines) = mpsc::unbounded_channel();
    let mut options = StackOptions { log: Some(log), ..StackOptions::for_test().unwrap() };
    collector::export_to(&mut options, |_| collector.url.clone());
    for service in Service::ALL {
        let level = level.map(|level| (service, "RUST_LOG".to_owned(), level.to_owned()));
        options.variables.extend(level);
    }
    let stack = Stack::start(options).await.unwrap();
    let mut canaries = Canaries::of(&stack);

    let ada = logs_in(&stack, &mut canaries).await;
    works(&stack, &ada, &mut canaries).await;
    calls(&stack, &mut canaries).await;
    poisons_the_queue(&stack, &mut canaries).await;
    let reference = meets_errors(&stack, &ada, &mut canaries).await;
    logs_out(&stack, &ada, &mut canaries).await;

    let mut metrics = Vec::new();
    for service in Service::ALL {
        let url = format!("{}/metrics", stack.ops_url(service));
        metrics.push(http().build().unwrap().get(url).send().await.unwrap().text().await.unwrap());
    }
    for service in [Service::Frontend, Service::Records, Service::Audit] {
        assert!(stack.stop_service(service).await.unwrap().success());
    }
    let lines = std::iter::from_fn(|| lines.try_recv().ok()).collect();
    let traces = collector.all().iter().map(|span| format!("{span:?}")).collect();
    Said { canaries, reference, lines, metrics, traces }
}

/// Logins that are given up, refused, forged, replayed and, last, good.
async fn logs_in(stack: &Stack, canaries: &mut Canaries) -> Browser {
    let ada = Browser::new(stack.app_url());
    let begun = ada.get("/auth/login?organization=acme&return_to=/records").await;
    canaries.plant_cookie("the cookie of a login", &begun);
    canaries.plant_query(begun.location(), &["state", "nonce", "code_challenge"]);
    let state = Url::parse(begun.location()).unwrap();
    let state = state.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    canaries.plant("an invitation", "canary-invitation-4711");
    let invited = "invitation=canary-invitation-4711&organization=org_x&organization_name=acme";
    let invited = ada.get(&format!("/auth/login?{invited}")).await;
    assert!(invited.location().contains("canary-invitation-4711"));
    canaries.plant("a code of nobody", "canary-code-4711");
    for query in [
        format!("code=canary-code-4711&state={state}"),
        "code=canary-code-4711&state=canary-state-4711".to_owned(),
        "error=access_denied&error_description=acme-admin%20is%20not%20a%20member&state=canary-state-4711".to_owned(),
    ] {
        let refused = ada.get(&format!("/auth/callback?{query}")).await;
        assert!(refused.status >= 400, "{}", refused.html);
    }
    canaries.plant("a state of nobody", "canary-state-4711");

    stack.auth0().fail(Endpoint::Token, FailureMode::Status(500));
    let callback = ada.log_in_up_to_callback("acme-admin", "acme").await;
    canaries.plant_query(&callback, &["code", "state"]);
    assert!(ada.get(&callback).await.status >= 500);
    stack.auth0().recover();

    let callback = ada.log_in_up_to_callback("acme-admin", "acme").await;
    canaries.plant_query(&callback, &["code", "state"]);
    let landed = ada.get(&callback).await;
    assert_eq!(landed.location(), "/home");
    for cookie in landed.headers.get_all(SET_COOKIE) {
        let value = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap().1;
        if !value.is_empty() {
            canaries.plant("the session's cookie", value);
        }
    }
    assert_eq!(ada.get(&callback).await.location(), "/home", "a replay");
    ada
}

/// A form with mistakes, the same without, and what came of it in the trail.
async fn works(stack: &Stack, ada: &Browser, canaries: &mut Canaries) {
    let mut form = ada.record_form("canary-title-4711").await;
    canaries.plant("a title", "canary-title-4711");
    canaries.plant("the form's token", value_of(&form, "csrf_token"));
    let mut wrong = form.clone();
    wrong.push(("amount".to_owned(), "canary-amount-4711".to_owned()));
    canaries.plant("what is no amount", "canary-amount-4711");
    assert_eq!(ada.post("/records", &wrong).await.status, 422);
    form.push(("notes".to_owned(), "canary-notes-4711".to_owned()));
    canaries.plant("notes", "canary-notes-4711");
    let created = ada.post("/records", &form).await;
    assert_eq!(created.status, 303, "{}", created.html);
    assert!(ada.get(created.location()).await.html.contains("canary-notes-4711"));
    assert!(ada.get("/records").await.html.contains("canary-title-4711"));
    let saved = Instant::now();
    while !ada.get("/audit").await.html.contains("canary-title-4711") {
        assert!(saved.elapsed() < PATIENCE, "the event did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // While records-service is away, somebody goes on.
    let form = ada.record_form("canary-outage-4711").await;
    canaries.plant("a title in an outage", "canary-outage-4711");
    stack.kill(Service::Records).await;
    assert!(ada.post("/records", &form).await.status >= 500);
    stack.restart(Service::Records, &[]).await.unwrap();
    let back = Instant::now();
    while ada.get("/records").await.status != 200 {
        assert!(back.elapsed() < PATIENCE, "there are no records yet");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Good and bad calls of programs, also while DynamoDB is away.
async fn calls(stack: &Stack, canaries: &mut Canaries) {
    let auth0 = stack.auth0();
    let good = auth0.machine_token(samples::ACME_MACHINE, "acme").unwrap();
    let mut claims = auth0.user_claims("acme-admin", "acme").unwrap();
    claims["exp"] = json!(1_700_000_000);
    let expired = auth0.sign(&auth0.header(), &claims);
    let mut header = auth0.header();
    header["kid"] = json!("canary-kid-4711");
    canaries.plant("a key's id", "canary-kid-4711");
    let of_no_key = auth0.sign(&header, &claims);
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{unsigned}.canary-signature-4711");
    canaries.plant("a signature", "canary-signature-4711");
    for token in [&good, &expired, &of_no_key] {
        canaries.plant("the signature of a token", token.rsplit('.').next().unwrap());
    }

    let channel = Channel::from_shared(stack.grpc_url()).unwrap().connect().await.unwrap();
    for token in [expired.as_str(), &of_no_key, &forged, "canary-token-4711"] {
        let refused = create(&channel, token, "title", "x").await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    canaries.plant("what is no token", "canary-token-4711");
    create(&channel, &good, "title", "canary-call-4711").await.unwrap();
    canaries.plant("a title of a program", "canary-call-4711");
    let refused = create(&channel, &good, "canary-field-4711", "canary-value-4711").await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    canaries.plant("the name of a field that there is not", "canary-field-4711");
    canaries.plant("the value of a field that there is not", "canary-value-4711");

    let mut records = RecordsServiceClient::new(channel.clone());
    let page_token = "canary-page-4711".to_owned();
    let list = request(&good, ListRecordsRequest { page_size: 1, page_token });
    assert_eq!(records.list_records(list).await.unwrap_err().code(), Code::InvalidArgument);
    canaries.plant("what is no page token", "canary-page-4711");
    let get = request(&good, GetRecordRequest { name: "records/canary-name-4711".to_owned() });
    assert!(records.get_record(get).await.is_err());
    canaries.plant("what is no record's name", "canary-name-4711");

    stack.dynamodb().stop().await;
    let failed = create(&channel, &good, "title", "canary-away-4711").await;
    assert_eq!(failed.unwrap_err().code(), Code::Unavailable);
    canaries.plant("a title that was not saved", "canary-away-4711");
    stack.dynamodb().resume().await.unwrap();
}

async fn create(
    channel: &Channel,
    token: &str,
    field: &str,
    text: &str,
) -> Result<Record, tonic::Status> {
    let value = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let fields = [("title", "A laptop"), ("category", "Asset"), (field, text)];
    let fields = fields.map(|(name, text)| (name.to_owned(), value(text))).into();
    let record = Some(Record { fields, ..Record::default() });
    let request = request(token, CreateRecordRequest { record, request_id: String::new() });
    Ok(RecordsServiceClient::new(channel.clone()).create_record(request).await?.into_inner())
}

fn request<M>(token: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// A message that is no event, and one that is almost one.
async fn poisons_the_queue(stack: &Stack, canaries: &mut Canaries) {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
        .endpoint_url(stack.sqs().url())
        .build();
    let sqs = aws_sdk_sqs::Client::from_conf(config);
    for body in ["canary-message-4711", r#"{"specversion":"1.0","id":"canary-message-4711"}"#] {
        let queue = stack.sqs().queue_url(dev_stack::AUDIT_QUEUE);
        sqs.send_message().queue_url(queue).message_body(body).send().await.unwrap();
    }
    canaries.plant("a message that is no event", "canary-message-4711");
    let sent = Instant::now();
    let is_refused = |line: &String| line.contains("malformed");
    while !stack.logs(Service::Audit).iter().any(is_refused) {
        assert!(sent.elapsed() < PATIENCE, "the message was not refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What somebody with a session comes upon; gives the reference of a fault.
async fn meets_errors(stack: &Stack, ada: &Browser, canaries: &mut Canaries) -> String {
    canaries.plant("a path", "canary-path-4711");
    assert_eq!(ada.get("/records/canary-path-4711?q=canary-path-4711").await.status, 404);
    assert_eq!(ada.get("/canary-path-4711").await.status, 404);
    let mut stale = ada.record_form("canary-stale-4711").await;
    canaries.plant("a title in a stale form", "canary-stale-4711");
    stale.retain(|(name, _)| name != "csrf_token");
    stale.push(("csrf_token".to_owned(), "canary-csrf-4711".to_owned()));
    canaries.plant("a form's token of nobody", "canary-csrf-4711");
    assert_eq!(ada.post("/records", &stale).await.status, 403);
    let stranger = http().build().unwrap();
    canaries.plant("a cookie of nobody", "canary-cookie-4711");
    for name in ["session", "login-canary", "txn"] {
        let cookie = format!("{name}=canary-cookie-4711");
        let home = stranger.get(format!("{}/home", stack.app_url())).header("cookie", cookie);
        assert!(home.send().await.unwrap().status().is_redirection());
    }

    stack.stop_service(Service::Records).await;
    let fault = ada.get("/records").await;
    assert!(fault.status >= 500);
    stack.restart(Service::Records, &[]).await.unwrap();
    fault.reference().to_owned()
}

/// A logout here, and what Auth0 tells of logouts elsewhere, or somebody in its name.
async fn logs_out(stack: &Stack, ada: &Browser, canaries: &mut Canaries) {
    assert_eq!(ada.get("/sessions").await.status, 200);
    let form = ada.get("/home").await.hidden_inputs("/auth/logout");
    assert!(matches!(ada.post("/auth/logout", &form).await.status, 302 | 303));
    assert!(ada.get("/records").await.headers.contains_key("location"));

    let auth0 = stack.auth0();
    let claims = auth0.logout_claims("acme-admin", "canary-sid-4711").unwrap();
    canaries.plant("the id of a session at Auth0", "canary-sid-4711");
    let good = auth0.sign(&auth0.logout_header(), &claims);
    let wrong = auth0.sign(&auth0.header(), &claims);
    for token in [&good, &wrong] {
        canaries.plant("the signature of a logout token", token.rsplit('.').next().unwrap());
    }
    canaries.plant("what is no logout token", "canary-logout-4711");
    for token in [good.as_str(), &good, &wrong, "canary-logout-4711"] {
        let url = format!("{}/auth/backchannel-logout", stack.app_url());
        let told = http().build().unwrap().post(url).form(&[("logout_token", token)]);
        assert!(matches!(told.send().await.unwrap().status().as_u16(), 200 | 400));
    }
}

fn value_of(form: &Form, name: &str) -> String {
    form.iter().find(|(found, _)| found == name).unwrap().1.clone()
}
