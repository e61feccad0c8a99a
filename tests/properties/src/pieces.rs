//! A client whose bytes come in pieces, as a network may cut them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// How long the pieces are that every input is cut into: one byte shows every border there is, the others
/// put several bytes before and behind one.
pub(crate) const LENGTHS: [usize; 5] = [1, 2, 3, 7, 64];

/// Longer than any input takes; no property is about time.
pub(crate) const LONG: Duration = Duration::from_hours(1);

/// A stream that gives its bytes piece by piece, and then ends.
pub(crate) struct Pieces<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(bytes: &'a [u8], length: usize) -> Self {
        Self { rest: bytes, length }
    }

    /// How many bytes nobody has read.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.length.min(self.rest.len()).min(buffer.remaining());
        let (piece, rest) = self.rest.split_at(length);
        buffer.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// Waits for a reader that has all its bytes at hand.
pub(crate) fn wait<T>(reader: impl Future<Output = T>) -> T {
    thread_local! {
        // The readers set deadlines, which take a clock.
        static RUNTIME: Runtime =
            Builder::new_current_thread().enable_time().build().expect("a clock takes no resources");
    }
    RUNTIME.with(|runtime| runtime.block_on(reader))
}
