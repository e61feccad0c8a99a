//! Hands lines of text to a thread that writes them, so that a slow or stuck reader of the output holds
//! up nobody but itself.
//!
//! What can't be written is kept and tried again, up to a number of lines; beyond that, lines are lost and
//! counted. A line that was cut short is finished before another one begins.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use rustix::fs::{Access, OFlags};
use tokio::sync::oneshot;

/// Where lines go.
#[derive(Debug, Clone)]
pub struct Lines {
    queue: SyncSender<Message>,
    health: Arc<Health>,
    lost: IntCounter,
}

/// Something that lines are written to.
#[derive(Debug)]
pub struct Sink {
    file: File,
    /// Where the file can be opened anew.
    path: Option<PathBuf>,
}

/// A line was not written in time, and may never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the line was not written")]
pub struct Unwritten;

enum Message {
    Line(Vec<u8>),
    /// A line that somebody waits for.
    Awaited(Vec<u8>, oneshot::Sender<()>),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
    /// Something else has changed.
    Wake,
}

impl Lines {
    /// Starts a thread that writes to `sink`. Up to `capacity` lines wait for it; what doesn't fit is
    /// counted in `lost`. `tell` hears of the first failure after a success, and of the next success.
    pub fn to(
        sink: Sink,
        capacity: usize,
        lost: IntCounter,
        tell: fn(Result<(), &io::Error>),
    ) -> Self {
        let (queue, messages) = sync_channel(capacity);
        let health = Arc::new(Health::default());
        let writer = Writer { sink, health: Arc::clone(&health), tell, batch: Batch::default() };
        std::thread::spawn(move || writer.run(&messages));
        Self { queue, health, lost }
    }

    /// Queues a line, which ends in a line feed; counts it as lost where the queue is full.
    pub fn push(&self, line: Vec<u8>) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.lost.inc();
        }
    }

    /// Queues a line, and waits until the kernel has it. One that comes too late may be written all the
    /// same.
    pub async fn write(&self, line: Vec<u8>) -> Result<(), Unwritten> {
        let (done, written) = oneshot::channel();
        if self.queue.try_send(Message::Awaited(line, done)).is_err() {
            self.lost.inc();
            return Err(Unwritten);
        }
        match tokio::time::timeout(STUCK, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Unwritten),
        }
    }

    /// Whether lines are being written, as far as is known: the last attempt has worked, and none is
    /// stuck.
    pub fn healthy(&self) -> bool {
        self.health.good()
    }

    /// Opens the file anew before the next line, because the one it was has been moved away. A stream stays
    /// what it is.
    pub fn reopen(&self) {
        self.health.reopen.store(true, Ordering::Release);
        // Where the queue is full, the writer is awake.
        let _ = self.queue.try_send(Message::Wake);
    }

    /// Waits until what was queued is written, but not for ever: there may be nobody who reads. Answers
    /// whether it was.
    pub fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let (done, written) = sync_channel(1);
        let mut flush = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(flush) {
            if Instant::now() > deadline {
                return false;
            }
            flush = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        written.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
    }
}

impl Sink {
    /// The standard output, unbuffered: what has been written is out of our hands.
    pub fn stdout() -> io::Result<Self> {
        Self::stream(io::stdout().as_fd())
    }

    /// The standard error.
    pub fn stderr() -> io::Result<Self> {
        Self::stream(io::stderr().as_fd())
    }

    fn stream(descriptor: impl AsFd) -> io::Result<Self> {
        Ok(Self { file: descriptor.as_fd().try_clone_to_owned()?.into(), path: None })
    }

    /// A file to append to, which is made where there is none.
    pub fn file(path: &Path) -> io::Result<Self> {
        Ok(Self { file: append(path)?, path: Some(path.to_owned()) })
    }

    /// The file at `path`; `None` if there is none, but one could be made. Nothing is written or made.
    pub fn existing(path: &Path) -> io::Result<Option<Self>> {
        match appending().open(path) {
            Ok(file) => Ok(Some(Self { file, path: Some(path.to_owned()) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = folder.unwrap_or(Path::new("."));
                rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether what is written to it is thrown away: it is `/dev/null`, as is an output that was closed when
    /// the program began.
    pub fn discards(&self) -> io::Result<bool> {
        let (ours, null) = (self.file.metadata()?, std::fs::metadata("/dev/null")?);
        Ok(ours.file_type().is_char_device() && ours.rdev() == null.rdev())
    }
}

/// Opens a file to append lines to.
fn append(path: &Path) -> io::Result<File> {
    let mut file = appending().create(true).mode(0o640).open(path)?;
    // Whoever wrote before us may have died in the middle of a line.
    if let Ok(before) = File::open(path)
        && let length @ 1.. = before.metadata().map_or(0, |metadata| metadata.len())
    {
        let mut last = [0];
        before.read_exact_at(&mut last, length - 1)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn appending() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A FIFO without a reader must be an error, not a wait.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    options.append(true).custom_flags(nonblocking);
    options
}

/// What the writer's thread lets the others know, and they it.
#[derive(Debug, Default)]
struct Health {
    /// The last attempt has failed.
    failing: AtomicBool,
    /// Since when an attempt has been under way.
    attempt: Mutex<Option<Instant>>,
    /// The file is to be opened anew.
    reopen: AtomicBool,
}

impl Health {
    fn good(&self) -> bool {
        let attempt = *self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        !self.failing.load(Ordering::Acquire) && attempt.is_none_or(|since| since.elapsed() < STUCK)
    }

    fn set_attempt(&self, since: Option<Instant>) {
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// The thread that writes.
struct Writer {
    sink: Sink,
    health: Arc<Health>,
    tell: fn(Result<(), &io::Error>),
    batch: Batch,
}

/// Lines that are written together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// How many of them are written.
    written: usize,
    awaited: Vec<oneshot::Sender<()>>,
    flushes: Vec<SyncSender<()>>,
}

impl Writer {
    /// Writes what waits in one go, then waits for more, until nobody can send any.
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            // Who queues a line while we wait need not wake us for it; who waits for one is in a hurry.
            if matches!(first, Message::Line(_)) {
                std::thread::sleep(GATHER);
            }
            self.batch.take(first);
            while self.batch.bytes.len() < BATCH
                && let Ok(message) = messages.try_recv()
            {
                self.batch.take(message);
            }
            while let Err(error) = self.write() {
                if !self.health.failing.swap(true, Ordering::AcqRel) {
                    (self.tell)(Err(&error));
                }
                // Nobody waits for what may take long.
                self.batch.awaited.clear();
                std::thread::sleep(RETRY);
            }
            if self.health.failing.swap(false, Ordering::AcqRel) {
                (self.tell)(Ok(()));
            }
            self.batch.finish();
        }
    }

    /// Writes what is left of the batch.
    fn write(&mut self) -> io::Result<()> {
        self.reopen()?;
        while let rest @ [_, ..] = &self.batch.bytes[self.batch.written..] {
            self.health.set_attempt(Some(Instant::now()));
            let written = self.sink.file.write(rest);
            self.health.set_attempt(None);
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.batch.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the file anew, if that was asked for. Until it can be, nothing is written: whatever moved the
    /// old one away may delete it.
    fn reopen(&mut self) -> io::Result<()> {
        let Some(path) = &self.sink.path else { return Ok(()) };
        if self.health.reopen.load(Ordering::Acquire) {
            self.sink.file = append(path)?;
            self.health.reopen.store(false, Ordering::Release);
            // A line that was cut short is in the old file; the new one gets it whole.
            self.batch.rewind();
        }
        Ok(())
    }
}

impl Batch {
    fn take(&mut self, message: Message) {
        match message {
            Message::Line(line) => self.bytes.extend(line),
            Message::Awaited(line, done) => {
                self.bytes.extend(line);
                self.awaited.push(done);
            }
            Message::Flush(done) => self.flushes.push(done),
            Message::Wake => {}
        }
    }

    /// Goes back to the beginning of the line that is being written.
    fn rewind(&mut self) {
        let before = &self.bytes[..self.written];
        self.written = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    }

    /// Tells those who wait, and begins again.
    fn finish(&mut self) {
        self.bytes.clear();
        self.written = 0;
        // Whoever asked may have stopped waiting.
        for done in self.awaited.drain(..) {
            let _ = done.send(());
        }
        for done in self.flushes.drain(..) {
            let _ = done.try_send(());
        }
    }
}

/// How long a line may wait for others to be written with it.
const GATHER: Duration = Duration::from_millis(5);
/// How long one attempt to write may take before it counts as failing.
const STUCK: Duration = Duration::from_secs(1);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(250);
const BATCH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("lost", "lost").expect("a counter")
    }

    fn lines(sink: Sink) -> Lines {
        Lines::to(sink, 4, counter(), |_| {})
    }

    #[test]
    fn a_line_begins_where_none_has_been_left_unfinished() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("log");
        fs::write(&path, "{\"cut\":").expect("a file");
        let lines = lines(Sink::file(&path).expect("a sink"));
        lines.push(b"whole\n".to_vec());
        assert!(lines.flush(Duration::from_secs(10)));
        assert_eq!(fs::read_to_string(&path).expect("a log"), "{\"cut\":\nwhole\n");
    }

    #[test]
    fn a_line_that_was_cut_short_is_written_whole_into_the_next_file() {
        let mut batch = Batch::default();
        batch.take(Message::Line(b"one\n".to_vec()));
        batch.take(Message::Line(b"two\n".to_vec()));
        for (written, rewound) in [(0, 0), (3, 0), (4, 4), (6, 4), (8, 8)] {
            batch.written = written;
            batch.rewind();
            assert_eq!(batch.written, rewound, "after {written}");
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_line_hears_that_it_fails() {
        let full = Sink {
            file: OpenOptions::new().write(true).open("/dev/full").expect("a device"),
            path: None,
        };
        let lines = lines(full);
        assert!(lines.healthy());
        assert_eq!(lines.write(b"line\n".to_vec()).await, Err(Unwritten));
        assert!(!lines.healthy());
        for _ in 0..6 {
            lines.push(b"line\n".to_vec());
        }
        assert_eq!(lines.lost.get(), 2);
        assert!(!lines.flush(Duration::from_millis(50)));
    }

    #[tokio::test]
    async fn a_pipe_that_nobody_reads_is_known_to_be_stuck_and_recovers() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let lines = lines(Sink { file: std::os::fd::OwnedFd::from(writer).into(), path: None });
        assert_eq!(lines.write(vec![b'x'; 1 << 20]).await, Err(Unwritten));
        // The attempt began a little after we did.
        let deadline = Instant::now() + Duration::from_secs(10);
        while lines.healthy() {
            assert!(Instant::now() < deadline, "a stuck pipe is taken for a good one");
            std::thread::yield_now();
        }
        let drain = std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        assert!(lines.flush(Duration::from_secs(10)));
        assert!(lines.healthy());
        drop(lines);
        assert_eq!(drain.join().expect("no panic").expect("a count"), 1 << 20);
    }
}
