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
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

use crate::error::Error;

/// How long a message may take, from when its call is there. It may have 512 KiB, and there are slow
/// networks.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// The request, whose message ends with an error if it does not arrive in time, and is read to its end
/// even if nobody wants it.
pub(super) fn within_limit(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let limit = Box::pin(sleep(ARRIVES_WITHIN));
    request.map(|body| Body::new(Arriving(Some(Message { body, limit }))))
}

struct Message {
    body: Body,
    limit: Pin<Box<Sleep>>,
}

impl Message {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.limit.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(Error::DeadlineExceeded.into_status()))))
    }

    async fn pass_over(mut self) {
        while let Some(Ok(_)) = poll_fn(|cx| self.poll_frame(cx)).await {}
    }
}

/// Nothing once the message has ended.
struct Arriving(Option<Message>);

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(message) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(message.poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|message| message.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |message| message.body.size_hint())
    }
}

/// What still comes of a message that nobody wants is read and forgotten. A call that is answered before
/// its message has arrived would be reset, and what was on its way, or had come and was not read, would
/// look like a mistake of its client: HTTP/2 as we have it closes a connection with very many of these.
impl Drop for Arriving {
    fn drop(&mut self) {
        let unread = self.0.take().filter(|message| !message.body.is_end_stream());
        if let (Some(message), Ok(runtime)) = (unread, Handle::try_current()) {
            runtime.spawn(message.pass_over());
        }
    }
}
