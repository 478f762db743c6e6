//! How often one address may log in, switch, or come back from the provider: often enough for an office
//! behind one address, too seldom to keep us or the provider busy. It does not know how a login goes.
//!
//! It is for each process by itself: with several replicas an address gets at most as many times as
//! much. Passwords are the provider's, and so is the protection against guessing them.

use std::{convert::Infallible, net::SocketAddr, num::NonZeroU32, sync::Arc};

use axum::{
    extract::{ConnectInfo, Query, Request, State},
    http::{HeaderMap, Method, Uri},
    middleware::Next,
    response::Response,
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use quick_cache::sync::Cache;
use serde::Deserialize;

use crate::{
    client_address::ClientAddress,
    csrf,
    error::{Error, whole_seconds},
    return_path::ReturnPath,
};

/// Of how many clients it is known how often they came, about 150 bytes each; who has not come for
/// the longest is forgotten first. Who has as many networks is not held back by a limit on each.
const CLIENTS: usize = 16 * 1024;

/// What is allowed, and who has come.
pub(crate) struct LoginLimit {
    quota: Quota,
    proxies: u8,
    origin: String,
    clients: Cache<ClientAddress, Arc<DefaultDirectRateLimiter>>,
    refused: Counter,
}

impl LoginLimit {
    /// `per_minute` requests of each client behind `proxies` proxies of ours, as many at once, for the
    /// pages of this origin.
    pub(crate) fn new(
        per_minute: NonZeroU32,
        proxies: u8,
        origin: String,
        registry: &mut Registry,
    ) -> Self {
        let refused = Counter::default();
        registry.register(
            "http_server_requests_limited",
            "Requests of a login answered 429 because too many came from one address",
            refused.clone(),
        );
        let quota = Quota::per_minute(per_minute);
        Self { quota, proxies, origin, clients: Cache::new(CLIENTS), refused }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// How many seconds to wait where there were too many.
    fn enter(&self, client: ClientAddress) -> Result<(), u32> {
        let quota = self.quota;
        let new = || Ok::<_, Infallible>(Arc::new(RateLimiter::direct(quota)));
        let Ok(bucket) = self.clients.get_or_insert_with(&client, new);
        bucket.check().map_err(|until| {
            self.refused.inc();
            whole_seconds(until.wait_time_from(bucket.clock().now()))
        })
    }
}

/// The middleware around the routes that nobody needs to be logged in for and that cost more than a
/// page.
pub(crate) async fn limit(
    State(limit): State<Arc<LoginLimit>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    refuse_other_sites(request.method(), request.headers(), &limit.origin)?;
    let client = ClientAddress::of(peer.ip(), request.headers(), limit.proxies);
    limit.enter(client).map_err(|seconds| Error::LoginsRateLimited {
        seconds,
        return_to: return_path(request.uri()).unwrap_or_else(ReturnPath::home),
    })?;
    Ok(next.run(request).await)
}

/// Refuses what a page of another site asks for without its reader having gone here: in a frame of it,
/// by a script, or ahead of time. Nobody logs in like that, and it would count against all who share
/// an address with them. A link, and the provider that sends somebody back, open a whole document.
/// Source: Fetch Metadata Request Headers §2, and `Sec-Purpose` in Fetch §3.
fn refuse_other_sites(method: &Method, headers: &HeaderMap, origin: &str) -> Result<(), Error> {
    if method == Method::POST {
        return csrf::is_same_origin(headers, origin)
            .then_some(())
            .ok_or(Error::ForeignForm("it was sent by another site"));
    }
    let is = |name, value: &str| headers.get(name).is_some_and(|header| header == value);
    let is_from_elsewhere = is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site");
    let is_opened = is("sec-fetch-dest", "document") && !headers.contains_key("sec-purpose");
    if is_from_elsewhere && !is_opened {
        return Err(Error::Invalid("a page of another site asks for a login in the background"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct LimitedQuery {
    return_to: Option<String>,
}

fn return_path(uri: &Uri) -> Option<ReturnPath> {
    let Query(query) = Query::<LimitedQuery>::try_from_uri(uri).ok()?;
    ReturnPath::parse(&query.return_to?)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn limit(per_minute: u32) -> LoginLimit {
        let mut registry = service_kit::metrics::registry("frontend");
        let per_minute = NonZeroU32::new(per_minute).unwrap();
        LoginLimit::new(per_minute, 0, String::new(), &mut registry)
    }

    fn client(number: u32) -> ClientAddress {
        IpAddr::from(number.to_be_bytes()).into()
    }

    #[test]
    fn who_comes_too_often_is_told_how_long_to_wait_and_nobody_else_is() {
        let limit = limit(2);

        let found: Vec<_> = (0..4).map(|_| limit.enter(client(1))).collect();

        assert_eq!(found, [Ok(()), Ok(()), Err(30), Err(30)]);
        assert_eq!(limit.enter(client(2)), Ok(()));
        assert_eq!(limit.refused.get(), 2);
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_memory_than_is_set_aside() {
        let limit = limit(1);

        for number in 0..200_000 {
            assert_eq!(limit.enter(client(number)), Ok(()));
        }

        assert!(limit.clients.len() <= CLIENTS, "{}", limit.clients.len());
    }
}
