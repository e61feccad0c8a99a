//! Hands lines of text to a thread that writes them, so that a slow or stuck reader of the output holds
//! up nobody but itself.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

/// Where lines go.
#[derive(Debug, Clone)]
pub struct Lines {
    queue: SyncSender<Message>,
    lost: IntCounter,
}

enum Message {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
}

impl Lines {
    /// Starts a thread that writes to `out`, and counts in `lost` what could not be written.
    pub fn to(out: impl Write + Send + 'static, lost: IntCounter) -> Self {
        let (queue, messages) = sync_channel(CAPACITY);
        let counter = lost.clone();
        std::thread::spawn(move || write(out, &messages, &counter));
        Self { queue, lost }
    }

    /// Queues a line, which ends in a line feed; counts it as lost where the queue is full.
    pub fn push(&self, line: Vec<u8>) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.lost.inc();
        }
    }

    /// Waits until what was queued is written, but not for ever: there may be nobody who reads.
    pub fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let (done, written) = sync_channel(1);
        let mut flush = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(flush) {
            if Instant::now() > deadline {
                return;
            }
            flush = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// Writes what waits in one go, then waits for more.
fn write(mut out: impl Write, messages: &Receiver<Message>, lost: &IntCounter) {
    while let Ok(first) = messages.recv() {
        // Who queues a line while we wait need not wake us for it.
        std::thread::sleep(GATHER);
        let (mut batch, mut count, mut flushes) = (Vec::new(), 0, Vec::new());
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    batch.extend(line);
                    count += 1;
                }
                Message::Flush(done) => flushes.push(done),
            }
            next = if batch.len() < BATCH { messages.try_recv().ok() } else { None };
        }
        if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
            lost.inc_by(count);
        }
        for done in flushes {
            // Whoever asked may have stopped waiting.
            let _ = done.try_send(());
        }
    }
}

/// How long a line may wait for others to be written with it.
const GATHER: Duration = Duration::from_millis(5);
/// Lines that may wait for the writer; some seconds of a busy gateway, a few MiB.
const CAPACITY: usize = 16 * 1024;
const BATCH: usize = 64 * 1024;
