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
    browser::Page,
};

fn is_busy(page: &Page) -> bool {
    page.html.contains("Too many people are asking at once")
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
    let (took, kept) = eventually("a form that is refused", async || {
        let began = Instant::now();
        let page = browser.post("/records", &form).await;
        is_busy(&page).then(|| (began.elapsed(), page))
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
    assert!(took < Duration::from_secs(1), "{took:?}");
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
    // Together they say that they are as much as all forms on their way may be.
    for _ in 0..64 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST /records HTTP/1.1\r\nHost: x\r\nContent-Length: 1048575\r\n\r\ntitle=";
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }

    let page = browser.get("/records").await;
    let saved = browser.save_record(&[("title", "In between"), ("category", "Asset")]).await;

    assert_eq!((page.status, saved.status), (200, 303));
    // They are not waited for without end.
    for mut stream in slow {
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(30), read).await;
        read.expect("the connection ends").unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 504 "), "{}", String::from_utf8_lossy(&answer));
    }
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
