//! Calls to replicas that fail in every way, on real servers in this process.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use records_proto::v1::records_service_server::{RecordsService, RecordsServiceServer};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};
use tonic::{
    Code, Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;

mod room;

/// What a replica does with a call.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answer,
    AnswerAfter(Duration),
    /// Works on so many calls at a time, each for so long, and is full then.
    AnswerSome(usize, Duration),
    Fail(Code),
    /// Has too much to do for this reason, and asks for a pause.
    Exhausted(&'static str, Duration),
    Nothing,
}

/// A replica of records-service.
struct Stand {
    address: SocketAddr,
    desk: Arc<Desk>,
    /// Its own, so that all of it can be killed at once.
    runtime: Option<Runtime>,
}

struct Desk {
    does: Mutex<Does>,
    calls: AtomicUsize,
    working: AtomicUsize,
}

struct Records(Arc<Desk>);

#[tonic::async_trait]
impl RecordsService for Records {
    async fn get_record(&self, _: Request<GetRecordRequest>) -> Result<Response<Record>, Status> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let does = *self.0.does.lock().unwrap();
        match does {
            Does::Answer => Ok(Response::new(Record::default())),
            Does::AnswerAfter(time) => {
                sleep(time).await;
                Ok(Response::new(Record::default()))
            }
            Does::AnswerSome(places, time) => {
                if self.0.working.fetch_add(1, Ordering::SeqCst) < places {
                    sleep(time).await;
                    self.0.working.fetch_sub(1, Ordering::SeqCst);
                    return Ok(Response::new(Record::default()));
                }
                self.0.working.fetch_sub(1, Ordering::SeqCst);
                Err(exhausted("FULL", Duration::from_secs(1)))
            }
            Does::Fail(code) => Err(Status::new(code, "on demand")),
            Does::Exhausted(reason, wait) => Err(exhausted(reason, wait)),
            Does::Nothing => std::future::pending().await,
        }
    }

    async fn create_record(
        &self,
        _: Request<CreateRecordRequest>,
    ) -> Result<Response<Record>, Status> {
        unreachable!("nobody asks for it here")
    }

    async fn list_records(
        &self,
        _: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        unreachable!("nobody asks for it here")
    }
}

fn exhausted(reason: &str, wait: Duration) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, "org-records", []);
    details.set_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, "on demand", details)
}

impl Stand {
    fn start(does: Does) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let desk = Desk { does: Mutex::new(does), calls: 0.into(), working: 0.into() };
        let mut stand = Self { address, desk: Arc::new(desk), runtime: None };
        stand.resume();
        stand
    }

    fn resume(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = Runtime::new().unwrap();
        let service = RecordsServiceServer::new(Records(Arc::clone(&self.desk)));
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            Server::builder().add_service(service).serve_with_incoming(incoming).await
        });
        self.runtime = Some(runtime);
    }

    /// Cuts all connections and leaves the port, as `kill -9` does.
    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    fn does(&self, does: Does) {
        *self.desk.does.lock().unwrap() = does;
    }

    fn calls(&self) -> usize {
        self.desk.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.kill();
    }
}

fn client(addresses: &[SocketAddr]) -> RecordsClient {
    registered(addresses, &mut Registry::default())
}

fn registered(addresses: &[SocketAddr], registry: &mut Registry) -> RecordsClient {
    let url = |address| Url::parse(&format!("http://{address}")).unwrap();
    let urls: Vec<_> = addresses.iter().map(url).collect();
    RecordsClient::new(&urls, &RecordsTls::default(), 50, registry).unwrap()
}

fn shown(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

fn on_behalf(deadline: Deadline) -> OnBehalfOf<'static> {
    let (access_token, organization_id) = ("token", "org_acme");
    OnBehalfOf { access_token, organization_id, trace: TraceContext::random(), deadline }
}

async fn ask(client: &RecordsClient) -> Result<Record, RecordsError> {
    let deadline = Deadline::after(Duration::from_secs(20));
    let caller = on_behalf(deadline);
    client.get_record(caller, "1").await
}

/// Asks until `done`, and answers how often; every call must succeed.
async fn ask_until(client: &RecordsClient, done: impl Fn() -> bool) -> usize {
    for asked in 0..400 {
        if done() {
            return asked;
        }
        ask(client).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    panic!("did not come about within twenty seconds");
}

#[tokio::test]
async fn calls_are_spread_evenly() {
    let stands = [Does::Answer; 3].map(Stand::start);
    let client = client(&stands.each_ref().map(|stand| stand.address));

    for _ in 0..30 {
        ask(&client).await.unwrap();
    }

    assert_eq!(stands.each_ref().map(Stand::calls), [10, 10, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_under_load_fails_no_call() {
    let mut stands = [Does::Answer; 2].map(Stand::start);
    let client = client(&stands.each_ref().map(|stand| stand.address));
    let is_killed = Arc::new(AtomicBool::new(false));
    let load = (0..40).map(|_| {
        let (client, is_killed) = (client.clone(), Arc::clone(&is_killed));
        tokio::spawn(async move {
            while !is_killed.load(Ordering::SeqCst) {
                ask(&client).await.unwrap();
            }
            for _ in 0..25 {
                ask(&client).await.unwrap();
            }
        })
    });
    let load: Vec<_> = load.collect();
    while stands[1].calls() < 200 {
        sleep(Duration::from_millis(1)).await;
    }

    stands[1].kill();
    let before = stands[0].calls();
    is_killed.store(true, Ordering::SeqCst);
    let done = join_all(load).await;

    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let after = stands[0].calls() - before;
    assert!(after >= 40 * 25, "{after}");
}

#[tokio::test]
async fn the_last_attempt_goes_to_the_replica_that_failed_least() {
    let mut stands = [Does::Answer; 3].map(Stand::start);
    let mut registry = Registry::default();
    let client = registered(&stands.each_ref().map(|stand| stand.address), &mut registry);
    stands[1].kill();
    stands[2].kill();
    // In this time both have been tried again in vain.
    for _ in 0..40 {
        sleep(Duration::from_millis(50)).await;
        ask(&client).await.unwrap();
    }
    // At its end they may be about to be tried.
    while !shown(&registry).contains("records_replicas{state=\"ejected\"} 2\n") {
        ask(&client).await.unwrap();
    }
    let before = stands[0].calls();
    stands[0].does(Does::Nothing);

    let (answered, ()) = tokio::join!(ask(&client), async {
        while stands[0].calls() == before {
            sleep(Duration::from_millis(1)).await;
        }
        stands[0].does(Does::Answer);
    });

    answered.unwrap();
}

#[tokio::test]
async fn a_replica_that_comes_back_gets_its_share_again() {
    let mut stands = [Does::Answer; 2].map(Stand::start);
    let client = client(&stands.each_ref().map(|stand| stand.address));
    stands[1].kill();
    for _ in 0..10 {
        ask(&client).await.unwrap();
    }
    let before = stands[1].calls();

    stands[1].resume();
    ask_until(&client, || stands[1].calls() > before).await;
    let (first, second) = (stands[0].calls(), stands[1].calls());
    for _ in 0..20 {
        ask(&client).await.unwrap();
    }

    assert_eq!((stands[0].calls() - first, stands[1].calls() - second), (10, 10));
}

#[tokio::test]
async fn a_replica_that_says_nothing_holds_nobody_up_for_long_and_is_left_alone() {
    let stands = [Stand::start(Does::Answer), Stand::start(Does::Nothing)];
    let client = client(&stands.each_ref().map(|stand| stand.address));

    let began = Instant::now();
    for _ in 0..20 {
        ask(&client).await.unwrap();
    }

    // One attempt at it, and after the first ejection perhaps a second.
    assert!(stands[1].calls() <= 2, "{}", stands[1].calls());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_that_is_never_answered_is_as_good_as_none() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stand = Stand::start(Does::Answer);
    let client = client(&[silent.local_addr().unwrap(), stand.address]);

    for _ in 0..20 {
        ask(&client).await.unwrap();
    }

    assert_eq!(stand.calls(), 20);
}

#[tokio::test]
async fn what_one_replica_cannot_do_now_another_is_asked_for() {
    for failure in [Code::Unavailable, Code::DeadlineExceeded] {
        let stands = [Stand::start(Does::Answer), Stand::start(Does::Fail(failure))];
        let client = client(&stands.each_ref().map(|stand| stand.address));

        for _ in 0..10 {
            ask(&client).await.unwrap();
        }

        assert_eq!(stands[0].calls(), 10, "{failure}");
        assert!(stands[1].calls() >= 1, "{failure}");
    }
}

#[tokio::test]
async fn what_asking_again_does_not_change_is_not_asked_again() {
    for refusal in [Code::NotFound, Code::PermissionDenied, Code::Aborted, Code::Internal] {
        let stand = Stand::start(Does::Fail(refusal));
        let client = client(&[stand.address]);

        ask(&client).await.unwrap_err();

        assert_eq!(stand.calls(), 1, "{refusal}");
    }
}

#[tokio::test]
async fn an_outage_is_not_made_worse_by_asking_again_and_again() {
    let stand = Stand::start(Does::Fail(Code::Unavailable));
    // With 50 pages in flight, 100 further attempts are at hand.
    let client = client(&[stand.address]);

    for _ in 0..80 {
        ask(&client).await.unwrap_err();
    }

    assert_eq!(stand.calls(), 80 + 100);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_said_to_be_unavailable_at_once() {
    // Too long a name to ask a server about, which might take its time to say so.
    let url = Url::parse(&format!("http://{}.invalid:50051", "x".repeat(64))).unwrap();
    let client =
        RecordsClient::new(&[url], &RecordsTls::default(), 50, &mut Registry::default()).unwrap();

    let refused = ask(&client).await;

    assert!(matches!(refused, Err(RecordsError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_call_ends_at_the_deadline_of_its_page() {
    let stand = Stand::start(Does::Nothing);
    let client = client(&[stand.address]);
    let deadline = Deadline::after(Duration::from_millis(200));
    let caller = on_behalf(deadline);

    let began = Instant::now();
    let ended = client.get_record(caller, "1").await;

    assert!(matches!(ended, Err(RecordsError::TimedOut(_))), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn calls_and_replicas_are_measured() {
    // They are left alone for a quarter of a second or more. A machine may stall for that long.
    const UNDISTURBED: Duration = Duration::from_millis(200);
    let text = loop {
        let mut stands = [Does::Answer; 2].map(Stand::start);
        let mut registry = Registry::default();
        let client = registered(&stands.each_ref().map(|stand| stand.address), &mut registry);
        ask(&client).await.unwrap();
        stands[0].kill();
        stands[1].kill();
        let began = Instant::now();
        ask(&client).await.unwrap_err();
        let text = shown(&registry);
        if began.elapsed() < UNDISTURBED {
            break text;
        }
    };

    for line in [
        "records_call_duration_seconds_count{method=\"GetRecord\",code=\"OK\"} 1\n",
        "records_call_duration_seconds_count{method=\"GetRecord\",code=\"UNAVAILABLE\"} 1\n",
        "records_call_retries_total{method=\"GetRecord\"} 2\n",
        "records_replicas{state=\"available\"} 0\n",
        "records_replicas{state=\"ejected\"} 2\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
