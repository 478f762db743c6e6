//! records-service behind TLS: pages where both sides know each other, a page that says so where they
//! do not, and certificates that change under both.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use dev_stack::{Authority, Service, Stack, StackOptions};
use tempfile::TempDir;

use crate::{
    app::{TestApp, eventually},
    browser::Browser,
};

const SERVER: &str = "localhost";
const CLIENT: &str = "auth-frontend";

/// A system whose two services speak TLS with each other, each with a certificate that the other asks
/// for.
struct Guarded {
    app: TestApp,
    folder: TempDir,
}

impl Guarded {
    async fn start(authority: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("authority.crt"), authority.certificate()).unwrap();
        write(folder.path(), authority);
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut options = StackOptions::for_test().unwrap();
        let url = format!("https://{SERVER}:{}", options.emulators.ports.grpc);
        let variables = [
            (Service::Records, "GRPC_PLAINTEXT", "false".to_owned()),
            (Service::Records, "GRPC_TLS_CERT", path("server.crt")),
            (Service::Records, "GRPC_TLS_KEY", path("server.key")),
            (Service::Records, "GRPC_TLS_CLIENT_CA", path("authority.crt")),
            (Service::Records, "GRPC_TLS_RELOAD_SECONDS", "1".to_owned()),
            (Service::Frontend, "RECORDS_SERVICE_PLAINTEXT", "false".to_owned()),
            (Service::Frontend, "RECORDS_SERVICE_URL", url),
            (Service::Frontend, "RECORDS_SERVICE_CA", path("authority.crt")),
            (Service::Frontend, "RECORDS_SERVICE_CLIENT_CERT", path("client.crt")),
            (Service::Frontend, "RECORDS_SERVICE_CLIENT_KEY", path("client.key")),
        ];
        let variables = variables.map(|(service, name, value)| (service, name.to_owned(), value));
        options.variables.extend(variables);
        Self { app: TestApp { stack: Stack::start(options).await.unwrap() }, folder }
    }

    /// The same with these variables, with which no records can be had; answers why, as the frontend
    /// has it in its log.
    async fn why_not(&self, browser: &mut Browser, variables: &[(&str, &str)]) -> String {
        let seen = self.app.log().len();
        self.app.stack.restart(Service::Frontend, variables).await.unwrap();
        let page = eventually("a page of the new process", async || {
            Some(browser.get("/records").await).filter(|page| page.status == 503)
        })
        .await;
        page.assert_shows("The records cannot be reached just now");
        page.assert_lacks("certificate");
        // What a process writes comes through a pipe, and the page may be here before it.
        let lines = eventually("the reference of the page in the log", async || {
            let lines = self.app.log().split_off(seen);
            lines.iter().any(|line| line.contains(&page.reference())).then_some(lines)
        })
        .await;
        let why = |line: &&String| line.contains("cannot reach a replica of records-service");
        lines.iter().find(why).unwrap_or_else(|| panic!("{lines:#?}")).clone()
    }

    async fn refusal(&self, reason: &str) {
        eventually(reason, async || {
            let lines = self.app.stack.logs(Service::Records);
            let is_it =
                |line: &String| line.contains("refused a connection") && line.contains(reason);
            lines.iter().any(is_it).then_some(())
        })
        .await;
    }
}

/// What both sides need: certificates of this authority, in place of what was there.
fn write(folder: &Path, authority: &Authority) {
    let (server, client) = (authority.issue(&[SERVER]), authority.issue(&[CLIENT]));
    server.write(folder, "server").unwrap();
    client.write(folder, "client").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_services_know_each_other_by_their_certificates_and_no_other() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let guarded = Guarded::start(&ours).await;
    let mut browser = guarded.app.logged_in("acme-admin", "acme").await;
    let list = browser.get("/records").await;
    assert_eq!(list.status, 200, "{}", list.html);
    let folder = guarded.folder.path();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let foreign = folder.join("foreign.crt");
    fs::write(&foreign, other.certificate()).unwrap();
    let foreign = text(&foreign);
    let (stranger, key) = other.issue(&[CLIENT]).write(folder, "stranger").unwrap();
    let (stranger, stranger_key) = (text(&stranger), text(&key));

    let unknown = guarded.why_not(&mut browser, &[("RECORDS_SERVICE_CA", &foreign)]).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");

    let ours = text(&folder.join("authority.crt"));
    let port = guarded.app.stack.grpc_url().rsplit_once(':').unwrap().1.to_owned();
    let address = format!("https://127.0.0.1:{port}");
    let variables = [("RECORDS_SERVICE_CA", ours.as_str()), ("RECORDS_SERVICE_URL", &address)];
    let misnamed = guarded.why_not(&mut browser, &variables).await;
    assert!(misnamed.contains("not valid for name"), "{misnamed}");

    let url = format!("https://{SERVER}:{port}");
    let variables = [
        ("RECORDS_SERVICE_URL", url.as_str()),
        ("RECORDS_SERVICE_CLIENT_CERT", &stranger),
        ("RECORDS_SERVICE_CLIENT_KEY", &stranger_key),
    ];
    guarded.why_not(&mut browser, &variables).await;
    guarded.refusal("UnknownIssuer").await;

    let nothing = [("RECORDS_SERVICE_CLIENT_CERT", ""), ("RECORDS_SERVICE_CLIENT_KEY", "")];
    guarded.why_not(&mut browser, &nothing).await;
    guarded.refusal("sent no certificates").await;

    let plaintext = format!("http://{SERVER}:{port}");
    let variables = [
        ("RECORDS_SERVICE_URL", plaintext.as_str()),
        ("RECORDS_SERVICE_PLAINTEXT", "true"),
        ("RECORDS_SERVICE_CA", ""),
    ];
    guarded.why_not(&mut browser, &variables).await;
    guarded.refusal("it does not speak TLS").await;

    let client = |name: &str| text(&folder.join(name));
    let variables = [
        ("RECORDS_SERVICE_URL", url.as_str()),
        ("RECORDS_SERVICE_PLAINTEXT", "false"),
        ("RECORDS_SERVICE_CA", &ours),
        ("RECORDS_SERVICE_CLIENT_CERT", &client("client.crt")),
        ("RECORDS_SERVICE_CLIENT_KEY", &client("client.key")),
    ];
    guarded.app.stack.restart(Service::Frontend, &variables).await.unwrap();
    let list = eventually("the records again", async || {
        Some(browser.get("/records").await).filter(|page| page.status == 200)
    })
    .await;
    list.assert_shows("Ada Admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_change_under_both_services_cost_nobody_a_page() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let guarded = Guarded::start(&old).await;
    let mut browser = guarded.app.logged_in("acme-admin", "acme").await;
    let folder = guarded.folder.path();
    let times = |service, text: &str| {
        guarded.app.stack.logs(service).iter().filter(|line| line.contains(text)).count()
    };
    let both_have_renewed = || {
        times(Service::Records, "new connections are served with the new certificates")
            .min(times(Service::Frontend, "records-service is called with the new certificates"))
    };
    let mut pages = Vec::new();

    // First each trusts both authorities, then each shows a certificate of the new one, and at last
    // nobody trusts the old one any more.
    let trust = |trusted: String| fs::write(folder.join("authority.crt"), trusted).unwrap();
    for step in 0..3 {
        match step {
            0 => trust(old.certificate() + &new.certificate()),
            1 => write(folder, &new),
            _ => trust(new.certificate()),
        }
        let began = Instant::now();
        while both_have_renewed() <= step {
            assert!(began.elapsed() < Duration::from_secs(30), "step {step}");
            pages.push(browser.get("/records").await.status);
        }
    }
    for _ in 0..20 {
        pages.push(browser.get("/records").await.status);
    }

    assert!(pages.len() > 30 && pages.iter().all(|status| *status == 200), "{pages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_speaks_tls_as_the_frontend_will() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let guarded = Guarded::start(&ours).await;
    let folder = guarded.folder.path();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    fs::write(folder.join("foreign.crt"), other.certificate()).unwrap();
    let port = guarded.app.stack.grpc_url().rsplit_once(':').unwrap().1.to_owned();
    let url = format!("https://{SERVER}:{port}/");
    let with = |authority: &str| {
        guarded.app.preflight(&[
            ("RECORDS_SERVICE_PLAINTEXT", "false"),
            ("RECORDS_SERVICE_URL", &url),
            ("RECORDS_SERVICE_CA", &path(authority)),
            ("RECORDS_SERVICE_CLIENT_CERT", &path("client.crt")),
            ("RECORDS_SERVICE_CLIENT_KEY", &path("client.key")),
        ])
    };

    let good = with("authority.crt");
    let bad = with("foreign.crt");

    let what = format!("records-service {url}");
    good.assert_states(&[(&what, "ok")]);
    bad.assert_states(&[(&what, "unreachable")]);
    bad.assert_shows("UnknownIssuer");
}
