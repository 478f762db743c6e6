//! What SQS accepts as a message or a batch, where awsim is older or laxer than AWS.
//!
//! Source: "`SendMessage`" and "`SendMessageBatch`" in the Amazon SQS API Reference, and "Amazon
//! SQS message quotas".

use std::collections::HashSet;

use awsim_core::AwsError;
use serde_json::Value;

/// The most bytes in a message, and in all messages of a batch together, with attributes.
pub(super) const LARGEST_MESSAGE: usize = 1_048_576;

const MOST_ENTRIES: usize = 10;
const LONGEST_ENTRY_ID: usize = 80;

/// Refuses a message larger than its queue takes, or with characters that SQS does not carry.
pub(super) fn check_message(message: &Value, largest: usize) -> Result<(), AwsError> {
    let size = size(message);
    if size > largest {
        return Err(AwsError::bad_request(
            "InvalidParameterValue",
            format!(
                "One or more parameters are invalid. Reason: Message must be shorter than \
                 {largest} bytes."
            ),
        ));
    }
    let body = message["MessageBody"].as_str().unwrap_or_default();
    if let Some(refused) = body.chars().find(|character| !is_allowed(*character)) {
        return Err(AwsError::bad_request(
            "InvalidMessageContents",
            format!(
                "Invalid binary character '#x{:X}' was found in the message body, the set of \
                 allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | \
                 #x10000 to #x10FFFF",
                u32::from(refused)
            ),
        ));
    }
    Ok(())
}

/// Refuses what makes a whole batch fail, as opposed to one of its entries.
pub(super) fn check_batch(entries: &[Value]) -> Result<(), AwsError> {
    if entries.is_empty() {
        return Err(AwsError::bad_request(
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one SendMessageBatchRequestEntry in the request.",
        ));
    }
    if entries.len() > MOST_ENTRIES {
        return Err(AwsError::bad_request(
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            format!(
                "Maximum number of entries per request are {MOST_ENTRIES}. You have sent {}.",
                entries.len()
            ),
        ));
    }
    let mut seen = HashSet::new();
    for entry in entries {
        let id = entry["Id"].as_str().unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || id.len() > LONGEST_ENTRY_ID || !id.chars().all(plain) {
            return Err(AwsError::bad_request(
                "AWS.SimpleQueueService.InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and \
                 underscores. It can be at most 80 letters long.",
            ));
        }
        if !seen.insert(id) {
            return Err(AwsError::bad_request(
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
                format!("Id {id} repeated."),
            ));
        }
    }
    let total: usize = entries.iter().map(size).sum();
    if total > LARGEST_MESSAGE {
        return Err(AwsError::bad_request(
            "AWS.SimpleQueueService.BatchRequestTooLong",
            format!(
                "Batch requests cannot be longer than {LARGEST_MESSAGE} bytes. You have sent \
                 {total} bytes."
            ),
        ));
    }
    Ok(())
}

/// The bytes that count: the body, and the name, type and value of each attribute.
fn size(message: &Value) -> usize {
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    let attributes = message["MessageAttributes"].as_object().map_or(0, |attributes| {
        attributes
            .iter()
            .map(|(name, attribute)| {
                // A binary value travels in base64, three bytes in four characters.
                let binary = text(&attribute["BinaryValue"]) / 4 * 3;
                name.len() + text(&attribute["DataType"]) + text(&attribute["StringValue"]) + binary
            })
            .sum()
    });
    text(&message["MessageBody"]) + attributes
}

/// The characters of XML 1.0, which SQS carries.
fn is_allowed(character: char) -> bool {
    matches!(
        character,
        '\u{9}' | '\u{A}' | '\u{D}'
            | '\u{20}'..='\u{D7FF}'
            | '\u{E000}'..='\u{FFFD}'
            | '\u{10000}'..='\u{10FFFF}'
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(body: &str) -> Option<String> {
        check_message(&json!({ "MessageBody": body }), LARGEST_MESSAGE).err().map(|e| e.code)
    }

    #[test]
    fn only_the_characters_of_xml_are_carried() {
        for fine in ["\t\n\r", " ~", "\u{D7FF}\u{E000}\u{FFFD}", "\u{10000}\u{1F600}\u{10FFFF}"] {
            assert_eq!(refusal(fine), None, "{fine:?}");
        }

        for bad in ["\0", "\u{1}", "\u{B}", "\u{1F}", "\u{FFFE}", "\u{FFFF}"] {
            assert_eq!(refusal(bad).as_deref(), Some("InvalidMessageContents"), "{bad:?}");
        }
    }

    #[test]
    fn a_message_may_be_exactly_one_mebibyte_with_its_attributes() {
        let message = |length: usize| {
            json!({
                "MessageBody": "x".repeat(length),
                "MessageAttributes": { "kind": { "DataType": "String", "StringValue": "test" } },
            })
        };

        assert!(check_message(&message(LARGEST_MESSAGE - 14), LARGEST_MESSAGE).is_ok());
        assert!(check_message(&message(LARGEST_MESSAGE - 13), LARGEST_MESSAGE).is_err());
    }

    #[test]
    fn a_batch_fails_as_a_whole_for_its_ids_count_and_total() {
        let entry =
            |id: &str, length: usize| json!({ "Id": id, "MessageBody": "x".repeat(length) });
        let code = |entries: &[Value]| check_batch(entries).err().map(|e| e.code);

        assert_eq!(code(&[entry("a", 1), entry("b", LARGEST_MESSAGE - 1)]), None);
        assert!(
            code(&[entry("a", 2), entry("b", LARGEST_MESSAGE - 1)]).unwrap().ends_with("TooLong")
        );
        assert!(code(&[entry("a", 1), entry("a", 1)]).unwrap().ends_with("NotDistinct"));
        assert!(code(&[entry("a b", 1)]).unwrap().ends_with("InvalidBatchEntryId"));
        assert!(code(&[]).unwrap().ends_with("EmptyBatchRequest"));
        let eleven: Vec<_> = (0..11).map(|n| entry(&n.to_string(), 1)).collect();
        assert!(code(&eleven).unwrap().ends_with("TooManyEntriesInBatchRequest"));
    }
}
