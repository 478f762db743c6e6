//! The headers of every route, whoever asks and whatever comes of it; and that nothing secret is
//! logged on the way.

use std::collections::BTreeSet;

use auth_frontend::routes;
use dev_stack::samples;
use reqwest::{Method, header::CACHE_CONTROL};
use serde_json::Value;

use crate::{
    app::{TestApp, eventually},
    browser::Page,
    isolation::{Loot, entry},
};

/// Checks an answer of a site that is reached over plain http.
pub(crate) fn assert_protected(page: &Page, issuer: &str) {
    assert_protected_everywhere(page, issuer);
    assert!(!page.headers.contains_key("strict-transport-security"), "plain http");
}

fn assert_protected_everywhere(page: &Page, issuer: &str) {
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
    if page.html.starts_with("<!DOCTYPE html>") {
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
    }
    let is_file = page.status == 200
        && (page.path().starts_with("/static/") || page.path() == "/favicon.ico");
    let caching = header(CACHE_CONTROL.as_str());
    assert_eq!(caching == "no-store", !is_file, "{} {caching}", page.url);
    // Else a shared cache could give one person's session to another.
    assert!(!is_file || !page.headers.contains_key("set-cookie"), "{}", page.url);
}

#[tokio::test]
async fn every_route_of_the_table_carries_the_headers_over_https() {
    let variables = [("APP_BASE_URL", "https://records.example"), ("LOGIN_RATE_PER_MINUTE", "2")];
    let app = TestApp::start_with(&variables).await;
    let issuer = app.stack.auth0().issuer().trim_end_matches('/').to_owned();
    let stylesheet = app.browser().get("/").await.stylesheet();
    let paths = routes().into_iter().flat_map(|route| {
        let loot = Loot::default();
        let tries = entry(&route, &loot, &loot);
        tries.foreign.into_iter().chain([tries.own]).map(|attempt| attempt.address)
    });

    let mut statuses = BTreeSet::new();
    for path in paths.chain([stylesheet, "/nowhere".to_owned()]) {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"] {
            let mut browser = app.browser();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = browser.request(method, &path).header("sec-fetch-site", "same-origin");
            let page = browser.send(request.form(&[("a", "b")])).await;
            assert_protected_everywhere(&page, &issuer);
            assert_eq!(
                page.headers["strict-transport-security"],
                "max-age=63072000; includeSubDomains"
            );
            for cookie in page.headers.get_all("set-cookie") {
                let cookie = cookie.to_str().unwrap();
                assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure"), "{cookie}");
                assert!(!cookie.contains("Domain="), "{cookie}");
            }
            statuses.insert(page.status);
        }
    }

    assert!(statuses.is_superset(&[200, 303, 401, 404, 405, 429].into()), "{statuses:?}");
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let app = TestApp::start().await;
    let issuer = app.stack.auth0().issuer().trim_end_matches('/').to_owned();
    let mut somebody = app.logged_in("acme-admin", "acme").await;
    let saved = somebody.save_record(&[("title", "One"), ("category", "Asset")]).await;
    let record = saved.location().to_owned();
    let start = somebody.get("/home").await;
    let stylesheet = start.stylesheet();
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
    let file = browser.get(&start.stylesheet()).await;
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

#[tokio::test]
async fn a_login_is_a_line_of_the_log_with_its_organization_and_without_the_person() {
    let app = TestApp::start().await;

    app.logged_in("acme-admin", "acme").await;

    let log = eventually("the line of the login", async || {
        let log: Vec<Value> =
            app.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        // The line of its request comes after it.
        log.iter().any(|line| line["route"] == "/auth/callback").then_some(log)
    })
    .await;
    let line = log.iter().find(|line| line["message"] == "logged in").unwrap();
    let request = log.iter().find(|line| line["route"] == "/auth/callback").unwrap();
    assert_eq!(line["org.id"], samples::ACME);
    assert_eq!(line["trace_id"], request["trace_id"]);
    assert!(!line.to_string().contains("acme-admin"), "{line}");
}
