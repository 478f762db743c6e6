//! What becomes of twice the load that the system can carry: how much is still served and how soon,
//! how much is shed, and whether memory stays flat. See docs/performance.md.
//!
//! First it asks as fast as answers come (a closed loop), which tells the capacity of this machine
//! with everything on it; then it offers twice that, whatever becomes of it (an open loop). Two
//! organizations take turns in asking, because one alone is given half of the room at most.
//!
//! It runs the binaries beside it, so build them with the same profile first. Arguments: `pages`
//! (through the frontend, the default), `calls` (to records-service) or `large` (calls whose answers are
//! as large as any), and for how many minutes.
//! `MAX_IN_FLIGHT`, where it is set, is that of both services.

mod support;

use std::{
    error::Error as _,
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use dev_stack::{Service, Stack};
use records_proto::v1::{ListRecordsRequest, records_service_client::RecordsServiceClient};
use reqwest::{Client, StatusCode};
use support::{
    ADMINISTRATORS, NOTES, Outcome, RECORDS, create_records, logged_in_browser, resident_mib,
    to_f64,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

const MINUTES: u64 = 10;
/// As many as keep the machine busy and do not have to wait for each other.
const CLOSED_LOOP: usize = 32;
const WARM_UP: Duration = Duration::from_secs(3);
const CLOSED_LOOP_TIME: Duration = Duration::from_secs(15);
const ROWS: u32 = 20;
/// How often what is due is sent.
const PACE: Duration = Duration::from_millis(1);
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What this program itself has under way at most; it says so when it does not offer more.
const OPEN_LOOP_LIMIT: usize = 4_000;
/// Of a large record, and how many of these a list answers with before it has 1 MB. Notes may have
/// 100,000 characters, which is less if each is one byte.
const NOTE: &str = "é";
const NOTES_BYTES: usize = 120 * 1024;
const LARGE_RECORDS: usize = 8;
/// Calls go over so many connections, as they would from several clients.
const CONNECTIONS: usize = 4;

/// What is asked, again and again.
#[derive(Clone)]
enum Question {
    Page(Client, Arc<str>),
    /// The last is how many records are to be answered.
    Call(RecordsServiceClient<Channel>, MetadataValue<Ascii>, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Served,
    Shed,
    /// Let in, and told that time ran out.
    Late,
    /// The connection was to take no more calls when this one came to it.
    Unbegun,
    Failed,
}

/// What came of a question in the end.
struct Asked {
    answer: Answer,
    took: Duration,
    /// How often it was asked once more.
    again: usize,
}

impl Question {
    async fn ask(self) -> Answer {
        match self {
            Self::Page(browser, url) => page(&browser, &url).await.unwrap_or(Answer::Failed),
            Self::Call(mut records, authorization, expected) => {
                let mut request =
                    Request::new(ListRecordsRequest { page_size: 25, ..Default::default() });
                request.set_timeout(PATIENCE);
                request.metadata_mut().insert("authorization", authorization);
                match records.list_records(request).await {
                    Ok(answer) if answer.get_ref().records.len() == expected => Answer::Served,
                    Err(status) if status.code() == Code::ResourceExhausted => Answer::Shed,
                    Err(status) if status.code() == Code::DeadlineExceeded => Answer::Late,
                    Err(status) if is_unbegun(&status) => Answer::Unbegun,
                    _ => Answer::Failed,
                }
            }
        }
    }

    async fn ask_and_time(self) -> Asked {
        let started = Instant::now();
        let mut again = 0;
        let asked = async {
            loop {
                match self.clone().ask().await {
                    Answer::Unbegun => again += 1,
                    answer => break answer,
                }
            }
        };
        let answer = timeout(PATIENCE, asked).await.unwrap_or(Answer::Failed);
        Asked { answer, took: started.elapsed(), again }
    }
}

/// Whether the call was never looked at, because its connection had come to its age (GOAWAY). gRPC's
/// clients ask such a call again by themselves; a channel of tonic leaves that to who uses it.
fn is_unbegun(status: &Status) -> bool {
    iter::successors(status.source(), |&cause| cause.source()).any(|cause| {
        let unsent = cause.downcast_ref().is_some_and(hyper::Error::is_canceled);
        let http2 = cause.downcast_ref::<h2::Error>();
        let refused = http2.filter(|error| error.is_go_away() && error.is_remote());
        unsent || refused.is_some_and(|error| error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

async fn page(browser: &Client, url: &str) -> Result<Answer, reqwest::Error> {
    let answer = browser.get(url).send().await?;
    let (status, retry) = (answer.status(), answer.headers().contains_key("retry-after"));
    let html = answer.text().await?;
    Ok(match status {
        StatusCode::OK if html.matches("<tr").count() == RECORDS + 1 => Answer::Served,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS if retry => Answer::Shed,
        StatusCode::GATEWAY_TIMEOUT => Answer::Late,
        _ => Answer::Failed,
    })
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let subject = arguments.next().unwrap_or_else(|| "pages".to_owned());
    let minutes = arguments.next().map_or(Ok(MINUTES), |text| text.parse())?;
    let mut options = support::options()?;
    if let Ok(limit) = std::env::var("MAX_IN_FLIGHT") {
        for service in [Service::Records, Service::Frontend] {
            options.variables.push((service, "MAX_IN_FLIGHT".to_owned(), limit.clone()));
        }
    }
    let stack = Stack::start(options).await?;
    let notes = match subject.as_str() {
        "large" => NOTE.repeat(NOTES_BYTES / NOTE.len()),
        _ => NOTES.to_owned(),
    };
    let endpoint = Endpoint::new(stack.grpc_url())?;
    let channel = Channel::balance_list(std::iter::repeat_n(endpoint, CONNECTIONS));
    let mut questions = Vec::new();
    for administrator in ADMINISTRATORS {
        create_records(&stack, administrator, &notes).await?;
        questions.push(match subject.as_str() {
            "pages" => {
                let url = format!("{}/records", stack.app_url());
                Question::Page(logged_in_browser(&stack, administrator).await?, url.into())
            }
            "calls" | "large" => {
                let (username, organization) = administrator;
                let token = stack.auth0().user_token(username, organization)?;
                let records = RecordsServiceClient::new(channel.clone());
                let records = records.max_decoding_message_size(8 << 20);
                let expected = if subject == "large" { LARGE_RECORDS } else { RECORDS };
                Question::Call(records, format!("Bearer {token}").parse()?, expected)
            }
            other => return Err(format!("{other:?} is not pages, calls or large").into()),
        });
    }

    closed_loop(&questions, WARM_UP).await;
    let capacity = closed_loop(&questions, CLOSED_LOOP_TIME).await;
    println!("capacity: {capacity} {subject} a second, asked by {CLOSED_LOOP} at a time");
    println!("offered: {} a second for {minutes} minutes", 2 * capacity);
    open_loop(&stack, &questions, 2 * capacity, Duration::from_mins(minutes)).await?;
    stack.stop().await;
    Ok(())
}

/// How many were served a second, each asker waiting for its answer before it asks again.
async fn closed_loop(questions: &[Question], time: Duration) -> usize {
    let mut askers = JoinSet::new();
    let started = Instant::now();
    for question in questions.iter().cycle().take(CLOSED_LOOP) {
        let question = question.clone();
        askers.spawn(async move {
            let mut served = 0;
            while started.elapsed() < time {
                let Asked { answer, .. } = question.clone().ask_and_time().await;
                served += usize::from(answer == Answer::Served);
            }
            served
        });
    }
    let served: usize = askers.join_all().await.into_iter().sum();
    served / usize::try_from(time.as_secs()).unwrap_or(usize::MAX)
}

/// Offers so many a second, whatever becomes of them, and prints a row of figures now and then.
async fn open_loop(
    stack: &Stack,
    questions: &[Question],
    per_second: usize,
    time: Duration,
) -> Outcome<()> {
    println!(
        "\n{:>7} {:>9} {:>9} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9} {:>9} {:>9}",
        "s",
        "offered/s",
        "served/s",
        "shed",
        "late",
        "again",
        "failed",
        "p50",
        "p95",
        "p99",
        "max",
        "serve",
        "audit",
        "frontend"
    );
    let room = Arc::new(Semaphore::new(OPEN_LOOP_LIMIT));
    let (report, mut answers) = mpsc::unbounded_channel();
    let started = Instant::now();
    let (mut due_before, mut unsent) = (0, 0);
    for row in 1..=ROWS {
        let row_began = Instant::now();
        let mut offered = 0;
        while started.elapsed() < time * row / ROWS {
            sleep(PACE).await;
            let due = usize::try_from(started.elapsed().as_millis())? * per_second / 1000;
            for number in due_before..due {
                let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                    unsent += 1;
                    continue;
                };
                offered += 1;
                let (question, report) =
                    (questions[number % questions.len()].clone(), report.clone());
                tokio::spawn(async move {
                    // Nobody counts any more what comes after the last row.
                    let _ = report.send(question.ask_and_time().await);
                    drop(place);
                });
            }
            due_before = due;
        }
        let mut seen = Vec::new();
        while let Ok(answer) = answers.try_recv() {
            seen.push(answer);
        }
        print_row(stack, started.elapsed(), row_began.elapsed(), offered, &seen)?;
    }
    if unsent > 0 {
        println!("{unsent} were not offered: {OPEN_LOOP_LIMIT} were under way already");
    }
    Ok(())
}

fn print_row(
    stack: &Stack,
    at: Duration,
    time: Duration,
    offered: usize,
    seen: &[Asked],
) -> Outcome<()> {
    let count = |wanted| seen.iter().filter(|asked| asked.answer == wanted).count();
    let mut served: Vec<_> = seen
        .iter()
        .filter(|asked| asked.answer == Answer::Served)
        .map(|asked| asked.took.as_millis())
        .collect();
    served.sort_unstable();
    let percentile = |percent: usize| {
        let position = served.len().saturating_sub(1) * percent / 100;
        served.get(position).map_or("-".to_owned(), |millis| format!("{millis} ms"))
    };
    let a_second = |count: usize| to_f64(count) / time.as_secs_f64();
    let shed = 100.0 * to_f64(count(Answer::Shed)) / to_f64(seen.len().max(1));
    let [serve, audit, frontend] = [Service::Records, Service::Audit, Service::Frontend];
    println!(
        "{:>7} {:>9.0} {:>9.0} {:>5.1}% {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>5.1} MiB {:>5.1} MiB {:>5.1} MiB",
        at.as_secs(),
        a_second(offered),
        a_second(served.len()),
        shed,
        count(Answer::Late),
        seen.iter().map(|asked| asked.again).sum::<usize>(),
        count(Answer::Failed),
        percentile(50),
        percentile(95),
        percentile(99),
        percentile(100),
        resident_mib(stack, serve)?,
        resident_mib(stack, audit)?,
        resident_mib(stack, frontend)?,
    );
    Ok(())
}
