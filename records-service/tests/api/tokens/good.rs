//! Tokens that are unlike those of every day, and good.

use std::time::{SystemTime, UNIX_EPOCH};

use dev_stack::samples;
use serde_json::json;

use super::{Row, bearer, forge::Forge};

/// `before` was signed with the key before the current one.
pub(super) fn rows(forge: &Forge<'_>, before: &str) -> Vec<Row> {
    let good = forge.good();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let sent = |what: &str, value: String| -> Row { (what.to_owned(), vec![value]) };
    let audience = samples::AUDIENCE;
    let rivals_jwks = format!("{}.well-known/jwks.json", forge.rival.issuer());
    let spaced = serde_json::to_vec_pretty(&forge.claims).unwrap();
    vec![
        bearer("as every day", &good),
        bearer("a person's, of the key before", before),
        bearer("a program's", forge.auth0.machine_token("acme-machine", "acme").unwrap()),
        sent("bearer in small letters", format!("bearer {good}")),
        sent("bearer in capitals", format!("BEARER {good}")),
        sent("two spaces", format!("Bearer  {good}")),
        bearer("one audience as text", forge.claim("aud", audience)),
        bearer("one audience in a list", forge.claim("aud", json!([audience]))),
        bearer("ours as the last of many", forge.claim("aud", json!(["a", "b", audience]))),
        // What the test itself takes must not make it expire.
        bearer("expired 20 seconds ago", forge.claim("exp", now - 20)),
        bearer("not valid for 29 seconds", forge.claim("nbf", now + 29)),
        bearer("issued 29 seconds from now", forge.claim("iat", now + 29)),
        bearer("valid for ever, nearly", forge.claim("exp", 253_402_300_799_u64)),
        bearer("no time of issue", forge.without_claim("iat")),
        bearer("claims that nobody knows", forge.claim("https://x.example/y", json!({ "z": [1] }))),
        bearer("a header that nobody knows", forge.header("x-note", json!({ "z": [1] }))),
        bearer("no type", forge.without_header("typ")),
        bearer("a type in small letters", forge.header("typ", "jwt")),
        bearer("the type of RFC 9068", forge.header("typ", "at+jwt")),
        bearer("another key's address, unheeded", forge.header("jku", rivals_jwks.as_str())),
        bearer("another key, unheeded", forge.header("jwk", forge.rival_key())),
        bearer("no name", forge.without_claim(samples::NAME_CLAIM)),
        bearer("no name of the organization", forge.without_claim("org_name")),
        bearer("permissions that nobody knows", {
            forge.claim("permissions", json!(["records:read", "moon:land"]))
        }),
        bearer("a subject of 255 bytes", forge.claim("sub", "s".repeat(255))),
        bearer("an organization of 64 characters", forge.claim("org_id", "o".repeat(64))),
        bearer("12 KiB", forge.claim("padding", "x".repeat(8 * 1024))),
        bearer("claims on many lines", forge.exact_claims(&spaced)),
    ]
}
