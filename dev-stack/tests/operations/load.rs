//! Load: people and internal services that go on asking until they are told to stop, and what they
//! were answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    browser::{Browser, Form, Page},
    caller::{Caller, Outcome},
};

/// Between an answer and the next request, so that the machine has time for what is tested.
const PAUSE: Duration = Duration::from_millis(20);

/// What came of the load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: usize,
    pub(crate) failures: Vec<String>,
    /// Of the records whose creation was acknowledged.
    pub(crate) titles: Vec<String>,
    pub(crate) slowest: Duration,
}

/// Load that goes on.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    workers: JoinSet<Tally>,
}

impl Load {
    pub(crate) fn none() -> Self {
        Self { over: Arc::default(), answered: Arc::default(), workers: JoinSet::new() }
    }

    /// Adds so many people who are logged in to `acme`, and look at pages and fill in records.
    pub(crate) async fn add_people(&mut self, app_url: &str, count: usize) {
        for person in 0..count {
            let browser = Browser::logged_in(app_url, "acme-admin", "acme").await;
            let form = browser.record_form("").await;
            let (over, answered) = (Arc::clone(&self.over), Arc::clone(&self.answered));
            self.workers.spawn(async move {
                let mut tally = Tally::default();
                while !over.load(Ordering::Relaxed) {
                    let number = tally.requests;
                    match number % 3 {
                        0 => {
                            tally.page(browser.try_get("/records").await, 200);
                        }
                        1 => {
                            tally.page(browser.try_get("/home").await, 200);
                        }
                        _ => {
                            let title = format!("person {person}, form {number}");
                            let form = filled(&form, &title);
                            if tally.page(browser.try_post("/records", &form).await, 303) {
                                tally.titles.push(title);
                            }
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
                tally
            });
        }
    }

    /// Adds so many workers of an internal service, which read and create records.
    pub(crate) fn add_callers(&mut self, name: &str, caller: &Caller, count: usize) {
        for worker in 0..count {
            let (name, caller) = (name.to_owned(), caller.clone());
            let (over, answered) = (Arc::clone(&self.over), Arc::clone(&self.answered));
            self.workers.spawn(async move {
                let mut tally = Tally::default();
                while !over.load(Ordering::Relaxed) {
                    let number = tally.requests;
                    let title = format!("{name} {worker}, call {number}");
                    if number % 2 == 0 {
                        tally.call(&title, caller.list().await);
                    } else {
                        let id = Uuid::new_v4().to_string();
                        if tally.call(&title, caller.create(&title, &id).await) {
                            tally.titles.push(title);
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
                tally
            });
        }
    }

    /// Waits until so many more requests were answered.
    pub(crate) async fn go_on_for(&self, requests: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + requests;
        while self.answered.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends the load and adds everything up.
    pub(crate) async fn end(mut self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        while let Some(tally) = self.workers.join_next().await {
            let tally = tally.unwrap();
            sum.requests += tally.requests;
            sum.failures.extend(tally.failures);
            sum.titles.extend(tally.titles);
            sum.slowest = sum.slowest.max(tally.slowest);
        }
        sum
    }
}

impl Tally {
    /// Asserts that every request was answered as it should be, and soon enough.
    pub(crate) fn assert_no_failure(&self, deadline: Duration) {
        let Self { requests, failures, slowest, .. } = self;
        assert!(failures.is_empty(), "{} of {requests} failed: {failures:#?}", failures.len());
        assert!(*slowest < deadline, "an answer took {slowest:?}");
        eprintln!(
            "{requests} requests, {} records, the slowest answer took {slowest:?}",
            self.titles.len()
        );
    }

    /// Notes the answer, and whether it was as expected.
    fn page(&mut self, answer: reqwest::Result<Page>, expected: u16) -> bool {
        let failure = match answer {
            Ok(page) => {
                self.slowest = self.slowest.max(page.took);
                let failure = || format!("{} instead of {expected}: {}", page.status, page.html);
                (page.status != expected).then(failure)
            }
            Err(error) => Some(format!("{error:?}")),
        };
        self.note(failure)
    }

    fn call<T>(&mut self, who: &str, outcome: Outcome<T>) -> bool {
        self.slowest = self.slowest.max(outcome.took);
        self.note(outcome.result.err().map(|status| format!("{who}: {status:?}")))
    }

    fn note(&mut self, failure: Option<String>) -> bool {
        self.requests += 1;
        let fine = failure.is_none();
        self.failures.extend(failure);
        fine
    }
}

/// The form with another title, as a new one.
fn filled(form: &Form, title: &str) -> Form {
    let mut form = form.clone();
    for (name, value) in &mut form {
        match name.as_str() {
            "title" => title.clone_into(value),
            "request_id" => *value = Uuid::new_v4().to_string(),
            _ => {}
        }
    }
    form
}
