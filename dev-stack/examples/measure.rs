//! What the services cost: the CPU time of a list page of 25 records over both services, how soon
//! each is ready, and how much memory it holds when idle. See docs/performance.md.
//!
//! It runs the binaries beside it, so build them with the same profile first.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dev_stack::{Service, Stack, StackOptions};
use records_proto::v1::{
    CreateRecordRequest, Record, Value, records_service_client::RecordsServiceClient, value::Kind,
};
use reqwest::Client;
use tonic::Request;

const RECORDS: usize = 25;
const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(3);
const ROUND: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;
/// Linux counts the CPU time of a process in hundredths of a second (`USER_HZ`).
const MICROSECONDS_PER_TICK: f64 = 10_000.0;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let stack = Stack::start(StackOptions::for_test()?).await?;
    idle(&stack).await?;
    create_records(&stack).await?;
    let browser = logged_in_browser(&stack).await?;

    println!("\nlist page of {RECORDS} records, {CONNECTIONS} connections:");
    load(&stack, &browser, WARM_UP).await?;
    for _ in 0..ROUNDS {
        let before = (ticks(&stack, Service::Frontend)?, ticks(&stack, Service::Records)?);
        let pages = load(&stack, &browser, ROUND).await?;
        let spent = |service, before| -> Outcome<f64> {
            let ticks = ticks(&stack, service)? - before;
            Ok(to_f64(ticks) * MICROSECONDS_PER_TICK / to_f64(pages))
        };
        let frontend = spent(Service::Frontend, before.0)?;
        let records = spent(Service::Records, before.1)?;
        println!(
            "  {pages} pages in {ROUND:?}: {:.0} µs of CPU a page \
             (auth-frontend {frontend:.0}, records-service {records:.0})",
            frontend + records,
        );
    }
    println!("memory after the load:");
    for service in Service::ALL {
        println!("  {}: {:.1} MiB", service.name(), resident_mib(&stack, service)?);
    }
    stack.stop().await;
    Ok(())
}

/// Prints how soon each service is ready after its start, and what it holds when nothing happens.
async fn idle(stack: &Stack) -> Outcome<()> {
    println!("ready after (to within 25 ms), and memory when idle:");
    for service in Service::ALL {
        stack.kill(service).await;
        let started = Instant::now();
        stack.restart(service, &[]).await?;
        let ready = started.elapsed();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let memory = resident_mib(stack, service)?;
        println!("  {}: {} ms, {memory:.1} MiB", service.name(), ready.as_millis());
    }
    Ok(())
}

async fn create_records(stack: &Stack) -> Outcome<()> {
    let token = stack.auth0().user_token("acme-admin", "acme")?;
    let mut client = RecordsServiceClient::connect(stack.grpc_url()).await?;
    let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
    for number in 1..=RECORDS {
        let fields = BTreeMap::from([
            ("title".to_owned(), text(format!("Laptop of employee {number}"))),
            ("category".to_owned(), text("Asset".to_owned())),
            ("status".to_owned(), text("In progress".to_owned())),
            (
                "amount".to_owned(),
                Value { kind: Some(Kind::NumberValue(format!("1{number:03}.50"))) },
            ),
            ("due_date".to_owned(), text("2027-01-31".to_owned())),
            ("urgent".to_owned(), Value { kind: Some(Kind::BoolValue(number % 3 == 0)) }),
            ("notes".to_owned(), text("To be replaced after three years of use.".to_owned())),
        ]);
        let mut request = Request::new(CreateRecordRequest {
            record: Some(Record { fields, ..Record::default() }),
            request_id: String::new(),
        });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        client.create_record(request).await?;
    }
    Ok(())
}

/// A client with the cookies of a login.
async fn logged_in_browser(stack: &Stack) -> Outcome<Client> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let browser = Client::builder().cookie_store(true).build()?;
    let login = format!("{}/auth/login?organization=acme", stack.app_url());
    let page = browser.get(login).send().await?.error_for_status()?;
    let address = page.url().clone();
    let html = page.text().await?;
    let state = html
        .split_once("name=\"state\" value=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(state, _)| state)
        .ok_or("the login page has no state")?;
    let action = html
        .split_once("action=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(action, _)| action.replace("&amp;", "&"))
        .ok_or("the login page has no form")?;
    let form = [("state", state), ("username", "acme-admin"), ("password", "correct-horse")];
    let home = browser.post(address.join(&action)?).form(&form).send().await?.error_for_status()?;
    if home.url().path() == "/home" { Ok(browser) } else { Err("the login failed".into()) }
}

/// Asks for the list as fast as it comes over so many connections, and counts the pages.
async fn load(stack: &Stack, browser: &Client, time: Duration) -> Outcome<usize> {
    let url: Arc<str> = format!("{}/records", stack.app_url()).into();
    let (pages, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (browser, url) = (browser.clone(), Arc::clone(&url));
            let (pages, over) = (Arc::clone(&pages), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let page = browser.get(&*url).send().await?.error_for_status()?;
                    let page = page.text().await?;
                    if page.matches("<tr").count() != RECORDS + 1 {
                        return Err("a page is not the list".into());
                    }
                    pages.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Ok(())
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    for connection in connections {
        connection.await??;
    }
    Ok(pages.load(Ordering::Relaxed))
}

/// The CPU time that a service has spent so far, by itself and in the kernel (proc(5), `stat`).
fn ticks(stack: &Stack, service: Service) -> Outcome<usize> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid(stack, service)?))?;
    let (_, after_name) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let (user, system) = (fields.get(11).ok_or("no utime")?, fields.get(12).ok_or("no stime")?);
    Ok(user.parse::<usize>()? + system.parse::<usize>()?)
}

fn resident_mib(stack: &Stack, service: Service) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid(stack, service)?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(to_f64(kib) / 1024.0)
}

fn pid(stack: &Stack, service: Service) -> Outcome<u32> {
    stack.pid(service).ok_or_else(|| format!("{} does not run", service.name()).into())
}

/// Exact for all counts that occur here.
fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
