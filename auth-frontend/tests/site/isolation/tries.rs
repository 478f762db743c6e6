//! What is tried at each route of the table. A new route needs an entry here: what somebody does there
//! with what is theirs, and what they might try there with what is not.

use auth_frontend::Route;

use super::loot::Loot;

/// A request, and how it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) address: String,
    /// What is posted; `None` for GET.
    pub(crate) form: Option<Vec<(String, String)>>,
    pub(crate) status: u16,
}

/// What is tried at one route.
#[derive(Debug)]
pub(crate) struct Entry {
    /// By somebody with every permission, with what is theirs.
    pub(crate) own: Try,
    /// By the same with what is another organization's.
    pub(crate) foreign: Vec<Try>,
}

fn get(address: impl Into<String>, status: u16) -> Try {
    Try { address: address.into(), form: None, status }
}

fn post(address: impl Into<String>, form: Vec<(String, String)>, status: u16) -> Try {
    Try { address: address.into(), form: Some(form), status }
}

fn token_form(token: &str) -> Vec<(String, String)> {
    vec![("csrf_token".to_owned(), token.to_owned())]
}

/// The entry of a route, for somebody who has `own` and has got hold of `other`.
#[expect(clippy::too_many_lines, reason = "an entry for each route, in one table")]
pub(crate) fn entry(route: &Route, own: &Loot, other: &Loot) -> Option<Entry> {
    let record = |id: &str, status| get(format!("/records/{id}"), status);
    let page = |path: &str, token: &str, status| get(format!("{path}?page_token={token}"), status);
    let login = |organization: &str, status| {
        get(format!("/auth/login?organization={organization}"), status)
    };
    let (own, foreign) = match (route.method, route.path) {
        ("GET", "/") => {
            (get("/", 303), vec![get(format!("/?return_to=%2Frecords%2F{}", other.record_id), 303)])
        }
        ("GET", "/home") => (get("/home", 200), vec![get("/home", 200)]),
        ("GET", "/records") => (
            page("/records", &own.records_page_token, 200),
            vec![
                get("/records", 200),
                page("/records", &other.records_page_token, 400),
                page("/records", &other.audit_page_token, 400),
                page("/records", &own.audit_page_token, 400),
                page("/records", &other.record_id, 400),
            ],
        ),
        ("POST", "/records") => (
            post("/records", own.new_record_form(), 303),
            vec![
                post("/records", other.new_record_form(), 403),
                post("/records", other.record_form(&other.request_id), 403),
                // A request id means something in its own organization only: here it is a new one.
                post("/records", own.record_form(&other.request_id), 303),
            ],
        ),
        ("GET", "/records/new") => (get("/records/new", 200), vec![get("/records/new", 200)]),
        ("GET", "/records/{id}") => (
            record(&own.record_id, 200),
            vec![
                record(&other.record_id, 404),
                record(&other.record_id.to_uppercase(), 404),
                record(&format!("rec%23{}", other.record_id), 404),
                record(&format!("..%2F{}%2Frec%23{}", other.organization, other.record_id), 404),
                record(&format!("{}?organization={}", other.record_id, other.organization), 404),
            ],
        ),
        ("GET", "/audit") => (
            page("/audit", &own.audit_page_token, 200),
            vec![
                get("/audit", 200),
                page("/audit", &other.audit_page_token, 400),
                page("/audit", &other.records_page_token, 400),
                page("/audit", &own.records_page_token, 400),
                page("/audit", &other.record_id, 400),
            ],
        ),
        // Nobody is switched by a link, and the provider says whether somebody is a member.
        ("GET", "/auth/login") => {
            (login(&own.organization, 303), vec![login(&other.organization, 200)])
        }
        ("GET", "/auth/switch") => (
            get("/auth/switch", 200),
            vec![get(format!("/auth/switch?organization={}", other.organization), 200)],
        ),
        // One's own token would end the session.
        ("POST", "/auth/switch") => (
            post("/auth/switch", token_form(""), 403),
            vec![post("/auth/switch", token_form(&other.csrf_token), 403)],
        ),
        ("GET", "/auth/callback") => {
            // Of no login of this browser, which is logged in already and led home.
            (get("/auth/callback?code=x&state=y", 303), vec![get(&*other.callback, 303)])
        }
        // One's own token would end it all.
        ("POST", "/auth/logout") => (
            post("/auth/logout", token_form(""), 403),
            vec![post("/auth/logout", token_form(&other.csrf_token), 403)],
        ),
        ("GET", "/sessions") => (get("/sessions", 200), vec![get("/sessions", 200)]),
        ("POST", "/sessions/{handle}/end") => (
            post("/sessions/nothing/end", token_form(&own.csrf_token), 404),
            vec![
                post("/sessions/nothing/end", token_form(&other.csrf_token), 403),
                post(
                    format!("/sessions/{}/end", other.session_handle),
                    token_form(&own.csrf_token),
                    404,
                ),
            ],
        ),
        ("POST", "/sessions/end-others") => (
            post("/sessions/end-others", token_form(&own.csrf_token), 303),
            vec![post("/sessions/end-others", token_form(&other.csrf_token), 403)],
        ),
        // One's own token would end it all.
        ("POST", "/sessions/end-all") => (
            post("/sessions/end-all", token_form(""), 403),
            vec![post("/sessions/end-all", token_form(&other.csrf_token), 403)],
        ),
        ("GET", "/auth/renew") => (get("/auth/renew", 303), vec![get("/auth/renew", 303)]),
        // What counts there is a signature.
        ("POST", "/auth/backchannel-logout") => {
            let told = |token: &str| vec![("logout_token".to_owned(), token.to_owned())];
            let path = "/auth/backchannel-logout";
            (post(path, told(""), 400), vec![post(path, told(&other.csrf_token), 400)])
        }
        ("GET", "/static/{*path}") => {
            let file = "/static/nothing.css";
            (get(file, 404), vec![get(file, 404)])
        }
        ("GET", "/favicon.ico") => (get("/favicon.ico", 200), vec![get("/favicon.ico", 200)]),
        _ => return None,
    };
    Some(Entry { own, foreign })
}
