//! A browser as far as these tests need one: cookies that many tasks share, forms, and how long each
//! page took. That of the frontend's tests (`auth-frontend/tests/site/browser.rs`) lets a test see and
//! change its cookies instead. The library, which both could reach, has no HTTP client that could be
//! a browser, and the program made of it needs none.

use std::time::{Duration, Instant};

use dev_stack::samples;
use reqwest::{
    Client, ClientBuilder, RequestBuilder,
    header::{HeaderMap, LOCATION},
    redirect::Policy,
};
use url::Url;

/// Longer than any page may take, so that one that takes longer is seen as such.
const PATIENCE: Duration = Duration::from_secs(30);

/// A person's browser. A clone shares its cookies.
#[derive(Clone)]
pub(crate) struct Browser {
    http: Client,
    app: Url,
    /// Ports that only the services take a detour to: from, to.
    detour: Option<(u16, u16)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) html: String,
    pub(crate) took: Duration,
    url: Url,
}

/// What is typed into a form and hidden in it.
pub(crate) type Form = Vec<(String, String)>;

/// An HTTP client that follows nothing.
pub(crate) fn http() -> ClientBuilder {
    // A second call finds the provider set, which is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::builder().redirect(Policy::none())
}

impl Browser {
    pub(crate) fn new(app_url: &str) -> Self {
        let http = http().cookie_store(true).timeout(PATIENCE);
        Self { http: http.build().unwrap(), app: Url::parse(app_url).unwrap(), detour: None }
    }

    /// The same with another way to a port than the one in its address.
    pub(crate) fn going_straight(mut self, from: u16, to: u16) -> Self {
        self.detour = Some((from, to));
        self
    }

    pub(crate) async fn logged_in(app_url: &str, username: &str, organization: &str) -> Self {
        let browser = Self::new(app_url);
        browser.log_in(username, organization).await;
        browser
    }

    /// Opens an address, which may lack the origin of the pages.
    pub(crate) async fn get(&self, address: &str) -> Page {
        self.try_get(address).await.unwrap()
    }

    pub(crate) async fn try_get(&self, address: &str) -> reqwest::Result<Page> {
        let url = self.address(address);
        send(url.clone(), self.http.get(url)).await
    }

    /// Sends a form from a page of the same origin.
    pub(crate) async fn post(&self, address: &str, form: &Form) -> Page {
        self.try_post(address, form).await.unwrap()
    }

    pub(crate) async fn try_post(&self, address: &str, form: &Form) -> reqwest::Result<Page> {
        let url = self.address(address);
        let request = self.http.post(url.clone()).header("sec-fetch-site", "same-origin");
        send(url, request.form(form)).await
    }

    pub(crate) async fn log_in(&self, username: &str, organization: &str) {
        let callback = self.log_in_up_to_callback(username, organization).await;
        let landed = self.get(&callback).await;
        assert_eq!((landed.status, landed.location()), (303, "/home"), "{}", landed.html);
    }

    /// A login up to the address of the callback, which is not opened.
    pub(crate) async fn log_in_up_to_callback(&self, username: &str, organization: &str) -> String {
        let mut page = self.get(&format!("/auth/login?organization={organization}")).await;
        loop {
            if page.headers.contains_key(LOCATION) {
                let next = page.url.join(page.location()).unwrap();
                if next.path() == "/auth/callback" {
                    return next.into();
                }
                page = self.get(next.as_str()).await;
            } else {
                assert_eq!(page.url.path(), "/u/login", "{} {}", page.status, page.html);
                let mut form = page.hidden_inputs("/u/login");
                form.push(("username".to_owned(), username.to_owned()));
                form.push(("password".to_owned(), samples::PASSWORD.to_owned()));
                page = self.post(page.url.as_str(), &form).await;
            }
        }
    }

    /// The form for a new record, with this title typed in.
    pub(crate) async fn record_form(&self, title: &str) -> Form {
        let page = self.get("/records/new").await;
        assert_eq!(page.status, 200, "{}", page.html);
        page.record_form(title)
    }

    fn address(&self, address: &str) -> Url {
        let mut url = self.app.join(address).unwrap();
        if let Some((from, to)) = self.detour
            && url.port() == Some(from)
        {
            url.set_port(Some(to)).unwrap();
        }
        url
    }
}

async fn send(url: Url, request: RequestBuilder) -> reqwest::Result<Page> {
    let started = Instant::now();
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let html = answer.text().await?;
    Ok(Page { status, headers, html, took: started.elapsed(), url })
}

impl Page {
    /// Where the answer leads.
    pub(crate) fn location(&self) -> &str {
        let location = self.headers.get(LOCATION);
        location.unwrap_or_else(|| panic!("no redirect: {self:?}")).to_str().unwrap()
    }

    /// The form for a new record that this page is, with this title typed in.
    pub(crate) fn record_form(&self, title: &str) -> Form {
        let mut form = self.hidden_inputs("/records");
        form.push(("title".to_owned(), title.to_owned()));
        form.push(("category".to_owned(), "Asset".to_owned()));
        form
    }

    /// The reference that a person reads on an error page.
    pub(crate) fn reference(&self) -> &str {
        let reference = self.html.split_once(r#"Reference <code class="copyable">"#);
        let reference = reference.unwrap_or_else(|| panic!("no reference: {self:?}")).1;
        reference.split('<').next().unwrap()
    }

    /// Asserts that this tells a person plainly of a fault, with a reference for the log.
    pub(crate) fn assert_tells_of_a_fault(&self) {
        let reference = self.reference();
        assert!(reference.len() == 32 && reference.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(self.html.contains("ry again"), "it does not say what to do: {}", self.html);
        for internal in ["dispatch", "SdkError", "Unavailable", "tonic", "localhost:"] {
            assert!(!self.html.contains(internal), "{internal} in {}", self.html);
        }
    }

    /// All hidden inputs of the form that leads to `action`, on a page of either side.
    pub(crate) fn hidden_inputs(&self, action: &str) -> Form {
        let forms = self.html.split("<form").skip(1);
        let form = forms.filter_map(|form| form.split("</form>").next()).find(|form| {
            let tag = form.split('>').next().unwrap_or_default();
            tag.contains(&format!(r#"action="{action}"#))
        });
        let form = form.unwrap_or_else(|| panic!("no form to {action} in {}", self.html));
        let inputs = form.split(r#"<input type="hidden" name=""#).skip(1);
        inputs
            .map(|input| {
                let (name, rest) = input.split_once(r#"" value=""#).unwrap();
                (unescape(name), unescape(rest.split('"').next().unwrap()))
            })
            .collect()
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
