//! `/metrics` of every process is what `docs/metrics.md` says, and what is asked of it by alerts and
//! dashboard is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dev_stack::{Service, Stack, StackOptions, samples};
use promql_parser::{
    parser::{self, Expr},
    util::{ExprVisitor, walk_expr},
};
use serde_json::Value;

use crate::browser::Browser;

/// Far more than an event needs to the trail, or a sweep to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// What Prometheus adds to what it scrapes.
const TARGET_LABELS: [&str; 3] = ["instance", "job", "namespace"];
/// Series that Prometheus itself makes.
const OF_PROMETHEUS: [&str; 2] = ["ALERTS", "up"];

/// A name with labels, in a query or in an answer.
#[derive(Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
}

impl Series {
    /// Every series that a query, or one that an answer, speaks of.
    fn all_in(query: &str) -> Vec<Self> {
        struct Selectors(Vec<Series>);

        impl ExprVisitor for Selectors {
            type Error = Infallible;

            fn pre_visit(&mut self, part: &Expr) -> Result<bool, Infallible> {
                let selector = match part {
                    Expr::VectorSelector(selector) => selector,
                    Expr::MatrixSelector(range) => &range.vs,
                    _ => return Ok(true),
                };
                let name = selector.name.clone().expect("every selector names a metric");
                let matchers = selector.matchers.matchers.iter();
                let labels = matchers.map(|it| (it.name.clone(), it.value.clone())).collect();
                self.0.push(Series { name, labels });
                Ok(true)
            }
        }

        let parsed = parser::parse(query).unwrap_or_else(|error| panic!("{error} in {query}"));
        let mut found = Selectors(Vec::new());
        let Ok(_) = walk_expr(&mut found, &parsed);
        found.0
    }

    fn label_names(&self) -> BTreeSet<&str> {
        self.labels.keys().map(String::as_str).collect()
    }
}

/// The labels of each series, and where they are written down, the values that a label may have.
type Documented = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The words in backticks, and whether each is within brackets.
fn code_words(text: &str) -> Vec<(String, bool)> {
    let (mut words, mut depth) = (Vec::new(), 0);
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 1 {
            words.push((part.to_owned(), depth > 0));
        } else {
            depth += part.matches('(').count();
            depth -= part.matches(')').count();
        }
    }
    words
}

/// What `docs/metrics.md` says that a process shows.
fn documented(service: Service) -> Documented {
    let of_service = match service {
        Service::Records => {
            ["Every process", "`serve` and the frontend", "`serve` and `audit`", "`serve`"]
        }
        Service::Audit => ["Every process", "`serve` and `audit`", "`audit`", ""],
        Service::Frontend => ["Every process", "`serve` and the frontend", "The frontend", ""],
    };
    let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut documented = Documented::new();
    for section in text.split("\n## ").skip(1) {
        let (title, section) = section.split_once('\n').unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        for row in rows.filter(|_| of_service.contains(&title)) {
            let cells: Vec<_> = row.split('|').collect();
            let mut labels = BTreeMap::<String, Vec<String>>::new();
            let mut last = String::new();
            for (word, is_value) in code_words(cells[2]) {
                if is_value {
                    labels.get_mut(&last).unwrap().push(word);
                } else {
                    labels.insert(word.clone(), Vec::new());
                    last = word;
                }
            }
            for (name, _) in code_words(cells[1]) {
                if cells[1].contains("(histogram)") {
                    let mut bucket = labels.clone();
                    bucket.insert("le".to_owned(), Vec::new());
                    documented.insert(format!("{name}_bucket"), bucket);
                    documented.insert(format!("{name}_sum"), labels.clone());
                    documented.insert(format!("{name}_count"), labels.clone());
                } else {
                    documented.insert(name, labels.clone());
                }
            }
        }
    }
    documented
}

/// What a process shows.
async fn scrape(stack: &Stack, service: Service) -> Vec<(Series, f64)> {
    let url = format!("{}/metrics", stack.ops_url(service));
    let text = reqwest::get(url).await.unwrap().error_for_status().unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (Series::all_in(series).pop().unwrap(), value.parse().unwrap())
        })
        .collect()
}

/// Scrapes until the process shows this counter with more than nothing.
async fn scrape_until(stack: &Stack, service: Service, counter: &str) -> Vec<(Series, f64)> {
    let started = Instant::now();
    loop {
        let scraped = scrape(stack, service).await;
        if scraped.iter().any(|(series, value)| series.name == counter && *value > 0.0) {
            return scraped;
        }
        assert!(started.elapsed() < PATIENCE, "no {counter} in {scraped:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Somebody logs in after a failure, makes a record, looks at it and logs out. Answers with what no
/// label may say.
async fn use_everything(stack: &Stack) -> Vec<String> {
    let ada = Browser::new(stack.app_url());
    let callback = ada.log_in_up_to_callback("acme-admin", "acme").await;
    let failed = ada.get(&callback.replace("code=", "code=x")).await;
    assert!(failed.status >= 400, "{failed:?}");
    ada.log_in("acme-admin", "acme").await;
    let form = ada.record_form("A title to keep").await;
    let created = ada.post("/records", &form).await;
    let path = created.location().to_owned();
    assert_eq!(ada.get(&path).await.status, 200);
    let home = ada.get("/home").await;
    let logged_out = ada.post("/auth/logout", &home.hidden_inputs("/auth/logout")).await;
    assert_eq!(logged_out.status, 303, "{logged_out:?}");
    let forged = [("logout_token".to_owned(), "forged".to_owned())].into();
    let refused = ada.post("/auth/backchannel-logout", &forged).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let record_id = path.rsplit('/').next().unwrap().to_owned();
    let private = ["org_", samples::ACME, "acme", "Acme", "Ada", "A title to keep", "auth0|"];
    private.map(ToOwned::to_owned).into_iter().chain([record_id]).collect()
}

#[tokio::test]
async fn every_process_shows_what_is_documented_and_nothing_else() {
    let stack = Stack::start(StackOptions::for_test().unwrap()).await.unwrap();
    let private = use_everything(&stack).await;

    for (service, counter) in [
        (Service::Audit, "audit_events_total"),
        (Service::Records, "outbox_swept_timestamp_seconds"),
        (Service::Frontend, "sessions_ended_total"),
    ] {
        let scraped = scrape_until(&stack, service, counter).await;

        let documented = documented(service);
        let names = scraped.iter().map(|(series, _)| series.name.as_str()).collect::<BTreeSet<_>>();
        let expected = documented.keys().map(String::as_str).collect::<BTreeSet<_>>();
        let surplus: Vec<_> = names.difference(&expected).collect();
        let missing: Vec<_> = expected.difference(&names).collect();
        assert!(surplus.is_empty() && missing.is_empty(), "{service:?} {surplus:?} {missing:?}");
        for (series, _) in &scraped {
            let labels = &documented[&series.name];
            let expected = labels.keys().map(String::as_str).collect::<BTreeSet<_>>();
            assert_eq!(series.label_names(), expected, "{series:?}");
            for (label, value) in &series.labels {
                let known = &labels[label];
                assert!(known.is_empty() || known.contains(value), "{series:?}");
                assert!(!private.iter().any(|word| value.contains(word)), "{series:?}");
            }
        }
    }
}

/// Every text under one of these keys, wherever it is.
fn texts<'a>(part: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match part {
        Value::Object(entries) => {
            for (key, value) in entries {
                if let (true, Value::String(text)) = (keys.contains(&key.as_str()), value) {
                    found.push(text);
                }
                texts(value, keys, found);
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| texts(part, keys, found)),
        _ => {}
    }
}

fn monitoring() -> Vec<(PathBuf, Value)> {
    let folder = fs::read_dir(root().join("monitoring")).unwrap();
    let mut files = Vec::new();
    for path in folder.map(|file| file.unwrap().path()) {
        let text = fs::read_to_string(&path).unwrap();
        let content = match path.extension().and_then(|it| it.to_str()) {
            Some("yaml") => serde_saphyr::from_str(&text).unwrap(),
            Some("json") => serde_json::from_str(&text).unwrap(),
            _ => continue,
        };
        files.push((path, content));
    }
    files
}

/// A query of the dashboard with something in place of what Grafana puts in.
fn with_values(query: &str) -> String {
    let query = query.replace("$__rate_interval", "5m").replace("$__range", "6h");
    match query.strip_prefix("label_values(") {
        Some(inner) => inner.split(", ").next().unwrap().to_owned(),
        None => query,
    }
}

#[test]
fn alerts_and_dashboard_ask_only_for_what_is_there() {
    let known: Documented = Service::ALL.into_iter().flat_map(documented).collect();
    let files = monitoring();
    let mut recorded = Vec::new();
    for (_, content) in &files {
        texts(content, &["record"], &mut recorded);
    }

    let mut asked = BTreeSet::new();
    for (path, content) in &files {
        let mut queries = Vec::new();
        texts(content, &["expr", "series", "definition"], &mut queries);
        assert!(!queries.is_empty(), "{path:?} asks for nothing");
        for series in queries.iter().flat_map(|query| Series::all_in(&with_values(query))) {
            let name = series.name.as_str();
            if recorded.contains(&name) || OF_PROMETHEUS.contains(&name) {
                continue;
            }
            let labels = known.get(name).unwrap_or_else(|| panic!("{path:?} asks for {name}"));
            for label in series.label_names() {
                let is_known = labels.contains_key(label) || TARGET_LABELS.contains(&label);
                assert!(is_known, "{path:?} asks for {label:?} of {name}");
            }
            asked.insert(series.name);
        }
    }
    assert!(asked.len() > 20, "only {asked:?}");
}
