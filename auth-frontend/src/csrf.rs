//! Whether a form was sent by our own page in the same session: what the browser says about where
//! it comes from, and a token that only our pages of that session hold. It does not know what
//! forms do.

use aws_lc_rs::{constant_time, hmac};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use url::Url;

/// The hidden input that carries the token.
pub(crate) const TOKEN_INPUT: &str = "csrf_token";

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the request comes from a page of this origin.
///
/// | `Sec-Fetch-Site` | `Origin` | ours |
/// |---|---|---|
/// | `same-origin` | ours, absent or `null` | yes |
/// | `none` or absent | ours | yes |
/// | anything else | anything | no |
///
/// `Origin: null` beside `same-origin` is what browsers send for a form of a page with
/// `Referrer-Policy: no-referrer`, as all of ours are (Fetch §3.1.4). `none`, a request that the
/// person made without any page, never begins a POST by itself, so it does not suffice alone.
/// Browsers from before 2023 have no `Sec-Fetch-Site` and send that `null`, which a sandboxed frame
/// of any site can send too; they are refused.
#[must_use]
pub(crate) fn is_same_origin(headers: &HeaderMap, origin: &str) -> bool {
    let mut sites = headers.get_all(&SEC_FETCH_SITE).iter();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let site = sites.next().map(HeaderValue::as_bytes);
    let from = origins.next().map(HeaderValue::as_bytes);
    if sites.next().is_some() || origins.next().is_some() {
        return false;
    }
    let is_ours = from == Some(origin.as_bytes());
    match site {
        Some(b"same-origin") => is_ours || matches!(from, None | Some(b"null")),
        Some(b"none") | None => is_ours,
        Some(_) => false,
    }
}

/// The origin of a URL, as browsers write it in `Origin`.
#[must_use]
pub(crate) fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The token of a session's forms: an HMAC-SHA256 under the session's own secret.
#[must_use]
pub(crate) fn token(secret: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(tag(secret))
}

/// Whether `sent` is the token of the session with this secret, in constant time.
#[must_use]
pub(crate) fn is_token(secret: &[u8], sent: Option<&str>) -> bool {
    let sent = sent.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).unwrap_or_default();
    constant_time::verify_slices_are_equal(tag(secret).as_ref(), &sent).is_ok()
}

fn tag(secret: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"org-records form token")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://records.example";

    fn request(site: Option<&str>, origin: Option<&str>) -> HeaderMap {
        let site = site.map(|value| (SEC_FETCH_SITE.clone(), value.parse().unwrap()));
        let origin = origin.map(|value| (header::ORIGIN, value.parse().unwrap()));
        site.into_iter().chain(origin).collect()
    }

    #[test]
    fn only_a_page_of_this_origin_sends_forms() {
        let sites = [
            None,
            Some("same-origin"),
            Some("same-site"),
            Some("cross-site"),
            Some("none"),
            Some("Same-Origin"),
            Some(""),
        ];
        let origins = [
            None,
            Some(OURS),
            Some("null"),
            Some("http://records.example"),
            Some("https://records.example:444"),
            Some("https://records.example.evil.example"),
            Some("https://evil.example"),
            Some(""),
        ];
        for site in sites {
            for origin in origins {
                let allowed = matches!(
                    (site, origin),
                    (Some("same-origin"), None | Some(OURS | "null"))
                        | (Some("none") | None, Some(OURS))
                );
                let found = is_same_origin(&request(site, origin), OURS);
                assert_eq!(found, allowed, "{site:?} {origin:?}");
            }
        }
    }

    #[test]
    fn a_doubled_header_is_refused() {
        for name in [SEC_FETCH_SITE.clone(), header::ORIGIN] {
            let mut headers = request(Some("same-origin"), Some(OURS));
            let again = headers[&name].clone();
            headers.append(name, again);
            assert!(!is_same_origin(&headers, OURS));
        }
    }

    #[test]
    fn a_token_is_good_in_its_own_session_only() {
        let good = token(b"one");

        assert!(is_token(b"one", Some(&good)));
        assert!(!is_token(b"two", Some(&good)));
        for bad in [None, Some(""), Some("x"), Some(&good[1..]), Some(&format!("{good}A"))] {
            assert!(!is_token(b"one", bad), "{bad:?}");
        }
    }

    #[test]
    fn an_origin_has_its_port_only_where_it_is_not_the_usual_one() {
        let cases = [
            ("https://records.example/", "https://records.example"),
            ("https://records.example:443/", "https://records.example"),
            ("http://localhost:3000", "http://localhost:3000"),
        ];
        for (url, origin) in cases {
            assert_eq!(origin_of(&Url::parse(url).unwrap()), origin);
        }
    }
}
