//! Forms that are filled in wrong, sent from elsewhere, or broken: a clear answer, and nothing lost.

use reqwest::Method;

use crate::app::TestApp;

#[tokio::test]
async fn what_is_wrong_stands_beside_its_field_with_what_was_typed() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let long = "x".repeat(10_000);

    let wrong = browser
        .save_record(&[
            ("title", ""),
            ("category", "Nonsense"),
            ("amount", "ten <b>"),
            ("due_date", "2026-02-30"),
            ("notes", "kept\r\nas it is"),
            ("made_up", "?"),
        ])
        .await;
    let too_long = browser.save_record(&[("title", &long), ("category", "Asset")]).await;

    assert_eq!(wrong.status, 422);
    for text in [
        "Title is required.",
        "must be one of",
        "must be a day of the calendar",
        "“made_up”: The form has no such field.",
        "ten <b>",
        "kept\r\nas it is",
    ] {
        wrong.assert_shows(text);
    }
    assert!(wrong.html.contains("ten &lt;b&gt;"));
    assert_eq!(too_long.status, 422);
    too_long.assert_shows("is too long");
    too_long.assert_shows(&long);
    browser.get("/records").await.assert_lacks("Nonsense");
    let reference = wrong.hidden("request_id");
    assert_eq!(reference.len(), 36, "a further attempt keeps its request id");
}

#[tokio::test]
async fn a_record_of_129_kib_is_refused_in_words_and_kept_on_the_form() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    // Each takes three bytes, so the notes keep within their characters.
    let notes = "€".repeat(129 * 1024 / 3);

    let page =
        browser.save_record(&[("title", "Large"), ("category", "Asset"), ("notes", &notes)]).await;

    assert_eq!(page.status, 422);
    page.assert_shows("The record is too large");
    page.assert_shows(&notes);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_broken_is_refused_on_a_page() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = browser.get("/home").await.hidden("csrf_token");
    let body = |rest: &[u8]| [format!("csrf_token={token}&").as_bytes(), rest].concat();

    let too_large = browser.post_bytes("/records", body(&vec![b'x'; 2 * 1024 * 1024])).await;
    let not_utf8 = browser.post_bytes("/records", body(b"title=%ff&category=Asset")).await;
    let raw = browser.post_bytes("/records", body(b"title=\xff&category=Asset")).await;
    let doubled = browser.post_bytes("/records", body(b"title=a&title=b")).await;
    let json = browser
        .request(Method::POST, "/records")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json")
        .body("{}");
    let json = browser.send(json).await;

    assert_eq!(too_large.status, 413);
    too_large.assert_shows("That is too much at once");
    for page in [&not_utf8, &raw, &doubled, &json] {
        assert_eq!(page.status, 400);
        assert!(app.log().iter().any(|line| line.contains(&page.reference())));
    }
    browser.get("/records").await.assert_shows("No records yet");
}

#[tokio::test]
async fn only_a_form_with_a_record_may_be_large() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let forms = auth_frontend::routes().into_iter().filter(|route| route.method == "POST");

    for path in forms.map(|form| form.path) {
        let largest = if path == "/records" { 1024 } else { 20 } * 1024;
        let fits = browser.clone().post_bytes(path, vec![b'x'; largest]).await;
        let too_large = browser.post_bytes(path, vec![b'x'; largest + 1]).await;

        assert_ne!(fits.status, 413, "{path}");
        assert_eq!(too_large.status, 413, "{path}");
        too_large.assert_shows("That is too much at once");
    }
    assert_eq!(browser.get("/home").await.status, 200);
}

#[tokio::test]
async fn a_form_from_elsewhere_does_nothing() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let form = browser.record_form(&[("title", "Forged"), ("category", "Asset")]).await;
    let own = app.stack.app_url().to_owned();
    let refused = [
        (Some("cross-site"), Some("https://evil.example")),
        (Some("cross-site"), Some(own.as_str())),
        (Some("same-site"), Some(own.as_str())),
        (Some("same-origin"), Some("https://evil.example")),
        (Some("none"), None),
        (Some("none"), Some("null")),
        (None, None),
        (None, Some("null")),
        (None, Some("https://evil.example")),
    ];

    for (site, origin) in refused {
        let mut request = browser.request(Method::POST, "/records").form(&form);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let page = browser.send(request).await;
        assert_eq!(page.status, 403, "{site:?} {origin:?}");
        page.assert_lacks("Forged");
    }
    for token in [None, Some(""), Some("AAAA")] {
        let mut form = form.clone();
        form.retain(|(name, _)| name != "csrf_token");
        form.extend(token.map(|token| ("csrf_token".to_owned(), token.to_owned())));
        let page = browser.post_form("/records", &form).await;
        assert_eq!(page.status, 403, "{token:?}");
        page.assert_shows(
            "You have logged in again since you opened this form, and are now in acme.",
        );
    }
    browser.get("/records").await.assert_shows("No records yet");
    let own_origin = browser.request(Method::POST, "/records").header("origin", &own).form(&form);
    assert_eq!(browser.send(own_origin).await.status, 303);
}

#[tokio::test]
async fn odd_inputs_of_one_person_get_words_and_disturb_nobody_else() {
    let app = TestApp::start().await;
    let mut ada = app.logged_in("acme-admin", "acme").await;
    let mut gloria = app.logged_in("globex-admin", "globex").await;
    let form = ada.record_form(&[("title", "Odd"), ("category", "Asset")]).await;
    let with = |more: Vec<(String, String)>| [form.clone(), more].concat();
    let many = (0..300).map(|number| (format!("unknown_{number}"), "x".to_owned())).collect();

    let long_name = ada.post_form("/records", &with(vec![("n".repeat(100_000), "x".into())])).await;
    let many_names = ada.post_form("/records", &with(many)).await;
    let other = gloria.get("/records").await;

    assert_eq!(long_name.status, 400);
    assert_eq!(many_names.status, 422);
    many_names.assert_shows("The form has no such field.");
    assert_eq!(other.status, 200);
    ada.get("/records").await.assert_shows("No records yet");
}

#[tokio::test]
async fn a_form_without_its_request_id_is_shown_again_with_one() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let form = browser.record_form(&[("title", "Anonymous"), ("category", "Asset")]).await;

    for odd in [None, Some("zzz"), Some("00000000-0000-0000-0000-000000000000")] {
        let mut form = form.clone();
        form.retain(|(name, _)| name != "request_id");
        form.extend(odd.map(|odd| ("request_id".to_owned(), odd.to_owned())));
        let page = browser.post_form("/records", &form).await;

        assert_eq!(page.status, 422, "{odd:?}");
        page.assert_shows("This form did not arrive as this page sends it.");
        page.assert_shows("Anonymous");
        assert_eq!(page.hidden("request_id").len(), 36);
    }
    browser.get("/records").await.assert_shows("No records yet");
}
