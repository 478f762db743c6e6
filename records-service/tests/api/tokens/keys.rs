//! Other algorithms, other keys, and keys that a token brings along.

use dev_stack::{auth0::Algorithm, samples};
use serde_json::{Value, json};

use super::{
    Row, bearer,
    forge::{Forge, removed, replaced, with_signature},
};

pub(super) fn algorithms(forge: &Forge<'_>) -> Vec<Row> {
    let good = forge.good();
    let signature = good.rsplit('.').next().unwrap();
    let none = |alg: &str| format!("{}.", forge.unsigned(&forge.alg(alg)));
    let labelled = |label: &str, algorithm| {
        let unsigned = forge.unsigned(&forge.alg(label));
        forge.signed(&unsigned, algorithm)
    };
    let zeros = with_signature(&forge.unsigned(&forge.alg("ES256")), &[0; 64]);
    let kept = format!("{}.{signature}", forge.unsigned(&forge.alg("none")));
    vec![
        bearer("alg none", none("none")),
        bearer("alg None", none("None")),
        bearer("alg NONE", none("NONE")),
        bearer("alg nOnE", none("nOnE")),
        bearer("alg none with the signature of a good token", kept),
        bearer("alg none, well signed", labelled("none", Algorithm::Rs256)),
        bearer("no alg", forge.without_header("alg")),
        bearer("alg null", forge.header("alg", json!(null))),
        bearer("an empty alg", forge.header("alg", "")),
        bearer("alg as a list", forge.header("alg", json!(["RS256"]))),
        bearer("alg rs256", labelled("rs256", Algorithm::Rs256)),
        bearer("alg RS256 and a space", labelled("RS256 ", Algorithm::Rs256)),
        bearer("HS256 with the client secret", forge.hmac(samples::WEB_CLIENT_SECRET.as_bytes())),
        bearer("HS256 with a machine's secret", forge.hmac(samples::MACHINE_SECRET.as_bytes())),
        bearer("HS256 with the public key as PEM", forge.hmac(forge.pem().as_bytes())),
        bearer("HS256 with the PEM, trimmed", forge.hmac(forge.pem().trim_end().as_bytes())),
        bearer("HS256 with the public key as DER", forge.hmac(&forge.der())),
        bearer("HS256 with the modulus as text", forge.hmac(forge.modulus().as_bytes())),
        bearer("HS256 with the modulus", forge.hmac(&forge.der()[33..289])),
        bearer("HS256 with nothing", forge.hmac(b"")),
        bearer("RS384, well signed", labelled("RS384", Algorithm::Rs384)),
        bearer("PS256, well signed", labelled("PS256", Algorithm::Ps256)),
        bearer("RS256 that is RS384", labelled("RS256", Algorithm::Rs384)),
        bearer("RS256 that is PS256", labelled("RS256", Algorithm::Ps256)),
        bearer("RS512 that is RS256", labelled("RS512", Algorithm::Rs256)),
        bearer("ES256", forge.ecdsa()),
        bearer("ES256 with a signature of zeros", zeros),
        bearer("EdDSA that is RS256", labelled("EdDSA", Algorithm::Rs256)),
    ]
}

/// `older` is the id of a key of ours that is published and signs no more.
pub(super) fn other_keys(forge: &Forge<'_>, older: &Value) -> Vec<Row> {
    let Forge { auth0, rival, header, claims, .. } = forge;
    let rivals_jwks = format!("{}.well-known/jwks.json", rival.issuer());
    let rivals_claims = rival.user_claims("acme-admin", "acme").unwrap();
    let rival_key = forge.rival_key();
    let certificate = json!([&forge.modulus()]);
    let brought = replaced(&rival.header(), "jwk", rival_key.clone());
    let led = replaced(&rival.header(), "jku", rivals_jwks.as_str());
    let kid = header["kid"].as_str().unwrap();
    vec![
        bearer("another tenant's token", rival.user_token("acme-admin", "acme").unwrap()),
        bearer("another tenant's claims, signed by ours", auth0.sign(header, &rivals_claims)),
        bearer("another tenant's key under its own id", rival.sign(&rival.header(), claims)),
        bearer("another tenant's key under our id", rival.sign(header, claims)),
        bearer("another tenant's key without an id", {
            let nameless = removed(header, "kid");
            rival.sign(&nameless, claims)
        }),
        bearer("an embedded key under our id", forge.rival_header("jwk", rival_key)),
        bearer("an embedded key under its own id", rival.sign(&brought, claims)),
        bearer("a key set's address under our id", {
            forge.rival_header("jku", rivals_jwks.as_str())
        }),
        bearer("a key set's address under its own id", rival.sign(&led, claims)),
        bearer("a certificate's address", forge.rival_header("x5u", rivals_jwks.as_str())),
        bearer("an embedded certificate", forge.rival_header("x5c", certificate)),
        bearer("a key id that is another key's", forge.header("kid", older.clone())),
        bearer("no key id", forge.without_header("kid")),
        bearer("a null key id", forge.header("kid", json!(null))),
        bearer("an empty key id", forge.header("kid", "")),
        bearer("a key id that is a number", forge.header("kid", 0)),
        bearer("a key id that is a list", forge.header("kid", json!([kid]))),
        bearer("a key id that is a path", forge.header("kid", "../../../../../../dev/null")),
        bearer("a key id that is an absolute path", forge.header("kid", "/etc/passwd")),
        bearer("a key id that is an address", forge.rival_header("kid", rivals_jwks.as_str())),
        bearer("a key id that is SQL", forge.header("kid", "x' UNION SELECT 'key' --")),
        bearer("a key id that is a command", forge.header("kid", "key.pem|id")),
        bearer("a key id of NUL", forge.header("kid", "\0")),
        bearer("a key id before a NUL", forge.header("kid", format!("{kid}\0x"))),
        bearer("a key id in other letters", forge.header("kid", kid.to_uppercase() + "x")),
        bearer("a key id and a space", forge.header("kid", format!("{kid} "))),
        bearer("an endless key id", forge.header("kid", "k".repeat(8 * 1024))),
    ]
}
