//! Who logs in too often from one address, and how it is told from others.

use dev_stack::Service;
use reqwest::Method;

use crate::{
    app::TestApp,
    browser::{Browser, Page},
};

/// A login is two requests, and the next may come half a minute later.
const PER_MINUTE: usize = 2;
const TITLE: &str = "Too many requests in a short time";

async fn behind_proxies(proxies: &str) -> TestApp {
    let rate = PER_MINUTE.to_string();
    let variables = [("LOGIN_RATE_PER_MINUTE", rate.as_str()), ("TRUSTED_PROXY_HOPS", proxies)];
    TestApp::start_with(&variables).await
}

impl Browser {
    /// Begins a login with these lines of `X-Forwarded-For`.
    async fn forwarded(&mut self, address: &str, lines: &[String]) -> Page {
        let request = self.request(Method::GET, address);
        let request =
            lines.iter().fold(request, |request, line| request.header("x-forwarded-for", line));
        self.send(request).await
    }
}

#[tokio::test]
async fn who_logs_in_too_often_is_told_when_to_come_back_and_can_still_read() {
    let app = behind_proxies("0").await;
    let mut somebody = app.logged_in("acme-admin", "acme").await;
    let mut browser = app.browser();
    let address = "/auth/login?organization=acme&return_to=%2Frecords%2Fnew";

    let refused = browser.get(address).await;
    let callback = browser.get("/auth/callback?code=x&state=y").await;

    for page in [&refused, &callback] {
        assert_eq!(page.status, 429, "{}", page.url);
        page.assert_shows(TITLE);
        let seconds: u32 = page.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((2..=30).contains(&seconds), "{seconds}");
        page.assert_shows(&format!("Wait {seconds} seconds"));
        assert!(app.log().iter().any(|line| line.contains(&page.reference())));
        assert!(!page.headers.contains_key("set-cookie"));
    }
    assert_eq!(refused.link("Try again"), "/?return_to=%2Frecords%2Fnew");
    assert_eq!(browser.get("/").await.status, 200);
    assert_eq!(somebody.get("/records").await.status, 200);
    let metrics = browser.get(&format!("{}/metrics", app.stack.ops_url(Service::Frontend))).await;
    metrics.assert_shows("\nhttp_server_requests_limited_total 2\n");
    let token = somebody.get("/home").await.hidden("csrf_token");
    let out = somebody.post("/auth/logout", &[("csrf_token", &token)]).await;
    assert_eq!(out.status, 303, "who wants to leave may");
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_up_the_logins_of_its_readers_address() {
    let app = behind_proxies("0").await;
    let mut browser = app.browser();
    let login = "/auth/login?organization=acme";
    let callback = "/auth/callback?code=x&state=y";
    // What browsers say of a script or an image, of a frame, and of a form that is sent or in a frame.
    let hidden = [
        (Method::GET, login, "no-cors", "empty", 400),
        (Method::HEAD, login, "no-cors", "empty", 400),
        (Method::GET, login, "no-cors", "image", 400),
        (Method::GET, login, "navigate", "iframe", 400),
        (Method::GET, callback, "navigate", "frame", 400),
        (Method::GET, "/auth/renew", "navigate", "object", 400),
        (Method::POST, "/auth/switch", "no-cors", "empty", 403),
        (Method::POST, "/auth/switch", "navigate", "iframe", 403),
        (Method::POST, "/auth/switch", "navigate", "document", 403),
    ];
    for site in ["cross-site", "same-site"] {
        for (method, address, mode, dest, status) in &hidden {
            let request = browser
                .request(method.clone(), address)
                .header("sec-fetch-site", site)
                .header("sec-fetch-mode", *mode)
                .header("sec-fetch-dest", *dest);
            let page = browser.send(request).await;
            assert_eq!(page.status, *status, "{site} {method} {address} {mode} {dest}");
        }
        let ahead = browser
            .request(Method::GET, login)
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-purpose", "prefetch");
        assert_eq!(browser.send(ahead).await.status, 400);
    }
    // As a browser without these headers sends a form of another site.
    let form =
        browser.request(Method::POST, "/auth/switch").header("origin", "https://evil.example");
    assert_eq!(browser.send(form).await.status, 403);

    // By a link there.
    for site in ["cross-site", "same-site"] {
        let followed = browser
            .request(Method::GET, login)
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        assert_eq!(browser.send(followed).await.status, 303);
    }
}

#[tokio::test]
async fn a_callback_that_is_refused_can_be_opened_again() {
    let app = behind_proxies("1").await;
    let mut browser = app.browser();
    let page = browser.begin_login("acme", "/records").await;
    let callback = browser.log_in_up_to_callback("acme-admin", &page).await;
    let mut limited = Vec::new();
    for _ in 0..=PER_MINUTE {
        limited = vec!["192.0.2.1".to_owned()];
        browser.clone().forwarded("/auth/login", &limited).await;
    }

    let refused = browser.forwarded(&callback, &limited).await;
    let landed = browser.forwarded(&callback, &["192.0.2.2".to_owned()]).await;

    assert_eq!(refused.status, 429);
    assert_eq!((landed.status, landed.location()), (303, "/records"));
}

#[tokio::test]
async fn a_forged_forwarding_header_does_not_reset_the_limit() {
    // What a browser can send itself, and what the proxies add, which is always the same client.
    let cases = [
        ("0", vec![]),
        ("1", vec!["192.0.2.1".to_owned()]),
        ("2", vec!["192.0.2.1, 10.0.0.2".to_owned()]),
    ];
    for (proxies, added) in cases {
        let app = behind_proxies(proxies).await;
        let mut browser = app.browser();
        let mut answers = Vec::new();
        for number in 0..PER_MINUTE + 4 {
            let mut lines = vec![
                format!("6.6.6.{number}"),
                format!("7.7.7.{number}, unknown, 8.8.8.{number}, \"9.9.9.9\","),
            ];
            lines.extend(added.clone());
            answers.push(browser.forwarded("/auth/login", &lines).await.status);
        }
        let mut other = app.browser();
        let others: Vec<_> =
            added.iter().map(|line| line.replace("192.0.2.1", "192.0.2.9")).collect();

        assert_eq!(&answers[..PER_MINUTE], [303; PER_MINUTE], "behind {proxies}");
        assert_eq!(&answers[PER_MINUTE..], [429; 4], "behind {proxies}");
        if !added.is_empty() {
            assert_eq!(other.forwarded("/auth/login", &others).await.status, 303);
        }
    }
}

#[tokio::test]
async fn all_addresses_of_an_ipv6_network_are_one_client() {
    let app = behind_proxies("1").await;
    let mut browser = app.browser();

    let mut answers = Vec::new();
    for number in 0..=PER_MINUTE {
        let address = format!("2001:db8:0:1:{number}:{number}::1");
        answers.push(browser.forwarded("/auth/login", &[address]).await.status);
    }
    let neighbour = browser.forwarded("/auth/login", &["2001:db8:0:2::1".to_owned()]).await;

    assert_eq!(answers.last(), Some(&429));
    assert_eq!(neighbour.status, 303);
}
