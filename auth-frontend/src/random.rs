//! Unguessable texts. It does not know what they are for.

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Random bytes from the operating system, as base64url text.
///
/// # Panics
/// When the operating system has no random bytes to give, without which nothing here is safe.
pub(crate) fn text<const BYTES: usize>() -> String {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}
