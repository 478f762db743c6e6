//! Where a person goes after a login: a path on this origin, and nothing that could lead anywhere
//! else. It does not know which pages exist.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// Longer ones would not fit into a cookie beside the rest of a login attempt.
const LIMIT: usize = 1024;
/// Only the path is kept of what is resolved against it.
const SOME_ORIGIN: &str = "https://origin.invalid";

/// An absolute path with an optional query, in printable ASCII. As the value of a `Location`
/// header it stays on the origin that sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReturnPath(String);

/// The text is not a path on this origin.
#[derive(Debug, thiserror::Error)]
#[error("not a path on this origin")]
pub struct NotAReturnPath;

impl ReturnPath {
    /// Takes a path that somebody sent, or `None` where it could lead away from this origin or
    /// into the login itself, which would never end.
    ///
    /// Browsers resolve paths by the WHATWG URL standard, which takes `\` for `/`, drops tabs and
    /// line breaks, and removes dot segments. So the path is resolved in the same way here, and
    /// judged by what comes of it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if text.len() > LIMIT || !plain || !text.starts_with('/') {
            return None;
        }
        let origin = Url::parse(SOME_ORIGIN).ok()?;
        let resolved = origin.join(text).ok()?;
        let path = resolved.path();
        let stays = resolved.origin() == origin.origin() && !path.starts_with("//");
        let is_login = path == "/auth" || path.starts_with("/auth/");
        if !stays || is_login {
            return None;
        }
        let resolved = match resolved.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        (resolved.len() <= LIMIT).then_some(Self(resolved))
    }

    /// The start page of somebody who is logged in.
    #[must_use]
    pub fn home() -> Self {
        Self("/home".to_owned())
    }

    /// The path and query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReturnPath {
    fn default() -> Self {
        Self::home()
    }
}

impl fmt::Display for ReturnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ReturnPath {
    type Error = NotAReturnPath;

    fn try_from(text: String) -> Result<Self, NotAReturnPath> {
        Self::parse(&text).ok_or(NotAReturnPath)
    }
}

impl From<ReturnPath> for String {
    fn from(path: ReturnPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_of_ours_is_kept_as_it_is() {
        for path in ["/home", "/records?page_token=a%2Fb", "/records/0198-x", "/", "/a/%20b?c=d&e"]
        {
            assert_eq!(ReturnPath::parse(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn whatever_could_lead_elsewhere_is_refused() {
        let bad = [
            "",
            "home",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /home",
            "https://evil.example/",
            "javascript:alert(1)",
            "/..//evil.example",
            "/x/..//evil.example",
            "/.//evil.example",
            "/%2e%2e//evil.example",
            "/x/%2E%2e/%2e//evil.example",
            "/auth/login",
            "/auth/logout?x",
            "/x/../auth/login",
            "/./auth/callback",
            "/%2e/auth/callback",
            "/auth",
            "/récords",
        ];
        for path in bad {
            assert_eq!(ReturnPath::parse(path), None, "{path:?}");
        }
        assert_eq!(ReturnPath::parse(&format!("/{}", "x".repeat(LIMIT))), None);
    }

    #[test]
    fn a_fragment_is_left_out() {
        assert_eq!(ReturnPath::parse("/home#top").unwrap().as_str(), "/home");
    }

    fn awkward_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/".to_owned()),
            Just("\\".to_owned()),
            Just(".".to_owned()),
            Just("..".to_owned()),
            Just("%2e".to_owned()),
            Just("%2f".to_owned()),
            Just("%5c".to_owned()),
            Just("\t".to_owned()),
            Just("\r\n".to_owned()),
            Just("@".to_owned()),
            Just(":".to_owned()),
            Just("?".to_owned()),
            Just("#".to_owned()),
            Just("auth".to_owned()),
            Just("evil.example".to_owned()),
            Just("https:".to_owned()),
            ".{0,3}",
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn no_accepted_path_ever_leaves_the_origin(rest in awkward_text()) {
            for text in [rest.clone(), format!("/{rest}")] {
                let Some(path) = ReturnPath::parse(&text) else { continue };

                let base = Url::parse("https://records.example:8443/auth/callback").unwrap();
                let followed = base.join(path.as_str()).unwrap();

                prop_assert_eq!(followed.origin(), base.origin());
                prop_assert!(!followed.path().starts_with("/auth/"));
                prop_assert!(path.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(ReturnPath::parse(path.as_str()), Some(path));
            }
        }
    }
}
