//! The headers of every route, whoever asks and whatever comes of it; and that nothing secret is
//! logged on the way.

use dev_stack::samples;
use reqwest::{Method, header::CACHE_CONTROL};

use crate::{app::TestApp, browser::Page};

fn assert_protected(page: &Page, issuer: &str) {
    let header = |name: &str| {
        let values: Vec<_> = page.headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{name} of {} {}", page.status, page.url);
        values[0].to_str().unwrap().to_owned()
    };
    let policy = header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        &format!("form-action 'self' {issuer}"),
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(header("x-frame-options"), "DENY");
    assert!(!page.headers.contains_key("server"));
    assert!(!page.headers.contains_key("strict-transport-security"), "plain http");
    let is_file = page.status == 200
        && (page.path().starts_with("/static/") || page.path() == "/favicon.ico");
    let caching = header(CACHE_CONTROL.as_str());
    assert_eq!(caching == "no-store", !is_file, "{} {caching}", page.url);
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let app = TestApp::start().await;
    let issuer = app.stack.auth0().issuer().trim_end_matches('/').to_owned();
    let mut somebody = app.logged_in("acme-admin", "acme").await;
    let saved = somebody.save_record(&[("title", "One"), ("category", "Asset")]).await;
    let record = saved.location().to_owned();
    let start = somebody.get("/home").await;
    let stylesheet = start.html.split_once("rel=\"stylesheet\" href=\"").unwrap().1;
    let stylesheet = stylesheet.split('"').next().unwrap().to_owned();
    let paths = [
        "/",
        "/home",
        "/records",
        "/records/new",
        "/records?page_token=x",
        &record,
        "/records/nonsense",
        "/audit",
        "/auth/login",
        "/auth/login?organization=a&organization=b",
        "/auth/callback",
        "/auth/logout",
        "/favicon.ico",
        &stylesheet,
        "/static/nothing.css",
        "/nowhere",
        "/%ff",
    ];

    for mut browser in [app.browser(), somebody] {
        for path in paths {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"] {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let page = browser.clone().send(browser.request(method, path)).await;
                assert_protected(&page, &issuer);
            }
        }
        let too_large = browser.post_bytes("/records", vec![b'x'; 2 * 1024 * 1024]).await;
        assert_eq!(too_large.status, 413);
        assert_protected(&too_large, &issuer);
        let not_allowed = browser.post("/home", &[]).await;
        assert_eq!(
            (not_allowed.status, &not_allowed.headers["allow"]),
            (405, &"GET,HEAD".parse().unwrap())
        );
        app.stack.dynamodb().stop().await;
        assert_protected(&browser.get("/home").await, &issuer);
        app.stack.dynamodb().resume().await.unwrap();
    }
}

#[tokio::test]
async fn files_are_kept_for_ever_under_their_hash() {
    let app = TestApp::start().await;
    let mut browser = app.browser();

    let start = browser.get("/").await;
    let path = start.html.split_once("rel=\"stylesheet\" href=\"").unwrap().1;
    let file = browser.get(path.split('"').next().unwrap()).await;
    let icon = browser.get("/favicon.ico").await;

    assert_eq!(file.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(file.headers["content-type"], "text/css; charset=utf-8");
    assert_eq!(icon.headers["content-type"], "image/svg+xml");
}

#[tokio::test]
async fn the_log_holds_no_secret_and_nothing_that_people_typed() {
    let app = TestApp::start().await;
    let mut browser = app.browser();

    let page = browser.begin_login("acme", "/home?planted-query").await;
    let callback = browser.log_in_up_to_callback("acme-admin", &page).await;
    browser.get(&callback).await;
    let mut planted: Vec<String> = browser.jar.values().cloned().collect();
    let parameters = url::Url::parse(&callback).unwrap();
    planted.extend(parameters.query_pairs().map(|(_, value)| value.into_owned()));
    browser.get(&callback).await;
    let values = [("title", "planted-title"), ("category", "Asset"), ("planted-name", "x")];
    browser.save_record(&values).await;
    browser.save_record(&[("title", "planted-title"), ("category", "planted-choice")]).await;
    browser.get("/records/planted-path").await;
    let token = browser.get("/home").await.hidden("csrf_token");
    browser.post("/auth/logout", &[("csrf_token", &token)]).await;
    planted.push(token);
    let known = ["planted-", samples::PASSWORD, samples::WEB_CLIENT_SECRET, "@example.com", "eyJ"];
    planted.extend(known.map(str::to_owned));

    let log = app.log().join("\n");
    assert!(log.contains("\"route\":\"/records/{id}\""), "{log}");
    for secret in planted {
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
}
