//! The ops port, asked over HTTP as probes and scrapers do.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use service_kit::{
    http, metrics,
    ops::{OpsPort, Readiness},
    refreshed::{FetchMetrics, Refreshed},
    shutdown::CancellationToken,
};

/// The samples of one scrape, by name and labels as they are written.
async fn scrape(address: SocketAddr) -> BTreeMap<String, String> {
    let response =
        http::client().unwrap().get(format!("http://{address}/metrics")).send().await.unwrap();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = response.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn every_process_tells_what_it_is_and_how_it_fares() {
    let mut registry = metrics::registry("test");
    let durations = metrics::durations();
    registry.register("a_duration_seconds", "For the test", durations.clone());
    let fetches = FetchMetrics::register(&mut registry);
    let readiness = Readiness::default();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let ops = OpsPort::bind(any, readiness.clone(), registry).unwrap();
    let address = ops.address().unwrap();
    tokio::spawn(ops.run(CancellationToken::new()));
    let document = Refreshed::new("jwks", fetches, async || Some(()));

    let before = scrape(address).await;
    readiness.set(true);
    durations.observe(0.003);
    document.get().await.unwrap();
    let after = scrape(address).await;

    let version = env!("CARGO_PKG_VERSION");
    let revision = option_env!("REVISION").unwrap_or("unknown");
    let build = format!(
        r#"org_records_build_info{{process="test",version="{version}",revision="{revision}"}}"#
    );
    let ready = "org_records_ready";
    let [short, long] =
        ["0.0025", "0.005"].map(|le| format!("a_duration_seconds_bucket{{le=\"{le}\"}}"));
    let [succeeded, failed] = ["ok", "failed"].map(|outcome| {
        format!("provider_fetches_total{{document=\"jwks\",outcome=\"{outcome}\"}}")
    });
    let age = r#"provider_document_age_seconds{document="jwks"}"#;
    assert_eq!(before.get(&build).map(String::as_str), Some("1"), "{before:#?}");
    assert_eq!((&*before[ready], &*after[ready]), ("0", "1"));
    assert_eq!((&*after[&short], &*after[&long]), ("0", "1"));
    assert_eq!((&*before[&succeeded], &*after[&succeeded], &*after[&failed]), ("0", "1", "0"));
    assert!(!before.contains_key(age) && after.contains_key(age));

    let number = |name| after[name].parse::<f64>().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let started = Duration::from_secs_f64(number("process_start_time_seconds"));
    assert!(now.abs_diff(started) < Duration::from_hours(1), "started at {started:?}");
    assert!(number("process_resident_memory_bytes") > 1e6);
    assert!(number("process_cpu_seconds_total") >= 0.0);
    assert!((3.0..number("process_max_fds")).contains(&number("process_open_fds")));
}

#[tokio::test]
async fn a_flood_of_connections_that_say_nothing_does_not_keep_probes_from_their_answer() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let ops = OpsPort::bind(any, Readiness::default(), metrics::registry("test")).unwrap();
    let address = ops.address().unwrap();
    let stopped = CancellationToken::new();
    let run = tokio::spawn(ops.run(stopped.clone()));

    let mut mute = Vec::new();
    for _ in 0..200 {
        mute.push(TcpStream::connect(address).await.unwrap());
    }

    assert!(!scrape(address).await.is_empty());
    // The first made room for the others, and the last has its time and no more.
    for connection in [&mut mute.remove(0), &mut mute.pop().unwrap()] {
        let read = timeout(Duration::from_secs(30), connection.read(&mut [0; 1])).await;
        assert!(!matches!(read.unwrap(), Ok(1..)));
    }
    stopped.cancel();
    run.await.unwrap();
}
