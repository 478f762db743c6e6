//! An answer on its way to its caller: it keeps what its call holds until the caller has taken it,
//! which must not last for ever. It does not know what it says.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use hyper::body::Frame;
use service_kit::shutdown::CancellationToken;
use tokio::{task::AbortHandle, time::sleep};

/// How long a caller may take for an answer. It may be 1 MB, and there are slow networks.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// How much of an answer is given to HTTP/2 at a time.
const PIECE: usize = 16 * 1024;

/// Ends the connection that a call came on. HTTP/2 as we have it offers no way to end a single
/// answer whose caller gives it no room.
#[derive(Clone)]
pub(super) struct HangUp(pub(super) CancellationToken);

/// Hangs up on who has not taken an answer in time, unless it is dropped before.
pub(super) struct Patience(AbortHandle);

impl Patience {
    pub(super) fn of(connection: HangUp) -> Self {
        let hang_up = async move {
            sleep(TAKEN_WITHIN).await;
            connection.0.cancel();
        };
        Self(tokio::spawn(hang_up).abort_handle())
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The answer, which drops `held` when it is taken, or nobody waits for it any more.
pub(super) fn keep<H: Send + Unpin + 'static>(answer: Response, held: H) -> Response {
    if answer.body().is_end_stream() {
        return answer;
    }
    answer.map(|body| Body::new(Kept { body, rest: Bytes::new(), held: Some(held) }))
}

struct Kept<H> {
    body: Body,
    /// Of what the body has given out.
    rest: Bytes,
    held: Option<H>,
}

impl<H: Unpin> HttpBody for Kept<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let next = ready!(Pin::new(&mut this.body).poll_frame(cx));
            let Some(Ok(frame)) = next else {
                this.held = None;
                return Poll::Ready(next);
            };
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(trailers) => {
                    this.held = None;
                    return Poll::Ready(Some(Ok(trailers)));
                }
            }
        }
        // HTTP/2 takes a piece, whole, as soon as its caller has room for any of it. So the last
        // byte goes alone: when it is asked for what follows that one, the caller had room for all
        // others. And it gets copies, lest the last of them keep the whole answer in memory.
        let length = this.rest.len().saturating_sub(1).clamp(1, PIECE).min(this.rest.len());
        let piece = Bytes::copy_from_slice(&this.rest.split_to(length));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}
