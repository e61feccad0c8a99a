//! Reads files again when they change, or when asked to: lists and identities alike. Nothing ends that: a file
//! system that hangs and a reader that panics are troubles to tell of, and to try again after.

pub mod changes;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::reload::changes::Changes;
use crate::server::signals::Hangups;

/// Files that a running proxy goes by.
pub trait Files: Send + 'static {
    /// What they hold, by which a change is told from none.
    type Contents: Clone + PartialEq + Send;
    /// What they mean.
    type Loaded: Send;
    /// Why they mean nothing. Its text tells one failure from another.
    type Error: Error + From<Trouble> + Send;

    /// Where they are.
    fn paths(&self) -> Vec<PathBuf>;

    /// Reads them. This blocks.
    fn read(&self) -> Result<Self::Contents, Self::Error>;

    /// Loads what was read; whatever has to be written down is, too. This blocks.
    fn load(&mut self, contents: Self::Contents) -> Result<Self::Loaded, Self::Error>;
}

/// Why it doesn't come to a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A file does not come, or doesn't go.
    #[error("the files can't be read in time; is a file system stuck?")]
    Stuck,
    /// Who reads it has a bug.
    #[error("reading the files has panicked; please report what was said before this")]
    Panicked,
}

/// Tells what comes of reading `files` from now on, until the future is dropped. `contents` is what they held
/// when they were last loaded.
///
/// The same again is no news. But as long as it is a failure, it is tried again and again: what was in the way
/// may have gone, and that need not be in the files.
pub async fn run<F: Files>(
    files: F,
    contents: F::Contents,
    hangups: Hangups,
    tell: impl Fn(Result<F::Loaded, F::Error>),
) {
    run_patiently(files, contents, hangups, tell, READ_LIMIT).await;
}

async fn run_patiently<F: Files>(
    files: F,
    contents: F::Contents,
    mut hangups: Hangups,
    tell: impl Fn(Result<F::Loaded, F::Error>),
    patience: Duration,
) {
    let seen = Some(Seen { contents: Some(contents), problem: None });
    let mut reader = Reader { files, seen };
    loop {
        // Whatever blocks holds this up, but neither signals nor the admin port.
        let mut look = spawn_blocking(move || {
            let looked = catch_unwind(AssertUnwindSafe(|| {
                // The watch comes first: a change while we read is seen in the next round.
                (Changes::watch(reader.files.paths()), reader.look())
            }));
            (reader, looked)
        });
        let in_time = timeout(patience, &mut look).await.ok();
        let late = in_time.is_none();
        let looked = if let Some(looked) = in_time {
            looked
        } else {
            tell(Err(Trouble::Stuck.into()));
            look.await
        };
        // Only a runtime that ends gives up what it has been given.
        let Ok((same, looked)) = looked else { return };
        reader = same;
        let Ok((mut changes, news)) = looked else {
            tell(Err(Trouble::Panicked.into()));
            reader.seen = None;
            tokio::select! {
                () = sleep(patience) => {}
                () = hangups.next() => {}
            }
            continue;
        };
        if let Some(news) = news {
            tell(news);
        }
        if late {
            // Even if nothing has changed, it is news that the files can be read. And what was read is old.
            reader.seen = None;
            continue;
        }
        tokio::select! {
            () = changes.changed() => {}
            () = hangups.next() => reader.seen = None,
        }
    }
}

struct Reader<F: Files> {
    files: F,
    /// The last time; `None` has whatever comes be news.
    seen: Option<Seen<F::Contents>>,
}

/// What came of reading.
#[derive(PartialEq)]
struct Seen<C> {
    /// What was read, if it could be.
    contents: Option<C>,
    /// Why it is not in force, if it isn't.
    problem: Option<String>,
}

impl<F: Files> Reader<F> {
    /// Reads, and answers what comes of it unless that is what came of it before.
    fn look(&mut self) -> Option<Result<F::Loaded, F::Error>> {
        let read = self.files.read();
        let contents = read.as_ref().ok().cloned();
        // A folder may hold other files, too; what is in force needs no loading.
        let in_force = Seen { contents, problem: None };
        if in_force.contents.is_some() && self.seen.as_ref() == Some(&in_force) {
            return None;
        }
        let loaded = read.and_then(|contents| self.files.load(contents));
        let problem = loaded.as_ref().err().map(ToString::to_string);
        let now = Some(Seen { problem, ..in_force });
        let is_news = self.seen != now;
        self.seen = now;
        is_news.then_some(loaded)
    }
}

/// A file system that takes longer is said to be stuck; and so long nothing is tried again after a panic.
const READ_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tokio::sync::{mpsc, watch};
    use tokio::task::LocalSet;

    use super::*;

    /// Files that hold what a test says, and hang until it does.
    struct Script {
        read: Receiver<Step>,
        /// What comes of loading them the next time; all is well after that.
        load: Option<Result<(), Trouble>>,
    }

    enum Step {
        Holds(&'static str),
        Panics,
    }

    impl Files for Script {
        type Contents = &'static str;
        type Loaded = &'static str;
        type Error = Trouble;

        fn paths(&self) -> Vec<PathBuf> {
            Vec::new()
        }

        fn read(&self) -> Result<&'static str, Trouble> {
            match self.read.recv() {
                Ok(Step::Holds(contents)) => Ok(contents),
                // As a panic, but without a word of the hook.
                Ok(Step::Panics) => resume_unwind(Box::new("as this test wants it")),
                Err(_) => Err(Trouble::Stuck),
            }
        }

        fn load(&mut self, contents: &'static str) -> Result<&'static str, Trouble> {
            self.load.take().unwrap_or(Ok(())).map(|()| contents)
        }
    }

    type Told = mpsc::UnboundedReceiver<Result<&'static str, Trouble>>;

    /// Runs `test` beside a script that begins with `old`.
    fn scripted<T: Future<Output = ()>>(
        test: impl FnOnce(Sender<Step>, watch::Sender<()>, Told) -> T,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ((steps, read), (hangup, hangups)) = (channel(), watch::channel(()));
        let (tell, told) = mpsc::unbounded_channel();
        let script = Script { read, load: None };
        LocalSet::new().block_on(&runtime.expect("a runtime"), async {
            let tell = move |news| tell.send(news).expect("a listener");
            tokio::select! {
                () = run_patiently(script, "old", Hangups::of(hangups), tell, PATIENCE) => panic!("it ended"),
                () = test(steps, hangup, told) => {}
            }
        });
    }

    fn hold(steps: &Sender<Step>, contents: &'static str) {
        steps.send(Step::Holds(contents)).expect("a reader");
    }

    #[test]
    fn files_that_come_late_are_in_force_again() {
        scripted(|steps, _hangup, mut told| async move {
            assert_eq!(told.recv().await, Some(Err(Trouble::Stuck)));
            // What was in force all the time, and is so still: but the trouble is over.
            hold(&steps, "old");
            hold(&steps, "old");
            assert_eq!(told.recv().await, Some(Ok("old")));
        });
    }

    #[test]
    fn a_panic_ends_no_reloading() {
        scripted(|steps, hangup, mut told| async move {
            for _ in 0..2 {
                steps.send(Step::Panics).expect("a reader");
                assert_eq!(told.recv().await, Some(Err(Trouble::Panicked)));
            }
            hold(&steps, "old");
            assert_eq!(told.recv().await, Some(Ok("old")));
            hangup.send_replace(());
            hold(&steps, "old");
            assert_eq!(told.recv().await, Some(Ok("old")));
        });
    }

    #[test]
    fn what_fails_is_told_once_and_tried_again() {
        let mut seen = Some(Seen { contents: Some("old"), problem: None });
        for (contents, result, news) in [
            ("old", Err(Trouble::Stuck), None),
            ("new", Err(Trouble::Stuck), Some(Err(Trouble::Stuck))),
            ("new", Err(Trouble::Stuck), None),
            ("new", Ok(()), Some(Ok("new"))),
            ("new", Err(Trouble::Stuck), None),
            ("bad", Err(Trouble::Stuck), Some(Err(Trouble::Stuck))),
            ("worse", Err(Trouble::Stuck), Some(Err(Trouble::Stuck))),
            ("new", Ok(()), Some(Ok("new"))),
        ] {
            let (steps, read) = channel();
            hold(&steps, contents);
            let mut reader = Reader { files: Script { read, load: Some(result) }, seen };
            assert_eq!(reader.look(), news, "{contents}");
            seen = reader.seen;
        }
    }

    const PATIENCE: Duration = Duration::from_millis(500);
}
