//! The replicas of records-service: which there are, and which of them to ask next.
//! It does not know what they are asked.
//!
//! tonic's own balancer neither avoids a replica that fails nor lets a second attempt go elsewhere,
//! so each replica has a channel of its own, and the choice among them is ours.

use std::{
    fmt, io,
    mem::replace,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use service_kit::telemetry::Chain;
use tokio::{
    net::lookup_host,
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tonic::transport::{ClientTlsConfig, Endpoint};
use url::Url;

use super::{
    credentials::{Credentials, CredentialsError},
    replica::{Asked, Replica, Standing},
};
use crate::config::RecordsTls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that does not answer a ping is given up, so that the next call makes another.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// How often addresses are looked up. The DNS of a cluster says the same for up to 30 seconds.
const LOOK_UP_EVERY: Duration = Duration::from_secs(3);
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why records-service cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A URL cannot be used, or the certificates cannot be used for it.
    #[error("RECORDS_SERVICE_URL, or RECORDS_SERVICE_CLIENT_CERT with its key: cannot be used")]
    Endpoint(#[from] tonic::transport::Error),
    /// A file cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// A host name, each of whose addresses is a replica.
struct Source {
    url: Url,
    /// As a lookup takes it.
    host: String,
    port: u16,
    tls: Option<ClientTlsConfig>,
}

impl Source {
    fn new(url: &Url, tls: &ClientTlsConfig) -> Result<Self, ClientError> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        let mut source = Self { url: url.clone(), host, port, tls: None };
        source.take(tls)?;
        Ok(source)
    }

    /// From now on uses this, if it can be used.
    fn take(&mut self, tls: &ClientTlsConfig) -> Result<(), tonic::transport::Error> {
        let tls = (self.url.scheme() == "https").then(|| tls.clone().domain_name(&self.host));
        let before = replace(&mut self.tls, tls);
        // What is wrong with any address is wrong with the URL or with the certificates, and better
        // found before there are calls.
        if let Err(error) = self.endpoint((Ipv4Addr::LOCALHOST, self.port).into()) {
            self.tls = before;
            return Err(error);
        }
        Ok(())
    }

    /// Uses this for all connections that are made from now on, if it can be used. Calls under way
    /// stay where they are.
    fn renew_tls(
        &mut self,
        tls: &ClientTlsConfig,
        known: &[Arc<Replica>],
    ) -> Result<(), tonic::transport::Error> {
        self.take(tls)?;
        for replica in known.iter().filter(|_| self.tls.is_some()) {
            replica.connect_by(self.endpoint(replica.address())?);
        }
        Ok(())
    }

    /// All addresses of one family: the two of one process would count as two replicas.
    async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let found = timeout(LOOK_UP_TIMEOUT, lookup_host((self.host.as_str(), self.port)));
        let mut found: Vec<_> = found.await??.collect();
        if found.iter().any(SocketAddr::is_ipv4) {
            found.retain(SocketAddr::is_ipv4);
        }
        Ok(found)
    }

    /// Makes `known` the replicas at these addresses, keeping those that stay. Answers whether that
    /// changed anything.
    fn renew(&self, known: &mut Vec<Arc<Replica>>, addresses: &[SocketAddr]) -> bool {
        let before = known.len();
        known.retain(|replica| addresses.contains(&replica.address()));
        let kept = known.len();
        for address in addresses {
            if !known.iter().any(|replica| replica.address() == *address)
                && let Ok(endpoint) = self.endpoint(*address)
            {
                known.push(Arc::new(Replica::new(*address, endpoint)));
            }
        }
        kept != before || known.len() != kept
    }

    /// The way to one address, by the name of the host.
    fn endpoint(&self, address: SocketAddr) -> Result<Endpoint, tonic::transport::Error> {
        let origin = Endpoint::from_shared(self.url.to_string())?.uri().clone();
        let endpoint = Endpoint::from_shared(format!("{}://{address}", self.url.scheme()))?
            .origin(origin)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone()),
            None => Ok(endpoint),
        }
    }
}

/// The replicas of each source.
type Known = Vec<Vec<Arc<Replica>>>;

/// All replicas, kept up to date by a task of its own.
#[derive(Clone)]
pub(super) struct Replicas {
    /// `None` until the first lookup has ended.
    known: watch::Receiver<Option<Known>>,
    turn: Arc<AtomicUsize>,
}

impl Replicas {
    /// Those at `urls`, looked up from now on, as are the files.
    ///
    /// # Errors
    /// When a URL cannot be used, or the certificates cannot be loaded.
    pub(super) fn of(urls: &[Url], tls: &RecordsTls) -> Result<Self, ClientError> {
        let mut credentials = Credentials::new(tls);
        let tls = credentials.look().expect("the first look shows something")?;
        let sources = urls.iter().map(|url| Source::new(url, &tls));
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let (announce, known) = watch::channel(None);
        tokio::spawn(keep_up(sources, credentials, announce));
        Ok(Self { known, turn: Arc::default() })
    }

    /// The one to ask next: of those that can be reached the least busy, preferably none of
    /// `tried` and none that is full or failing; if none can be reached, the one that has been left
    /// alone for longest. For the last attempt it is the one that failed the fewest times in a row: a
    /// healthy one whose connection has just come to its end is better than any that is dead. `None`
    /// where none is known.
    pub(super) async fn choose(&self, tried: &[SocketAddr], is_last: bool) -> Option<Asked> {
        let mut known = self.known.clone();
        let known = known.wait_for(Option::is_some).await.ok()?;
        let all: Vec<_> = known.iter().flatten().flatten().collect();
        // Equals take turns.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % all.len().max(1);
        let (before, from) = all.split_at(turn);
        let now = Instant::now();
        let chosen = from.iter().chain(before).min_by_key(|replica| {
            let ejected_since = replica.ejected_since(now);
            let is_tried = tried.contains(&replica.address());
            let badness =
                if is_last { replica.failures() } else { u32::from(ejected_since.is_some()) };
            (badness, is_tried, ejected_since, replica.standing(now), replica.in_flight())
        });
        chosen.map(|replica| replica.ask())
    }

    /// Whether there is one besides `tried` that nothing speaks against.
    pub(super) fn have_room(&self, tried: &[SocketAddr]) -> bool {
        let now = Instant::now();
        self.known.borrow().iter().flatten().flatten().any(|replica| {
            !tried.contains(&replica.address())
                && replica.ejected_since(now).is_none()
                && replica.standing(now) == Standing::Free
        })
    }

    /// Whether there is more than one.
    pub(super) fn are_several(&self) -> bool {
        self.known.borrow().iter().flatten().flatten().nth(1).is_some()
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").finish_non_exhaustive()
    }
}

/// `records_replicas`
impl Collector for Replicas {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let now = Instant::now();
        let known = self.known.borrow();
        let (ejected, available): (Vec<_>, Vec<_>) = known
            .iter()
            .flatten()
            .flatten()
            .partition(|replica| replica.ejected_since(now).is_some());
        let help = "Replicas of records-service; an ejected one could not be reached lately";
        let mut family =
            encoder.encode_descriptor("records_replicas", help, None, MetricType::Gauge)?;
        for (state, replicas) in [("available", available), ("ejected", ejected)] {
            let count = ConstGauge::new(i64::try_from(replicas.len()).unwrap_or(i64::MAX));
            count.encode(family.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }
}

/// Looks up addresses and certificates for as long as somebody wants to know.
async fn keep_up(
    mut sources: Vec<Source>,
    mut credentials: Credentials,
    announce: watch::Sender<Option<Known>>,
) {
    let mut known: Known = vec![Vec::new(); sources.len()];
    let mut failed = vec![false; sources.len()];
    loop {
        let found = join_all(sources.iter().map(Source::look_up)).await;
        let mut changed = announce.borrow().is_none();
        for (i, found) in found.into_iter().enumerate() {
            let source = &sources[i];
            let lost = found.is_err();
            match found {
                Ok(addresses) => changed |= source.renew(&mut known[i], &addresses),
                Err(error) if !failed[i] => {
                    // What was known of it stays.
                    tracing::warn!(host = source.host, %error, "cannot look up records-service");
                }
                Err(_) => {}
            }
            failed[i] = lost;
        }
        if changed {
            let replicas = known.iter().flatten().count();
            tracing::info!(replicas, "looked up records-service");
            announce.send_replace(Some(known.clone()));
        }
        tokio::select! {
            () = announce.closed() => return,
            () = sleep(LOOK_UP_EVERY) => {}
        }
        match credentials.look().map(|tls| renew_tls(&mut sources, &tls?, &known)) {
            None => {}
            Some(Ok(())) => tracing::info!("records-service is called with the new certificates"),
            Some(Err(error)) => {
                let error = Chain(&error);
                tracing::warn!(%error, "cannot use the new certificates: the old ones stay");
            }
        }
    }
}

fn renew_tls(
    sources: &mut [Source],
    tls: &ClientTlsConfig,
    known: &[Vec<Arc<Replica>>],
) -> Result<(), ClientError> {
    for (source, known) in sources.iter_mut().zip(known) {
        source.renew_tls(tls, known)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str) -> Source {
        Source::new(&Url::parse(url).unwrap(), &ClientTlsConfig::new()).unwrap()
    }

    fn addresses(last: &[u8]) -> Vec<SocketAddr> {
        last.iter().map(|last| SocketAddr::from(([127, 0, 0, *last], 50051))).collect()
    }

    #[tokio::test]
    async fn replicas_come_and_go_with_the_addresses_of_their_name() {
        let source = source("https://records-service:50051");
        let mut known = Vec::new();

        assert!(source.renew(&mut known, &addresses(&[1, 2])));
        let (first, second) = (Arc::clone(&known[0]), Arc::clone(&known[1]));
        assert!(!source.renew(&mut known, &addresses(&[2, 1])));
        assert!(source.renew(&mut known, &addresses(&[3, 2])));

        let is_known = |replica| known.iter().any(|known| Arc::ptr_eq(known, replica));
        assert!(is_known(&second), "with its connection, and what is known of it");
        assert!(!is_known(&first) && known.len() == 2);
    }

    #[tokio::test]
    async fn new_replicas_get_their_share_at_once() {
        let source = source("http://records-service");
        let mut known = Vec::new();
        source.renew(&mut known, &addresses(&[1]));
        let (announce, receiver) = watch::channel(Some(vec![known.clone()]));
        let replicas = Replicas { known: receiver, turn: Arc::default() };
        let mut under_way = Vec::new();
        for _ in 0..6 {
            under_way.push(replicas.choose(&[], false).await.unwrap());
        }

        source.renew(&mut known, &addresses(&[1, 2, 3]));
        announce.send_replace(Some(vec![known.clone()]));
        for _ in 0..12 {
            under_way.push(replicas.choose(&[], false).await.unwrap());
        }

        let in_flight: Vec<_> = known.iter().map(|replica| replica.in_flight()).collect();
        assert_eq!(in_flight, [6, 6, 6]);
    }

    #[tokio::test]
    async fn one_that_is_left_alone_is_tried_only_where_there_is_no_other() {
        // One is left alone for a quarter of a second or more. A machine may stall for that long.
        const UNDISTURBED: Duration = Duration::from_millis(200);

        loop {
            let began = Instant::now();
            let source = source("http://records-service");
            let mut known = Vec::new();
            source.renew(&mut known, &addresses(&[1, 2]));
            let (_announce, receiver) = watch::channel(Some(vec![known.clone()]));
            let replicas = Replicas { known: receiver, turn: Arc::default() };

            known[0].ask().not_reached(&"it is dead");
            let second = replicas.choose(&[], false).await.unwrap();
            let second_again = replicas.choose(&[second.address()], false).await.unwrap();
            second.not_reached(&"it is dead");
            let first = replicas.choose(&[], false).await.unwrap();
            let second_at_last = replicas.choose(&[first.address()], false).await.unwrap();

            if began.elapsed() > UNDISTURBED {
                continue;
            }
            let [one, two] = [known[0].address(), known[1].address()];
            assert_eq!(second.address(), two);
            assert_eq!(second_again.address(), two);
            assert_eq!(first.address(), one, "it has been left alone for longest");
            assert_eq!(second_at_last.address(), two);
            return;
        }
    }

    #[tokio::test]
    async fn a_host_is_a_name_or_an_address_of_one_family() {
        let of = async |url| source(url).look_up().await.unwrap();

        assert_eq!(of("http://localhost:1").await, [SocketAddr::from(([127, 0, 0, 1], 1))]);
        assert_eq!(of("http://127.0.0.2").await, [SocketAddr::from(([127, 0, 0, 2], 80))]);
        assert_eq!(of("https://[::1]").await, ["[::1]:443".parse().unwrap()]);
    }
}
