//! Reads a form that a browser sent, strictly: what cannot be understood exactly is refused, never
//! repaired, because a repaired text would be saved as if somebody had typed it. It does not know
//! what the inputs mean.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue, header};

use crate::error::Error;

/// More inputs than any form has.
const INPUT_LIMIT: usize = 500;
/// The longest name of an input, in bytes: that of a DynamoDB attribute in a map, far beyond any
/// field of a form.
const NAME_LIMIT: usize = 255;
/// The most that a page repeats of what was typed, in bytes, so that it can be sent again: more than
/// the record of 128 KiB that is the largest to be saved. Escaped, each may be six.
const REPEAT_LIMIT: usize = 160 * 1024;

/// The inputs of a form by name, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs(BTreeMap<String, String>);

impl Inputs {
    /// Reads `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another content type, for bytes that are not UTF-8, a broken escape,
    /// or a name that comes twice.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let essence = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
        if !essence
            .unwrap_or_default()
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        {
            return Err(Error::Invalid("the content type is not that of a form"));
        }
        Self::parse(body)
    }

    fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut inputs = BTreeMap::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(equals + 1..).unwrap_or_default();
            let name = decode(&pair[..equals])?;
            if name.len() > NAME_LIMIT {
                return Err(Error::Invalid("the name of an input is too long"));
            }
            if inputs.insert(name, decode(value)?).is_some() {
                return Err(Error::Invalid("an input comes twice"));
            }
            if inputs.len() > INPUT_LIMIT {
                return Err(Error::Invalid("there are too many inputs"));
            }
        }
        Ok(Self(inputs))
    }

    /// The value of an input.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether they are few enough for a page to repeat them.
    #[must_use]
    pub(crate) fn may_be_repeated(&self) -> bool {
        self.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= REPEAT_LIMIT
    }

    /// All inputs, ordered by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Inputs {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

fn decode(encoded: &[u8]) -> Result<String, Error> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = rest.split_first_chunk::<2>();
                let (&[high, low], after) = digits.ok_or(Error::Invalid("an escape breaks off"))?;
                rest = after;
                let digit = |byte| char::from(byte).to_digit(16);
                let value = digit(high).zip(digit(low)).map(|(high, low)| high * 16 + low);
                value
                    .and_then(|value| u8::try_from(value).ok())
                    .ok_or(Error::Invalid("an escape has no two hexadecimal digits"))?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| Error::Invalid("the form is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::form_urlencoded;

    use super::*;

    #[test]
    fn a_form_reads_as_it_was_typed() {
        let inputs = Inputs::parse(b"title=Caf%C3%A9+%26+bar&empty=&bare&note=a%0D%0Ab").unwrap();

        assert_eq!(inputs.get("title"), Some("Café & bar"));
        assert_eq!(inputs.get("empty"), Some(""));
        assert_eq!(inputs.get("bare"), Some(""));
        assert_eq!(inputs.get("note"), Some("a\r\nb"));
        assert_eq!(inputs.get("none"), None);
    }

    #[test]
    fn what_cannot_be_understood_exactly_is_refused() {
        let bad: [&[u8]; 8] = [
            b"title=%ff",
            b"title=\xff",
            b"title=%C3",
            b"title=%4",
            b"title=%",
            b"title=%zz",
            b"title=%+1",
            b"title=a&title=b",
        ];
        for body in bad {
            assert!(Inputs::parse(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn only_what_calls_itself_a_form_is_read_as_one() {
        let of_type = |content_type: &str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())])
        };
        let form = of_type("application/x-www-form-urlencoded; charset=UTF-8");

        assert_eq!(Inputs::read(&form, b"a=b").unwrap().get("a"), Some("b"));
        for other in [HeaderMap::new(), of_type("text/plain"), of_type("multipart/form-data")] {
            assert!(matches!(Inputs::read(&other, b"a=b"), Err(Error::Invalid(_))));
        }
    }

    proptest! {
        #[test]
        fn every_form_that_a_browser_encodes_reads_back(
            pairs in proptest::collection::btree_map(".{1,8}", ".{0,40}", 0..6)
        ) {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();

            prop_assert_eq!(Inputs::parse(body.as_bytes()).unwrap(), Inputs(pairs));
        }

        #[test]
        fn no_bytes_make_the_decoder_stumble(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Inputs::parse(&body);
        }
    }
}
