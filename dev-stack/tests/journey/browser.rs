//! A headless Chromium for a test, driven over WebDriver.

use std::{env, io::Write as _, process::Stdio, time::Duration};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Browser {
    client: Client,
    _driver: Driver,
    _profile: TempDir,
}

/// ChromeDriver, and with it the browser that it starts: both end when this is dropped.
struct Driver {
    _child: Child,
    group: String,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-KILL", "--", &self.group]).status();
    }
}

impl Browser {
    /// A browser with a fresh profile, or `None`, with a printed reason, where none is installed.
    /// In CI there has to be one.
    pub(crate) async fn start() -> Option<Self> {
        let Some((driver, url)) = start_driver().await else {
            assert!(env::var_os("CI").is_none(), "CI needs chromium and chromedriver");
            // Not by println!, which the test harness keeps to itself when a test passes.
            let reason = b"SKIPPED: chromium or chromedriver is not installed\n";
            std::io::stderr().write_all(reason).unwrap();
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "goog:chromeOptions": {
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                    "--disable-dev-shm-usage", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update",
                    "--disable-sync", "--window-size=1280,900",
                    format!("--user-data-dir={}", profile.path().display()),
                ],
            },
        });
        let capabilities: Capabilities = serde_json::from_value(capabilities).unwrap();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&url).await.unwrap();
        Some(Self { client, _driver: driver, _profile: profile })
    }

    /// Names the organization on the Login page and goes on to the identity provider.
    pub(crate) async fn begin_login(&self, app: &str, organization: &str) {
        self.open(app, "/").await;
        self.type_into("organization", organization).await;
        self.click("main form button").await;
    }

    pub(crate) async fn log_in(&self, app: &str, organization: &str, username: &str) {
        self.begin_login(app, organization).await;
        self.type_into("username", username).await;
        self.type_into("password", "correct-horse").await;
        self.click("form button[type=submit]").await;
    }

    pub(crate) async fn open(&self, app: &str, path: &str) {
        self.client.goto(&format!("{app}{path}")).await.unwrap();
    }

    pub(crate) async fn back(&self) {
        self.client.back().await.unwrap();
    }

    pub(crate) async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// What can be read on the page.
    pub(crate) async fn text(&self) -> String {
        self.find("body").await.text().await.unwrap()
    }

    pub(crate) async fn count(&self, selector: &str) -> usize {
        self.client.find_all(Locator::Css(selector)).await.unwrap().len()
    }

    async fn find(&self, selector: &str) -> Element {
        let wait = self.client.wait().at_most(PATIENCE);
        wait.for_element(Locator::Css(selector)).await.unwrap()
    }

    /// Clicks what leads to another page, and waits until that has loaded.
    pub(crate) async fn click(&self, selector: &str) {
        self.leave_by(self.find(selector).await).await;
    }

    pub(crate) async fn click_link(&self, text: &str) {
        let link = self.client.find(Locator::LinkText(text)).await.unwrap();
        self.leave_by(link).await;
    }

    async fn leave_by(&self, element: Element) {
        let page = self.find("html").await;
        element.click().await.unwrap();
        self.wait_until_gone(page).await;
    }

    /// An element of a page goes stale once the next page is there.
    async fn wait_until_gone(&self, page: Element) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while page.tag_name().await.is_ok() {
            assert!(tokio::time::Instant::now() < deadline, "no other page came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.find("body").await;
    }

    /// Two clicks before the first can have an answer.
    pub(crate) async fn double_click(&self, selector: &str) {
        let page = self.find("html").await;
        let script = "const b = document.querySelector(arguments[0]); b.click(); b.click();";
        self.client.execute(script, vec![json!(selector)]).await.unwrap();
        self.wait_until_gone(page).await;
    }

    /// Replaces what an input holds. ChromeDriver types no character outside the basic
    /// multilingual plane, so the value is set and not typed.
    pub(crate) async fn type_into(&self, name: &str, text: &str) {
        self.find(&format!("[name='{name}']")).await;
        let script = "document.getElementsByName(arguments[0])[0].value = arguments[1];";
        self.client.execute(script, vec![json!(name), json!(text)]).await.unwrap();
    }

    pub(crate) async fn value_of(&self, name: &str) -> String {
        let element = self.find(&format!("[name='{name}']")).await;
        element.prop("value").await.unwrap().unwrap()
    }

    /// Picks an option of a select or of radio buttons.
    pub(crate) async fn choose(&self, name: &str, value: &str) {
        let option =
            format!("[name='{name}'][value='{value}'], [name='{name}'] option[value='{value}']");
        self.find(&option).await.click().await.unwrap();
    }
}

/// A started ChromeDriver and its address.
async fn start_driver() -> Option<(Driver, String)> {
    let mut child = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let driver = Driver { group: format!("-{}", child.id()?), _child: child };
    while let Some(line) = lines.next_line().await.ok()? {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            let url = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some((driver, url));
        }
    }
    None
}
