//! Where an HTTP/1 request ends, and which operation of AWS it asks for.

/// A whole request at the beginning of what a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) length: usize,
    pub(super) operation: Option<String>,
}

/// Whether a connection that begins like this speaks HTTP/1. HTTP/2 begins with `PRI`.
pub(super) fn is_http1(beginning: &[u8]) -> bool {
    beginning.first().is_some_and(u8::is_ascii_uppercase) && !beginning.starts_with(b"PRI ")
}

/// The first request, once all of it is there. Bodies have a `content-length`, as those of the AWS
/// SDK and of forms do; a chunked one would be taken for the next request.
pub(super) fn first(bytes: &[u8]) -> Option<Request> {
    let head_length = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_length]);
    let header = |wanted: &str| {
        head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    let body_length = header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let length = head_length + body_length;
    let operation =
        header("x-amz-target").and_then(|target| Some(target.rsplit_once('.')?.1.to_owned()));
    (bytes.len() >= length).then_some(Request { length, operation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_with_its_body_and_named_by_its_target() {
        let bytes = b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.PutItem\r\n\
                      Content-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\n\r\n";
        let whole = bytes.len() - b"GET / HTTP/1.1\r\n\r\n".len();

        let request = Request { length: whole, operation: Some("PutItem".to_owned()) };
        assert_eq!(first(bytes), Some(request));
        assert_eq!(first(&bytes[..whole - 1]), None);
        assert_eq!(first(&bytes[..20]), None);
        assert_eq!(first(&bytes[whole..]), Some(Request { length: 18, operation: None }));
    }

    #[test]
    fn http2_is_told_from_http1_by_its_first_bytes() {
        assert!(is_http1(b"POST / HTTP/1.1\r\n"));
        assert!(!is_http1(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        assert!(!is_http1(&[0x16, 3, 1]));
    }
}
