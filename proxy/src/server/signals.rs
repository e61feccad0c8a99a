//! The signals that the proxy acts on.

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::spawn_local;

/// All of them. None that arrives from now on is lost, or ends the process.
pub struct Signals {
    /// Those that ask for the end.
    pub stop: Stop,
    /// The one that asks for everything to be read again.
    pub hangup: Hangup,
}

impl Signals {
    /// Takes them. To be called in a tokio runtime.
    pub fn install() -> io::Result<Self> {
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let hangup = Hangup(signal(SignalKind::hangup())?);
        Ok(Self { stop: Stop { terminate, interrupt }, hangup })
    }
}

/// SIGTERM or SIGINT.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Waits for the next of them.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP.
pub struct Hangup(Signal);

impl Hangup {
    /// Does `at_once` whenever it arrives, and then tells everybody who waits for it; nobody holds up the
    /// others. To be called in a `LocalSet`.
    pub fn fan_out(mut self, at_once: impl Fn() + 'static) -> Hangups {
        let (sender, hangups) = watch::channel(());
        spawn_local(async move {
            while self.0.recv().await.is_some() {
                at_once();
                sender.send_replace(());
            }
        });
        Hangups(hangups)
    }
}

/// Tells one of those who wait that SIGHUP has arrived.
#[derive(Debug, Clone)]
pub struct Hangups(watch::Receiver<()>);

impl Hangups {
    /// Waits until it has arrived since the last time; several times are as good as once.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody sends any more.
            pending::<()>().await;
        }
    }

    /// Those of `receiver`, which needs no signals.
    #[cfg(test)]
    pub(crate) fn of(receiver: watch::Receiver<()>) -> Self {
        Self(receiver)
    }
}
