//! The pages people see: plain HTML that works without JavaScript, every value escaped. It decides
//! nothing.

use std::fmt;

use axum::{
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse as _, Response},
};

use super::{http::with_query, tenant::Tenant};

/// No `form-action`: browsers hold it against the redirect to the application too.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2230; --soft: #5b6577; --paper: #fff; --ground: #eef0f5;
  --line: #ccd2dd; --accent: #4338ca; --on-accent: #fff; --bad: #b3261e; --bad-ground: #fdecea; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf2; --soft: #a3adbf; --paper: #1d2330;
  --ground: #12161f; --line: #3a4357; --accent: #a5b4fc; --on-accent: #171b2c; --bad: #ffb4ab;
  --bad-ground: #43201e; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-content: center; gap: 1rem;
  grid-template-columns: minmax(0, 26rem); padding: 1.5rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
body.wide { grid-template-columns: minmax(0, 46rem); place-content: start center; }
main { background: var(--paper); border: 1px solid var(--line); border-radius: .75rem;
  padding: 2rem; overflow-wrap: break-word; }
.badge { margin: 0; color: var(--soft); font-size: .8125rem; text-align: center; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.0625rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; } .soft { color: var(--soft); }
label { display: block; font-weight: 600; margin-top: 1.25rem; }
input, select { width: 100%; margin-top: .375rem; padding: .625rem .75rem; font: inherit;
  color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: .5rem; }
button { width: 100%; margin-top: 1.5rem; padding: .75rem; font: inherit; font-weight: 600;
  color: var(--on-accent); background: var(--accent); border: 0; border-radius: .5rem;
  cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.error { color: var(--bad); background: var(--bad-ground); border-radius: .5rem;
  padding: .625rem .75rem; margin: 1rem 0 0; }
a { color: var(--accent); }
table { border-collapse: collapse; width: 100%; } th { text-align: left; }
th, td { padding: .375rem .5rem .375rem 0; border-bottom: 1px solid var(--line); }
code { font: .875rem/1.5 ui-monospace, monospace; }
.wide form { display: flex; flex-wrap: wrap; gap: .5rem .75rem; align-items: end; }
.wide form div { flex: 1 1 8rem; } .wide label { margin-top: 0; font-size: .875rem; }
.wide button { width: auto; margin: 0; padding: .625rem 1rem; }
";

/// A text as it stands in HTML, in an attribute too.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

/// What the login page shows.
pub(super) struct LoginPage<'a> {
    pub(super) transaction: &'a str,
    pub(super) client: &'a str,
    pub(super) organization: &'a str,
    pub(super) username: &'a str,
    pub(super) is_invitation: bool,
    pub(super) error: Option<&'a str>,
}

impl LoginPage<'_> {
    pub(super) fn render(&self, status: StatusCode) -> Response {
        let organization = Escaped(self.organization);
        let title = if self.is_invitation {
            format!("You are invited to {organization}")
        } else {
            format!("Log in to {organization}")
        };
        let body = format!(
            r#"<h1>{title}</h1>
<p class="soft">to continue to {client}</p>
{error}
<form method="post" action="/u/login?state={transaction}">
<input type="hidden" name="state" value="{transaction}">
<label for="username">Username</label>
<input id="username" name="username" value="{username}" autocomplete="username"
 autocapitalize="none" spellcheck="false" required {focus_username}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 required {focus_password}>
<button type="submit">Continue</button>
</form>"#,
            client = Escaped(self.client),
            error = error(self.error),
            transaction = Escaped(self.transaction),
            username = Escaped(self.username),
            focus_username = if self.username.is_empty() { "autofocus" } else { "" },
            focus_password = if self.username.is_empty() { "" } else { "autofocus" },
        );
        page(status, "Log in", "", &body)
    }
}

/// The prompt for an organization.
pub(super) fn organization(
    status: StatusCode,
    transaction: &str,
    client: &str,
    typed: &str,
    problem: Option<&str>,
) -> Response {
    let body = format!(
        r#"<h1>Enter your organization</h1>
<p class="soft">to continue to {client}</p>
{error}
<form method="post" action="/u/organization?state={transaction}">
<input type="hidden" name="state" value="{transaction}">
<label for="organization">Organization name</label>
<input id="organization" name="organization" value="{typed}" autocomplete="organization"
 autocapitalize="none" spellcheck="false" required autofocus>
<button type="submit">Continue</button>
</form>"#,
        client = Escaped(client),
        error = error(problem),
        transaction = Escaped(transaction),
        typed = Escaped(typed),
    );
    page(status, "Enter your organization", "", &body)
}

/// A mistake in a request that cannot be sent back to an application.
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) headline: &'static str,
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn invalid_request(detail: impl Into<String>) -> Self {
        let (status, headline) = (StatusCode::BAD_REQUEST, "invalid_request");
        Self { status, headline, detail: detail.into() }
    }

    pub(super) fn render(&self) -> Response {
        let body = format!(
            r#"<h1>Oops!, something went wrong</h1>
<p class="error" role="alert"><strong>{}</strong></p>
<p>{}</p>"#,
            Escaped(self.headline),
            Escaped(&self.detail),
        );
        page(self.status, "Something went wrong", "", &body)
    }
}

/// A login whose transaction is over or belongs to another browser.
pub(super) fn no_transaction(tenant: &Tenant) -> Response {
    let mut body = "<h1>This login is no longer open</h1>
<p>It was finished, took longer than an hour, or was begun in another browser.</p>"
        .to_owned();
    for client in &tenant.options.web_clients {
        body.push_str(r#"<p><a href=""#);
        let begin = with_query(&client.login_url, &[("iss", Some(&tenant.issuer))]);
        body.push_str(&Escaped(&begin).to_string());
        body.push_str(r#"">Start again at "#);
        body.push_str(&Escaped(&client.name).to_string());
        body.push_str("</a></p>");
    }
    page(StatusCode::BAD_REQUEST, "Start again", "", &body)
}

/// A page with one headline and one sentence.
pub(super) fn notice(headline: &str, sentence: &str) -> Response {
    let body = format!("<h1>{}</h1><p>{}</p>", Escaped(headline), Escaped(sentence));
    page(StatusCode::OK, headline, "", &body)
}

/// The whole document around `body`, which is HTML already, with the headers every page has.
pub(super) fn page(status: StatusCode, title: &str, class: &str, body: &str) -> Response {
    let html = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} · Local Auth0 (development)</title>
<style>{STYLE}</style>
</head>
<body class="{class}">
<main>
{body}
</main>
<p class="badge">Local Auth0 (development)</p>
</body>
</html>
"#,
        title = Escaped(title),
    );
    let headers: [(HeaderName, HeaderValue); 6] = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        // The addresses of login pages name the login; browsers must still send an Origin.
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, html).into_response()
}

fn error(text: Option<&str>) -> String {
    text.map(|text| format!(r#"<p class="error" role="alert">{}</p>"#, Escaped(text)))
        .unwrap_or_default()
}
