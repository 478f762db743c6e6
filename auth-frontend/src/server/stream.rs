//! The stream of one connection, which ends by itself where its client sends a request's head or
//! takes an answer too slowly. It does not know HTTP.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// How often the connection has changed between waiting for a request, which is even, and having
/// one in hand, which is odd.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<AtomicU32>);

impl Turns {
    /// The head of a request has arrived, or its answer is made.
    pub(super) fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether no request has come yet, or all that came are answered.
    pub(super) fn is_waiting(&self) -> bool {
        self.count().is_multiple_of(2)
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A TCP stream with patience for its client.
#[derive(Debug)]
pub(super) struct PatientStream {
    tcp: TcpStream,
    turns: Turns,
    /// The turn that `head` belongs to.
    turn: u32,
    head_within: Duration,
    /// Ends with the time for the head of a request, once its first byte has come.
    head: Option<Pin<Box<Sleep>>>,
    taken_within: Duration,
    /// Ends with the time for an answer, once it does not fit into the socket's buffer at once.
    taken: Option<Pin<Box<Sleep>>>,
}

impl PatientStream {
    /// A stream just accepted, whose first request's head must be there within `head_within` from
    /// now; those of further requests from their first byte on. Every answer must be taken within
    /// `taken_within`.
    pub(super) fn new(
        tcp: TcpStream,
        turns: Turns,
        head_within: Duration,
        taken_within: Duration,
    ) -> Self {
        let head = Some(Box::pin(sleep(head_within)));
        Self { tcp, turn: turns.count(), turns, head_within, head, taken_within, taken: None }
    }

    /// `written`, unless it is waiting for longer than the client may take.
    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_pending() {
            let taken = self.taken.get_or_insert_with(|| Box::pin(sleep(self.taken_within)));
            ready!(taken.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the answer is not taken",
            )));
        }
        written
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let turn = stream.turns.count();
        if turn != stream.turn {
            stream.turn = turn;
            stream.head = None;
        }
        if let Some(head) = &mut stream.head
            && head.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no whole head came")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut stream.tcp).poll_read(context, buffer))?;
        if stream.head.is_none() && stream.turns.is_waiting() && buffer.filled().len() > before {
            stream.head = Some(Box::pin(sleep(stream.head_within)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = Pin::new(&mut stream.tcp).poll_write(context, bytes);
        stream.in_time(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = Pin::new(&mut stream.tcp).poll_write_vectored(context, slices);
        stream.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    /// Comes when all of an answer is in the socket's buffer.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.taken = None;
        Pin::new(&mut stream.tcp).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(context)
    }
}
