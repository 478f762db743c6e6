//! What a header demands or pretends to be, besides its algorithm and key.

use serde_json::json;

use super::{
    Row, bearer,
    forge::{Forge, replaced},
};

pub(super) fn rows(forge: &Forge<'_>) -> Vec<Row> {
    let unencoded = replaced(&replaced(&forge.header, "b64", false), "crit", json!(["b64"]));
    let unencoded = forge.auth0.sign(&unencoded, &forge.claims);
    let header = forge.header.to_string();
    let claims = forge.claims.to_string();
    let exactly = |header: &str| forge.exactly(header.as_bytes(), claims.as_bytes());
    let kid = forge.header["kid"].clone();
    vec![
        bearer("crit with b64", unencoded),
        bearer("crit with exp", forge.header("crit", json!(["exp"]))),
        bearer("crit with what nobody knows", forge.header("crit", json!(["x-policy"]))),
        bearer("an empty crit", forge.header("crit", json!([]))),
        bearer("crit as text", forge.header("crit", "exp")),
        bearer("a logout token's type", forge.header("typ", "logout+jwt")),
        bearer("a DPoP proof's type", forge.header("typ", "dpop+jwt")),
        bearer("an ID token's future type", forge.header("typ", "id+jwt")),
        bearer("a type that begins like ours", forge.header("typ", "JWT+x")),
        bearer("a type and a space", forge.header("typ", "JWT ")),
        bearer("an empty type", forge.header("typ", "")),
        bearer("a type that is a number", forge.header("typ", 5)),
        bearer("two algorithms, ours last", {
            exactly(&header.replacen('{', r#"{"alg":"none","#, 1))
        }),
        bearer("two algorithms, ours first", forge.header_twice("alg", "none")),
        bearer("the same algorithm twice", forge.header_twice("alg", "RS256")),
        bearer("two key ids", forge.header_twice("kid", "x")),
        bearer("the same key id twice", forge.header_twice("kid", kid)),
        bearer("a header that is a list", exactly(&format!("[{header}]"))),
        bearer("a header that is null", exactly("null")),
        bearer("a header that is empty", exactly("")),
        bearer("a header with text behind it", exactly(&format!("{header}x"))),
        bearer("a header in single quotes", exactly(&header.replace('"', "'"))),
        bearer("a header behind a byte order mark", exactly(&format!("\u{feff}{header}"))),
    ]
}
