//! The signing keys: making, rotating, publishing and using them. It knows nothing of what is
//! signed.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::{self, SystemRandom},
    rsa::KeySize,
    signature::{
        KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
        RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, UnparsedPublicKey,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;

/// A random text of `bytes` bytes, safe in URLs and cookies.
pub(super) fn random_text(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    rand::fill(&mut buffer).expect("the system has a source of randomness");
    BASE64URL.encode(buffer)
}

/// How a key signs. Our own tokens are RS256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// PSS with SHA-256.
    Ps256,
}

impl Algorithm {
    fn encoding(self) -> &'static dyn RsaEncoding {
        match self {
            Self::Rs256 => &RSA_PKCS1_SHA256,
            Self::Rs384 => &RSA_PKCS1_SHA384,
            Self::Ps256 => &RSA_PSS_SHA256,
        }
    }
}

/// One RSA key of 2048 bits.
pub(super) struct SigningKey {
    kid: String,
    pair: RsaKeyPair,
}

/// A key as it is written to disk.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedKey {
    kid: String,
    pkcs8: String,
}

impl SigningKey {
    fn generate() -> Result<Self, Error> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::Key)?;
        Ok(Self { kid: random_text(16), pair })
    }

    fn restore(saved: &SavedKey) -> Option<Self> {
        let pkcs8 = BASE64URL.decode(&saved.pkcs8).ok()?;
        Some(Self { kid: saved.kid.clone(), pair: RsaKeyPair::from_pkcs8(&pkcs8).ok()? })
    }

    fn save(&self) -> Result<SavedKey, Error> {
        let pkcs8: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| Error::Key)?;
        Ok(SavedKey { kid: self.kid.clone(), pkcs8: BASE64URL.encode(pkcs8.as_ref()) })
    }

    /// The key's public half as a member of a JWK set (RFC 7517).
    fn jwk(&self) -> Value {
        let public = self.pair.public_key();
        json!({
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": BASE64URL.encode(public.modulus().big_endian_without_leading_zero()),
            "e": BASE64URL.encode(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// The token with this header and these claims, signed with RSA and SHA-256 whatever the
    /// header says.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            BASE64URL.encode(header.to_string()),
            BASE64URL.encode(claims.to_string())
        );
        let signature = self.signature(Algorithm::Rs256, signed.as_bytes());
        format!("{signed}.{}", BASE64URL.encode(signature))
    }

    fn signature(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(algorithm.encoding(), &SystemRandom::new(), message, &mut signature)
            .expect("an RSA key of 2048 bits signs any message");
        signature
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public_key().as_ref())
            .verify(message, signature)
            .is_ok()
    }
}

/// The key in use, and older ones that are still published.
pub(super) struct KeyRing {
    current: SigningKey,
    previous: Vec<SigningKey>,
}

impl KeyRing {
    pub(super) fn generate() -> Result<Self, Error> {
        Ok(Self { current: SigningKey::generate()?, previous: Vec::new() })
    }

    /// The ring that was saved, if it holds at least one key and all are readable.
    pub(super) fn restore(saved: &[SavedKey]) -> Option<Self> {
        let mut keys = saved.iter().map(SigningKey::restore).collect::<Option<Vec<_>>>()?;
        let current = (!keys.is_empty()).then(|| keys.remove(0))?;
        Some(Self { current, previous: keys })
    }

    /// The keys to be written to disk, the current one first.
    pub(super) fn save(&self) -> Result<Vec<SavedKey>, Error> {
        self.all().map(SigningKey::save).collect()
    }

    /// Signs with a new key from now on; the old one stays published.
    pub(super) fn rotate(&mut self) -> Result<(), Error> {
        let old = std::mem::replace(&mut self.current, SigningKey::generate()?);
        self.previous.insert(0, old);
        Ok(())
    }

    /// Publishes no key but the current one from now on.
    pub(super) fn revoke_previous(&mut self) {
        self.previous.clear();
    }

    pub(super) fn kid(&self) -> &str {
        &self.current.kid
    }

    /// The JWK set (RFC 7517).
    pub(super) fn jwks(&self) -> Value {
        json!({ "keys": self.all().map(SigningKey::jwk).collect::<Vec<_>>() })
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.current.sign(header, claims)
    }

    pub(super) fn signature(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        self.current.signature(algorithm, message)
    }

    /// The claims of a token that one of the published keys signed. Expiry is not looked at.
    pub(super) fn verify(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, claims) = signed.split_once('.')?;
        let signature = BASE64URL.decode(signature).ok()?;
        self.all().find(|key| key.has_signed(signed.as_bytes(), &signature))?;
        serde_json::from_slice(&BASE64URL.decode(claims).ok()?).ok()
    }

    fn all(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}
