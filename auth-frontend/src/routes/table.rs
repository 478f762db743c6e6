//! Every route, and what it asks of who comes. The router is made of this table and of nothing else,
//! and the tests go through it: a route that they know nothing of fails them.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    middleware,
    routing::{self, MethodRouter},
};

use crate::{
    arrival, login_limit,
    oidc::CALLBACK_PATH,
    permission::{CREATE_RECORDS, READ_AUDIT, READ_RECORDS},
    site::Site,
};

use super::{
    audit, backchannel, callback,
    entrance::{self, Entrance},
    files, home, login, logout, records, renew, sessions, switch,
};

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// `GET`, which answers `HEAD` as well, or `POST`.
    pub method: &'static str,
    /// The path, with `{name}` for what differs.
    pub path: &'static str,
    /// What it asks of who comes.
    pub needs: Needs,
}

/// What a route asks of who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing; or something else than a session, as the callback of a login does.
    Nothing,
    /// To be logged in.
    Session,
    /// To be logged in with a permission.
    Permission(&'static str),
}

/// Every route.
#[must_use]
pub fn routes() -> Vec<Route> {
    table().into_iter().map(|entry| entry.route).collect()
}

fn table() -> Vec<Entry> {
    use Needs::{Nothing, Permission, Session};

    vec![
        page("/", Nothing, home::start),
        page("/home", Session, home::home),
        page("/records", Permission(READ_RECORDS), records::list),
        form("/records", Permission(CREATE_RECORDS), records::create).of_a_record(),
        page("/records/new", Permission(CREATE_RECORDS), records::new),
        page("/records/{id}", Permission(READ_RECORDS), records::show),
        page("/audit", Permission(READ_AUDIT), audit::trail),
        page("/sessions", Session, sessions::list),
        form("/sessions/{handle}/end", Session, sessions::end_one),
        form("/sessions/end-others", Session, sessions::end_others),
        form("/sessions/end-all", Session, sessions::end_all),
        page("/auth/login", Nothing, login::login).limited(),
        page("/auth/switch", Session, switch::ask),
        form("/auth/switch", Nothing, switch::switch).limited(),
        page(CALLBACK_PATH, Nothing, callback::callback).limited(),
        page("/auth/renew", Nothing, renew::renew).limited(),
        form("/auth/logout", Nothing, logout::logout),
        // All of the provider's come from a few addresses.
        form("/auth/backchannel-logout", Nothing, backchannel::logout).uncounted(),
        file("/static/{*path}", files::file),
        file("/favicon.ico", files::favicon),
    ]
}

struct Entry {
    route: Route,
    handler: MethodRouter<Arc<Site>>,
    /// Counts among the requests that are worked on at once.
    is_counted: bool,
    /// Counts among the requests that one address may send in a minute.
    is_limited: bool,
    /// How many bytes of a form are taken.
    largest_form: usize,
}

impl Entry {
    fn of_a_record(self) -> Self {
        Self { largest_form: arrival::LARGE, ..self }
    }

    fn uncounted(self) -> Self {
        Self { is_counted: false, ..self }
    }

    fn limited(self) -> Self {
        Self { is_limited: true, ..self }
    }
}

fn page<T: 'static>(
    path: &'static str,
    needs: Needs,
    handler: impl Handler<T, Arc<Site>>,
) -> Entry {
    entry(Route { method: "GET", path, needs }, routing::get(handler))
}

fn form<T: 'static>(
    path: &'static str,
    needs: Needs,
    handler: impl Handler<T, Arc<Site>>,
) -> Entry {
    entry(Route { method: "POST", path, needs }, routing::post(handler))
}

fn file<T: 'static>(path: &'static str, handler: impl Handler<T, Arc<Site>>) -> Entry {
    page(path, Needs::Nothing, handler).uncounted()
}

fn entry(route: Route, handler: MethodRouter<Arc<Site>>) -> Entry {
    let largest_form = arrival::SMALL;
    Entry { route, handler, is_counted: true, is_limited: false, largest_form }
}

/// The router of the table.
pub(crate) fn router(site: &Arc<Site>) -> Router<Arc<Site>> {
    let mut router = Router::new();
    for Entry { route, mut handler, is_counted, is_limited, largest_form } in table() {
        let entrance = Entrance { site: Arc::clone(site), largest_form, is_counted };
        let admit = middleware::from_fn_with_state(entrance, entrance::admit);
        handler = handler.route_layer(admit);
        // Further out: who is refused for coming too often takes nobody's place.
        if is_limited {
            let state = Arc::clone(&site.login_limit);
            let limit = middleware::from_fn_with_state(state, login_limit::limit);
            handler = handler.route_layer(limit);
        }
        router = router.route(route.path, handler);
    }
    router
}
