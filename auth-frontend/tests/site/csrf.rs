//! Forms that other sites send in somebody's name: every route that takes one, with everything that a
//! browser can say of where it comes from, and every token that an attacker can have.

use auth_frontend::{Route, routes};
use reqwest::Method;

use crate::{
    app::TestApp,
    browser::{Browser, Page},
    isolation::{Loot, entry},
};

const SITES: [Option<&str>; 6] =
    [None, Some("same-origin"), Some("none"), Some("same-site"), Some("cross-site"), Some("x")];

/// A form that somebody logged in could send at a route, with this token.
fn form_of(route: &Route, token: Option<&str>) -> (String, Vec<(String, String)>) {
    let own = Loot { record_id: uuid::Uuid::nil().to_string(), ..Loot::default() };
    let good = entry(route, &own, &own).own;
    let mut form = good.form.unwrap_or_else(|| panic!("{} posts nothing", route.path));
    form.retain(|(name, _)| name != "csrf_token");
    form.extend(token.map(|token| ("csrf_token".to_owned(), token.to_owned())));
    (good.address, form)
}

async fn send(
    browser: &mut Browser,
    address: &str,
    form: &[(String, String)],
    (site, origin): (Option<&str>, Option<&str>),
) -> Page {
    let mut request = browser.request(Method::POST, address).form(form);
    if let Some(site) = site {
        request = request.header("sec-fetch-site", site);
    }
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    browser.send(request).await
}

/// All but what the provider sends, which no browser sends and a signature protects.
fn forms() -> impl Iterator<Item = Route> {
    let is_form =
        |route: &Route| route.method == "POST" && route.path != "/auth/backchannel-logout";
    routes().into_iter().filter(is_form)
}

#[tokio::test]
async fn a_form_does_something_only_from_our_own_page_with_the_sessions_own_token() {
    let app = TestApp::start_with(&[("LOGIN_RATE_PER_MINUTE", "1000000")]).await;
    let own = app.stack.app_url().to_owned();
    let mut stranger = app.logged_in("globex-admin", "globex").await;
    let others = stranger.get("/home").await.hidden("csrf_token");
    let origins = [
        None,
        Some(own.as_str()),
        Some("null"),
        Some(""),
        Some("https://evil.example"),
        Some("http://localhost:1"),
        Some("https://localhost"),
    ];
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let mut token = browser.get("/home").await.hidden("csrf_token");

    for route in forms() {
        for (site, origin) in SITES.into_iter().flat_map(|site| origins.map(|from| (site, from))) {
            let is_ours = match site {
                Some("same-origin") => {
                    origin.is_none_or(|origin| origin == own || origin == "null")
                }
                Some("none") | None => origin == Some(own.as_str()),
                _ => false,
            };
            let longer = format!("{token}A");
            let shorter = &token[1..];
            for wrong in
                [None, Some(""), Some("AAAA"), Some(&*others), Some(&*longer), Some(shorter)]
            {
                let (address, form) = form_of(&route, wrong);
                let page = send(&mut browser, &address, &form, (site, origin)).await;
                assert_eq!(page.status, 403, "{address} {site:?} {origin:?} {wrong:?}");
            }
            let (address, form) = form_of(&route, Some(&token));
            let page = send(&mut browser, &address, &form, (site, origin)).await;
            if is_ours {
                assert_ne!(page.status, 403, "{address} {site:?} {origin:?}: {}", page.html);
            } else {
                assert_eq!(page.status, 403, "{address} {site:?} {origin:?}");
            }
            // Some forms end the session, and only where they may.
            let home = browser.get("/home").await;
            assert!(home.status == 200 || is_ours, "{address} {site:?} {origin:?}");
            if home.status != 200 {
                browser = app.logged_in("acme-admin", "acme").await;
                token = browser.get("/home").await.hidden("csrf_token");
            }
        }
    }
}

#[tokio::test]
async fn no_other_method_and_no_other_kind_of_body_does_what_a_form_does() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = browser.get("/home").await.hidden("csrf_token");
    let list = browser.get("/records").await;

    for route in forms() {
        let (address, form) = form_of(&route, Some(&token));
        let is_read =
            routes().iter().any(|other| other.path == route.path && other.method == "GET");
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POSTT", "post"]
        {
            let request = browser
                .request(Method::from_bytes(method.as_bytes()).unwrap(), &address)
                .header("sec-fetch-site", "same-origin")
                .header("x-http-method-override", "POST")
                .query(&form)
                .form(&form);
            let page = browser.send(request).await;
            if is_read && matches!(method, "GET" | "HEAD") {
                assert_eq!(page.status, 200, "{method} {address}");
            } else {
                assert_eq!(page.status, 405, "{method} {address}");
                let allowed = page.headers["allow"].to_str().unwrap().to_owned();
                assert!(allowed.contains("POST") && !allowed.contains(method) || method == "post");
            }
        }
        let body: String =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
        for content_type in
            ["text/plain", "multipart/form-data; boundary=x", "application/json", ""]
        {
            let request = browser
                .request(Method::POST, &address)
                .header("sec-fetch-site", "same-origin")
                .header("content-type", content_type)
                .body(body.clone());
            assert_eq!(browser.send(request).await.status, 400, "{content_type} {address}");
        }
    }
    // Still logged in, with the same records.
    let after = browser.get("/records").await;
    assert_eq!((after.status, after.main() == list.main()), (200, true), "{}", after.html);
}
