//! The headers that every answer carries, pages and errors and files alike. It does not know what
//! is answered.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

/// What every answer carries, made once.
pub struct AnswerHeaders(Vec<(HeaderName, HeaderValue)>);

impl AnswerHeaders {
    /// For pages under `base_url` whose forms lead to `issuer` and nowhere else.
    ///
    /// # Panics
    /// Never: the origin of a URL is plain ASCII.
    #[must_use]
    pub fn new(base_url: &Url, issuer: &Url) -> Self {
        // Browsers apply `form-action` to the redirects that follow a form too: the Login page's
        // form and the logout form both go on to the provider.
        let policy = format!(
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
             form-action 'self' {}; frame-ancestors 'none'",
            issuer.origin().ascii_serialization()
        );
        let policy = HeaderValue::from_str(&policy).expect("an origin is plain ASCII");
        let fixed = HeaderValue::from_static;
        let mut headers = vec![
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
        ];
        if base_url.scheme() == "https" {
            // Two years, as the preload lists ask. Subdomains are for their owners to decide.
            headers.push((header::STRICT_TRANSPORT_SECURITY, fixed("max-age=63072000")));
        }
        Self(headers)
    }

    /// Adds them to an answer, and `no-store` where it says nothing of caching: a shared cache must
    /// never hold a page of somebody, nor a browser after the logout.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        headers.reserve(self.0.len() + 1);
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert_with(|| HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(base_url: &str) -> HeaderMap {
        let issuer = Url::parse("https://tenant.eu.auth0.com/").unwrap();
        let mut headers = HeaderMap::new();
        AnswerHeaders::new(&Url::parse(base_url).unwrap(), &issuer).add_to(&mut headers);
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
    fn https_is_required_from_then_on_only_where_it_is_spoken() {
        let https = answer("https://records.example/");
        let http = answer("http://localhost:3000/");

        assert_eq!(https[header::STRICT_TRANSPORT_SECURITY], "max-age=63072000");
        assert!(!http.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }
}
