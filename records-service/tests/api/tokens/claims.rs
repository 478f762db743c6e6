//! Well-signed tokens that say the wrong thing.

use std::time::{SystemTime, UNIX_EPOCH};

use dev_stack::samples;
use serde_json::{Value, json};

use super::{
    Row, bearer,
    forge::{Forge, replaced},
};

pub(super) fn who_and_for_whom(forge: &Forge<'_>) -> Vec<Row> {
    let Forge { auth0, header, .. } = forge;
    let issuer = auth0.issuer();
    let bare = issuer.trim_end_matches('/');
    let iss = |what: &str, value: Value| bearer(what, forge.claim("iss", value));
    let audience = samples::AUDIENCE;
    let aud = |what: &str, value: Value| bearer(what, forge.claim("aud", value));
    let sub = |what: &str, value: Value| bearer(what, forge.claim("sub", value));
    let id_token = auth0.id_token_claims("acme-admin", "acme").unwrap();
    let id_token_with_nonce = replaced(&id_token, "nonce", "n");
    let for_us = replaced(&id_token_with_nonce, "aud", audience);
    vec![
        iss("another issuer", json!("https://evil.example/")),
        iss("the issuer without its slash", json!(bare)),
        iss("the issuer with a slash more", json!(format!("{issuer}/"))),
        iss("the issuer in capitals", json!(issuer.to_uppercase())),
        iss("the issuer with a capital", json!(issuer.replacen('l', "L", 1))),
        iss("the issuer over https", json!(issuer.replacen("http:", "https:", 1))),
        iss("the issuer as a user name", json!(format!("{bare}@evil.example/"))),
        iss("the issuer with a path", json!(format!("{issuer}x"))),
        iss("the issuer with a query", json!(format!("{issuer}?"))),
        iss("the issuer and a space", json!(format!("{issuer} "))),
        iss("a list of the issuer", json!([issuer])),
        iss("a list of issuers", json!([issuer, "https://evil.example/"])),
        iss("an empty issuer", json!("")),
        iss("a null issuer", json!(null)),
        iss("an issuer that is a number", json!(1)),
        bearer("no issuer", forge.without_claim("iss")),
        aud("another audience", json!("https://other.example/api")),
        aud("the beginning of the audience", json!(&audience[..audience.len() - 1])),
        aud("the audience and more", json!(format!("{audience}/v2"))),
        aud("the audience and a slash", json!(format!("{audience}/"))),
        aud("the audience in capitals", json!(audience.to_uppercase())),
        aud("the audience among others in one text", json!(format!("x {audience}"))),
        aud("an empty audience", json!("")),
        aud("no audience in a list", json!([])),
        aud("other audiences", json!(["https://other.example/api", issuer])),
        aud("a list in a list of audiences", json!([[audience]])),
        aud("an audience that is an object", json!({ audience: true })),
        aud("an audience that is a number", json!(1)),
        aud("a null audience", json!(null)),
        aud("the client as audience", json!(samples::WEB_CLIENT_ID)),
        bearer("no audience", forge.without_claim("aud")),
        bearer("an ID token", auth0.sign(header, &id_token)),
        bearer("an ID token with a nonce", auth0.sign(header, &id_token_with_nonce)),
        bearer("an ID token with a nonce for our audience", auth0.sign(header, &for_us)),
        sub("an empty subject", json!("")),
        sub("a null subject", json!(null)),
        sub("a subject that is a number", json!(1)),
        sub("a subject that is a list", json!(["auth0|1"])),
        sub("a subject of 256 bytes", json!("s".repeat(256))),
        sub("a subject with a NUL", json!("auth0|1\0")),
        sub("a subject with a line break", json!("auth0|1\nadmin")),
        bearer("no subject", forge.without_claim("sub")),
        bearer("permissions that are null", forge.claim("permissions", json!(null))),
        bearer("permissions in one text", forge.claim("permissions", "records:read")),
        bearer("permissions that are numbers", forge.claim("permissions", json!([1]))),
        bearer("permissions in an object", forge.claim("permissions", json!({}))),
        bearer("a grant that is no text", forge.claim("gty", json!(["client-credentials"]))),
    ]
}

pub(super) fn times(forge: &Forge<'_>) -> Vec<Row> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let exp = |what: &str, value: Value| bearer(what, forge.claim("exp", value));
    let nbf = |what: &str, value: Value| bearer(what, forge.claim("nbf", value));
    let iat = |what: &str, value: Value| bearer(what, forge.claim("iat", value));
    // The test takes a while, in which the future comes nearer.
    let later = now + 600;
    vec![
        exp("expired long ago", json!(1_000_000_000)),
        exp("expired 31 seconds ago", json!(now - 31)),
        exp("expired at the beginning", json!(0)),
        exp("expired before the beginning", json!(-1)),
        exp("an expiry as text", json!(later.to_string())),
        exp("an expiry with a fraction", json!(1e9 + 0.5)),
        exp("an expiry in the far future with a fraction", json!(4e9 + 0.5)),
        exp("the last expiry of all", json!(u64::MAX)),
        exp("an expiry beyond numbers", json!(1e300)),
        exp("an expiry after the year 9999", json!(253_402_300_800_u64)),
        exp("a null expiry", json!(null)),
        exp("an expiry that is true", json!(true)),
        exp("an expiry in a list", json!([later])),
        bearer("no expiry", forge.without_claim("exp")),
        nbf("not valid yet", json!(later)),
        nbf("never valid", json!(u64::MAX)),
        nbf("valid from a text on", json!(now.to_string())),
        nbf("valid from null on", json!(null)),
        nbf("valid from before the beginning", json!(-1)),
        iat("issued in the future", json!(later)),
        iat("issued at a text", json!(now.to_string())),
        iat("issued at null", json!(null)),
        iat("issued before the beginning", json!(-1)),
    ]
}

pub(super) fn organizations(forge: &Forge<'_>) -> Vec<Row> {
    let org = |what: &str, value: Value| bearer(what, forge.claim("org_id", value));
    vec![
        bearer("no organization", forge.without_claim("org_id")),
        org("a null organization", json!(null)),
        org("an empty organization", json!("")),
        org("an organization of a space", json!(" ")),
        org("a list of organizations", json!([samples::ACME])),
        org("an organization that is a number", json!(7)),
        org("an organization that is true", json!(true)),
        org("an organization that is an object", json!({ "id": samples::ACME })),
        org("an organization with a display name", json!("Acme Corporation")),
        org("an organization with a slash", json!("org_acme/org_globex")),
        org("an organization that leads up", json!("../org_globex")),
        org("an organization with a hash", json!(format!("{}#rec", samples::ACME))),
        org("an organization with a colon", json!("org:acme")),
        org("an organization with a line break", json!(format!("{}\n", samples::ACME))),
        org("an organization with a NUL", json!(format!("{}\0", samples::ACME))),
        org("an organization with a star", json!("org_*")),
        org("an organization that begins with a dash", json!("-org_acme")),
        org("an organization of 65 characters", json!("o".repeat(65))),
        org("an organization in Cyrillic", json!("\u{43e}rg_acme")),
        org("an organization with a full-width letter", json!("org_acm\u{ff45}")),
        org("an organization with a hidden character", json!("org_acme\u{200b}")),
        bearer("an organization's name that is no text", forge.claim("org_name", json!(["acme"]))),
    ]
}

/// Claims that are there twice, of which two readers may take different ones.
pub(super) fn twice(forge: &Forge<'_>) -> Vec<Row> {
    let issuer = forge.auth0.issuer();
    let claims = forge.claims.to_string();
    let first = |text: &str| forge.exact_claims(claims.replacen('{', text, 1).as_bytes());
    let name = forge.claims[samples::NAME_CLAIM].clone();
    vec![
        bearer("two issuers, ours first", forge.twice("iss", "https://evil.example/")),
        bearer("two issuers, ours last", first(r#"{"iss":"https://evil.example/","#)),
        bearer("the same issuer twice", forge.twice("iss", issuer)),
        bearer("two organizations", forge.twice("org_id", samples::GLOBEX)),
        bearer("the same organization twice", forge.twice("org_id", samples::ACME)),
        bearer("an organization under an escaped name", {
            let text = format!(r#"{{"org\u005fid":"{}","#, samples::GLOBEX);
            first(&text)
        }),
        bearer("two subjects", forge.twice("sub", "auth0|1")),
        bearer("two audiences", forge.twice("aud", samples::AUDIENCE)),
        bearer("two expiries", forge.twice("exp", 4_000_000_000_u64)),
        bearer("two beginnings", first(r#"{"nbf":1,"nbf":1,"#)),
        bearer("permissions twice", forge.twice("permissions", json!(["audit:read"]))),
        bearer("two names", forge.twice(samples::NAME_CLAIM, name)),
        bearer("an unknown claim twice", first(r#"{"x":1,"x":2,"#)),
    ]
}
