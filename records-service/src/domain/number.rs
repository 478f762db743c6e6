//! DynamoDB's number: a decimal of up to 38 significant digits, kept as text because no binary
//! floating-point type holds it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const MAX_DIGITS: usize = 38;
const MAX_EXPONENT: i64 = 125;
const MIN_EXPONENT: i64 = -130;
/// Far more than the longest way to write a number that is in range; a longer text is refused
/// before anybody looks at it.
const MAX_TEXT: usize = 512;

/// A number in canonical form: equal numbers are equal texts.
///
/// Source: "Number" in "Supported data types and naming rules in Amazon DynamoDB".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Number(String);

/// Why a text is not a number that DynamoDB holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// It is not a decimal number.
    #[error("is not a decimal number")]
    Malformed,
    /// It has more than 38 significant digits.
    #[error("has more than 38 significant digits")]
    TooPrecise,
    /// Its magnitude is outside 1E-130 to 9.99…E+125.
    #[error("is too large or too small: it must be between 1E-130 and 9.99E+125")]
    OutOfRange,
}

impl Number {
    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.0
    }
}

impl TryFrom<String> for Number {
    type Error = NumberError;

    fn try_from(text: String) -> Result<Self, NumberError> {
        text.parse()
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        if text.len() > MAX_TEXT {
            return Err(NumberError::Malformed);
        }
        let (negative, unsigned) = split_sign(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = [whole, fraction].iter().all(|p| p.bytes().all(|b| b.is_ascii_digit()));
        if !all_digits || (whole.is_empty() && fraction.is_empty()) {
            return Err(NumberError::Malformed);
        }

        let written = format!("{whole}{fraction}");
        let significant = written.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Ok(Self("0".to_owned()));
        }
        if digits.len() > MAX_DIGITS {
            return Err(NumberError::TooPrecise);
        }
        // The power of ten of the first digit. The texts are short, so no length overflows.
        let power = exponent + length(significant) - length(fraction) - 1;
        if !(MIN_EXPONENT..=MAX_EXPONENT).contains(&power) {
            return Err(NumberError::OutOfRange);
        }
        Ok(Self(render(negative, digits, power)))
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// The exponent, held within bounds where it is out of any range anyway.
fn parse_exponent(text: &str) -> Result<i64, NumberError> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NumberError::Malformed);
    }
    let magnitude = digits.parse().unwrap_or(100_000_i64).min(100_000);
    Ok(if negative { -magnitude } else { magnitude })
}

/// Plain digits where 38 places suffice, else scientific notation.
fn render(negative: bool, digits: &str, power: i64) -> String {
    let sign = if negative { "-" } else { "" };
    let count = digits.len();
    match usize::try_from(power) {
        Ok(power) if power < count => match digits.split_at(power + 1) {
            (whole, "") => format!("{sign}{whole}"),
            (whole, fraction) => format!("{sign}{whole}.{fraction}"),
        },
        Ok(power) if power < MAX_DIGITS => {
            format!("{sign}{digits}{}", "0".repeat(power + 1 - count))
        }
        _ => {
            let zeros = usize::try_from(-power - 1).unwrap_or(usize::MAX);
            if power < 0 && zeros.saturating_add(count) <= MAX_DIGITS {
                return format!("{sign}0.{}{digits}", "0".repeat(zeros));
            }
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{point}{rest}E{power:+}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Number>().map_or_else(|error| format!("{error:?}"), String::from)
    }

    #[test]
    fn equal_numbers_have_one_text() {
        let cases = [
            ("0", "0"),
            ("-0.00", "0"),
            ("0e99999999999999999999", "0"),
            ("+007.50", "7.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("1E-3", "0.001"),
            ("-12.34e1", "-123.4"),
            ("1e37", "10000000000000000000000000000000000000"),
            ("1e38", "1E+38"),
            ("-1.5e-130", "-1.5E-130"),
            (
                "9.9999999999999999999999999999999999999E+125",
                "9.9999999999999999999999999999999999999E+125",
            ),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn what_dynamodb_cannot_hold_is_refused() {
        let cases = [
            ("", "Malformed"),
            ("-", "Malformed"),
            (".", "Malformed"),
            ("1_000", "Malformed"),
            ("1,5", "Malformed"),
            (" 1", "Malformed"),
            ("0x10", "Malformed"),
            ("NaN", "Malformed"),
            ("Infinity", "Malformed"),
            ("1e", "Malformed"),
            ("1e+-2", "Malformed"),
            ("١", "Malformed"),
            ("123456789012345678901234567890123456789", "TooPrecise"),
            ("1e126", "OutOfRange"),
            ("1e-131", "OutOfRange"),
            ("1e99999999999999999999", "OutOfRange"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_canonical_text_is_its_own_canonical_text(
            negative: bool, digits in "[0-9]{1,38}", exponent in -90_i64..=80,
        ) {
            let text = format!("{}{digits}e{exponent}", if negative { "-" } else { "" });
            let once = canonical(&text);
            prop_assert_eq!(canonical(&once), once);
        }

        #[test]
        fn integers_of_any_sign_keep_their_value(value: i128) {
            prop_assume!(value.unsigned_abs() < 10_u128.pow(38));
            prop_assert_eq!(canonical(&value.to_string()), value.to_string());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = canonical(&text);
        }
    }
}
