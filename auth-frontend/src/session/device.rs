//! What a browser calls itself, in a few words of ours, so that people can tell their sessions apart.
//! Browsers may say anything: nothing else relies on it, and none of their own words is kept.

use axum::http::{HeaderMap, header};

/// Browser and platform stand at the beginning; what is longer is none of a browser.
const LIMIT: usize = 512;

/// What browsers have in their `User-Agent`. Each also has the words of those that it wants to be
/// taken for, so the first that is there counts.
/// Source: "Browser detection using the user agent string (UA sniffing)", MDN.
const BROWSERS: [(&str, &str); 9] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Safari/", "Safari"),
];
const PLATFORMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
];

/// Such as "Firefox on Windows".
#[must_use]
pub(super) fn describe(headers: &HeaderMap) -> String {
    let said = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let said = said.unwrap_or_default();
    let said = said.get(..LIMIT).unwrap_or(said);
    let first = |words: &[(&str, &'static str)]| {
        words.iter().find(|(word, _)| said.contains(word)).map(|(_, name)| *name)
    };
    let browser = first(&BROWSERS);
    match (browser, first(&PLATFORMS)) {
        (Some(browser), Some(platform)) => format!("{browser} on {platform}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(platform)) => format!("A browser on {platform}"),
        (None, None) => "A browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_by_their_names_and_none_by_words_of_its_own() {
        let cases = [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
                "Firefox on Windows",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/142.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
                 Gecko) Version/18.6 Safari/605.1.15",
                "Safari on Mac",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                 SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
                "Samsung Internet on Android",
            ),
            ("<script>alert(1)</script>", "A browser"),
            ("curl/8.5.0 (Linux)", "A browser on Linux"),
            ("", "A browser"),
        ];
        for (said, name) in cases {
            let headers = [(header::USER_AGENT, said.parse().unwrap())].into_iter().collect();
            assert_eq!(describe(&headers), name, "{said}");
        }
        assert_eq!(describe(&HeaderMap::new()), "A browser");
    }

    #[test]
    fn no_more_is_read_than_browsers_say() {
        let late = format!("{}Firefox/145.0", " ".repeat(LIMIT));
        let headers = [(header::USER_AGENT, late.parse().unwrap())].into_iter().collect();

        assert_eq!(describe(&headers), "A browser");
    }
}
