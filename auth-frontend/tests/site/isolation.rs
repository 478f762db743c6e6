//! What one organization, or a lack of permission, keeps from people.

use crate::app::TestApp;

#[tokio::test]
async fn another_organizations_record_reads_as_not_found() {
    let app = TestApp::start().await;
    let mut acme = app.logged_in("acme-admin", "acme").await;
    let mut globex = app.logged_in("globex-admin", "globex").await;

    let saved = acme.save_record(&[("title", "Ours alone"), ("category", "Asset")]).await;
    let path = saved.location().to_owned();
    let seen = globex.get(&path).await;

    assert_eq!(acme.get(&path).await.status, 200);
    assert_eq!(seen.status, 404);
    seen.assert_shows("There is no such record");
    for page in ["/home", "/records", "/audit"] {
        globex.get(page).await.assert_lacks("Ours alone");
    }
}

#[tokio::test]
async fn another_organizations_page_token_serves_nobody_else() {
    let app = TestApp::start().await;
    let mut acme = app.logged_in("acme-admin", "acme").await;
    let mut globex = app.logged_in("globex-admin", "globex").await;
    for _ in 0..26 {
        acme.save_record(&[("title", "Ours alone"), ("category", "Asset")]).await;
    }
    let list = acme.get("/records").await;
    let older = list.html.split_once("/records?page_token=").unwrap().1.split('"').next().unwrap();

    let page = globex.get(&format!("/records?page_token={older}")).await;

    assert_eq!(page.status, 400);
    page.assert_lacks("Ours alone");
}

#[tokio::test]
async fn who_may_only_read_finds_no_button_and_no_way_around_it() {
    let app = TestApp::start().await;
    let mut viewer = app.logged_in("acme-viewer", "acme").await;
    let mut editor = app.logged_in("acme-editor", "acme").await;

    let list = viewer.get("/records").await;
    let token = list.hidden("csrf_token");
    let form = viewer.get("/records/new").await;
    let values = [("csrf_token", token.as_str()), ("title", "Forced"), ("category", "Asset")];
    let forced = viewer.post("/records", &values).await;
    let trail = viewer.get("/audit").await;

    list.assert_lacks("/records/new");
    assert_eq!((form.status, forced.status, trail.status), (403, 403, 403));
    forced.assert_shows("You are not allowed to do this");
    viewer.get("/records").await.assert_lacks("Forced");
    let editors_page = editor.get("/home").await;
    editors_page.assert_shows("Fill in a record");
    editors_page.assert_lacks("/audit");
    assert_eq!(editor.get("/audit").await.status, 403);
}
