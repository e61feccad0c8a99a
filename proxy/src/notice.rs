//! Says something to the operator, on stderr. What became of connections is the access log's.

use std::fmt::Display;
use std::io::{self, Write, stderr};
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::IntCounter;

use crate::log::lines::{Lines, Sink};

/// Writes `ringfence: ` and `text` as one line (or block) to stderr.
pub fn notice(text: impl Display) {
    let line = format!("ringfence: {text}\n").into_bytes();
    match QUEUE.get() {
        Some(queue) => queue.push(line),
        // Where stderr is closed there is no one to tell.
        None => drop(stderr().lock().write_all(&line)),
    }
}

/// Queues notices from now on: a running proxy must not wait for whoever reads its stderr.
pub fn queue(lost: IntCounter) -> io::Result<()> {
    let sink = Sink::stderr()?;
    // Where notices can't be written, there is no one to tell so.
    QUEUE.get_or_init(|| Lines::to(sink, CAPACITY, lost, |_| {}));
    Ok(())
}

/// Waits until everything is said, but not for ever.
pub fn flush(limit: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(limit);
    }
}

static QUEUE: OnceLock<Lines> = OnceLock::new();
/// Notices that may wait to be written.
const CAPACITY: usize = 1024;
