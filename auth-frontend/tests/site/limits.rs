//! More than the frontend takes on: requests beyond its limit, forms that do not arrive, and an
//! operating system that gives it nothing more.

use std::time::{Duration, Instant};

use dev_stack::Service;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    app::{TestApp, eventually},
    browser::{Browser, Page},
};

/// More than anybody's form has before it asks for room.
const LARGE_NOTES: usize = 30_000;

fn is_busy(page: &Page) -> bool {
    page.html.contains("Too many people are asking at once")
}

/// Begins forms in the name of who has this browser and leaves them unfinished, large ones and then
/// smaller ones, until there is room for none of `LARGE_NOTES` bytes.
async fn fill_the_room(app: &TestApp, browser: &Browser) -> Vec<TcpStream> {
    let session = browser.jar.get("session").map(String::as_str).unwrap_or_default();
    let head = format!(
        "POST /records HTTP/1.1\r\nHost: x\r\nCookie: session={session}\r\n\
         Content-Length: 1048576\r\n\r\n"
    );
    let address = app.stack.app_url().strip_prefix("http://").unwrap();
    let mut unfinished = Vec::new();
    for length in [1_000_000, LARGE_NOTES] {
        let body = vec![b'x'; length];
        while !is_busy(&browser.clone().post_bytes("/records", body.clone()).await) {
            assert!(unfinished.len() < 200, "there is room for all of them");
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            unfinished.push(stream);
        }
    }
    unfinished
}

/// The status after saving a record with so long a text.
async fn save(browser: &mut Browser, notes: usize) -> u16 {
    let notes = "x".repeat(notes);
    browser.save_record(&[("title", "One"), ("category", "Asset"), ("notes", &notes)]).await.status
}

#[tokio::test]
async fn beyond_the_limit_a_request_is_refused_at_once_with_a_time_and_nothing_is_asked_for_it() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let app = TestApp::start_with(&[("RECORDS_SERVICE_URL", &url), ("MAX_IN_FLIGHT", "1")]).await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let stylesheet = browser.get("/").await;
    let stylesheet = browser.open(stylesheet.location()).await;
    let stylesheet = stylesheet.html.split("href=\"/static/").nth(1).unwrap().to_owned();
    let stylesheet = format!("/static/{}", stylesheet.split('"').next().unwrap());
    let mut waiting = browser.clone();
    // Each waits for the silent service for three seconds.
    let occupied = tokio::spawn(async move {
        loop {
            waiting.get("/audit").await;
        }
    });

    let refused = eventually("a page that is refused", async || {
        Some(browser.get("/records?page_token=x").await).filter(is_busy)
    })
    .await;
    // Whoever asks the store of sessions now is told that it is down.
    app.stack.dynamodb().stop().await;
    let form = [("title", "Typed at a bad time"), ("category", "Asset")];
    let kept = eventually("a form that is refused at once", async || {
        let began = Instant::now();
        let page = browser.post("/records", &form).await;
        (is_busy(&page) && began.elapsed() < Duration::from_secs(1)).then_some(page)
    })
    .await;
    let foreign = eventually("a foreign form that is refused", async || {
        let request = browser.request(reqwest::Method::POST, "/records").form(&form);
        Some(browser.send(request.header("sec-fetch-site", "cross-site")).await).filter(is_busy)
    })
    .await;
    let file = browser.get(&stylesheet).await;
    occupied.abort();

    assert_eq!((refused.status, &refused.headers["retry-after"]), (503, &"5".parse().unwrap()));
    refused.assert_shows("Wait 5 seconds before you ask again.");
    assert_eq!(refused.link("Try again"), "/?return_to=%2Frecords%3Fpage%5Ftoken%3Dx");
    assert!(app.log().iter().any(|line| line.contains(&refused.reference())));
    kept.assert_shows("What you typed is kept on this page.");
    kept.assert_shows("Typed at a bad time");
    foreign.assert_lacks("Typed at a bad time");
    assert_eq!(file.status, 200);
    let metrics = browser.get(&format!("{}/metrics", app.stack.ops_url(Service::Frontend))).await;
    assert!(metrics.html.contains("\nhttp_server_requests_limit 1\n"), "{}", metrics.html);
    assert!(!metrics.html.contains("\nhttp_server_requests_shed_total 0\n"), "{}", metrics.html);
}

#[tokio::test]
async fn forms_that_do_not_arrive_keep_nobody_from_reading() {
    let app = TestApp::start_with(&[("MAX_IN_FLIGHT", "2")]).await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let address = app.stack.app_url().strip_prefix("http://").unwrap();
    let mut slow = Vec::new();
    // Were a form counted from its head on, or by the length that it announces, these would leave no
    // place and no room.
    for _ in 0..64 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST /records HTTP/1.1\r\nHost: x\r\nContent-Length: 1048575\r\n\r\ntitle=";
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }

    let page = browser.get("/records").await;
    let saved = browser.save_record(&[("title", "In between"), ("category", "Asset")]).await;

    assert_eq!((page.status, saved.status), (200, 303));
    // They are not waited for without end: a request has 20 seconds in all, and a busy machine some
    // more.
    let over = tokio::time::Instant::now() + Duration::from_secs(40);
    for mut stream in slow {
        let mut answer = Vec::new();
        let read = tokio::time::timeout_at(over, stream.read_to_end(&mut answer)).await;
        read.expect("the connection ends").unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 504 "), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn strangers_with_large_forms_keep_nobody_from_saving_and_from_logging_out() {
    let app = TestApp::start().await;
    let mut ada = app.logged_in("acme-admin", "acme").await;
    let mut stranger = app.browser();
    stranger.jar.insert("session".to_owned(), "A".repeat(43));
    let token = ada.get("/home").await.hidden("csrf_token");

    let unfinished = fill_the_room(&app, &stranger).await;
    let saved = [save(&mut ada, 10).await, save(&mut ada, LARGE_NOTES).await];
    let by_a_stranger = stranger.post("/records", &[("title", "Small")]).await;
    let out = ada.post("/auth/logout", &[("csrf_token", &token)]).await;
    drop(unfinished);
    let again = eventually("room for a stranger's form", async || {
        let page = stranger.post("/records", &[("notes", &"x".repeat(LARGE_NOTES))]).await;
        (page.status == 401).then_some(page)
    })
    .await;

    assert_eq!((saved, out.status), ([303, 303], 303));
    assert_eq!(by_a_stranger.status, 401);
    // It may be somebody's whose session has ended.
    again.assert_shows(&"x".repeat(LARGE_NOTES));
}

#[tokio::test]
async fn one_persons_large_forms_keep_nobody_else_from_saving() {
    let app = TestApp::start().await;
    let mut ada = app.logged_in("acme-admin", "acme").await;
    let mut colleague = app.logged_in("acme-editor", "acme").await;
    let mut gloria = app.logged_in("globex-admin", "globex").await;

    let unfinished = fill_the_room(&app, &ada).await;
    let small = save(&mut ada, 10).await;
    let refused = save(&mut ada, LARGE_NOTES).await;
    let others = [save(&mut colleague, LARGE_NOTES).await, save(&mut gloria, LARGE_NOTES).await];
    drop(unfinished);
    let again = eventually("room for their next form", async || {
        Some(save(&mut ada, LARGE_NOTES).await).filter(|status| *status == 303)
    })
    .await;

    assert_eq!((small, refused), (303, 503));
    assert_eq!((others, again), ([303, 303], 303));
}

#[tokio::test]
async fn a_large_form_is_not_lost_while_nobody_knows_who_sends_it() {
    let app = TestApp::start().await;
    let mut ada = app.logged_in("acme-admin", "acme").await;
    let notes = "x".repeat(LARGE_NOTES);
    let record = [("title", "Kept"), ("category", "Asset"), ("notes", notes.as_str())];
    let form = ada.record_form(&record).await;

    app.stack.dynamodb().stop().await;
    let page = ada.post_form("/records", &form).await;

    assert_eq!(page.status, 503);
    page.assert_shows("What you typed is kept on this page.");
    page.assert_shows(&notes);
}

#[tokio::test]
async fn a_form_that_does_not_say_how_large_it_is_is_refused_where_it_becomes_too_large() {
    let app = TestApp::start().await;
    let address = app.stack.app_url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /records HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..32 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();

    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("That is too much at once"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\ncontent-security-policy: "), "{answer}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_file_descriptors_it_waits_for_some_and_does_not_spin() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    let app = TestApp::start().await;
    let pid = app.stack.pid(Service::Frontend).unwrap();
    let process = Pid::from_raw(pid.cast_signed());
    // The process has its limits from this one.
    let before = getrlimit(Resource::Nofile);
    // Below what it has open, or one that it closes meanwhile would do.
    let limit = Rlimit { current: Some(1), ..before };
    prlimit(process, Resource::Nofile, limit).unwrap();
    let cannot_accept = || {
        let log = app.log();
        log.iter().filter(|line| line.contains("cannot accept connections")).count()
    };

    let began = Instant::now();
    let mut browser = app.browser();
    let (page, ()) = tokio::join!(browser.get("/"), async {
        eventually("a word of it in the log", async || (cannot_accept() > 1).then_some(())).await;
        prlimit(process, Resource::Nofile, before).unwrap();
    });

    assert_eq!(page.status, 200);
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(cannot_accept() <= seconds + 1, "{} in {seconds} s", cannot_accept());
}
