//! Makes tokens that Auth0 would never give: its real keys and a rival's, over anything.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64URL},
};
use dev_stack::{Auth0, auth0::Algorithm};
use serde_json::{Value, json};

/// Everything of an RSA public key of 2048 bits and exponent 65537 that stands before its modulus
/// in DER (`SubjectPublicKeyInfo`), and after it.
const BEFORE_MODULUS: [u8; 33] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
    0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01,
    0x00,
];
const AFTER_MODULUS: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

/// A good header and good claims, and two providers to sign what becomes of them.
pub(super) struct Forge<'a> {
    /// The provider that the service trusts.
    pub(super) auth0: &'a Auth0,
    /// Another one, with the same organizations and people.
    pub(super) rival: &'a Auth0,
    pub(super) header: Value,
    pub(super) claims: Value,
}

impl<'a> Forge<'a> {
    pub(super) fn new(auth0: &'a Auth0, rival: &'a Auth0) -> Self {
        let claims = auth0.user_claims("acme-admin", "acme").unwrap();
        Self { auth0, rival, header: auth0.header(), claims }
    }

    pub(super) fn good(&self) -> String {
        self.auth0.sign(&self.header, &self.claims)
    }

    /// A well-signed token with this claim in place of the good one.
    pub(super) fn claim(&self, name: &str, value: impl Into<Value>) -> String {
        self.auth0.sign(&self.header, &replaced(&self.claims, name, value))
    }

    pub(super) fn without_claim(&self, name: &str) -> String {
        self.auth0.sign(&self.header, &removed(&self.claims, name))
    }

    /// A well-signed token with this in its header.
    pub(super) fn header(&self, name: &str, value: impl Into<Value>) -> String {
        self.auth0.sign(&replaced(&self.header, name, value), &self.claims)
    }

    pub(super) fn without_header(&self, name: &str) -> String {
        self.auth0.sign(&removed(&self.header, name), &self.claims)
    }

    /// A token with this in its header, signed with the rival's key.
    pub(super) fn rival_header(&self, name: &str, value: impl Into<Value>) -> String {
        self.rival.sign(&replaced(&self.header, name, value), &self.claims)
    }

    /// The good claims under this header, up to the signature.
    pub(super) fn unsigned(&self, header: &Value) -> String {
        joined(header.to_string().as_bytes(), self.claims.to_string().as_bytes())
    }

    /// The good header with another algorithm.
    pub(super) fn alg(&self, alg: impl Into<Value>) -> Value {
        replaced(&self.header, "alg", alg)
    }

    /// A well-signed token of exactly these bytes.
    pub(super) fn exactly(&self, header: &[u8], claims: &[u8]) -> String {
        self.signed(&joined(header, claims), Algorithm::Rs256)
    }

    /// The same with the good header.
    pub(super) fn exact_claims(&self, claims: &[u8]) -> String {
        self.exactly(self.header.to_string().as_bytes(), claims)
    }

    /// A well-signed token that has this text as one more claim, at the end.
    pub(super) fn twice(&self, name: &str, value: impl Into<Value>) -> String {
        self.exact_claims(with_another(&self.claims, name, &value.into()).as_bytes())
    }

    pub(super) fn header_twice(&self, name: &str, value: impl Into<Value>) -> String {
        let header = with_another(&self.header, name, &value.into());
        self.exactly(header.as_bytes(), self.claims.to_string().as_bytes())
    }

    pub(super) fn signed(&self, unsigned: &str, algorithm: Algorithm) -> String {
        let signature = self.auth0.signature(algorithm, unsigned.as_bytes());
        with_signature(unsigned, &signature)
    }

    /// HS256 with this secret, or what somebody takes for one.
    pub(super) fn hmac(&self, secret: &[u8]) -> String {
        let unsigned = self.unsigned(&self.alg("HS256"));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let signature = hmac::sign(&key, unsigned.as_bytes());
        with_signature(&unsigned, signature.as_ref())
    }

    /// ES256 with a key of nobody.
    pub(super) fn ecdsa(&self) -> String {
        let unsigned = self.unsigned(&self.alg("ES256"));
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let signature = pair.sign(&SystemRandom::new(), unsigned.as_bytes()).unwrap();
        with_signature(&unsigned, signature.as_ref())
    }

    /// The modulus of the current key, as the JWK set has it.
    pub(super) fn modulus(&self) -> String {
        public_key(self.auth0)["n"].as_str().unwrap().to_owned()
    }

    /// The current public key as `openssl` writes it to a file.
    pub(super) fn der(&self) -> Vec<u8> {
        let modulus = BASE64URL.decode(self.modulus()).unwrap();
        [&BEFORE_MODULUS[..], &modulus, &AFTER_MODULUS].concat()
    }

    pub(super) fn pem(&self) -> String {
        let text = STANDARD.encode(self.der());
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The rival's public key as a JWK.
    pub(super) fn rival_key(&self) -> Value {
        public_key(self.rival)
    }
}

/// Base64url of both, with a dot between.
pub(super) fn joined(header: &[u8], claims: &[u8]) -> String {
    format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims))
}

pub(super) fn with_signature(unsigned: &str, signature: &[u8]) -> String {
    format!("{unsigned}.{}", BASE64URL.encode(signature))
}

pub(super) fn replaced(object: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut object = object.clone();
    object[name] = value.into();
    object
}

pub(super) fn removed(object: &Value, name: &str) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove(name).unwrap();
    object
}

fn with_another(object: &Value, name: &str, value: &Value) -> String {
    let text = object.to_string();
    let open = text.strip_suffix('}').unwrap();
    format!("{open},{}:{value}}}", json!(name))
}

fn public_key(auth0: &Auth0) -> Value {
    let kid = &auth0.header()["kid"];
    let keys = auth0.jwks()["keys"].as_array().unwrap().clone();
    keys.into_iter().find(|key| key["kid"] == *kid).unwrap()
}
