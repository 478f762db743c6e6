//! What has ended at the provider ends here whenever its word comes: before a login is finished, before
//! the indexes show a session, and where sessions cannot be deleted at once.

use dev_stack::Fault;

use crate::{
    app::{TestApp, eventually},
    backchannel::{send, up_to_callback},
    browser::Browser,
};

#[tokio::test]
async fn a_login_that_the_provider_ends_before_it_is_finished_begins_no_session() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let callback = up_to_callback(&mut browser).await;

    let told = app.stack.auth0().revoke_sessions("acme-admin").await.unwrap();
    let refused = browser.get(&callback).await;
    let sessions = app.sessions().await.len();
    let password = browser.open(&refused.link("Log in")).await;
    let accepted = browser.fill_in_password(&password, "acme-admin").await;
    let again = browser.follow(accepted).await;

    assert_eq!((told.as_slice(), refused.status, sessions), ([200].as_slice(), 403, 0));
    refused.assert_shows("You were logged out meanwhile");
    assert_eq!(
        (again.status, again.path()),
        (200, "/home"),
        "a login that begins after it is good"
    );
    assert_eq!(app.sessions().await.len(), 1);
}

#[tokio::test]
async fn a_word_about_a_person_ends_their_logins_under_way_and_nobody_elses() {
    let app = TestApp::start().await;
    let mut connie = app.logged_in("consultant", "globex").await;
    let mut told = app.told("consultant").await;
    told.claims.as_object_mut().unwrap().remove("sid");
    let mut ada = app.logged_in("acme-admin", "acme").await;
    let callback_of_connie = up_to_callback(&mut connie).await;
    let callback_of_ada = up_to_callback(&mut ada).await;

    send(&mut app.browser(), &app.sign(&told)).await;
    let refused = connie.get(&callback_of_connie).await;
    let of_another = ada.open(&callback_of_ada).await;
    let again = connie.open(&refused.link("Log in")).await;

    assert_eq!(refused.status, 403);
    refused.assert_shows("You were logged out meanwhile");
    assert_eq!((of_another.status, of_another.path()), (200, "/home"));
    assert_eq!((again.status, again.path()), (200, "/home"));
    again.assert_shows("globex");
}

#[tokio::test]
async fn a_word_about_a_session_counts_by_whichever_clock_it_was_heard() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = app.sign(&app.told("acme-admin").await);
    let callback = up_to_callback(&mut browser).await;

    send(&mut app.browser(), &token).await;
    app.set_words(-30).await;
    let refused = browser.get(&callback).await;

    assert_eq!((refused.status, app.sessions().await.len()), (403, 0));
    refused.assert_shows("You were logged out meanwhile");
}

#[tokio::test]
async fn a_login_that_begins_no_session_leaves_the_one_that_was_there() {
    let app = TestApp::start().await;
    let tables = app.frontend_behind_faults().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let mut told = app.told("acme-editor").await;
    told.claims.as_object_mut().unwrap().remove("sid");
    let callback_of_another = async |browser: &mut Browser| {
        app.stack.auth0().end_sessions();
        let login = browser.open("/auth/renew").await;
        browser.log_in_up_to_callback("acme-editor", &login).await
    };

    let callback = callback_of_another(&mut browser).await;
    send(&mut app.browser(), &app.sign(&told)).await;
    let ended_meanwhile = browser.get(&callback).await;
    let after_that = browser.get("/home").await;
    let callback = callback_of_another(&mut browser).await;
    tables.inject_for("PutItem", Fault::aws_error(500, "InternalServerError"));
    let not_written = browser.get(&callback).await;
    let after_that_too = browser.get("/home").await;

    assert_eq!((ended_meanwhile.status, not_written.status), (403, 503));
    after_that.assert_shows("Ada Admin");
    after_that_too.assert_shows("Ada Admin");
    assert_eq!(app.sessions().await.len(), 1);
}

#[tokio::test]
async fn a_session_that_the_indexes_did_not_show_yet_ends_when_its_use_is_noted() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = app.sign(&app.told("acme-admin").await);
    app.hide_sessions_from_indexes().await;
    let mut colleague = app.logged_in("acme-editor", "acme").await;

    send(&mut app.browser(), &token).await;
    let missed = app.sessions().await.len();
    // Its use was noted before, and is again after a minute.
    app.set_sessions("Created_At", -3600).await;
    app.age_sessions(60, -60).await;
    let over = browser.get("/home").await;
    let of_another = colleague.get("/home").await;

    assert_eq!((missed, over.status, of_another.status), (2, 303, 200));
    assert_eq!(app.sessions().await.len(), 1);
}

#[tokio::test]
async fn a_session_that_could_not_be_deleted_is_not_served_on_once_its_use_is_noted() {
    let app = TestApp::start().await;
    let tables = app.frontend_behind_faults().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = app.sign(&app.told("acme-admin").await);
    tables.inject_for("DeleteItem", Fault::aws_error(500, "InternalServerError"));

    let failed = send(&mut app.browser(), &token).await;
    // Its use was noted before, and is again after a minute.
    app.set_sessions("Created_At", -3600).await;
    app.age_sessions(60, -60).await;
    let not_served = browser.get("/home").await;
    let kept = app.sessions().await.len();
    tables.heal();
    let over = browser.get("/home").await;

    assert_eq!((failed.status, not_served.status, kept), (400, 503, 1));
    assert_eq!(failed.html, r#"{"error":"temporarily_unavailable"}"#);
    assert_eq!((over.status, app.sessions().await.len()), (303, 0));
}

#[tokio::test]
async fn a_provider_that_hangs_up_neither_stops_nor_hides_what_its_word_ends() {
    let app = TestApp::start().await;
    let tables = app.frontend_behind_faults().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let token = app.sign(&app.told("acme-admin").await);
    app.copy_session(40).await;
    // What is asked for once more is read, and not deleted: then nothing would be found to delete.
    tables.inject_for("Query", Fault::Silence);

    let mut provider = app.browser();
    tokio::select! {
        answer = send(&mut provider, &token) => panic!("all was done at once: {answer:?}"),
        () = eventually("that it is written down", async || {
            app.rows().await.iter().any(|row| row.contains_key("Heard_At")).then_some(())
        }) => {}
    }
    let left = app.sessions().await.len();
    tables.heal();
    eventually("the end of all sessions", async || app.sessions().await.is_empty().then_some(()))
        .await;
    let line = eventually("the line of the log", async || {
        app.log().into_iter().find(|line| line.contains("the provider ended sessions"))
    })
    .await;

    assert_eq!(left, 41);
    assert!(line.contains(r#""sessions":41"#), "{line}");
    assert_eq!(browser.get("/home").await.status, 303);
}
