//! Programs under a deadline: a known environment, output that can be waited on, ended by their id.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::namespace::Namespace;
use crate::{PATIENCE, require};

/// A program about to be run. It inherits no variables: a developer's proxy must not leak in.
#[derive(Debug)]
pub struct Program {
    command: Command,
    namespace: Option<Namespace>,
}

impl Program {
    /// A program in the host's namespace, by path or by name.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        let (path, language) = (("PATH", require::PATH), ("LANG", "C.UTF-8"));
        command.env_clear().envs([path, language]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, namespace: None }
    }

    /// Runs it in `namespace`.
    #[must_use]
    pub fn inside(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.clone());
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end, or for [`PATIENCE`] three times over: it may have an image to move.
    pub fn run(self) -> Result<Finished> {
        self.run_within(3 * PATIENCE)
    }

    /// Runs it to its end, which must come in time.
    pub fn run_within(self, limit: Duration) -> Result<Finished> {
        let command = format!("{:?}", self.command);
        let mut running = self.start()?;
        let status = running.wait(limit)?;
        let deadline = Instant::now() + PATIENCE;
        let stdout = running.stdout.until_closed(deadline)?;
        let stderr = running.stderr.until_closed(deadline)?;
        Ok(Finished { command, status, stdout, stderr })
    }

    /// Starts it and leaves it running.
    pub fn start(mut self) -> Result<Running> {
        let command = format!("{:?}", self.command);
        let spawned = match &self.namespace {
            Some(namespace) => namespace.enter(|| self.command.spawn())?,
            None => self.command.spawn(),
        };
        let mut child = spawned.with_context(|| format!("start {command}"))?;
        let stdout = Capture::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Capture::of(child.stderr.take().expect("stderr is piped"));
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok(Running { command, child, handle, stdout, stderr })
    }
}

/// A program that has ended, with all it said.
#[derive(Debug)]
pub struct Finished {
    command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// Itself, if it ended well; otherwise an error that shows all it said.
    pub fn succeeded(self) -> Result<Self> {
        ensure!(self.status.success(), "should have succeeded: {self}");
        Ok(self)
    }

    /// Itself, if it reported a failure; otherwise an error that shows all it said.
    pub fn failed(self) -> Result<Self> {
        ensure!(self.status.code().is_some_and(|code| code != 0), "should have failed: {self}");
        Ok(self)
    }

    /// Itself, if it failed and told the person `reason`, on either stream.
    pub fn failed_saying(self, reason: &str) -> Result<Self> {
        let said = self.stderr.contains(reason) || self.stdout.contains(reason);
        ensure!(said, "should have said `{reason}`: {self}");
        self.failed()
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, status, stdout, stderr } = self;
        write!(f, "{command}\n{status}\n-- stdout\n{stdout}\n-- stderr\n{stderr}")
    }
}

/// A program that is running; dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Running {
    command: String,
    child: Child,
    /// Stands for this process and no later one of the same number, and becomes readable when it ends.
    handle: OwnedFd,
    /// What it has written to stdout.
    pub stdout: Capture,
    /// What it has written to stderr.
    pub stderr: Capture,
}

impl Running {
    /// Its id, which stays its own until it is waited for.
    pub fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end, which must come in time.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let timeout = Timespec::try_from(limit).context("a limit beyond the clock's range")?;
        let mut exit = [PollFd::new(&self.handle, PollFlags::IN)];
        if poll(&mut exit, Some(&timeout))? == 0 {
            bail!(
                "still running after {limit:?}: {}\n-- stdout\n{}\n-- stderr\n{}",
                self.command,
                self.stdout.text(),
                self.stderr.text()
            );
        }
        Ok(self.child.wait()?)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.handle, signal).with_context(|| format!("signal {}", self.command))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program writes to one stream, kept as it comes.
#[derive(Clone, Debug, Default)]
pub struct Capture(Arc<(Mutex<Written>, Condvar)>);

#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    closed: bool,
}

impl Capture {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let capture = Self::default();
        let writer = capture.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let count = stream.read(&mut buffer).unwrap_or(0);
                let mut written = writer.lock();
                written.bytes.extend_from_slice(&buffer[..count]);
                written.closed = count == 0;
                writer.0.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        capture
    }

    /// All of it, so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// The complete lines, so far.
    pub fn lines(&self) -> Vec<String> {
        lines(complete(&self.lock().bytes)).collect()
    }

    /// The first line, written already or still to come, that `wanted` accepts.
    pub fn wait_for_line(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        let mut written = self.lock();
        loop {
            let fresh = complete(&written.bytes[seen..]);
            seen += fresh.len();
            if let Some(line) = lines(fresh).find(|line| wanted(line)) {
                return Ok(line);
            }
            if written.closed || Instant::now() >= deadline {
                let end = if written.closed { "it ended" } else { "time ran out" };
                bail!(
                    "{end} before the expected line came; it said:\n{}",
                    String::from_utf8_lossy(&written.bytes)
                );
            }
            written = self.changed(written, deadline);
        }
    }

    fn until_closed(&self, deadline: Instant) -> Result<String> {
        let mut written = self.lock();
        while !written.closed {
            ensure!(Instant::now() < deadline, "the program ended but its output stays open");
            written = self.changed(written, deadline);
        }
        Ok(String::from_utf8_lossy(&written.bytes).into_owned())
    }

    fn changed<'a>(
        &'a self,
        written: MutexGuard<'a, Written>,
        deadline: Instant,
    ) -> MutexGuard<'a, Written> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.0.1.wait_timeout(written, left);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What ends in a line feed; the rest is a line still being written.
fn complete(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    &bytes[..end]
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines.map(|line| String::from_utf8_lossy(&line[..line.len() - 1]).into_owned())
}
