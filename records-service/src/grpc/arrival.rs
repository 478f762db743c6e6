//! A message on its way to us. While it does not arrive its call has a place that others could use, so
//! it must be there soon, however long the call itself may take. It does not know what it says.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep, timeout};

use crate::error::Error;

/// How long a message may take, from when its call is let in. It may have 512 KiB, and there are
/// slow networks.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// The request, whose message ends with an error if it does not arrive in time.
pub(super) fn within_limit(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    request.map(|body| Body::new(Arriving { body, limit: Box::pin(sleep(ARRIVES_WITHIN)) }))
}

/// Reads what still comes of a message that nobody wants, as long as it may take, and forgets it. A
/// call that is answered before its message has arrived would be reset, and what was on its way would
/// look like a mistake of its client: HTTP/2 as we have it closes a connection with a thousand of
/// these.
pub(super) fn pass_over(request: Request) {
    let mut body = request.into_body();
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(ARRIVES_WITHIN, async move {
        while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
    }));
}

struct Arriving {
    body: Body,
    limit: Pin<Box<Sleep>>,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.limit.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(Error::DeadlineExceeded.into_status()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
