//! Unguessable texts, and times that differ. It does not know what they are for.

use std::time::Duration;

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Random bytes from the operating system, as base64url text.
///
/// # Panics
/// When the operating system has no random bytes to give, without which nothing here is safe.
pub(crate) fn text<const BYTES: usize>() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<BYTES>())
}

/// A random time below `limit`, so that many who begin together do not go on together.
///
/// # Panics
/// As [`text`].
pub(crate) fn up_to(limit: Duration) -> Duration {
    let part = f64::from(u32::from_be_bytes(bytes())) / f64::from(u32::MAX);
    limit.mul_f64(part)
}

fn bytes<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
