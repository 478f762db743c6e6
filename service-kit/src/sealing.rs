//! Seals small texts that leave the process and come back: encrypted, authenticated, and bound to
//! what they are for. It does not know what is sealed.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, Salt},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Environment;

/// The shortest secret that a key is made of, in bytes.
const MIN_SECRET: usize = 32;

/// Several secrets, of which the first seals and all open, so that a secret can be replaced
/// without invalidating what the one before has sealed.
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    /// Reads a comma-separated list of secrets, each of at least 32 bytes, such as
    /// `openssl rand -hex 32` prints.
    pub fn from_environment(env: &mut Environment, variable: &str) -> Option<Self> {
        let list = env.secret(variable)?;
        let secrets: Vec<_> = list.expose_secret().split(',').map(str::trim).collect();
        if secrets.iter().any(|secret| secret.len() < MIN_SECRET) {
            let problem = format!("holds a secret of less than {MIN_SECRET} bytes");
            env.mistake(variable, problem);
            return None;
        }
        Some(Self(secrets.into_iter().map(SecretString::from).collect()))
    }
}

/// Seals and opens for one purpose. Texts sealed for another purpose, or with another context, do
/// not open.
pub struct Sealer(Vec<RandomizedNonceKey>);

impl Sealer {
    /// The sealer for a purpose, such as `"page token"`: the purpose is part of the key
    /// derivation (HKDF-SHA256, RFC 5869), so one secret serves many purposes.
    ///
    /// # Panics
    /// Never: the lengths are those that the algorithms ask for.
    #[must_use]
    pub fn new(secrets: &Secrets, purpose: &str) -> Self {
        let derive = |secret: &SecretString| {
            let mut key = [0; 32];
            Salt::new(HKDF_SHA256, b"org-records")
                .extract(secret.expose_secret().as_bytes())
                .expand(&[purpose.as_bytes()], &AES_256_GCM)
                .and_then(|okm| okm.fill(&mut key))
                .and_then(|()| RandomizedNonceKey::new(&AES_256_GCM, &key))
                .expect("AES-256-GCM takes a key of 32 bytes")
        };
        Self(secrets.0.iter().map(derive).collect())
    }

    /// The sealed form, as base64url text. It opens only with the same `context`.
    ///
    /// # Panics
    /// Only for a plaintext of more than 64 GiB.
    #[must_use]
    pub fn seal(&self, context: &str, plaintext: &[u8]) -> String {
        let mut sealed = Vec::with_capacity(NONCE_LEN + plaintext.len() + MAX_TAG_LEN);
        sealed.extend_from_slice(plaintext);
        let nonce = self.0[0]
            .seal_in_place_append_tag(Aad::from(context), &mut sealed)
            .expect("the plaintext is short");
        sealed.splice(0..0, *nonce.as_ref());
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// What was sealed, or `None` where the text was not sealed by one of our secrets for this
    /// purpose and context.
    #[must_use]
    pub fn open(&self, context: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_LEN>()?;
        self.0.iter().find_map(|key| {
            let mut opened = ciphertext.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let length = key.open_in_place(nonce, Aad::from(context), &mut opened).ok()?.len();
            opened.truncate(length);
            Some(opened)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(secrets: &str, purpose: &str) -> Sealer {
        let mut env = Environment::from_pairs([("KEYS", secrets)]);
        Sealer::new(&Secrets::from_environment(&mut env, "KEYS").unwrap(), purpose)
    }

    const OLD: &str = "old-old-old-old-old-old-old-old-old";
    const NEW: &str = "new-new-new-new-new-new-new-new-new";

    #[test]
    fn what_is_sealed_opens_for_the_same_purpose_and_context_only() {
        let sealed = sealer(OLD, "a").seal("acme", b"key");

        assert_eq!(sealer(OLD, "a").open("acme", &sealed).unwrap(), b"key");
        assert_eq!(sealer(OLD, "a").open("globex", &sealed), None);
        assert_eq!(sealer(OLD, "b").open("acme", &sealed), None);
        assert_eq!(sealer(NEW, "a").open("acme", &sealed), None);
    }

    #[test]
    fn a_replaced_secret_still_opens_what_it_sealed() {
        let sealed = sealer(OLD, "a").seal("", b"key");
        let rotated = sealer(&format!("{NEW}, {OLD}"), "a");

        assert_eq!(rotated.open("", &sealed).unwrap(), b"key");
        assert_eq!(sealer(OLD, "a").open("", &rotated.seal("", b"key")), None);
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let seal_a = sealer(OLD, "a");
        let sealed = seal_a.seal("", b"key");

        for position in 0..sealed.len() {
            for replacement in ["A", "B", "_", "=", ""] {
                let mut changed = sealed.clone();
                changed.replace_range(position..=position, replacement);
                assert!(changed == sealed || seal_a.open("", &changed).is_none(), "{changed}");
            }
        }
        assert_eq!(seal_a.open("", ""), None);
    }

    #[test]
    fn a_short_secret_is_a_mistake() {
        let mut env = Environment::from_pairs([("KEYS", format!("{OLD},short"))]);
        assert!(Secrets::from_environment(&mut env, "KEYS").is_none());
    }
}
