//! A person's own sessions: seeing them, and ending them from another browser or replica.

use dev_stack::Service;

use crate::{
    app::TestApp,
    browser::{Browser, Page},
};

const FIREFOX: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 \
                     (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1";

async fn logged_in_with(app: &TestApp, agent: &str, who: &str, organization: &str) -> Browser {
    let mut browser = app.browser();
    browser.agent = Some(agent.to_owned());
    let page = browser.log_in(who, organization, "").await;
    assert_eq!((page.status, page.path()), (200, "/home"), "{}", page.html);
    browser
}

/// The handles of the other sessions on a page of sessions.
fn handles(page: &Page) -> Vec<String> {
    let rest = page.html.split(r#"action="/sessions/"#).skip(1);
    rest.filter_map(|rest| rest.split_once("/end\"")).map(|(handle, _)| handle.to_owned()).collect()
}

async fn end(browser: &mut Browser, handle: &str) -> Page {
    let token = browser.get("/home").await.hidden("csrf_token");
    browser.post(&format!("/sessions/{handle}/end"), &[("csrf_token", &token)]).await
}

async fn assert_logged_out(browser: &mut Browser) {
    let page = browser.open("/home").await;
    assert_eq!(page.path(), "/");
    page.assert_shows("Your session has ended.");
}

#[tokio::test]
async fn a_person_sees_every_session_of_theirs_and_ends_one_of_them() {
    let app = TestApp::start().await;
    let mut firefox = logged_in_with(&app, FIREFOX, "consultant", "acme").await;
    let mut phone = logged_in_with(&app, PHONE, "consultant", "globex").await;
    let _colleague = logged_in_with(&app, PHONE, "acme-admin", "acme").await;

    let list = firefox.get("/sessions").await;
    let others = handles(&list);
    let ended = end(&mut firefox, &others[0]).await;
    let after = firefox.follow(ended).await;

    for text in ["Firefox on Windows", "this browser", "acme", "Safari on iPhone", "globex"] {
        list.assert_shows(text);
    }
    assert_eq!(others.len(), 1, "{}", list.html);
    assert_eq!(after.path(), "/sessions");
    after.assert_shows("That session is ended.");
    after.assert_lacks("Safari on iPhone");
    firefox.get("/sessions").await.assert_lacks("That session is ended.");
    assert_logged_out(&mut phone).await;
    assert_eq!(end(&mut firefox, &others[0]).await.status, 404, "it has ended already");
}

#[tokio::test]
async fn all_other_sessions_end_at_once_and_then_this_one_too() {
    let app = TestApp::start().await;
    let mut this = logged_in_with(&app, FIREFOX, "consultant", "acme").await;
    let mut others = Vec::new();
    for organization in ["acme", "globex", "acme"] {
        others.push(logged_in_with(&app, PHONE, "consultant", organization).await);
    }
    let mut colleague = app.logged_in("acme-admin", "acme").await;

    let token = this.get("/home").await.hidden("csrf_token");
    let ended = this.post("/sessions/end-others", &[("csrf_token", &token)]).await;
    let list = this.follow(ended).await;
    list.assert_shows("All other sessions are ended.");
    for other in &mut others {
        assert_logged_out(other).await;
    }
    let mut again = logged_in_with(&app, PHONE, "consultant", "acme").await;
    let left = this.post("/sessions/end-all", &[("csrf_token", &token)]).await;
    let start = this.follow(left).await;

    start.assert_shows("You are logged out.");
    assert_logged_out(&mut again).await;
    assert_eq!(this.begin_login("acme", "").await.path(), "/u/login");
    assert_eq!(colleague.get("/home").await.status, 200);
}

#[tokio::test]
async fn a_handle_serves_nobody_but_the_session_that_was_shown_it() {
    let app = TestApp::start().await;
    let mut victim = logged_in_with(&app, FIREFOX, "globex-admin", "globex").await;
    let mut victims_phone = logged_in_with(&app, PHONE, "globex-admin", "globex").await;
    let mut colleague = logged_in_with(&app, FIREFOX, "consultant", "globex").await;
    let mut stranger = logged_in_with(&app, FIREFOX, "acme-admin", "acme").await;
    let of_victim = handles(&victim.get("/sessions").await).remove(0);
    let of_phone = handles(&victims_phone.get("/sessions").await).remove(0);
    let hash = app.sessions().await[0]["Session_Hash"].as_s().unwrap().clone();

    assert_ne!(of_victim, of_phone);
    let cookie = victim.jar["session"].clone();
    for handle in [&of_victim, &hash, &cookie, "made-up", "%ff", &"x".repeat(2000)] {
        for browser in [&mut stranger, &mut colleague] {
            let refused = end(browser, handle).await;
            assert_eq!(refused.status, 404, "{handle}");
            refused.assert_shows("That session is not there any more");
            refused.assert_lacks("Safari on iPhone");
        }
    }
    // Each of the two sees the other by a name of its own.
    assert_eq!(end(&mut victim, &of_phone).await.status, 404);
    assert_eq!(victim.get("/home").await.status, 200);
    assert_eq!(victims_phone.get("/home").await.status, 200);
}

#[tokio::test]
async fn the_page_of_sessions_holds_neither_a_cookie_nor_its_hash() {
    let app = TestApp::start().await;
    let mut this = logged_in_with(&app, FIREFOX, "acme-admin", "acme").await;
    let phone = logged_in_with(&app, PHONE, "acme-admin", "acme").await;

    let list = this.get("/sessions").await;

    list.assert_lacks(&this.jar["session"]);
    list.assert_lacks(&phone.jar["session"]);
    for session in app.sessions().await {
        for attribute in ["Session_Hash", "Person_Hash", "Sealed", "Sid"] {
            list.assert_lacks(session[attribute].as_s().unwrap());
        }
    }
}

#[tokio::test]
async fn sessions_end_by_forms_of_the_same_session_only() {
    let app = TestApp::start().await;
    let mut this = logged_in_with(&app, FIREFOX, "acme-admin", "acme").await;
    let mut phone = logged_in_with(&app, PHONE, "acme-admin", "acme").await;
    let handle = handles(&this.get("/sessions").await).remove(0);
    let token = this.get("/home").await.hidden("csrf_token");
    let tokens_of_the_phone = phone.get("/home").await.hidden("csrf_token");

    for path in [&format!("/sessions/{handle}/end"), "/sessions/end-others", "/sessions/end-all"] {
        let anonymous = app.browser().post(path, &[("csrf_token", &token)]).await;
        let bare = this.post(path, &[]).await;
        let foreign = this.post(path, &[("csrf_token", &tokens_of_the_phone)]).await;
        let from_elsewhere = this
            .request(reqwest::Method::POST, path)
            .header("sec-fetch-site", "cross-site")
            .form(&[("csrf_token", &token)]);
        let from_elsewhere = this.send(from_elsewhere).await;
        let by_link = this.get(path).await;

        assert_eq!(anonymous.status, 401, "{path}");
        for refused in [bare, foreign, from_elsewhere] {
            assert_eq!(refused.status, 403, "{path}");
        }
        assert_eq!(by_link.status, 405, "{path}");
    }
    assert_eq!(app.browser().get("/sessions").await.location(), "/?return_to=%2Fsessions");
    assert_eq!(phone.get("/home").await.status, 200);
    assert_eq!(this.get("/home").await.status, 200);
}

#[tokio::test]
async fn sessions_that_are_over_or_open_with_no_key_are_not_listed() {
    let (old, new) = ("old-".repeat(10), "new-".repeat(10));
    let app = TestApp::start_with(&[("AUTH0_SECRET", &old)]).await;
    logged_in_with(&app, PHONE, "acme-admin", "acme").await;
    app.stack.restart(Service::Frontend, &[("AUTH0_SECRET", &new)]).await.unwrap();
    logged_in_with(&app, PHONE, "acme-admin", "acme").await;
    app.age_sessions(-1, -60).await;
    let mut this = logged_in_with(&app, FIREFOX, "acme-admin", "acme").await;

    let list = this.get("/sessions").await;

    assert_eq!(app.sessions().await.len(), 3);
    assert_eq!(handles(&list).len(), 0, "{}", list.html);
    list.assert_lacks("End all others");
}

#[tokio::test]
async fn a_value_that_was_planted_before_a_login_is_worth_nothing_after_it() {
    let app = TestApp::start().await;
    let mut victim = app.browser();
    let planted = "A".repeat(43);
    victim.jar.insert("session".to_owned(), planted.clone());

    let home = victim.log_in("acme-admin", "acme", "").await;

    assert_eq!(home.path(), "/home");
    assert_ne!(victim.jar["session"], planted);
    let mut attacker = app.browser();
    attacker.jar.insert("session".to_owned(), planted);
    assert_eq!(attacker.get("/home").await.status, 303);
}
