//! What the services cost: the CPU time of a list page of 25 records over both services, how soon
//! each is ready, and how much memory it holds when idle. See docs/performance.md.
//!
//! It runs the binaries beside it, so build them with the same profile first.

mod support;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dev_stack::{Service, Stack};
use reqwest::Client;
use support::{
    ADMINISTRATORS, NOTES, Outcome, RECORDS, create_records, logged_in_browser, pid, resident_mib,
    to_f64,
};

const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(3);
const ROUND: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;
/// Linux counts the CPU time of a process in hundredths of a second (`USER_HZ`).
const MICROSECONDS_PER_TICK: f64 = 10_000.0;

#[tokio::main]
async fn main() -> Outcome<()> {
    let stack = Stack::start(support::options()?).await?;
    idle(&stack).await?;
    create_records(&stack, ADMINISTRATORS[0], NOTES).await?;
    let browser = logged_in_browser(&stack, ADMINISTRATORS[0]).await?;

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
