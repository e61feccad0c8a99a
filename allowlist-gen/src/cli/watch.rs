//! `watch` compares a list with what Azure says, again and again, and may bring it up to date.
//!
//! Three threads: this one compares, tells and writes; one reads the input, which can take minutes; one has the
//! signals and the metrics. So a signal ends it at once, and never in the middle of a write.

mod metrics;
mod outside;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use allowlist_gen::drift::answer::{self, Answer as Now, Scope};
use allowlist_gen::drift::plan::{Held, Permit, Plan, Removals};
use allowlist_gen::drift::{Drift, document as rewriting};
use allowlist_gen::endpoint::LoginServer;
use allowlist_gen::{DataEndpoints, Error, report};
use clap::Args;
use ringfence_config::Allowlist;
use ringfence_config::snippet::{Source, escape};

use self::metrics::{Apply, Metrics};
use super::diff::{Comparison, ListFile, not_compared, refuse};
use super::files::{Replaced, is_stdin, replace_known, tell};
use super::generate::login_server;
use super::input::Input;
use super::{Answer, Failure};

/// Compare a list with what Azure says, again and again, and tell when it has drifted
///
/// Each drift is told once on standard error, and again when it changes. The list is only read, unless `--apply` is
/// given.
///
/// With `--apply`, the list is replaced in one step: exact hosts of its registries are added and removed, its serial
/// grows if it has one, its end stays. Hosts that are written by hand stay; comments stay only above the first key. If
/// anything else would be added, such as a registry that is not on the list, nothing is written until somebody
/// decides. Nothing is removed where the input is incomplete, nor more than half of what the list has of a registry at
/// once. A list that changes meanwhile is left alone until the next poll.
///
/// SIGHUP polls at once; SIGTERM and SIGINT end it. After a failed poll the list stays, and the next one comes after
/// twice the time, up to an hour.
///
/// Exit codes: 0 told to end; 2 it couldn't begin. With `--once`: 0 no drift is left; 1 some is; 2 nothing could be
/// compared, or the list not be written.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct WatchArguments {
    /// The list, which is read anew at each poll
    #[arg(value_name = "LIST")]
    list: PathBuf,

    #[command(flatten)]
    comparison: Comparison,

    /// How long to wait between polls, as in 30s, 5m or 1h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_interval, conflicts_with = "once")]
    interval: Duration,

    /// Poll once and exit
    #[arg(long)]
    once: bool,

    /// Bring the list up to date
    #[arg(long)]
    apply: bool,

    /// Never remove a host or an address
    #[arg(long, requires = "apply")]
    keep_removed: bool,

    /// A registry that may come onto the list: its name, or its login server in another cloud; as often as needed
    #[arg(long = "allow-registry", value_name = "REGISTRY")]
    allow_registries: Vec<String>,

    /// Serve metrics for Prometheus here, at `/metrics`
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "once")]
    metrics: Option<SocketAddr>,

    // Last, because the heading of its options holds for all that follow.
    #[command(flatten)]
    input: Input,
}

const AFTER_HELP: &str = "\
Examples:
  allowlist-gen watch allowlist.toml contoso.json replications.json --once
  allowlist-gen watch allowlist.toml contoso.json --interval 1m --metrics 127.0.0.1:9464
  allowlist-gen watch allowlist.toml registries.json --apply --only-listed";

/// The arguments, checked.
struct Options {
    list: PathBuf,
    data: DataEndpoints,
    scope: Scope,
    interval: Duration,
    /// What may be written, if anything.
    permit: Option<Permit>,
}

/// What makes the watch go on.
enum Event {
    /// The input has been read.
    Read(Result<Vec<Source>, Failure>),
    PollNow,
    Stop,
    /// Nothing will be read any more.
    ReaderGone,
}

/// Compares once, or until it is told to stop.
pub(super) fn watch(raw: WatchArguments) -> Result<Answer, Failure> {
    if is_stdin(&raw.list) || raw.input.takes_stdin() {
        return Err(Failure::WatchedStdin);
    }
    let (once, address) = (raw.once, raw.metrics);
    let (options, input) = Options::new(raw)?;
    let list = options.read_list()?;
    if options.permit.is_some() && !list.is_canonical() {
        tell(&format_args!(
            "note: {} has comments among its entries, or another order than lists are written in; `--apply` takes \
             them away\n",
            escape(&list.name)
        ));
    }
    let mut watch = Watch { options, metrics: Arc::new(Metrics::new()), told: Told::default() };
    if once { watch.once(&list, &input) } else { watch.run(input, address) }
}

impl Options {
    fn new(raw: WatchArguments) -> Result<(Self, Input), Failure> {
        let allowed: BTreeSet<LoginServer> = raw
            .allow_registries
            .iter()
            .map(|name| login_server(name, None))
            .collect::<Result<_, _>>()?;
        let scope = raw.comparison.scope(&allowed);
        let removals = if raw.keep_removed { Removals::Kept } else { Removals::Applied };
        let permit = raw.apply.then_some(Permit { registries: allowed, removals });
        let options = Self {
            list: raw.list,
            data: raw.comparison.data(),
            scope,
            interval: raw.interval,
            permit,
        };
        if options.permit.is_some() && is_signed(&options.list) {
            return Err(Failure::Signed(options.list.display().to_string()));
        }
        Ok((options, raw.input))
    }

    /// The list as it is; a pipe can't be read a second time, nor replaced.
    fn read_list(&self) -> Result<ListFile, Failure> {
        let name = || self.list.display().to_string();
        match fs::metadata(&self.list) {
            Ok(metadata) if metadata.is_file() => ListFile::read(&self.list),
            Ok(_) => Err(Failure::Read(name(), io::Error::other("it is not a regular file"))),
            Err(error) => Err(Failure::Read(name(), error)),
        }
    }
}

/// Whether a signature stands beside the list, which would no longer fit.
fn is_signed(list: &Path) -> bool {
    let mut signature: OsString = list.into();
    signature.push(".minisig");
    Path::new(&signature).exists()
}

struct Watch {
    options: Options,
    metrics: Arc<Metrics>,
    told: Told,
}

impl Watch {
    fn once(&mut self, list: &ListFile, input: &Input) -> Result<Answer, Failure> {
        let compared = self.compare(list, &input.read()?)?;
        refuse(&compared.now.unsettled)?;
        match compared.unwritten {
            Some(failure) => Err(failure),
            None if compared.left.is_empty() => Ok(Answer::Yes),
            None => Ok(Answer::No),
        }
    }

    fn run(&mut self, input: Input, address: Option<SocketAddr>) -> Result<Answer, Failure> {
        let (sender, events) = mpsc::channel();
        let bound = outside::open(address, Arc::clone(&self.metrics), sender.clone())?;
        let reader = start_reader(input, sender);
        tell(&format_args!(
            "watching {} every {}\n",
            escape(&self.options.list.display().to_string()),
            humantime::format_duration(self.options.interval)
        ));
        if let Some(address) = bound {
            tell(&format_args!("metrics on http://{address}/metrics\n"));
        }
        self.poll_until_stopped(&reader, &events)
    }

    fn poll_until_stopped(
        &mut self,
        reader: &Sender<()>,
        events: &Receiver<Event>,
    ) -> Result<Answer, Failure> {
        let mut due = Instant::now();
        let mut failures = 0;
        // The list as it was before the input was asked for: what changes after that is seen.
        let mut polling: Option<ListFile> = None;
        let mut again = false;
        loop {
            if polling.is_none() && due <= Instant::now() {
                match self.options.read_list() {
                    Ok(list) => {
                        // Should it be gone, it has said so by an event.
                        let _ = reader.send(());
                        polling = Some(list);
                    }
                    Err(failure) => due = self.fail(&failure, &mut failures),
                }
            }
            match next(events, polling.is_none().then_some(due)) {
                None => {}
                Some(Event::Stop) => {
                    tell(&"stopped\n");
                    return Ok(Answer::Yes);
                }
                Some(Event::ReaderGone) => return Err(Failure::Reader),
                Some(Event::PollNow) if polling.is_some() => again = true,
                Some(Event::PollNow) => due = Instant::now(),
                Some(Event::Read(read)) => {
                    let Some(list) = polling.take() else { continue };
                    due = match read.and_then(|sources| self.compare(&list, &sources)) {
                        Ok(_) => {
                            failures = 0;
                            self.told.failure("");
                            self.metrics.polled();
                            Instant::now() + self.options.interval
                        }
                        Err(failure) => self.fail(&failure, &mut failures),
                    };
                    if std::mem::take(&mut again) {
                        due = Instant::now();
                    }
                }
            }
        }
    }

    /// Counts and tells a failed poll; when to try again.
    fn fail(&mut self, failure: &Failure, failures: &mut u32) -> Instant {
        self.told.failure(&failure.message());
        self.metrics.failed();
        self.metrics.polled();
        *failures = failures.saturating_add(1);
        Instant::now() + pause(self.options.interval, *failures)
    }

    /// Compares, tells, and writes if that may be.
    fn compare(&mut self, old: &ListFile, sources: &[Source]) -> Result<Compared, Failure> {
        let now = answer::read(&old.list, sources, self.options.data, &self.options.scope)
            .map_err(Failure::Generate)?;
        self.told.findings(&report::Findings(&now.findings).to_string());
        let unsettled: String =
            now.unsettled.iter().map(|open| not_compared(open) + "\n").collect();
        self.told.unsettled(&unsettled);

        let mut left = Drift::between(&old.list, &now.list);
        let (mut text, mut unwritten) = (shown(&old.name, &left), None);
        match &self.options.permit {
            Some(permit) if !left.is_empty() => match self.apply(old, &now, permit) {
                Ok(done) => {
                    self.metrics.applied(done.apply);
                    text += &done.said;
                    if let Some(written) = done.written {
                        left = Drift::between(&written, &now.list);
                        self.told.applied(&text);
                    } else {
                        self.told.drift(&text);
                    }
                }
                Err(failure) => {
                    self.metrics.applied(Apply::Failed);
                    text += &failure.message();
                    self.told.drift(&text);
                    unwritten = Some(failure);
                }
            },
            _ => self.told.drift(&text),
        }
        self.metrics.compared(&left, &now.unsettled);
        Ok(Compared { now, left, unwritten })
    }

    fn apply(&self, old: &ListFile, now: &Now, permit: &Permit) -> Result<Done, Failure> {
        let plan = Plan::of(&old.list, &now.list, permit)
            .map_err(|conflict| Failure::Generate(Error::Conflict(conflict)))?;
        match plan {
            Plan::Refuse(objections) => {
                Ok(Done::refused(objections.iter().map(ToString::to_string)))
            }
            Plan::Leave(held) => Ok(Done { apply: Apply::Held, said: lines(&held), written: None }),
            Plan::Write(list, held) => {
                let done = self.write(old, list)?;
                Ok(Done { said: lines(&held) + &done.said, ..done })
            }
        }
    }

    fn write(&self, old: &ListFile, list: Allowlist) -> Result<Done, Failure> {
        let name = escape(&old.name);
        if is_signed(&self.options.list) {
            return Ok(Done::refused([format!("{name} is signed")]));
        }
        let Some(issue) = rewriting::next(old.issue()) else {
            return Ok(Done::refused([format!("no serial comes after that of {name}")]));
        };
        let document = rewriting::rewrite(&old.text, &list, issue);
        match replace_known(&self.options.list, old.text.as_bytes(), document.as_bytes())? {
            Replaced::Yes => {
                let hash = list.hash();
                let what = if issue.is_empty() { hash } else { format!("{issue}, {hash}") };
                let said = format!("applied: {name} is now {what}\n");
                Ok(Done { apply: Apply::Applied, said, written: Some(list) })
            }
            Replaced::Changed => {
                let said = format!("not written: {name} has changed since it was read\n");
                Ok(Done { apply: Apply::Changed, said, written: None })
            }
        }
    }
}

/// What has come of an attempt to write.
struct Done {
    apply: Apply,
    said: String,
    written: Option<Allowlist>,
}

impl Done {
    fn refused(why: impl IntoIterator<Item = String>) -> Self {
        let why = why.into_iter();
        let said =
            why.map(|why| "refused, so nothing is written: ".to_owned() + &why + "\n").collect();
        Self { apply: Apply::Refused, said, written: None }
    }
}

fn shown(name: &str, drift: &Drift) -> String {
    if drift.is_empty() {
        return String::new();
    }
    let text = drift.to_string();
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    format!("drift in {}:\n{}\n", escape(name), lines.join("\n"))
}

fn lines(held: &[Held]) -> String {
    held.iter().map(|held| held.to_string() + "\n").collect()
}

/// What has come of a poll.
struct Compared {
    now: Now,
    /// The drift that is left.
    left: Drift,
    /// Why the list could not be written.
    unwritten: Option<Failure>,
}

/// Reads the input each time it is asked to.
fn start_reader(input: Input, events: Sender<Event>) -> Sender<()> {
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        let leaving = Leaving(events);
        for () in requests {
            if leaving.0.send(Event::Read(input.read())).is_err() {
                return;
            }
        }
    });
    sender
}

/// Says that the reader is gone, also where a panic ends it: the watch would wait for it for ever.
struct Leaving(Sender<Event>);

impl Drop for Leaving {
    fn drop(&mut self) {
        let _ = self.0.send(Event::ReaderGone);
    }
}

/// The next event, or `None` once `due` has come.
fn next(events: &Receiver<Event>, due: Option<Instant>) -> Option<Event> {
    let Some(due) = due else {
        return Some(events.recv().unwrap_or(Event::Stop));
    };
    match events.recv_timeout(due.saturating_duration_since(Instant::now())) {
        Ok(event) => Some(event),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Event::Stop),
    }
}

/// How long to wait after so many failures in a row.
fn pause(interval: Duration, failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    interval.saturating_mul(factor).min(interval.max(LONGEST_PAUSE))
}

/// What has been told last, so that it isn't told again before it changes.
#[derive(Default)]
struct Told {
    drift: Option<String>,
    findings: Option<String>,
    unsettled: Option<String>,
    failure: Option<String>,
}

impl Told {
    fn drift(&mut self, text: &str) {
        say(&mut self.drift, text, Some("no drift\n"));
    }

    /// What was written is told each time, and leaves nothing to tell.
    fn applied(&mut self, text: &str) {
        tell(&text);
        self.drift = Some(String::new());
    }

    fn findings(&mut self, text: &str) {
        say(&mut self.findings, text, None);
    }

    fn unsettled(&mut self, text: &str) {
        say(&mut self.unsettled, text, None);
    }

    fn failure(&mut self, text: &str) {
        let first = self.failure.is_none() && text.is_empty();
        say(&mut self.failure, text, (!first).then_some("polling works again\n"));
    }
}

/// Tells `text` if it isn't what was told last, or `nothing` where there is none.
fn say(last: &mut Option<String>, text: &str, nothing: Option<&str>) {
    if last.as_deref() == Some(text) {
        return;
    }
    match (text, nothing) {
        ("", None) => {}
        ("", Some(nothing)) => tell(&nothing),
        (text, _) => tell(&text),
    }
    *last = Some(text.to_owned());
}

/// Bounded, so that no sum of times goes beyond the clock.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a time, as in 30s, 5m or 1h"))?;
    if (SHORTEST..=LONGEST).contains(&interval) {
        Ok(interval)
    } else {
        Err("write a time from 1s to 30d".to_owned())
    }
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(30 * 24);
/// After failures, unless the interval is longer than that.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses = |interval, failures| pause(Duration::from_secs(interval), failures).as_secs();
        assert_eq!([1, 2, 3, 4].map(|n| pauses(300, n)), [300, 600, 1200, 2400]);
        assert_eq!([5, 6, 40, u32::MAX].map(|n| pauses(300, n)), [3600; 4]);
        assert_eq!([1, 2, u32::MAX].map(|n| pauses(7200, n)), [7200; 3]);
    }

    #[test]
    fn intervals_are_bounded() {
        for text in ["1s", "5m", "30d"] {
            assert!(parse_interval(text).is_ok(), "{text}");
        }
        for text in ["", "5", "0s", "999ms", "31d", "-5m", "99999999999999999999y"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }
}
