//! The whole system as people see it: every real process, and headless Chromium in front. Each test
//! starts a system of its own, or all visit the one at `ORG_RECORDS_URL`, whose records stay:
//!
//! ```sh
//! ORG_RECORDS_URL=http://localhost:3000 cargo test -p dev-stack --test journey
//! ```
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod browser;

use std::{
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use browser::Browser;
use dev_stack::{Stack, StackOptions};

/// Far more than an event needs to the page.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon an event is on the page.
const AT_ONCE: Duration = Duration::from_secs(2);
const DIGITS: &str = "12345678901234567890123456789012345678";

/// What the tests visit.
struct System {
    url: String,
    _own: Option<Stack>,
}

impl System {
    async fn start() -> Self {
        if let Ok(url) = env::var("ORG_RECORDS_URL") {
            return Self { url: url.trim_end_matches('/').to_owned(), _own: None };
        }
        let stack = Stack::start(StackOptions::for_test().unwrap()).await.unwrap();
        Self { url: stack.app_url().to_owned(), _own: Some(stack) }
    }
}

/// Saves a record, and says when.
async fn save(ada: &Browser, app: &str, title: &str) -> Instant {
    ada.open(app, "/records/new").await;
    ada.type_into("title", title).await;
    ada.choose("category", "Asset").await;
    ada.click("form.record-form button").await;
    Instant::now()
}

/// How long it takes from when a record was saved to its event on the page of the audit trail.
async fn comes_to_the_trail(ada: &Browser, app: &str, record: &str, saved: Instant) -> Duration {
    ada.open(app, "/audit").await;
    while ada.count(&event_of(record)).await == 0 {
        assert!(saved.elapsed() < PATIENCE, "no event after {:?}", saved.elapsed());
        ada.open(app, "/audit").await;
    }
    saved.elapsed()
}

fn event_of(record: &str) -> String {
    format!("ol.events a[href='{record}']")
}

/// A title that no other record has, not even one of an earlier test.
fn title(beginning: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{beginning} {}", now.as_nanos())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_goes_from_the_form_to_the_trail_of_its_own_organization() {
    let Some(ada) = Browser::start().await else { return };
    let system = System::start().await;
    let app = &system.url;
    let title = title("Party 🎉 <b>supplies</b>");

    ada.log_in(app, "acme", "acme-admin").await;
    assert_eq!(ada.path().await, "/home");
    assert!(ada.text().await.contains("acme"));
    ada.open(app, "/records").await;
    ada.click_link("Fill in a record").await;

    // A first try with mistakes keeps what was typed and says what is wrong beside each field.
    ada.type_into("title", &title).await;
    ada.type_into("amount", "twelve").await;
    ada.click("form.record-form button").await;
    let page = ada.text().await;
    assert!(page.contains("The record is not saved yet"), "{page}");
    assert!(page.contains("Category is required."), "{page}");
    assert_eq!(ada.value_of("title").await, title);
    assert_eq!(ada.value_of("amount").await, "twelve");

    ada.type_into("amount", DIGITS).await;
    ada.choose("category", "Asset").await;
    ada.click("form.record-form button").await;
    let saved = Instant::now();
    let record = ada.path().await;
    assert!(record.starts_with("/records/0"), "{record}");
    let page = ada.text().await;
    assert!(page.contains(&title), "{page}");
    assert!(page.contains(DIGITS), "{page}");

    let mut took = comes_to_the_trail(&ada, app, &record, saved).await;
    // A stall of the machine may take that long from one record, and not from one after the other.
    for number in 0..2 {
        if took < AT_ONCE {
            break;
        }
        let saved = save(&ada, app, &format!("{title}, again {number}")).await;
        let another = ada.path().await;
        took = comes_to_the_trail(&ada, app, &another, saved).await;
    }
    assert!(took < AT_ONCE, "no event within {took:?}");
    let event = event_of(&record);
    assert_eq!(ada.count(&event).await, 1);
    ada.open(app, "/records").await;
    let row = format!("table.records a[href='{record}']");
    assert_eq!(ada.count(&row).await, 1);
    assert!(ada.text().await.contains(DIGITS));

    let gloria = Browser::start().await.unwrap();
    gloria.log_in(app, "globex", "globex-admin").await;
    gloria.open(app, "/records").await;
    assert!(gloria.text().await.contains("globex"));
    assert_eq!(gloria.count(&row).await, 0);
    gloria.open(app, &record).await;
    let page = gloria.text().await;
    assert!(page.contains("404") && !page.contains(&title), "{page}");
    gloria.open(app, "/audit").await;
    assert!(gloria.text().await.contains("Audit trail"));
    assert_eq!(gloria.count(&event).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_makes_one_record() {
    let Some(ada) = Browser::start().await else { return };
    let system = System::start().await;
    let app = &system.url;
    ada.log_in(app, "acme", "acme-admin").await;
    ada.open(app, "/records/new").await;
    let title = title("Once");
    ada.type_into("title", &title).await;
    ada.choose("category", "Other").await;

    ada.double_click("form.record-form button").await;
    ada.open(app, "/records").await;

    assert_eq!(ada.text().await.matches(&title).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_finds_no_way_to_create() {
    let Some(vera) = Browser::start().await else { return };
    let system = System::start().await;
    let app = &system.url;

    vera.log_in(app, "acme", "acme-viewer").await;
    for page in ["/home", "/records"] {
        vera.open(app, page).await;
        assert_eq!(vera.count("a[href='/records/new']").await, 0, "{page}");
        assert_eq!(vera.count("a[href='/audit']").await, 0, "{page}");
    }
    vera.open(app, "/records/new").await;

    assert!(vera.text().await.contains("403"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consultant_switches_organization_without_a_password_and_takes_nothing_along() {
    let Some(connie) = Browser::start().await else { return };
    let system = System::start().await;
    let app = &system.url;
    connie.log_in(app, "acme", "consultant").await;
    connie.open(app, "/records/new").await;
    let title = title("Of acme alone");
    connie.type_into("title", &title).await;
    connie.choose("category", "Other").await;
    connie.click("form.record-form button").await;
    connie.open(app, "/records").await;
    assert!(connie.text().await.contains(&title));

    connie.click(".organization a").await;
    assert!(connie.text().await.contains("You are working in acme."));
    connie.type_into("organization", "globex").await;
    connie.click("main form button").await;

    // The list is where she was, and no page of the provider asked for anything.
    assert_eq!(connie.path().await, "/records");
    let page = connie.text().await;
    assert!(page.contains("globex") && !page.contains(&title), "{page}");

    // A link to the organization that she left asks before it leads there.
    connie.open(app, "/auth/login?organization=acme&return_to=/records").await;
    assert!(connie.text().await.contains("Switch to acme?"));
    connie.click("main form button").await;
    assert_eq!(connie.path().await, "/records");
    assert!(connie.text().await.contains(&title));

    // Where she does not belong she is told so, and finds back.
    connie.open(app, "/auth/switch").await;
    connie.type_into("organization", "nowhere").await;
    connie.click("main form button").await;
    assert!(connie.text().await.contains("There is no such organization"));
    connie.click_link("Back to acme").await;
    assert!(connie.text().await.contains("You are working in acme."));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_logout_the_back_button_shows_nothing_private() {
    let Some(ada) = Browser::start().await else { return };
    let system = System::start().await;
    let app = &system.url;
    ada.log_in(app, "acme", "acme-admin").await;
    ada.open(app, "/records/new").await;
    ada.type_into("title", "A secret plan").await;
    ada.choose("category", "Other").await;
    ada.click("form.record-form button").await;
    assert!(ada.text().await.contains("A secret plan"));

    ada.click("form.logout button").await;
    assert!(ada.text().await.contains("You are logged out."));

    for _ in 0..4 {
        ada.back().await;
        let page = ada.text().await;
        assert!(!page.contains("A secret plan") && !page.contains("Ada Admin"), "{page}");
    }
    // The local Auth0 has forgotten her as well: it asks for the password again.
    ada.begin_login(app, "acme").await;
    assert_eq!(ada.count("input[name=password]").await, 1);
}
