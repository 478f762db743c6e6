//! The gRPC port with TLS: who gets in, who does not, and certificates that change under it. Real
//! sockets, and certificates made for each test.

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use dev_stack::{Authority, Certified};
use records_proto::v1::{self as pb, records_service_client::RecordsServiceClient};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use service_kit::telemetry::Chain;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Request,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::app::{Service, TestApp};

const NAME: &str = "records-service";
const CONNECTIONS: &str = "grpc_server_connections";
const REFUSED: &str = "grpc_server_connections_refused_total";
const PATIENCE: Duration = Duration::from_secs(30);

/// `serve` with TLS, beside the one of the app.
struct Guarded {
    app: TestApp,
    serve: Service,
    folder: TempDir,
}

impl Guarded {
    /// With this certificate, and where there is an authority for clients, only for its.
    async fn start(certified: &Certified, clients: Option<&Authority>) -> Self {
        let app = TestApp::start().await;
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(&app, certified, &folder);
        if let Some(clients) = clients {
            let path = folder.path().join("clients.crt");
            std::fs::write(&path, clients.certificate()).unwrap();
            command.env("GRPC_TLS_CLIENT_CA", path);
        }
        let serve = Service::start(&mut command);
        Self { app, serve, folder }
    }

    /// Makes a connection and a call on it; what is wrong with either is a text.
    async fn list(&self, tls: ClientTlsConfig) -> Result<(), String> {
        let channel = self.connect(tls).await?;
        self.list_on(channel).await
    }

    async fn connect(&self, tls: ClientTlsConfig) -> Result<Channel, String> {
        let endpoint = Endpoint::from_shared(format!("https://{}", self.serve.address)).unwrap();
        let endpoint = endpoint.tls_config(tls.domain_name(NAME)).unwrap();
        endpoint.connect().await.map_err(|error| Chain(&error).to_string())
    }

    async fn list_on(&self, channel: Channel) -> Result<(), String> {
        let token = self.app.auth0.user_token("acme-admin", "acme").unwrap();
        let mut request = Request::new(pb::ListRecordsRequest::default());
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let answer = RecordsServiceClient::new(channel).list_records(request).await;
        answer.map(drop).map_err(|status| Chain(&status).to_string())
    }

    /// Why the next connection is refused that the service says so of.
    fn next_refusal(&self) -> String {
        next_refusal(&self.serve)
    }
}

fn next_refusal(serve: &Service) -> String {
    loop {
        let line = serve.next_line();
        if line["message"] == "refused a connection" {
            assert_eq!(line["level"], "WARN", "{line}");
            assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
            return line["reason"].as_str().unwrap().to_owned();
        }
    }
}

/// `serve` with this certificate.
fn command(app: &TestApp, certified: &Certified, folder: &TempDir) -> Command {
    let (certificate, key) = certified.write(folder.path(), "server").unwrap();
    let mut command = app.command("serve");
    command
        .env("GRPC_PLAINTEXT", "false")
        .env("GRPC_TLS_CERT", certificate)
        .env("GRPC_TLS_KEY", key)
        .env("GRPC_TLS_RELOAD_SECONDS", "1");
    command
}

/// A client that trusts this authority alone.
fn trusting(authority: &Authority) -> ClientTlsConfig {
    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.certificate()))
}

fn showing(tls: ClientTlsConfig, certified: &Certified) -> ClientTlsConfig {
    tls.identity(Identity::from_pem(&certified.certificate, &certified.key))
}

/// A connection whose client offers these versions and trusts this authority.
async fn handshake(
    serve: &Service,
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    for certificate in service_kit::pem::certificates(authority.certificate().as_bytes()).unwrap() {
        roots.add(certificate).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(&serve.address).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// The answer to a client that speaks this version at most, with this suite alone, on P-256. Our own
/// library would not offer what is to be refused. Source: RFC 5246 §7.4.1.2.
async fn answer_to_hello(serve: &Service, version: [u8; 2], suite: [u8; 2]) -> [u8; 7] {
    let hello = [
        &[22, 3, 1, 0, 69, 1, 0, 0, 65][..],
        &version,
        &[0; 33],
        &[0, 2],
        &suite,
        &[1, 0, 0, 22],
        &[0, 10, 0, 4, 0, 2, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
    ];
    let mut stream = TcpStream::connect(&serve.address).await.unwrap();
    stream.write_all(&hello.concat()).await.unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_3_and_1_2_are_spoken_and_nothing_older_or_weaker() {
    const GCM: [u8; 2] = [0xc0, 0x2b];
    const CBC: [u8; 2] = [0xc0, 0x09];
    let ours = Authority::new("ours");
    let guarded = Guarded::start(&ours.issue(&[NAME]), None).await;
    let serve = &guarded.serve;

    for (offered, spoken) in [
        (&[&TLS12][..], ProtocolVersion::TLSv1_2),
        (&[&TLS13], ProtocolVersion::TLSv1_3),
        (&[&TLS12, &TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let connection = handshake(serve, &ours, offered).await;
        assert_eq!(connection.get_ref().1.protocol_version(), Some(spoken));
    }
    // Each connection is a task, which logs after its client has the alert: the next one comes once
    // that is read, or its line might be first.
    let good = answer_to_hello(serve, [3, 3], GCM).await;
    let tls_1_1 = answer_to_hello(serve, [3, 2], GCM).await;
    let why_not_tls_1_1 = guarded.next_refusal();
    let without_aead = answer_to_hello(serve, [3, 3], CBC).await;
    let why_not_without_aead = guarded.next_refusal();

    // A handshake goes on; alerts are fatal, "protocol version" and "handshake failure".
    assert_eq!(good[..3], [22, 3, 3]);
    assert_eq!((tls_1_1[0], &tls_1_1[5..]), (21, &[2, 70][..]));
    assert_eq!((without_aead[0], &without_aead[5..]), (21, &[2, 40][..]));
    assert!(why_not_tls_1_1.contains("Tls12NotOffered"), "{why_not_tls_1_1}");
    assert!(why_not_without_aead.contains("NoCipherSuitesInCommon"), "{why_not_without_aead}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_in_only_where_it_finds_the_server_that_it_trusts() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let good = Guarded::start(&ours.issue(&[NAME]), None).await;
    let expired = Guarded::start(&ours.issue_expired(&[NAME]), None).await;
    let misnamed = Guarded::start(&ours.issue(&["sessions-service"]), None).await;

    good.list(trusting(&ours)).await.unwrap();
    let of_another = good.list(trusting(&other)).await.unwrap_err();
    let of_the_past = expired.list(trusting(&ours)).await.unwrap_err();
    let of_another_name = misnamed.list(trusting(&ours)).await.unwrap_err();

    assert!(of_another.contains("UnknownIssuer"), "{of_another}");
    assert!(of_the_past.contains("expired"), "{of_the_past}");
    assert!(of_another_name.contains("not valid for name"), "{of_another_name}");
    assert!(good.next_refusal().contains("received fatal alert"));
    assert!(expired.next_refusal().contains("received fatal alert"));
    assert!(misnamed.next_refusal().contains("received fatal alert"));
    assert_eq!(good.serve.metric(REFUSED).await, Some(1.0));
    good.list(trusting(&ours)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_authority_for_clients_only_its_own_get_in() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let guarded = Guarded::start(&ours.issue(&[NAME]), Some(&ours)).await;
    let trusting = || trusting(&ours);

    for (tls, reason) in [
        (trusting(), "sent no certificates"),
        (showing(trusting(), &other.issue(&["auth-frontend"])), "UnknownIssuer"),
        (showing(trusting(), &ours.issue_expired(&["auth-frontend"])), "expired"),
    ] {
        guarded.list(tls).await.unwrap_err();
        // The client may have come twice.
        while !guarded.next_refusal().contains(reason) {}
    }
    guarded.list(showing(trusting(), &ours.issue(&["auth-frontend"]))).await.unwrap();

    assert!(guarded.serve.metric(REFUSED).await.unwrap() >= 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_plain_text_do_not_mix_and_the_log_says_which_is_which() {
    let ours = Authority::new("ours");
    let guarded = Guarded::start(&ours.issue(&[NAME]), None).await;
    let plaintext = &guarded.app.serve;

    let url = format!("http://{}", guarded.serve.address);
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    guarded.list_on(channel).await.unwrap_err();
    let url = format!("https://{}", plaintext.address);
    let endpoint = Endpoint::from_shared(url).unwrap();
    let endpoint = endpoint.tls_config(trusting(&ours).domain_name(NAME)).unwrap();
    endpoint.connect().await.unwrap_err();

    assert_eq!(guarded.next_refusal(), "it does not speak TLS");
    assert_eq!(next_refusal(plaintext), "it speaks TLS, and GRPC_PLAINTEXT is configured");
    assert_eq!(plaintext.metric(REFUSED).await, Some(1.0));
    guarded.list(trusting(&ours)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_before_or_after_the_handshake_leaves_their_place_to_others() {
    let ours = Authority::new("ours");
    let guarded = Guarded::start(&ours.issue(&[NAME]), None).await;
    let serve = &guarded.serve;

    let _silent = TcpStream::connect(&serve.address).await.unwrap();
    let mut half = TcpStream::connect(&serve.address).await.unwrap();
    // The head of a handshake that is to have 512 bytes.
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mut mute = handshake(serve, &ours, &[&TLS13, &TLS12]).await;
    assert_eq!(mute.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    serve.wait_for(CONNECTIONS, 3.0).await;

    serve.wait_for(CONNECTIONS, 0.0).await;

    assert_eq!(mute.read(&mut [0; 1]).await.unwrap_or(0), 0);
    // Silence is nothing to write about.
    assert_eq!(serve.metric(REFUSED).await, Some(0.0));
    guarded.list(trusting(&ours)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_taken_from_their_files_and_cost_nobody_a_connection() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let guarded = Guarded::start(&old.issue(&[NAME]), None).await;
    let folder = guarded.folder.path();
    let before = guarded.connect(trusting(&old)).await.unwrap();
    guarded.list_on(before.clone()).await.unwrap();

    // Half of a change, and then a change to nonsense.
    let next = new.issue(&[NAME]);
    replace(&folder.join("server.key"), &next.key);
    warned(&guarded.serve, "cannot be used together");
    replace(&folder.join("server.crt"), "nonsense");
    warned(&guarded.serve, "GRPC_TLS_CERT: there is no certificate in it");
    guarded.list(trusting(&old)).await.unwrap();
    next.write(folder, "server").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while guarded.list(trusting(&new)).await.is_err() {
        assert!(Instant::now() < deadline, "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // It could not come again: it does not trust the new authority.
    guarded.list_on(before).await.unwrap();
    guarded.list(trusting(&old)).await.unwrap_err();
}

/// Changes a file at once: one that is written over is empty for a moment, and the service may look at
/// it then.
fn replace(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, content).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// Waits for the line that says why new certificates cannot be used.
fn warned(serve: &Service, why: &str) {
    loop {
        let line = serve.next_line();
        if line["message"] == "cannot use the new certificates: the old ones stay" {
            assert!(line["error"].as_str().unwrap().contains(why), "{line}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_starts_in_plain_text_by_mistake_or_with_a_key_that_is_not_its_own() {
    let app = TestApp::start().await;
    let (folder, ours) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
    let certified = ours.issue(&[NAME]);
    let printed = |command: &mut Command, code| {
        let output = command.output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(output.status.code(), Some(code), "{printed}");
        assert!(!printed.contains("listening"), "{printed}");
        printed
    };

    let nothing = printed(app.command("serve").env("GRPC_PLAINTEXT", ""), 2);
    let both = printed(command(&app, &certified, &folder).env("GRPC_PLAINTEXT", "true"), 2);
    let without_key = printed(command(&app, &certified, &folder).env("GRPC_TLS_KEY", ""), 2);
    let mut with_another_key = command(&app, &certified, &folder);
    let (_, key) = ours.issue(&[NAME]).write(folder.path(), "other").unwrap();
    with_another_key.env("GRPC_TLS_KEY", key);
    let with_another_key = printed(&mut with_another_key, 1);

    assert!(nothing.contains("GRPC_TLS_CERT: is not set: set it and GRPC_TLS_KEY"), "{nothing}");
    assert!(nothing.contains("or GRPC_PLAINTEXT=true"), "{nothing}");
    assert!(both.contains("GRPC_PLAINTEXT: is true, and"), "{both}");
    assert!(without_key.contains("GRPC_TLS_KEY: is not set"), "{without_key}");
    assert!(
        with_another_key.contains("GRPC_TLS_CERT and GRPC_TLS_KEY cannot be used together"),
        "{with_another_key}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_looks_at_the_certificates() {
    let app = TestApp::start().await;
    let (folder, ours) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
    let (_, other_key) = ours.issue(&[NAME]).write(folder.path(), "other").unwrap();
    let served = command(&app, &ours.issue(&[NAME]), &folder);
    let variables: Vec<_> =
        served.get_envs().filter_map(|(name, value)| Some((name, value?))).collect();
    let finding = |command: &mut Command| {
        let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let line = printed.lines().find(|line| line.starts_with("certificates"));
        line.unwrap_or_else(|| panic!("{printed}")).to_owned()
    };

    let mut preflight = app.command("preflight");
    let good = finding(preflight.arg("serve").envs(variables));
    let bad = finding(preflight.env("GRPC_TLS_KEY", other_key));

    assert!(good.contains("  ok"), "{good}");
    assert!(bad.contains("wrong") && bad.contains("cannot be used together"), "{bad}");
}
