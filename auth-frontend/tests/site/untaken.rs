//! Clients that ask for large pages and do not read them.

use dev_stack::Service;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    app::{TestApp, eventually},
    browser::Browser,
};

/// The most that the pages which repeat what strangers sent may take together.
const REPEATED: usize = 8 * 1024 * 1024;
/// What looks like a session and is none.
const MADE_UP: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Sends a request and takes no more of its answer than the head, of which it gives the status and
/// the length of the page.
async fn ask_and_leave(app: &TestApp, request: &str) -> (TcpStream, u16, usize) {
    let address = app.stack.app_url().strip_prefix("http://").unwrap();
    let address = tokio::net::lookup_host(address).await.unwrap().next().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    // Else the untaken pages would be here, in the client.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
    let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
    (stream, status, length.parse().unwrap())
}

/// A record whose page has half a megabyte; answers where it is.
async fn save_large_record(browser: &mut Browser, notes: &str) -> String {
    let record = [("title", "Large"), ("category", "Asset"), ("notes", notes)];
    browser.save_record(&record).await.location().to_owned()
}

/// A form of 150,000 characters, each of which is six in a page.
fn form(app: &TestApp, session: &str) -> String {
    format!(
        "POST /records HTTP/1.1\r\nHost: x\r\nOrigin: {}\r\nCookie: session={session}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 150006\r\n\r\n\
         notes={}",
        app.stack.app_url(),
        "\"".repeat(150_000)
    )
}

async fn metric(app: &TestApp, name: &str) -> u64 {
    let metrics = format!("{}/metrics", app.stack.ops_url(Service::Frontend));
    let metrics = app.browser().get(&metrics).await.html;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[cfg(target_os = "linux")]
fn resident_bytes(app: &TestApp) -> usize {
    let pid = app.stack.pid(Service::Frontend).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn strangers_who_do_not_read_take_little_memory_and_keep_nobody_out() {
    let app = TestApp::start().await;
    let mut ada = app.logged_in("acme-admin", "acme").await;
    let before = resident_bytes(&app);
    let request = form(&app, MADE_UP);

    let mut left = Vec::new();
    for _ in 0..200 {
        left.push(ask_and_leave(&app, &request).await);
    }
    let taken = resident_bytes(&app).saturating_sub(before);
    let list = ada.get("/records").await;
    let saved = ada.save_record(&[("title", "All the same"), ("category", "Asset")]).await;

    assert!(left.iter().all(|(_, status, _)| *status == 401));
    let (large, small): (Vec<usize>, Vec<usize>) =
        left.iter().map(|(_, _, length)| *length).partition(|length| *length > 150_000);
    assert!(!large.is_empty() && large.iter().sum::<usize>() <= REPEATED, "{large:?}");
    assert!(small.iter().all(|length| *length < 16 * 1024), "{small:?}");
    // Without a limit it is about 160 MiB.
    assert!(taken < 64 * 1024 * 1024, "{taken}");
    assert_eq!((list.status, saved.status), (200, 303));
    drop(left);
    eventually("the room of what nobody waits for any more", async || {
        (metric(&app, "http_server_pages_untaken_bytes").await == 0).then_some(())
    })
    .await;
    let (_, _, again) = ask_and_leave(&app, &request).await;
    assert!(again > 150_000, "{again}");
}

#[tokio::test]
async fn who_does_not_read_is_refused_large_pages_in_all_organizations_and_nobody_else_is() {
    let app = TestApp::start().await;
    let mut ada = app.logged_in("acme-admin", "acme").await;
    let mut gloria = app.logged_in("globex-admin", "globex").await;
    let mut connie_in_acme = app.logged_in("consultant", "acme").await;
    let mut connie_in_globex = app.logged_in("consultant", "globex").await;
    let notes = "'".repeat(90_000);
    let of_acme = save_large_record(&mut ada, &notes).await;
    let of_globex = save_large_record(&mut gloria, &notes).await;

    let mut left = Vec::new();
    for (browser, record) in [(&connie_in_acme, &of_acme), (&connie_in_globex, &of_globex)] {
        let session = &browser.jar["session"];
        let request =
            format!("GET {record} HTTP/1.1\r\nHost: x\r\nCookie: session={session}\r\n\r\n");
        for _ in 0..30 {
            left.push(ask_and_leave(&app, &request).await);
        }
    }
    let refused = [connie_in_acme.get(&of_acme).await, connie_in_globex.get(&of_globex).await];
    let small = [connie_in_acme.get("/home").await, connie_in_globex.get("/home").await];
    let held = metric(&app, "http_server_pages_untaken_bytes").await;
    let shed = metric(&app, "http_server_requests_shed_total").await;
    let others = [ada.get(&of_acme).await, gloria.get(&of_globex).await];
    let stranger = app.browser().get("/").await;
    let statuses: Vec<_> = left.iter().map(|(_, status, _)| *status).collect();
    drop(left);
    let again = eventually("the page when there is room", async || {
        Some(connie_in_acme.get(&of_acme).await).filter(|page| page.status == 200)
    })
    .await;

    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    for page in refused {
        assert_eq!((page.status, &page.headers["retry-after"]), (503, &"5".parse().unwrap()));
        page.assert_shows("Too many people are asking at once");
    }
    assert_eq!(small.map(|page| page.status), [200, 200]);
    // An eighth of what there is for all.
    assert!(held <= 3 * 1024 * 1024 && shed > 0, "{held} {shed}");
    assert_eq!(others.map(|page| page.status), [200, 200]);
    assert_eq!(stranger.status, 200);
    again.assert_shows(&notes);
}

#[tokio::test]
async fn more_than_a_page_repeats_is_too_large_for_whoever_sends_it() {
    let app = TestApp::start().await;
    let mut ada = app.logged_in("acme-admin", "acme").await;
    let notes = "x".repeat(170 * 1024);

    let page =
        ada.save_record(&[("title", "Large"), ("category", "Asset"), ("notes", &notes)]).await;
    let login = app.browser().get(&format!("/?organization={}", "x".repeat(20_000))).await;

    assert_eq!(page.status, 413);
    page.assert_shows("Go back, shorten the longest text, and send it again.");
    assert_eq!(login.status, 200);
    login.assert_lacks("xxxxxxxx");
}
