//! Every fault at every place: no wrong answer, nothing past its deadline, and all is well soon
//! after the fault has ended.

use std::time::{Duration, Instant};

use dev_stack::{Fault, FaultProxy, Service, Stack, StackOptions};
use futures_util::future::join_all;
use tonic::Code;
use uuid::Uuid;

use crate::{
    browser::{Browser, Form, Page},
    caller::{Caller, DEADLINE, Outcome, PATIENCE, is_of_the_timer, title_of},
    outbox,
};

/// What a busy machine may add to a deadline. What hangs takes longer.
pub(crate) const SLACK: Duration = Duration::from_secs(6);
/// The longest that a page may take.
const PAGE_DEADLINE: Duration = Duration::from_secs(6);
/// How soon after a fault everything works again.
pub(crate) const RECOVERY: Duration = Duration::from_secs(6);
/// How soon after that the trail is complete: the worker's longest pause, and the sweeper's turn.
pub(crate) const DELIVERY: Duration = Duration::from_secs(20);

/// What stands behind the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    RecordsService,
    RecordsTables,
    Queue,
    Trail,
    Sessions,
    Auth0,
}

/// A system with the proxy at one place, a person who is logged in, and an internal service.
struct Scene {
    place: Place,
    stack: Stack,
    proxy: FaultProxy,
    ada: Browser,
    caller: Caller,
    /// Of the records that are known to be there.
    titles: Vec<String>,
}

/// What is asked of the system while the fault lasts.
struct Asked {
    creates: Vec<(String, String, Outcome<records_proto::v1::Record>)>,
    list: Outcome<Vec<records_proto::v1::Record>>,
    page: Page,
    form: Form,
    saved: Page,
}

impl Scene {
    async fn set(place: Place) -> Self {
        let mut options = StackOptions::for_test().unwrap();
        let ports = options.emulators.ports;
        let (upstream, detour) = match place {
            Place::RecordsService => (ports.grpc, Some((Service::Frontend, "RECORDS_SERVICE_URL"))),
            Place::RecordsTables => {
                (ports.dynamodb, Some((Service::Records, "AWS_ENDPOINT_URL_DYNAMODB")))
            }
            Place::Queue => (ports.sqs, Some((Service::Records, "AWS_ENDPOINT_URL_SQS"))),
            Place::Trail => (ports.dynamodb, Some((Service::Audit, "AWS_ENDPOINT_URL_DYNAMODB"))),
            Place::Sessions => {
                (ports.dynamodb, Some((Service::Frontend, "AWS_ENDPOINT_URL_DYNAMODB")))
            }
            Place::Auth0 => (ports.auth0, None),
        };
        let proxy = FaultProxy::start(upstream).await.unwrap();
        match detour {
            Some((service, variable)) => {
                options.variables.push((service, variable.to_owned(), proxy.url()));
            }
            None => options.emulators.issuer = Some(proxy.url()),
        }
        let stack = Stack::start(options).await.unwrap();
        let ada = Self::browser(&stack, &proxy);
        ada.log_in("acme-admin", "acme").await;
        let caller = Caller::of_acme(&stack, stack.grpc_url());
        Self { place, stack, proxy, ada, caller, titles: Vec::new() }
    }

    /// A browser of which only the services are behind the proxy.
    fn browser(stack: &Stack, proxy: &FaultProxy) -> Browser {
        Browser::new(stack.app_url()).going_straight(proxy.port(), stack.auth0().port())
    }

    /// One fault: what happens while it lasts, and after it.
    async fn survive(&mut self, name: &str, fault: Fault) {
        self.survive_as(name, |proxy| proxy.inject(fault)).await;
    }

    /// One fault of which nobody notices anything. A stall of the machine may hold a call up for as
    /// long as a wait for what is broken would, but not time after time.
    async fn survive_unnoticed(&mut self, name: &str, inject: impl Fn(&FaultProxy)) {
        let hasty = self.caller.clone();
        self.caller = hasty.clone().within(PATIENCE);
        let mut slowest = DEADLINE;
        for time in 1..=3 {
            let asked = self.survive_as(&format!("{name}, time {time}"), &inject).await;
            asked.assert_all_well();
            slowest = asked.slowest_call();
            if slowest < DEADLINE {
                break;
            }
        }
        assert!(slowest < DEADLINE, "{:?}, {name}: a call took {slowest:?}", self.place);
        self.caller = hasty;
    }

    async fn survive_as(&mut self, name: &str, inject: impl FnOnce(&FaultProxy)) -> Asked {
        let (place, title) = (self.place, |who: &str| format!("{name}, {who}"));
        let form = self.ada.record_form(&title("a person")).await;
        let attempt = if place == Place::Auth0 {
            let browser = Self::browser(&self.stack, &self.proxy);
            let callback = browser.log_in_up_to_callback("acme-viewer", "acme").await;
            Some((browser, callback))
        } else {
            None
        };
        inject(&self.proxy);

        let creates = (0..3).map(|number| {
            let (title, id) = (title(&format!("call {number}")), Uuid::new_v4().to_string());
            let caller = self.caller.clone();
            async move {
                let outcome = caller.create(&title, &id).await;
                (title, id, outcome)
            }
        });
        let log_in = async {
            match &attempt {
                Some((browser, callback)) => Some(browser.get(callback).await),
                None => None,
            }
        };
        let (creates, list, page, saved, logged_in) = tokio::join!(
            join_all(creates),
            self.caller.list(),
            self.ada.get("/records"),
            self.ada.post("/records", &form),
            log_in,
        );
        let asked = Asked { creates, list, page, form, saved };
        eprintln!("{place:?}, {name}: {}", asked.summary());
        asked.assert_no_wrong_answer(&self.titles);
        if let Some(page) = logged_in {
            assert_in_time(&page, &[303, 503]);
        }
        self.proxy.heal();
        self.recover(name, &asked).await;
        asked
    }

    async fn recover(&mut self, name: &str, asked: &Asked) {
        let healed = Instant::now();
        let until_well = |what: &str| {
            let took = healed.elapsed();
            assert!(took < RECOVERY, "{:?}, {name}: {what} after {took:?}", self.place);
            tokio::time::sleep(Duration::from_millis(100))
        };
        for (title, id, before) in &asked.creates {
            let record = loop {
                let again = self.caller.create(title, id).await;
                match again.result {
                    Ok(record) => break record,
                    Err(status) => until_well(&format!("a call fails: {status:?}")).await,
                }
            };
            if let Ok(acknowledged) = &before.result {
                assert_eq!(*acknowledged, record, "the same request made two");
            }
        }
        while self.ada.post("/records", &asked.form).await.status != 303 {
            until_well("a form is not saved").await;
        }
        while self.ada.get("/records").await.status != 200 {
            until_well("there is no page").await;
        }
        if self.place == Place::Auth0 {
            Self::browser(&self.stack, &self.proxy).log_in("acme-viewer", "acme").await;
        }
        self.titles.extend(asked.creates.iter().map(|(title, ..)| title.clone()));
        self.titles.push(format!("{name}, a person"));
        self.caller.assert_each_once(&self.titles, DELIVERY).await;
        outbox::assert_empties(&self.stack, DELIVERY).await;
    }
}

impl Asked {
    fn assert_no_wrong_answer(&self, known: &[String]) {
        for (title, _, Outcome { result, took }) in &self.creates {
            assert!(*took < DEADLINE + SLACK, "{title} took {took:?}");
            match result {
                Ok(record) => assert_eq!(title_of(record), *title),
                Err(status) => assert_names_a_passing_fault(status),
            }
        }
        assert!(self.list.took < DEADLINE + SLACK, "the list took {:?}", self.list.took);
        match &self.list.result {
            Ok(records) => {
                let listed: Vec<_> = records.iter().map(title_of).collect();
                for title in known {
                    assert_eq!(listed.iter().filter(|one| *one == title).count(), 1, "{title}");
                }
            }
            Err(status) => assert_names_a_passing_fault(status),
        }
        assert_in_time(&self.page, &[200, 503, 504]);
        assert_in_time(&self.saved, &[303, 503, 504]);
    }

    /// Asserts that nobody noticed anything.
    fn assert_all_well(&self) {
        for (title, _, Outcome { result, .. }) in &self.creates {
            assert!(result.is_ok(), "{title}: {result:?}");
        }
        assert!(self.list.result.is_ok(), "{:?}", self.list.result);
        assert_eq!((self.page.status, self.saved.status), (200, 303));
    }

    fn slowest_call(&self) -> Duration {
        let creates = self.creates.iter().map(|(_, _, outcome)| outcome.took);
        creates.fold(self.list.took, Duration::max)
    }

    fn summary(&self) -> String {
        let calls = self.creates.iter().map(|(_, _, outcome)| match &outcome.result {
            Ok(_) => format!("made in {:?}", outcome.took),
            Err(status) => format!("{:?} in {:?}", status.code(), outcome.took),
        });
        let list = self.list.result.as_ref().map(Vec::len).map_err(tonic::Status::code);
        format!(
            "{:?}; list {list:?} in {:?}; page {} in {:?}; saved {} in {:?}",
            calls.collect::<Vec<_>>(),
            self.list.took,
            self.page.status,
            self.page.took,
            self.saved.status,
            self.saved.took
        )
    }
}

/// A fault that passes is not called one of the service's own.
pub(crate) fn assert_names_a_passing_fault(status: &tonic::Status) {
    let passing =
        [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted, Code::Aborted];
    assert!(passing.contains(&status.code()) || is_of_the_timer(status), "{status:?}");
    for internal in ["dispatch", "SdkError", "localhost"] {
        assert!(!status.message().contains(internal), "{status:?}");
    }
}

pub(crate) fn assert_in_time(page: &Page, statuses: &[u16]) {
    assert!(statuses.contains(&page.status), "{} {}", page.status, page.html);
    assert!(page.took < PAGE_DEADLINE + SLACK, "a page took {:?}", page.took);
    if page.status >= 400 {
        page.assert_tells_of_a_fault();
    }
}

fn broken_networks() -> [(&'static str, Fault); 5] {
    [
        ("reset", Fault::Reset),
        ("late", Fault::Latency(Duration::from_secs(3))),
        ("lost answers", Fault::CutAnswer { after: 0, reset: true }),
        ("truncated answers", Fault::CutAnswer { after: 40, reset: false }),
        ("a cut network", Fault::Silence),
    ]
}

fn broken_servers() -> [(&'static str, Fault); 4] {
    [
        ("failures", Fault::aws_error(500, "InternalServerError")),
        ("a proxy's 503", Fault::page(503)),
        ("garbage", Fault::Garbage),
        ("another's page", Fault::page(200)),
    ]
}

fn slow() -> Fault {
    Fault::Latency(Duration::from_millis(200))
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_the_frontend_and_records_service() {
    let mut scene = Scene::set(Place::RecordsService).await;

    for (name, fault) in broken_networks().into_iter().chain([("garbage", Fault::Garbage)]) {
        scene.survive(name, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_records_service_and_its_tables() {
    let mut scene = Scene::set(Place::RecordsTables).await;

    scene.survive_unnoticed("slow", |proxy| proxy.inject(slow())).await;
    for (name, fault) in broken_networks().into_iter().chain(broken_servers()) {
        scene.survive(name, fault).await;
    }
    scene.survive("throttled", Fault::dynamodb_throttle()).await;
    let conflict = Fault::transaction_canceled(&["None", "TransactionConflict", "None"]);
    scene.survive_as("conflicts", |proxy| proxy.inject_for("TransactWriteItems", conflict)).await;
    let lost = Fault::CutAnswer { after: 0, reset: true };
    scene
        .survive_unnoticed("lost commits", |proxy| {
            proxy.inject_for("TransactWriteItems", lost.clone());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_records_service_and_the_queue_are_noticed_by_nobody() {
    let mut scene = Scene::set(Place::Queue).await;

    let throttled = ("throttled", Fault::sqs_throttle());
    for (name, fault) in broken_networks().into_iter().chain(broken_servers()).chain([throttled]) {
        scene.survive_unnoticed(name, |proxy| proxy.inject(fault.clone())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_the_worker_and_the_trail_are_noticed_by_nobody() {
    let mut scene = Scene::set(Place::Trail).await;

    let throttled = ("throttled", Fault::dynamodb_throttle());
    for (name, fault) in broken_networks().into_iter().chain(broken_servers()).chain([throttled]) {
        scene.survive_unnoticed(name, |proxy| proxy.inject(fault.clone())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_the_frontend_and_its_sessions_log_nobody_out() {
    let mut scene = Scene::set(Place::Sessions).await;

    scene.survive_unnoticed("slow", |proxy| proxy.inject(slow())).await;
    for (name, fault) in broken_networks().into_iter().chain(broken_servers()) {
        scene.survive(name, fault).await;
    }
    scene.survive("throttled", Fault::dynamodb_throttle()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_the_services_and_auth0_are_noticed_only_by_those_who_log_in() {
    let mut scene = Scene::set(Place::Auth0).await;

    for (name, fault) in broken_networks().into_iter().chain(broken_servers()) {
        scene.survive_unnoticed(name, |proxy| proxy.inject(fault.clone())).await;
    }
}
