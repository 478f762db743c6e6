//! A browser as far as tests need one: a cookie jar, forms as they stand on the page, and redirects
//! that are followed only when a test says so.

use std::{collections::BTreeMap, time::Duration};

use dev_stack::samples;
use reqwest::{
    Client, Method, RequestBuilder, Response,
    header::{CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, SET_COOKIE, USER_AGENT},
};
use service_kit::{
    config::Environment,
    sealing::{Sealer, Secrets},
};
use url::Url;

/// How long a browser waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Browser {
    http: Client,
    app: Url,
    /// Of all ports of localhost, as browsers do not tell ports apart for cookies.
    pub(crate) jar: BTreeMap<String, String>,
    /// What it calls itself.
    pub(crate) agent: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) html: String,
}

impl Page {
    pub(crate) fn path(&self) -> &str {
        self.url.path()
    }

    /// Where the answer leads, as it stands in the header.
    pub(crate) fn location(&self) -> &str {
        self.headers
            .get(LOCATION)
            .unwrap_or_else(|| panic!("no redirect: {self:?}"))
            .to_str()
            .unwrap()
    }

    /// The parameters in the address that the answer leads to.
    pub(crate) fn location_query(&self) -> BTreeMap<String, String> {
        self.url.join(self.location()).unwrap().query_pairs().into_owned().collect()
    }

    /// The value of a hidden input.
    pub(crate) fn hidden(&self, name: &str) -> String {
        let start = format!(r#"<input type="hidden" name="{name}" value=""#);
        let found = self.html.split_once(&start);
        let rest = found.unwrap_or_else(|| panic!("no input {name} in {}", self.html)).1;
        unescape(rest.split('"').next().unwrap())
    }

    /// All hidden inputs of the form that leads to `action`.
    pub(crate) fn hidden_inputs(&self, action: &str) -> Vec<(String, String)> {
        let start = format!(r#"action="{action}""#);
        let form = self.html.split_once(&start).unwrap_or_else(|| panic!("no {start}")).1;
        let form = form.split("</form>").next().unwrap();
        form.split(r#"<input type="hidden" name=""#)
            .skip(1)
            .map(|input| {
                let (name, rest) = input.split_once(r#"" value=""#).unwrap();
                (unescape(name), unescape(rest.split('"').next().unwrap()))
            })
            .collect()
    }

    /// The address of the link or button with this text.
    pub(crate) fn link(&self, text: &str) -> String {
        let before = self.html.split_once(&format!(">{text}<")).unwrap_or_else(|| {
            panic!("no link {text} in {}", self.html);
        });
        let tag = before.0.rsplit_once("href=\"").unwrap().1;
        unescape(tag.split('"').next().unwrap())
    }

    /// The path of the page's stylesheet.
    pub(crate) fn stylesheet(&self) -> String {
        let rest = self.html.split_once("rel=\"stylesheet\" href=\"").unwrap().1;
        rest.split('"').next().unwrap().to_owned()
    }

    /// The page without its frame, which says when the session ends.
    pub(crate) fn main(&self) -> &str {
        self.html.split_once("<main").unwrap_or_else(|| panic!("no page: {self:?}")).1
    }

    /// The address itself, once it is sure that the page has a link to it.
    pub(crate) fn link_to(&self, address: &str) -> String {
        assert!(self.html.contains(&format!("href=\"{address}\"")), "{}", self.html);
        address.to_owned()
    }

    /// The reference id of an error page.
    pub(crate) fn reference(&self) -> String {
        let rest = self.html.split_once(r#"Reference <code class="copyable">"#).unwrap().1;
        rest.split('<').next().unwrap().to_owned()
    }

    pub(crate) fn assert_shows(&self, text: &str) {
        assert!(unescape(&self.html).contains(text), "no {text:?} in {}", self.html);
    }

    pub(crate) fn assert_lacks(&self, text: &str) {
        assert!(!unescape(&self.html).contains(text), "{text:?} in {}", self.html);
    }
}

fn unescape(html: &str) -> String {
    html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&#39;", "'")
        .replace("&#x2F;", "/")
        .replace("&amp;", "&")
}

impl Browser {
    pub(crate) fn new(app_url: &str) -> Self {
        // A stalled machine may take its time to connect, and no browser gives up after a second.
        let http = service_kit::http::builder().connect_timeout(PATIENCE).build().unwrap();
        Self { http, app: Url::parse(app_url).unwrap(), jar: BTreeMap::new(), agent: None }
    }

    /// The same browser, with the same cookies, at another address of the pages.
    pub(crate) fn at(&self, app_url: &str) -> Self {
        Self { app: Url::parse(app_url).unwrap(), ..self.clone() }
    }

    /// Opens an address, which may lack the origin of the pages.
    pub(crate) async fn get(&mut self, address: &str) -> Page {
        let request = self.request(Method::GET, address);
        self.send(request).await
    }

    /// Opens an address and follows all redirects.
    pub(crate) async fn open(&mut self, address: &str) -> Page {
        let page = self.get(address).await;
        self.follow(page).await
    }

    /// Follows redirects to the end.
    pub(crate) async fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..10 {
            if !page.headers.contains_key(LOCATION) {
                return page;
            }
            let next = page.url.join(page.location()).unwrap();
            page = self.get(next.as_str()).await;
        }
        panic!("redirected for ever: {page:?}");
    }

    /// Sends a form from a page of the same origin, as browsers do under `no-referrer`.
    pub(crate) async fn post(&mut self, address: &str, form: &[(&str, &str)]) -> Page {
        let request = self
            .request(Method::POST, address)
            .header("sec-fetch-site", "same-origin")
            .header("origin", "null")
            .form(form);
        self.send(request).await
    }

    /// Sends a body as it is, from a page of the same origin.
    pub(crate) async fn post_bytes(&mut self, address: &str, body: Vec<u8>) -> Page {
        let request = self
            .request(Method::POST, address)
            .header("sec-fetch-site", "same-origin")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        self.send(request).await
    }

    pub(crate) fn request(&self, method: Method, address: &str) -> RequestBuilder {
        let pairs: Vec<_> =
            self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method, self.app.join(address).unwrap());
        // Longer than any page may take, so that a page that takes longer is seen as such.
        let mut request = request.timeout(PATIENCE);
        if let Some(agent) = &self.agent {
            request = request.header(USER_AGENT, agent);
        }
        if pairs.is_empty() { request } else { request.header(COOKIE, pairs.join("; ")) }
    }

    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Page {
        let response = request.send().await.unwrap();
        self.remember(&response);
        let (status, url) = (response.status().as_u16(), response.url().clone());
        let headers = response.headers().clone();
        Page { status, url, headers, html: response.text().await.unwrap() }
    }

    fn remember(&mut self, response: &Response) {
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
            let (name, rest) = cookie.split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
            }
        }
    }

    /// Begins a login and goes as far as the provider's password page.
    pub(crate) async fn begin_login(&mut self, organization: &str, return_to: &str) -> Page {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("organization", organization)
            .append_pair("return_to", return_to)
            .finish();
        self.open(&format!("/auth/login?{query}")).await
    }

    /// Fills in the provider's password page; answers what it answers, which is a redirect.
    pub(crate) async fn fill_in_password(&mut self, page: &Page, username: &str) -> Page {
        assert_eq!(page.path(), "/u/login", "{}", page.html);
        let state = page.hidden("state");
        let form =
            [("state", state.as_str()), ("username", username), ("password", samples::PASSWORD)];
        self.post(page.url.as_str(), &form).await
    }

    /// A whole login, to the page on which it ends.
    pub(crate) async fn log_in(
        &mut self,
        username: &str,
        organization: &str,
        return_to: &str,
    ) -> Page {
        let page = self.begin_login(organization, return_to).await;
        let page = self.fill_in_password(&page, username).await;
        self.follow(page).await
    }

    /// A login up to the callback's address, which is not opened.
    pub(crate) async fn log_in_up_to_callback(&mut self, username: &str, page: &Page) -> String {
        let mut page = self.fill_in_password(page, username).await;
        loop {
            let next = page.url.join(page.location()).unwrap();
            if next.path() == "/auth/callback" {
                return next.into();
            }
            page = self.get(next.as_str()).await;
        }
    }

    /// The form for a new record as it stands on the page, with these values.
    pub(crate) async fn record_form(&mut self, values: &[(&str, &str)]) -> Vec<(String, String)> {
        let page = self.get("/records/new").await;
        assert_eq!(page.status, 200, "{}", page.html);
        let mut form = page.hidden_inputs("/records");
        form.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        form
    }

    /// Fills in a record and saves it.
    pub(crate) async fn save_record(&mut self, values: &[(&str, &str)]) -> Page {
        let form = self.record_form(values).await;
        self.post_form("/records", &form).await
    }

    pub(crate) async fn post_form(&mut self, address: &str, form: &[(String, String)]) -> Page {
        let form: Vec<_> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
        self.post(address, &form).await
    }
}

impl Browser {
    /// Makes the logins that have begun in this browser so much older, as who holds the key of
    /// their cookies can.
    pub(crate) fn age_login_attempts(&mut self, secret: &str, age: Duration) {
        let mut environment = Environment::from_pairs([("KEY", secret)]);
        let secrets = Secrets::from_environment(&mut environment, "KEY").unwrap();
        let sealer = Sealer::new(&secrets, "login attempt");
        let attempts = self.jar.iter_mut().filter(|(name, _)| name.starts_with("txn-"));
        for (name, value) in attempts {
            let json = sealer.open(name, value).unwrap();
            let mut attempt: serde_json::Value = serde_json::from_slice(&json).unwrap();
            let expires_at = attempt["expires_at"].as_u64().unwrap() - age.as_secs();
            attempt["expires_at"] = expires_at.into();
            *value = sealer.seal(name, attempt.to_string().as_bytes());
        }
    }

    /// Switches to another organization by the page that stands behind the link of the top bar;
    /// answers what the form answers, which is a redirect to the provider.
    pub(crate) async fn switch(&mut self, from: &Page, organization: &str) -> Page {
        let link = from.link("Switch");
        let page = self.get(&link).await;
        assert_eq!((page.status, page.path()), (200, "/auth/switch"), "{}", page.html);
        let mut form = page.hidden_inputs("/auth/switch");
        form.push(("organization".to_owned(), organization.to_owned()));
        self.post_form("/auth/switch", &form).await
    }

    /// A login of somebody whom the provider still knows, up to the answer of the callback.
    pub(crate) async fn log_in_again(&mut self, organization: &str, return_to: &str) -> Page {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("organization", organization)
            .append_pair("return_to", return_to)
            .finish();
        let begun = self.get(&format!("/auth/login?{query}")).await;
        let authorized = self.get(begun.location()).await;
        self.get(authorized.location()).await
    }
}
