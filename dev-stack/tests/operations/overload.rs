//! Twice the load that can be carried: what is beyond is refused at once, with a time to come back,
//! and what is let in is served as ever.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use dev_stack::{Fault, FaultProxy, Service, Stack, StackOptions};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    browser::Browser,
    caller::{Caller, DEADLINE, PATIENCE},
};

/// How many requests may be in flight …
const LIMIT: u32 = 8;
/// … and how long each takes, which is made so slow that the machine itself has time to spare.
const LATENCY: Duration = Duration::from_millis(400);
const CAPACITY_PER_SECOND: u32 = LIMIT * 1000 / 400;
const OFFERED: u32 = CAPACITY_PER_SECOND * 2;
const TIME: Duration = Duration::from_secs(6);
/// More than a process takes for what it keeps of some hundred requests.
const GROWTH_MIB: u64 = 32;

/// What became of a request.
enum Answer {
    Served(Duration),
    Shed,
    /// It was let in, and not served.
    Failed(String),
}

/// A system whose `service` takes so few requests, each of them slow by what it waits for at
/// DynamoDB.
async fn narrow(service: Service) -> (Stack, FaultProxy) {
    let mut options = StackOptions::for_test().unwrap();
    let proxy = FaultProxy::start(options.emulators.ports.dynamodb).await.unwrap();
    let variables =
        [("MAX_IN_FLIGHT", LIMIT.to_string()), ("AWS_ENDPOINT_URL_DYNAMODB", proxy.url())];
    for (name, value) in variables {
        options.variables.push((service, name.to_owned(), value));
    }
    (Stack::start(options).await.unwrap(), proxy)
}

/// Sends requests, each made of its number, at their pace, whatever becomes of those before, and
/// answers with what became of each.
async fn offer<F>(request: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let mut requests = JoinSet::new();
    let mut pace = interval(Duration::from_secs(1) / OFFERED);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    while started.elapsed() < TIME {
        pace.tick().await;
        requests.spawn(request(requests.len()));
    }
    requests.join_all().await
}

/// Asserts that twice the load is carried. A stall of the machine holds up everybody who is in, but
/// not time after time.
async fn assert_carries<F>(request: impl Fn(usize) -> F)
where
    F: Future<Output = Answer> + Send + 'static,
{
    for _ in 0..3 {
        match carried(&offer(&request).await) {
            Ok(()) => return,
            Err(why) => eprintln!("{why}"),
        }
    }
    panic!("the load is not carried");
}

/// Whether as much was served as there is room for, each in time, and the rest was shed.
fn carried(answers: &[Answer]) -> Result<(), String> {
    let (mut served, mut shed) = (Vec::new(), 0);
    for answer in answers {
        match answer {
            Answer::Served(took) => served.push(*took),
            Answer::Shed => shed += 1,
            Answer::Failed(why) => return Err(format!("a request that was let in failed: {why}")),
        }
    }
    let capacity = (CAPACITY_PER_SECOND * u32::try_from(TIME.as_secs()).unwrap()) as usize;
    let slowest = served.iter().max().copied().unwrap_or_default();
    eprintln!(
        "{} served of {capacity} at best, {shed} shed, the slowest took {slowest:?}",
        served.len()
    );
    if served.len() <= capacity / 2 {
        return Err("too few were served".to_owned());
    }
    if shed <= answers.len() / 4 {
        return Err("too few were shed".to_owned());
    }
    if slowest >= DEADLINE {
        return Err(format!("an admitted request took {slowest:?}"));
    }
    Ok(())
}

fn resident_mib(stack: &Stack, service: Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", stack.pid(service).unwrap()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn at_twice_its_capacity_records_service_sheds_calls_and_serves_the_rest() {
    let (stack, proxy) = narrow(Service::Records).await;
    // One organization alone is given half of the places at most.
    let acme = Caller::of_acme(&stack, stack.grpc_url()).within(PATIENCE);
    let callers = [acme.and_of_globex(&stack), acme];
    for caller in &callers {
        caller.list().await.result.unwrap();
    }
    let before = resident_mib(&stack, Service::Records);
    proxy.inject(Fault::Latency(LATENCY));

    assert_carries(|number| {
        let caller = callers[number % 2].clone();
        async move {
            let outcome = caller.list().await;
            match outcome.result {
                Ok(_) => Answer::Served(outcome.took),
                Err(status) if status.code() != Code::ResourceExhausted => {
                    Answer::Failed(format!("{status:?}"))
                }
                Err(status) => {
                    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
                    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{status:?}");
                    Answer::Shed
                }
            }
        }
    })
    .await;

    let growth = resident_mib(&stack, Service::Records).saturating_sub(before);
    assert!(growth < GROWTH_MIB, "{growth} MiB more");
    proxy.heal();
    for caller in &callers {
        caller.list().await.result.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_twice_its_capacity_the_frontend_sheds_pages_and_serves_the_rest() {
    let (stack, proxy) = narrow(Service::Frontend).await;
    let browser = Arc::new(Browser::logged_in(stack.app_url(), "acme-admin", "acme").await);
    let before = resident_mib(&stack, Service::Frontend);
    proxy.inject(Fault::Latency(LATENCY));

    assert_carries(|_| {
        let browser = Arc::clone(&browser);
        async move {
            let page = browser.get("/records").await;
            if page.status == 200 {
                return Answer::Served(page.took);
            }
            page.assert_tells_of_a_fault();
            let Some(retry) = page.headers.get("retry-after") else {
                return Answer::Failed(page.html);
            };
            assert_eq!(page.status, 503, "{}", page.html);
            assert!(retry.to_str().unwrap().parse::<u32>().unwrap() > 0);
            Answer::Shed
        }
    })
    .await;

    let growth = resident_mib(&stack, Service::Frontend).saturating_sub(before);
    assert!(growth < GROWTH_MIB, "{growth} MiB more");
    proxy.heal();
    assert_eq!(browser.get("/records").await.status, 200);
}
