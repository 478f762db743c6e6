//! Tokens that were changed on the way, are no tokens, or are not sent as one.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD as BASE64URL},
};
use serde_json::json;

use super::{
    Row, bearer,
    forge::{Forge, joined},
};

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One letter changed at the beginning, in the middle and at the end of each part, and parts of
/// different tokens together.
pub(super) fn tampered(forge: &Forge<'_>, good: &str) -> Vec<Row> {
    let parts: Vec<&str> = good.split('.').collect();
    let mut rows = Vec::new();
    for (number, part) in ["header", "claims", "signature"].into_iter().enumerate() {
        let text = parts[number];
        for (place, at) in [("first", 0), ("middle", text.len() / 2), ("last", text.len() - 1)] {
            let changed = changed_at(text, at);
            let mut parts = parts.clone();
            parts[number] = &changed;
            rows.push(bearer(
                &format!("the {place} letter of the {part} changed"),
                parts.join("."),
            ));
        }
    }
    let other = forge.auth0.user_token("globex-admin", "globex").unwrap();
    let others: Vec<&str> = other.split('.').collect();
    rows.extend([
        bearer("another's claims", [parts[0], others[1], parts[2]].join(".")),
        bearer("another's signature", [parts[0], parts[1], others[2]].join(".")),
        bearer("the same signature in other letters", {
            let (rest, last) = good.split_at(good.len() - 1);
            // 342 letters for 256 bytes leave four bits of the last one without meaning.
            let value = ALPHABET.find(last).unwrap();
            format!("{rest}{}", &ALPHABET[value + 1..value + 2])
        }),
    ]);
    rows
}

fn changed_at(text: &str, at: usize) -> String {
    let value = ALPHABET.find(&text[at..=at]).unwrap();
    // Far enough that the bits that mean something change.
    let other = (value + 32) % 64;
    format!("{}{}{}", &text[..at], &ALPHABET[other..=other], &text[at + 1..])
}

pub(super) fn malformed(forge: &Forge<'_>, good: &str) -> Vec<Row> {
    let parts: Vec<&str> = good.split('.').collect();
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    let bytes = BASE64URL.decode(signature).unwrap();
    let encrypted = json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "kid": forge.header["kid"] });
    let encrypted = [
        &joined(encrypted.to_string().as_bytes(), &[7; 256]),
        &joined(&[7; 12], &[7; 64]),
        &BASE64URL.encode([7_u8; 16]),
    ]
    .map(String::as_str)
    .join(".");
    let claims = forge.claims.to_string();
    let in_json =
        json!({ "payload": parts[1], "protected": parts[0], "signature": signature }).to_string();
    let huge = forge.claim("padding", "x".repeat(12 * 1024));
    vec![
        bearer("one part", parts[0]),
        bearer("two parts", unsigned),
        bearer("two parts and a dot", format!("{unsigned}.")),
        bearer("four parts", format!("{good}.{signature}")),
        bearer("a part before", format!("{}.{good}", parts[0])),
        bearer("a dot before", format!(".{good}")),
        bearer("a dot behind", format!("{good}.")),
        bearer("no header", format!(".{}.{signature}", parts[1])),
        bearer("no claims", format!("{}..{signature}", parts[0])),
        bearer("dots", ".."),
        bearer("one dot", "."),
        bearer("nonsense", "abc"),
        bearer("an encrypted token", encrypted),
        bearer("half of a token", &good[..good.len() / 2]),
        bearer("a token without its last letter", &good[..good.len() - 1]),
        bearer("a signature with padding", format!("{unsigned}.{}", URL_SAFE.encode(&bytes))),
        bearer("a signature in standard base64", {
            format!("{unsigned}.{}", STANDARD.encode(&bytes).trim_end_matches('='))
        }),
        bearer("a signature with an exclamation mark", format!("{unsigned}.{signature}!")),
        bearer("a signature in hexadecimal", {
            let hex = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            format!("{unsigned}.{hex}")
        }),
        bearer("a signature twice", format!("{unsigned}.{signature}{signature}")),
        bearer("dots as escapes", good.replace('.', "%2E")),
        bearer("a space within", format!("{} .{}.{signature}", parts[0], parts[1])),
        bearer("a tab within", format!("{unsigned}.\t{signature}")),
        bearer("quotes around", format!("\"{good}\"")),
        bearer("a token as JSON", in_json),
        bearer("a token of more than 16 KiB", huge),
        bearer("a token before 16 KiB of nothing", format!("{good}{}", "A".repeat(16 * 1024))),
        bearer("claims that are a list", forge.exact_claims(format!("[{claims}]").as_bytes())),
        bearer("claims that are a text", forge.exact_claims(json!(claims).to_string().as_bytes())),
        bearer("claims that are null", forge.exact_claims(b"null")),
        bearer("claims that are empty", forge.exact_claims(b"")),
        bearer("claims that say nothing", forge.exact_claims(b"{}")),
        bearer("claims with text behind", forge.exact_claims(format!("{claims}x").as_bytes())),
        bearer("claims that break off", forge.exact_claims(&claims.as_bytes()[..claims.len() - 1])),
        bearer("claims that are a token", forge.exact_claims(good.as_bytes())),
        bearer("claims that are not UTF-8", {
            let bytes = claims.replace("acme-admin", "acme").into_bytes();
            let at = bytes.windows(4).position(|window| window == b"acme").unwrap();
            forge.exact_claims(&[&bytes[..at], &[0xff, 0xfe], &bytes[at + 2..]].concat())
        }),
        bearer("claims nested too deep", {
            let deep = format!(r#"{{"x":{}{},"#, "[".repeat(5000), "]".repeat(5000));
            forge.exact_claims(claims.replacen('{', &deep, 1).as_bytes())
        }),
    ]
}

/// A good token that is not sent as one.
pub(super) fn schemes(good: &str) -> Vec<Row> {
    let row = |what: &str, values: &[&str]| -> Row {
        (what.to_owned(), values.iter().map(|&value| value.to_owned()).collect())
    };
    let sent = format!("Bearer {good}");
    let basic = format!("Basic {}", STANDARD.encode(format!("acme-admin:{good}")));
    vec![
        row("the token twice", &[&sent, &sent]),
        row("the token, then another", &[&sent, "Bearer x"]),
        row("another, then the token", &["Bearer x", &sent]),
        row("nothing, then the token", &["", &sent]),
        row("two tokens with a comma", &[&format!("{sent}, {sent}")]),
        row("two tokens with a space", &[&format!("{sent} {good}")]),
        row("two schemes with a comma", &[&format!("Basic eDp5, {sent}")]),
        row("no scheme", &[good]),
        row("the scheme alone", &["Bearer"]),
        row("the scheme and a space", &["Bearer "]),
        row("the scheme twice", &[&format!("Bearer {sent}")]),
        row("the scheme with a colon", &[&format!("Bearer: {good}")]),
        row("the scheme with an equals sign", &[&format!("Bearer={good}")]),
        row("the scheme and a tab", &[&format!("Bearer\t{good}")]),
        row("the scheme in Cyrillic", &[&format!("B\u{435}arer {good}")]),
        row("Basic with the token", &[&format!("Basic {good}")]),
        row("Basic with a name and the token", &[&basic]),
        row("DPoP with the token", &[&format!("DPoP {good}")]),
        row("Token with the token", &[&format!("Token {good}")]),
        row("an empty value", &[""]),
    ]
}
