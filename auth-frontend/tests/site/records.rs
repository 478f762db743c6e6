//! Filling in records and seeing them.

use crate::app::{TestApp, eventually};

const DIGITS: &str = "12345678901234567890123456789012345678";

#[tokio::test]
async fn a_record_is_filled_in_shown_and_found_in_the_audit_trail() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let values = [
        ("title", "A laptop 💻 <b>&"),
        ("category", "Asset"),
        ("amount", DIGITS),
        ("due_date", "2026-11-23"),
        ("notes", "one\r\ntwo"),
    ];

    let saved = browser.save_record(&values).await;
    let path = saved.location().to_owned();
    let record = browser.follow(saved).await;
    let reloaded = browser.get(&path).await;
    let list = browser.get("/records").await;
    let home = browser.get("/home").await;

    assert!(path.starts_with("/records/"), "{path}");
    record.assert_shows("The record is saved.");
    reloaded.assert_lacks("The record is saved.");
    for text in ["A laptop 💻 <b>&", DIGITS, "one\ntwo", "23 Nov 2026", "Ada Admin"] {
        reloaded.assert_shows(text);
    }
    assert!(reloaded.html.contains("A laptop 💻 &lt;b&gt;&amp;"), "{}", reloaded.html);
    list.assert_shows(DIGITS);
    home.assert_shows("A laptop 💻 <b>&");
    let trail = eventually("the event in the trail", async || {
        let page = browser.get("/audit").await;
        page.html.contains(&path).then_some(page)
    })
    .await;
    trail.assert_shows("Created");
    assert_eq!(trail.html.matches(&format!("href=\"{path}\"")).count(), 1, "{}", trail.html);
}

#[tokio::test]
async fn a_double_click_makes_one_record() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-editor", "acme").await;
    let form = browser.record_form(&[("title", "Once"), ("category", "Asset")]).await;
    let mut other_click = browser.clone();

    let (first, second) = tokio::join!(
        browser.post_form("/records", &form),
        other_click.post_form("/records", &form)
    );

    assert_eq!((first.status, second.status), (303, 303));
    assert_eq!(first.location(), second.location());
    let list = browser.get("/records").await;
    assert_eq!(list.html.matches(">Once<").count(), 1, "{}", list.html);
}

#[tokio::test]
async fn lists_go_on_page_by_page() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-editor", "acme").await;
    for number in 0..26 {
        let title = format!("Number {number:02}.");
        let saved = browser.save_record(&[("title", &title), ("category", "Asset")]).await;
        assert_eq!(saved.status, 303, "{}", saved.html);
    }

    let first = browser.get("/records").await;
    let older = first.html.split_once("/records?page_token=").unwrap().1.split('"').next().unwrap();
    let second = browser.get(&format!("/records?page_token={older}")).await;
    let broken = browser.get("/records?page_token=nonsense").await;
    let doubled = browser.get("/records?page_token=a&page_token=b").await;

    first.assert_shows("Number 25.");
    first.assert_shows("Number 01.");
    first.assert_lacks("Number 00.");
    assert_eq!(second.status, 200);
    second.assert_shows("Number 00.");
    second.assert_lacks("Number 01.");
    assert_eq!(broken.status, 400);
    assert_eq!(broken.link("Go to the newest"), "/records");
    assert_eq!(doubled.status, 400);
}

#[tokio::test]
async fn what_does_not_exist_reads_as_not_found() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-viewer", "acme").await;

    for path in [
        "/records/0198c0de-0000-7000-8000-000000000000",
        "/records/nonsense",
        "/records/%00",
        "/records/%ff",
        "/records/..%2f",
        "/nowhere",
    ] {
        let page = browser.get(path).await;
        assert!(page.status == 404 || page.status == 400, "{path}: {}", page.status);
        assert_eq!(page.reference().len(), 32);
    }
    let unknown = browser.get("/records/0198c0de-0000-7000-8000-000000000000").await;
    assert_eq!(unknown.status, 404);
    unknown.assert_shows("There is no such record");
    unknown.assert_shows("Vera Viewer");
}
