//! From where a request comes, as far as addresses tell: the peer of its connection, or what our own
//! proxies say of theirs. It does not know what follows from it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What one client is taken to be: an IPv4 address, or the /64 of an IPv6 address. Whoever has one
/// address of a /64 has usually all of it (RFC 6177), and could come from another each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The client behind `proxies` proxies of ours, each of which adds to the right of
    /// `X-Forwarded-For` from where it was asked. What is further left anybody can have written. The
    /// peer counts where there is no proxy, and where the header does not have what it would have
    /// from them.
    #[must_use]
    pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, proxies: u8) -> Self {
        let told = usize::from(proxies).checked_sub(1).and_then(|nth| forwarded(headers, nth));
        Self::from(told.unwrap_or(peer))
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                Ipv6Addr::from_bits(network).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// The address that is the `nth` from the right, from 0 on, over all lines of the header.
fn forwarded(headers: &HeaderMap, nth: usize) -> Option<IpAddr> {
    let lines = headers.get_all(&X_FORWARDED_FOR).iter().rev();
    let mut addresses = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let address = str::from_utf8(addresses.nth(nth)?).ok()?.trim();
    // Some proxies write the port as well, and then IPv6 addresses in brackets.
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let with_port = address.parse::<SocketAddr>().map(|address| address.ip());
    bare.unwrap_or(address).parse().or(with_port).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "10.0.0.1";

    fn client(lines: &[&str], proxies: u8) -> ClientAddress {
        let headers: HeaderMap =
            lines.iter().map(|line| (X_FORWARDED_FOR.clone(), line.parse().unwrap())).collect();
        ClientAddress::of(PEER.parse().unwrap(), &headers, proxies)
    }

    fn at(address: &str) -> ClientAddress {
        ClientAddress::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn only_what_our_own_proxies_have_added_counts() {
        let cases: [(&[&str], u8, &str); 12] = [
            (&["192.0.2.1"], 0, PEER),
            (&[], 1, PEER),
            (&["192.0.2.1"], 1, "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], 1, "192.0.2.1"),
            (&["6.6.6.6,7.7.7.7,192.0.2.1,10.0.0.2"], 2, "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1"], 1, "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1", "10.0.0.2"], 2, "192.0.2.1"),
            (&["192.0.2.1"], 2, PEER),
            (&["192.0.2.1:4711"], 1, "192.0.2.1"),
            (&["[2001:db8::1]:4711"], 1, "2001:db8::1"),
            (&["[2001:db8::1]"], 1, "2001:db8::1"),
            (&["::ffff:192.0.2.1"], 1, "192.0.2.1"),
        ];
        for (lines, proxies, expected) in cases {
            assert_eq!(client(lines, proxies), at(expected), "{lines:?} {proxies}");
        }
    }

    #[test]
    fn what_is_no_address_is_the_peers() {
        for odd in ["", ",", "192.0.2.1,", "unknown", "192.0.2", "192.0.2.1 6.6.6.6", "localhost"] {
            assert_eq!(client(&[odd], 1), at(PEER), "{odd:?}");
        }
        let headers = HeaderMap::from_iter([(
            X_FORWARDED_FOR.clone(),
            axum::http::HeaderValue::from_bytes(b"192.0.2.\xb9").unwrap(),
        )]);
        assert_eq!(ClientAddress::of(PEER.parse().unwrap(), &headers, 1), at(PEER));
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_so_is_each_ipv4_address() {
        assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_changes_who_it_is(forged in "[ -~]{0,60}") {
            let honest = client(&["192.0.2.1"], 1);

            prop_assert_eq!(client(&[&format!("{forged}, 192.0.2.1")], 1), honest);
            prop_assert_eq!(client(&[&forged, "192.0.2.1"], 1), honest);
            prop_assert_eq!(client(&[&forged], 0), at(PEER));
        }
    }
}
