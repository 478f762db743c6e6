//! Attacks on cookies: other names that a lenient reader takes for ours, values that somebody planted,
//! copied or changed, and more of them than anybody has.

use dev_stack::Service;
use reqwest::{Method, header::COOKIE};

use crate::{
    app::TestApp,
    browser::{Browser, Page},
    headers::assert_protected,
};

impl Browser {
    /// Opens an address with these lines of `Cookie`, as they are, and none of its own.
    async fn with_cookies(&mut self, address: &str, lines: &[String]) -> Page {
        self.jar.clear();
        let request = self.request(Method::GET, address);
        let request = lines.iter().fold(request, |request, line| request.header(COOKIE, line));
        self.send(request).await
    }
}

fn is_stranger(page: &Page) -> bool {
    page.status == 303 && page.location() == "/?return_to=%2Fhome"
}

/// The text with one character at `position` in place of which there is another.
fn changed_at(text: &str, position: usize) -> String {
    let other = if text.as_bytes()[position] == b'A' { "B" } else { "A" };
    let mut changed = text.to_owned();
    changed.replace_range(position..=position, other);
    changed
}

#[tokio::test]
async fn only_the_one_cookie_with_exactly_our_name_counts() {
    let app = TestApp::start().await;
    let value = app.logged_in("acme-admin", "acme").await.jar["session"].clone();
    // The same sessions behind https: the name has its prefix.
    let https = [("APP_BASE_URL", "https://records.example")];
    app.stack.restart(Service::Frontend, &https).await.unwrap();
    let mut browser = app.browser();
    let ours = format!("__Host-session={value}");
    let planted = format!("__Host-session={}", changed_at(&value, 0));
    let good = [
        vec![ours.clone()],
        vec![format!("a=b; {ours}")],
        vec!["a=b".to_owned(), format!("{ours};c=d")],
        vec![format!("%5f%5fHost-session=x; __host-session=y; {ours}")],
    ];
    let mut bad = vec![
        vec![format!("{ours}; {planted}")],
        vec![format!("{planted}; {ours}")],
        vec![format!("{ours}; {ours}")],
        vec![ours.clone(), planted],
        vec![format!("__Host-session=\"{value}\"")],
        vec![format!("__Host-session={value}é")],
        vec![format!("__Host-session={value},")],
        vec![format!("a=\"; {ours}\"")],
    ];
    for name in [
        "session",
        "%5f%5fHost-session",
        "%5F%5FHost-session",
        "__Host%2dsession",
        "__Host-sessio%6e",
        "__host-session",
        "__HOST-SESSION",
        "__Host-Session",
        "__Secure-session",
        "__Host-session ",
        "__Host-session\t",
        "__Host-session[]",
        "\"__Host-session\"",
        "=__Host-session",
        "x__Host-session",
        "$__Host-session",
        "__Host-session%00",
    ] {
        bad.push(vec![format!("{name}={value}")]);
    }

    for lines in good {
        assert_eq!(browser.with_cookies("/home", &lines).await.status, 200, "{lines:?}");
    }
    for lines in bad {
        assert!(is_stranger(&browser.with_cookies("/home", &lines).await), "{lines:?}");
    }
}

#[tokio::test]
async fn no_changed_session_cookie_is_somebodys() {
    let app = TestApp::start().await;
    let value = app.logged_in("acme-admin", "acme").await.jar["session"].clone();
    let mut browser = app.browser();
    let mut changed: Vec<_> = (0..value.len()).map(|at| changed_at(&value, at)).collect();
    changed.extend((1..value.len()).map(|length| value[..length].to_owned()));
    // The last character holds four bits of the value, so others may decode to the same bytes.
    let start = &value[..value.len() - 1];
    changed.extend(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            .chars()
            .map(|last| format!("{start}{last}")),
    );
    changed.extend(["=", "A", "%3D", ".x", " x"].map(|more| format!("{value}{more}")));
    changed.extend([String::new(), value.to_lowercase(), value.to_uppercase()]);
    changed.retain(|changed| *changed != value);

    for changed in changed {
        let lines = [format!("session={changed}")];
        assert!(is_stranger(&browser.with_cookies("/home", &lines).await), "{changed}");
    }
    let lines = [format!("session={value}")];
    assert_eq!(browser.with_cookies("/home", &lines).await.status, 200);
}

#[tokio::test]
async fn no_changed_or_foreign_login_cookie_finishes_a_login() {
    let app = TestApp::start_with(&[("LOGIN_RATE_PER_MINUTE", "1000000")]).await;
    let mut browser = app.browser();
    let page = browser.begin_login("acme", "/records").await;
    let callback = browser.log_in_up_to_callback("acme-admin", &page).await;
    let is_attempt = |name: &str| name.starts_with("txn-");
    let (name, value) = browser.jar.iter().find(|(name, _)| is_attempt(name)).unwrap();
    let (name, value) = (name.clone(), value.clone());
    let mut other = app.browser();
    let others_page = other.begin_login("acme", "/records").await;
    let (other_name, others) = other.jar.iter().find(|(name, _)| is_attempt(name)).unwrap();
    let mut lines: Vec<_> = (0..value.len())
        .map(|at| format!("{name}={}", changed_at(&value, at)))
        .chain((0..value.len()).step_by(7).map(|length| format!("{name}={}", &value[..length])))
        .collect();
    lines.extend([
        format!("{name}={others}"),
        format!("{other_name}={others}"),
        format!("{name}={value}; {name}={value}"),
        format!("{name}={value}; {name}={others}"),
        format!("{}={value}", name.replace("txn-", "txn%2d")),
        format!("{}={value}", name.to_uppercase()),
        format!("__Host-{name}={value}"),
        format!("session={value}"),
    ]);

    let mut attacker = app.browser();
    for line in lines {
        let page = attacker.with_cookies(&callback, std::slice::from_ref(&line)).await;
        assert_eq!(page.status, 400, "{line}");
        assert!(!attacker.jar.contains_key("session"));
    }
    assert!(app.sessions().await.is_empty());
    // None of it has used the login up.
    assert_eq!(browser.get(&callback).await.location(), "/records");
    let callback = other.log_in_up_to_callback("acme-editor", &others_page).await;
    let key = "another-key-".repeat(4);
    app.stack.restart(Service::Frontend, &[("AUTH0_SECRET", &key)]).await.unwrap();
    assert_eq!(other.get(&callback).await.status, 400, "sealed with a key that is gone");
}

#[tokio::test]
async fn a_login_cookie_is_good_until_its_callback_and_for_nothing_else() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let page = browser.begin_login("acme", "/records").await;
    let callback = browser.log_in_up_to_callback("acme-admin", &page).await;
    let mut copy = browser.clone();
    let (name, value) = browser.jar.iter().next().unwrap();
    let as_session = [format!("session={value}"), format!("{name}={value}")];
    assert!(is_stranger(&copy.clone().with_cookies("/home", &as_session).await));

    let landed = browser.get(&callback).await;
    let replayed = copy.get(&callback).await;

    assert_eq!((landed.status, landed.location()), (303, "/records"));
    // Even with the cookies of then: the provider takes a code once.
    assert_eq!(replayed.status, 400);
    assert!(!copy.jar.contains_key("session"));
    assert_eq!(app.sessions().await.len(), 1);
}

#[tokio::test]
async fn another_persons_code_does_not_fit_ones_own_login() {
    let app = TestApp::start().await;
    let mut attacker = app.browser();
    let page = attacker.begin_login("acme", "").await;
    let attackers = attacker.log_in_up_to_callback("acme-editor", &page).await;
    let mut victim = app.browser();
    let page = victim.begin_login("acme", "").await;
    let own = victim.log_in_up_to_callback("acme-admin", &page).await;
    let parameter = |callback: &str, name: &str| {
        let url = url::Url::parse(callback).unwrap();
        url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned()
    };
    let (code, state) = (parameter(&attackers, "code"), parameter(&own, "state"));

    let whole = victim.clone().get(&attackers).await;
    let mixed = victim.get(&format!("/auth/callback?code={code}&state={state}")).await;

    for page in [whole, mixed] {
        assert!(page.status >= 400, "{}", page.status);
        assert_eq!(page.headers.get("location"), None);
    }
    assert!(!victim.jar.contains_key("session"));
    assert!(app.sessions().await.is_empty());
}

#[tokio::test]
async fn a_session_that_somebody_planted_is_not_kept_over_a_login() {
    let app = TestApp::start().await;
    let mut attacker = app.logged_in("globex-admin", "globex").await;
    let attackers = attacker.jar["session"].clone();

    for planted in [attackers.clone(), "A".repeat(43)] {
        let mut victim = app.browser();
        let page = victim.begin_login("acme", "").await;
        victim.jar.insert("session".to_owned(), planted.clone());
        let page = victim.fill_in_password(&page, "acme-admin").await;
        let home = victim.follow(page).await;
        home.assert_shows("Ada Admin");

        assert_ne!(victim.jar["session"], planted);
        let lines = [format!("session={planted}")];
        assert!(is_stranger(&app.browser().with_cookies("/home", &lines).await));
    }
    // The attacker's own session, which the victim's browser showed, has ended with it.
    assert!(is_stranger(&attacker.get("/home").await));
}

#[tokio::test]
async fn very_many_logins_with_long_ways_back_are_never_more_than_a_server_takes() {
    let app = TestApp::start_with(&[("LOGIN_RATE_PER_MINUTE", "1000000")]).await;
    let mut browser = app.browser();
    let long = format!("/records?page_token={}", "x".repeat(1000));
    let login = format!("/auth/login?organization=acme&return_to={long}");

    for _ in 0..30 {
        let begun = browser.get(&login).await;
        let cookies: usize = browser.jar.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert_eq!(begun.status, 303);
        assert!(cookies <= 6 * 1024, "{cookies}");
    }
    let page = browser.open(&login).await;
    let callback = browser.log_in_up_to_callback("acme-admin", &page).await;
    let landed = browser.get(&callback).await;

    assert_eq!((landed.status, landed.location()), (303, long.as_str()));
}

#[tokio::test]
async fn more_cookies_than_anybody_has_are_refused_in_words_or_passed_over() {
    let app = TestApp::start().await;
    let issuer = app.stack.auth0().issuer().trim_end_matches('/').to_owned();
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let session = format!("session={}", browser.jar["session"]);
    let with = |others: String| [format!("{others}; {session}")];
    let many = (0..1000).map(|number| format!("txn-{number:08}=x")).collect::<Vec<_>>().join("; ");

    let fits = browser.with_cookies("/home", &with(format!("a={}", "x".repeat(20_000)))).await;
    let passed_over = browser.with_cookies("/home", &with(many.clone())).await;
    let begun = browser.with_cookies("/auth/login?organization=acme", &with(many)).await;
    let too_large = browser.with_cookies("/home", &with(format!("a={}", "x".repeat(40_000)))).await;
    let address = format!("/records?page_token={}", "x".repeat(40_000));
    let too_long = browser.with_cookies(&address, &with("a=b".to_owned())).await;

    assert_eq!((fits.status, passed_over.status, begun.status), (200, 200, 303));
    assert!(begun.headers.get_all("set-cookie").iter().count() <= 33);
    for page in [too_large, too_long] {
        assert_eq!(page.status, 431);
        page.assert_shows("Your browser sends too much at once");
        assert_protected(&page, &issuer);
        assert!(app.log().iter().any(|line| line.contains(&page.reference())));
    }
}
