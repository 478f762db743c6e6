//! Cookies: reads those of a request by their exact names and writes `Set-Cookie` values. It does
//! not know what is in them.

use axum::http::{HeaderMap, HeaderValue, header};

/// Whether cookies go over https only. Over plain http, which is for localhost, browsers take
/// neither `Secure` nor the `__Host-` prefix that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CookieSecurity {
    /// The public origin is https.
    pub https: bool,
}

impl CookieSecurity {
    /// The full name of a cookie. With the prefix, a browser takes it only from this very host,
    /// over https, for all paths: no subdomain can plant one (RFC 6265bis §4.1.3.2).
    #[must_use]
    pub(crate) fn name(self, name: &str) -> String {
        if self.https { format!("__Host-{name}") } else { name.to_owned() }
    }

    /// A `Set-Cookie` value for a cookie that scripts cannot read and that other sites' forms do
    /// not send along. Without `max_age`, in seconds, it goes when the browser is closed.
    ///
    /// # Panics
    /// When name or value hold what a header cannot; both are ours and plain ASCII.
    #[must_use]
    pub(crate) fn set(self, name: &str, value: &str, max_age: Option<u32>) -> HeaderValue {
        let name = self.name(name);
        let secure = if self.https { "; Secure" } else { "" };
        let age = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
        HeaderValue::from_str(&cookie).expect("our cookies are plain ASCII")
    }

    /// A `Set-Cookie` value that makes the browser forget a cookie.
    #[must_use]
    pub(crate) fn clear(self, name: &str) -> HeaderValue {
        self.set(name, "", Some(0))
    }
}

const PREFIXED_LIMIT: usize = 32;

/// The value of the one cookie with exactly this raw name, or `None` where there is none, several,
/// or one with characters that a cookie cannot have. Names are compared byte by byte: a parser
/// that percent-decodes them takes `%5f%5fHost-session`, which any subdomain can set, for the
/// real one.
#[must_use]
pub(crate) fn get<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = pairs(headers).filter(|(found, _)| *found == name.as_bytes());
    let (_, value) = values.next()?;
    if values.next().is_some() {
        return None;
    }
    as_text(value)
}

/// The first cookies whose raw names begin with `prefix`: the rest of the name, and the value.
/// Names that come twice among them are left out, as in [`get`]. There are at most 32, far more
/// than we ever set: whoever sends thousands must not be answered by as much work.
#[must_use]
pub(crate) fn with_prefix<'h>(headers: &'h HeaderMap, prefix: &str) -> Vec<(&'h str, &'h str)> {
    let found: Vec<(&[u8], &[u8])> = pairs(headers)
        .filter_map(|(name, value)| Some((name.strip_prefix(prefix.as_bytes())?, value)))
        .take(PREFIXED_LIMIT)
        .collect();
    let once = |name: &[u8]| found.iter().filter(|(other, _)| *other == name).count() == 1;
    found
        .iter()
        .filter(|(name, _)| once(name))
        .filter_map(|(name, value)| Some((as_text(name)?, as_text(value)?)))
        .collect()
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = pair.split_at(equals);
            // Browsers send a space before a name and none after it.
            Some((name.trim_ascii_start(), value[1..].trim_ascii()))
        })
}

/// Text of the characters that RFC 6265 §4.1.1 allows in a value.
fn as_text(bytes: &[u8]) -> Option<&str> {
    let allowed =
        |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
    bytes.iter().all(allowed).then(|| str::from_utf8(bytes).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (header::COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap()))
            .collect()
    }

    #[test]
    fn a_cookie_is_found_among_others_and_over_several_lines() {
        let headers = headers(&["a=1;__Host-session=abc ; b=x=y", "c="]);

        assert_eq!(get(&headers, "__Host-session"), Some("abc"));
        assert_eq!(get(&headers, "b"), Some("x=y"));
        assert_eq!(get(&headers, "c"), Some(""));
        assert_eq!(get(&headers, "d"), None);
    }

    #[test]
    fn a_name_that_only_decodes_to_ours_is_another_name() {
        for line in [
            "%5f%5fHost-session=evil",
            "__host-session=evil",
            "__Host-session%20=evil",
            "__Host-session =evil",
            "__Host-session\t=evil",
            "__Host-session\u{a0}=evil",
            "\"__Host-session\"=evil",
        ] {
            assert_eq!(get(&headers(&[line]), "__Host-session"), None, "{line}");
        }
    }

    #[test]
    fn a_doubled_or_non_ascii_cookie_counts_as_none() {
        for lines in [
            &["session=a; session=b"][..],
            &["session=a; session=a"],
            &["session=a", "session=b"],
            &["session=\u{e9}"],
            &["session=a\"b"],
            &["session"],
        ] {
            assert_eq!(get(&headers(lines), "session"), None, "{lines:?}");
        }
    }

    #[test]
    fn cookies_with_a_prefix_come_with_the_rest_of_their_names() {
        let headers = headers(&["txn-a=1; txn-b=2; other=3; txn-b=4; txn-c=5"]);

        assert_eq!(with_prefix(&headers, "txn-"), [("a", "1"), ("c", "5")]);
    }

    #[test]
    fn over_https_a_cookie_is_bound_to_the_host() {
        let secure = CookieSecurity { https: true };
        let plain = CookieSecurity { https: false };

        assert_eq!(
            secure.set("session", "v", None),
            "__Host-session=v; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            plain.set("session", "v", Some(600)),
            "session=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"
        );
        assert!(secure.clear("session").to_str().unwrap().ends_with("; Max-Age=0"));
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_stumble(line in proptest::collection::vec(0x20_u8..=0xff, 0..200)) {
            let Ok(value) = HeaderValue::from_bytes(&line) else { return Ok(()) };
            let headers: HeaderMap = [(header::COOKIE, value)].into_iter().collect();

            if let Some(value) = get(&headers, "session") {
                prop_assert!(value.is_ascii());
            }
            for (name, value) in with_prefix(&headers, "") {
                prop_assert!(name.is_ascii() && value.is_ascii());
            }
        }

        #[test]
        fn what_is_set_is_read_back(value in "[A-Za-z0-9_-]{0,100}", before in "[a-z]=[a-z]{0,5}") {
            let headers = headers(&[&format!("{before}; session={value}")]);

            prop_assert_eq!(get(&headers, "session"), Some(value.as_str()));
        }
    }

    #[test]
    fn a_flood_of_cookies_is_not_looked_at_to_its_end() {
        let flood: Vec<_> = (0..10_000).map(|number| format!("txn-{number}=x")).collect();
        assert_eq!(with_prefix(&headers(&[&flood.join(";")]), "txn-").len(), PREFIXED_LIMIT);
    }
}
