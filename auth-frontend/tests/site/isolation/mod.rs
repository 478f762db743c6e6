//! What one organization, or a lack of permission, keeps from people: some of it in words, and all of
//! it by the table of routes.

mod loot;
mod tries;

use std::collections::BTreeSet;

use auth_frontend::{Needs, Route, routes};
use dev_stack::samples;

use crate::{
    app::TestApp,
    browser::{Browser, Page},
};
pub(crate) use loot::Loot;
use tries::{Entry, Try};

/// What is tried at a route by somebody who has `own` and has got hold of `other`.
pub(crate) fn entry(route: &Route, own: &Loot, other: &Loot) -> Entry {
    tries::entry(route, own, other)
        .unwrap_or_else(|| panic!("nothing is tried at {} {}", route.method, route.path))
}

impl Browser {
    async fn attempt(&mut self, attempt: &Try) -> Page {
        match &attempt.form {
            Some(form) => self.post_form(&attempt.address, form).await,
            None => self.get(&attempt.address).await,
        }
    }
}

/// Looks through the whole answer.
fn assert_reveals_nothing(page: &Page, loot: &Loot) {
    let answer = format!("{:?} {}", page.headers, page.html);
    for canary in &loot.canaries {
        assert!(!answer.contains(canary), "{canary} at {}: {answer}", page.url);
    }
}

#[test]
fn something_is_tried_at_every_route() {
    let loot = Loot::default();

    let missing: Vec<_> =
        routes().into_iter().filter(|route| tries::entry(route, &loot, &loot).is_none()).collect();

    assert!(missing.is_empty(), "add these to tries.rs: {missing:?}");
}

#[tokio::test]
async fn what_is_another_organizations_is_of_no_use_at_any_route() {
    let app = TestApp::start().await;
    let mut acme = app.logged_in("acme-admin", "acme").await;
    let mut globex = app.logged_in("globex-admin", "globex").await;
    let of_acme = Loot::of(&app, &mut acme, "acme", "acme-admin", "Ada Admin").await;
    let of_globex = Loot::of(&app, &mut globex, "globex", "globex-admin", "Gloria Admin").await;
    let record = format!("/records/{}", of_acme.record_id);
    acme.get(&record).await.assert_shows("The record is saved.");
    let record_of_acme = acme.get(&record).await;
    assert!(of_acme.canaries.iter().all(|canary| record_of_acme.html.contains(canary)));
    let mut directions = [(acme, of_acme.clone(), of_globex.clone()), (globex, of_globex, of_acme)];

    for (browser, own, other) in &mut directions {
        for route in routes() {
            let Entry { own: good, foreign } = entry(&route, own, other);
            let page = browser.attempt(&good).await;
            assert_eq!(page.status, good.status, "{good:?}: {}", page.html);
            assert_reveals_nothing(&page, other);
            for attempt in foreign {
                let page = browser.attempt(&attempt).await;
                assert_eq!(page.status, attempt.status, "{attempt:?}: {}", page.html);
                assert_reveals_nothing(&page, other);
                // Those two would begin another session.
                let is_login = ["/auth/login", "/auth/renew"].contains(&route.path);
                if !is_login && page.headers.contains_key("location") {
                    assert_reveals_nothing(&browser.follow(page).await, other);
                }
            }
        }
    }
    // Nothing of it has done anything to the other organization.
    for (browser, own, _) in &mut directions {
        assert_eq!(browser.get("/home").await.status, 200);
        let page = browser.get(&format!("/records/{}", own.record_id)).await;
        assert!(own.canaries.iter().all(|canary| page.html.contains(canary)), "{}", page.html);
    }
    let [(acme, ..), _] = &mut directions;
    assert_eq!(acme.get(&record).await.main(), record_of_acme.main());
}

#[tokio::test]
async fn a_stranger_is_sent_to_the_login_from_every_route_that_needs_one() {
    let app = TestApp::start().await;
    let mut acme = app.logged_in("acme-admin", "acme").await;
    let loot = Loot::of(&app, &mut acme, "acme", "acme-admin", "Ada Admin").await;

    for route in routes() {
        let Entry { own, foreign } = entry(&route, &loot, &loot);
        for attempt in foreign.into_iter().chain([own]) {
            let mut stranger = app.browser();
            let page = stranger.attempt(&attempt).await;
            assert_reveals_nothing(&page, &loot);
            assert!(!stranger.jar.contains_key("session"), "{attempt:?}");
            match (route.needs, route.method) {
                (Needs::Nothing, _) => assert!(page.status < 500, "{attempt:?}"),
                (_, "GET") => {
                    assert_eq!(page.status, 303, "{attempt:?}");
                    assert!(page.location().starts_with("/?return_to="), "{attempt:?}");
                }
                _ => assert_eq!(page.status, 401, "{attempt:?}"),
            }
        }
    }
    acme.get("/records").await.assert_lacks("Made by a test");
}

#[tokio::test]
async fn each_permission_is_needed_where_the_table_says_so_and_nowhere_else() {
    let app = TestApp::start().await;
    let needed = routes().into_iter().filter_map(|route| match route.needs {
        Needs::Permission(permission) => Some(permission),
        _ => None,
    });
    let needed: BTreeSet<_> = needed.collect();
    assert!(needed.iter().all(|permission| samples::PERMISSIONS.contains(permission)));
    let mut admin = app.logged_in("acme-admin", "acme").await;
    let of_admin = Loot::of(&app, &mut admin, "acme", "acme-admin", "Ada Admin").await;

    for missing in needed {
        let others: Vec<_> =
            samples::PERMISSIONS.into_iter().filter(|other| *other != missing).collect();
        app.stack.auth0().add_member("newcomer", "acme", &others).unwrap();
        let mut browser = app.logged_in("newcomer", "acme").await;
        let csrf_token = browser.get("/home").await.hidden("csrf_token");
        // All that is the organization's, and a session of their own.
        let own = Loot { csrf_token, ..of_admin.clone() };
        for route in routes() {
            let Entry { own: attempt, .. } = entry(&route, &own, &own);
            let page = browser.attempt(&attempt).await;
            let context = format!("{attempt:?} without {missing}: {}", page.html);
            if route.needs == Needs::Permission(missing) {
                assert_eq!(page.status, 403, "{context}");
                page.assert_shows("You are not allowed to do this");
                assert_reveals_nothing(&page, &of_admin);
            } else {
                assert_eq!(page.status, attempt.status, "{context}");
            }
        }
    }
}

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
