//! Whose turn it is on a connection. The bodies of requests and answers tell it as they go by. It does
//! not know how long a turn may last.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::watch;

/// Who keeps whom waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The client has yet to send its first request.
    Newcomers,
    /// The client has a further request to send, or the rest of one, or an answer to take. Each
    /// further part of an answer is a turn of its own.
    Clients,
    /// We have an answer to give.
    Ours,
}

/// The body of a request: the client's turn until it has sent all of it.
pub(super) struct Sent {
    body: Incoming,
    turn: watch::Sender<Turn>,
}

impl Sent {
    /// Of a request whose head has just arrived.
    pub(super) fn new(body: Incoming, turn: watch::Sender<Turn>) -> Self {
        turn.send_replace(if body.is_end_stream() { Turn::Ours } else { Turn::Clients });
        Self { body, turn }
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None) = frame {
            self.turn.send_replace(Turn::Ours);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. It is asked for its next part when the client has taken the one before,
/// but for what fits into a buffer.
pub(super) struct Given {
    body: Body,
    turn: watch::Sender<Turn>,
}

impl Given {
    /// Of an answer that is ready to be taken.
    pub(super) fn new(body: Body, turn: watch::Sender<Turn>) -> Self {
        turn.send_replace(Turn::Clients);
        Self { body, turn }
    }
}

impl HttpBody for Given {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.turn.send_replace(if frame.is_pending() { Turn::Ours } else { Turn::Clients });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
