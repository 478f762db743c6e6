//! The headers that every answer carries, pages and errors and files alike. It does not know what
//! is answered.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

/// What every answer carries, made once.
pub(crate) struct AnswerHeaders(HeaderMap);

impl AnswerHeaders {
    /// For pages under `base_url` whose forms lead to `issuer`, `others` and nowhere else.
    ///
    /// # Panics
    /// Never: the origin of a URL is plain ASCII.
    #[must_use]
    pub(crate) fn new(base_url: &Url, issuer: &Url, others: &[Url]) -> Self {
        // Browsers apply `form-action` to the redirects that follow a form too: the Login page's
        // form and the logout form both go on to the provider, and from there to wherever an
        // organization's people have their passwords.
        let origins = std::iter::once(issuer).chain(others).map(Url::origin);
        let origins: Vec<_> = origins.map(|origin| origin.ascii_serialization()).collect();
        let policy = format!(
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
             form-action 'self' {}; frame-ancestors 'none'",
            origins.join(" ")
        );
        let policy = HeaderValue::from_str(&policy).expect("an origin is plain ASCII");
        let fixed = HeaderValue::from_static;
        let mut headers = HeaderMap::from_iter([
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::REFERRER_POLICY, fixed("no-referrer")),
            (header::X_FRAME_OPTIONS, fixed("DENY")),
            (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
            (HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin")),
            (
                HeaderName::from_static("permissions-policy"),
                fixed("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
            ),
            // A shared cache must never hold a page of somebody, nor a browser after the logout.
            (header::CACHE_CONTROL, fixed("no-store")),
        ]);
        if base_url.scheme() == "https" {
            // Two years, as the preload lists ask. What is below this host is this deployment's own.
            let policy = fixed("max-age=63072000; includeSubDomains");
            headers.insert(header::STRICT_TRANSPORT_SECURITY, policy);
        }
        Self(headers)
    }

    /// Adds them to an answer, whose own word on caching goes before ours.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        let own = std::mem::replace(headers, self.0.clone());
        let mut name = None;
        for (next, value) in own {
            // A name comes with its first value only.
            let is_first = next.is_some();
            name = next.or(name);
            let Some(name) = &name else { continue };
            if is_first {
                headers.insert(name.clone(), value);
            } else {
                headers.append(name.clone(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(base_url: &str) -> HeaderMap {
        let issuer = Url::parse("https://tenant.eu.auth0.com/").unwrap();
        let mut headers = HeaderMap::new();
        AnswerHeaders::new(&Url::parse(base_url).unwrap(), &issuer, &[]).add_to(&mut headers);
        headers
    }

    #[test]
    fn forms_go_to_this_origin_and_the_provider_only() {
        let headers = answer("https://records.example/");

        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("form-action 'self' https://tenant.eu.auth0.com;"), "{policy}");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn what_an_answer_says_itself_is_kept() {
        let issuer = Url::parse("https://tenant.eu.auth0.com/").unwrap();
        let base_url = Url::parse("https://records.example/").unwrap();
        let mut headers = HeaderMap::new();
        headers.append(header::SET_COOKIE, "a=1".parse().unwrap());
        headers.append(header::SET_COOKIE, "b=2".parse().unwrap());
        headers.insert(header::CACHE_CONTROL, "public".parse().unwrap());

        AnswerHeaders::new(&base_url, &issuer, &[]).add_to(&mut headers);

        let cookies: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert_eq!(headers[header::CACHE_CONTROL], "public");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }

    #[test]
    fn https_is_required_from_then_on_only_where_it_is_spoken() {
        let https = answer("https://records.example/");
        let http = answer("http://localhost:3000/");

        let policy = "max-age=63072000; includeSubDomains";
        assert_eq!(https[header::STRICT_TRANSPORT_SECURITY], policy);
        assert!(!http.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }
}
