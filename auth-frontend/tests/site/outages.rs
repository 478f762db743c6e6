//! Parts of the system that are down: a page that says so, and nothing lost.

use dev_stack::Service;

use crate::app::{TestApp, eventually};

#[tokio::test]
async fn while_records_service_is_down_pages_say_so_and_what_was_typed_is_kept() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let values = [("title", "Typed in bad weather"), ("category", "Asset")];
    let form = browser.record_form(&values).await;
    app.stack.kill(Service::Records).await;

    let list = browser.get("/records").await;
    let home = browser.get("/home").await;
    let not_saved = browser.post_form("/records", &form).await;
    let kept = not_saved.hidden_inputs("/records");
    app.stack.restart(Service::Records, &[]).await.unwrap();
    let saved = eventually("saving once it is back", async || {
        let page = browser.post_form("/records", &kept).await;
        (page.status == 303).then_some(page)
    })
    .await;
    let again = browser.post_form("/records", &kept).await;

    assert_eq!(list.status, 503);
    list.assert_shows("The records cannot be reached just now");
    assert!(
        app.log().iter().any(|line| line.contains(&list.reference())
            && line.contains("records-service is unavailable"))
    );
    assert_eq!(home.status, 200);
    home.assert_shows("The latest records cannot be shown just now.");
    assert_eq!(not_saved.status, 503);
    not_saved.assert_shows("What you typed is kept on this page.");
    assert_eq!(saved.location(), again.location(), "sent twice, saved once");
}

#[tokio::test]
async fn while_the_session_store_is_down_nobody_is_taken_for_a_stranger() {
    let app = TestApp::start().await;
    let mut browser = app.logged_in("acme-admin", "acme").await;
    app.stack.dynamodb().stop().await;

    let pages = [browser.get("/home").await, browser.get("/").await];
    let login_page = app.browser().get("/").await;
    app.stack.dynamodb().resume().await.unwrap();

    for page in pages {
        assert_eq!(page.status, 503);
        assert!(app.log().iter().any(|line| line.contains(&page.reference())
            && line.contains("the table of sessions does not answer")));
    }
    assert_eq!(login_page.status, 200);
    assert!(browser.jar.contains_key("session"));
    assert_eq!(browser.get("/home").await.status, 200);
}
