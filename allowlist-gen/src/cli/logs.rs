//! `learn` proposes entries for what an access log shows that clients asked for; `simulate` says what another list
//! would have said to them.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use allowlist_gen::endpoint::LoginServer;
use allowlist_gen::learn::{Commented, Learned, Learner, Listing, Text};
use allowlist_gen::log::{self, Counts, Line};
use allowlist_gen::simulate::Simulation;
use clap::{Args, ValueEnum};
use ringfence_config::{Allowlist, Document, document};
use similar::TextDiff;

use super::files::{Destination, is_stdin, json, print, read_text, tell};
use super::generate::login_server;
use super::{Answer, Failure};

/// Propose entries for what clients asked for and a list lacks, from ringfence's access log
///
/// Exact hosts only, each with who asked for it, how often and when; nobody has said yet what for, and the entry says so.
/// What must not be learned stands beside them with what to change instead: storage, registries that nobody called
/// yours, names that anyone can have, addresses, and hosts that were never reached.
///
/// Best from a proxy in audit mode (`mode = "audit"`), which carries what isn't listed. Whoever asks for something
/// writes the log: read every line of a proposal.
///
/// Exit codes: 0 done; 2 it couldn't be done.
#[derive(Args)]
#[command(after_long_help = AFTER_LEARN)]
pub(super) struct LearnArguments {
    #[command(flatten)]
    logs: Logs,

    /// The list that is to grow; what it admits is not proposed, and its registries are your own
    #[arg(long, value_name = "FILE")]
    allowlist: Option<PathBuf>,

    /// A registry of your own: its login server, or its first label in the public cloud; as often as needed
    #[arg(long = "registry", value_name = "NAME")]
    registries: Vec<String>,

    /// Propose only what was asked for this often, over all logs
    #[arg(long, value_name = "N", default_value_t = 1)]
    at_least: u64,

    /// How to say it
    #[arg(long, default_value = "diff")]
    format: LearnFormat,

    /// Write to this file, by rename, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What a list is learned from, or tried on.
#[derive(Args)]
struct Logs {
    /// Access logs of ringfence, in any order; `-` is standard input
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,

    /// Only what clients of this group asked for, as the log names it
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LearnFormat {
    /// A change to the list's file, for `patch` or a review, with the report above it
    Diff,
    /// A list of the proposals alone, with the report above it
    Toml,
    /// The report for people
    Text,
    /// Everything, for programs
    Json,
}

const AFTER_LEARN: &str = "\
Examples:
  allowlist-gen learn access.log --allowlist allowlist.toml
  allowlist-gen learn access.log --allowlist allowlist.toml --output learned.diff &&
    patch allowlist.toml learned.diff
  zcat access.log.*.gz | allowlist-gen learn - --registry contoso --format text
  kubectl logs deploy/ringfence |
    allowlist-gen learn - --at-least 3 --format toml --output learned.toml";

/// Say which connections of an access log another list would decide otherwise
///
/// A line for each host: `-` newly denied, `+` newly allowed, `~` admitted as something else, with the clients and how
/// often. The list is taken as if it were enforced, also for what audit mode carried; its end isn't looked at.
///
/// Exit codes: 0 nothing would be decided otherwise; 1 something would; 2 it couldn't be told.
#[derive(Args)]
#[command(after_long_help = AFTER_SIMULATE)]
pub(super) struct SimulateArguments {
    /// The other list
    #[arg(value_name = "LIST")]
    list: PathBuf,

    #[command(flatten)]
    logs: Logs,

    /// How to say it
    #[arg(long, default_value = "text")]
    format: SimulateFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum SimulateFormat {
    /// For people
    Text,
    /// Everything, for programs
    Json,
}

const AFTER_SIMULATE: &str = "\
Examples:
  allowlist-gen simulate new.toml access.log
  allowlist-gen simulate new.toml access.log access.log.1 --group build
  kubectl logs deploy/ringfence | allowlist-gen simulate new.toml - --format json";

impl Logs {
    /// Tells `each` what the lines of all logs say.
    fn read(&self, mut each: impl FnMut(Line)) -> Result<Counts, Failure> {
        if self.logs.iter().filter(|file| is_stdin(file)).count() > 1 {
            return Err(Failure::TwoStdins);
        }
        let mut all = Counts::default();
        for file in &self.logs {
            let mut counts = Counts::default();
            let name =
                if is_stdin(file) { "<stdin>".to_owned() } else { file.display().to_string() };
            open(file)
                .and_then(|log| log::read(log, self.group.as_deref(), &mut counts, &mut each))
                .map_err(|error| Failure::Read(name.clone(), error))?;
            if !counts.is_a_log() {
                return Err(Failure::NoLog(name));
            }
            all += counts;
        }
        Ok(all)
    }
}

fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    if is_stdin(file) {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(BufReader::with_capacity(BUFFER, File::open(file)?)))
}

/// Reads the logs, and says what could be added to the list.
pub(super) fn learn(raw: LearnArguments) -> Result<Answer, Failure> {
    if raw.allowlist.as_deref().is_some_and(is_stdin)
        && raw.logs.logs.iter().any(|file| is_stdin(file))
    {
        return Err(Failure::TwoStdins);
    }
    let current = raw.allowlist.as_deref().map(Current::read).transpose()?;
    let registries = raw.registries.iter().map(|name| login_server(name, None));
    let registries = registries.collect::<Result<Vec<LoginServer>, Failure>>()?;
    let mut taking = Learner::new(current.as_ref().map(|current| &current.list), registries);
    let counts = raw.logs.read(|line| taking.take(line))?;
    let learned = taking.learned(counts, raw.at_least).map_err(Failure::Extra)?;
    let text = match raw.format {
        LearnFormat::Text => Text(&learned).to_string(),
        LearnFormat::Json => json(&Listing::from(&learned)),
        LearnFormat::Toml => format!("{}\n{}", Commented(&learned), learned.entries.to_toml()),
        LearnFormat::Diff => diff(current.as_ref(), &learned)?,
    };
    Destination::from(raw.output).write(text.as_bytes())?;
    let (proposed, refused) = (learned.proposed.len(), learned.refused.len());
    tell(&format_args!("{proposed} proposed, {refused} refused; {}\n", learned.counts));
    Ok(Answer::Yes)
}

/// The list that is to grow, and its text.
struct Current {
    name: String,
    text: String,
    list: Allowlist,
}

impl Current {
    fn read(file: &Path) -> Result<Self, Failure> {
        let (name, text) = read_text(file)?;
        let list = document::merge(&[Document::parse(&name, &text)?])?;
        Ok(Self { name, text, list })
    }
}

/// The change that puts the proposals behind what the file has, comments and all, so that it can be applied; the
/// report is above it, where whatever applies it passes it over.
fn diff(current: Option<&Current>, learned: &Learned) -> Result<String, Failure> {
    let report = Commented(learned);
    if learned.entries.is_empty() {
        return Ok(report.to_string());
    }
    let document = learned.entries.to_toml();
    let (old_name, new_name, old, new) = match current {
        None => ("/dev/null", "learned.toml", "", document),
        Some(Current { name, text, .. }) => {
            let entries = document.find("[[entry]]").map_or("", |at| &document[at..]);
            // Lines end as the file's do.
            let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
            let last_end = if text.ends_with('\n') { "" } else { line_end };
            let new = format!("{text}{last_end}{line_end}{}", entries.replace('\n', line_end));
            // What is proposed has to load.
            let document = Document::parse(name, &new);
            let document = document.map_err(|_| Failure::NoPlaceForEntries(name.clone()))?;
            document::merge(&[document])?;
            (name.as_str(), name.as_str(), text.as_str(), new)
        }
    };
    let diff = TextDiff::from_lines(old, &new);
    let diff = diff.unified_diff().header(old_name, new_name).to_string();
    Ok(format!("{report}\n{diff}"))
}

/// Reads the list and the logs, and says what changes.
pub(super) fn simulate(raw: &SimulateArguments) -> Result<Answer, Failure> {
    if is_stdin(&raw.list) && raw.logs.logs.iter().any(|file| is_stdin(file)) {
        return Err(Failure::TwoStdins);
    }
    let Current { list, .. } = Current::read(&raw.list)?;
    let mut simulation = Simulation::new(&list);
    let counts = raw.logs.read(|line| simulation.take(line))?;
    let simulated = simulation.simulated(counts);
    let text = match raw.format {
        SimulateFormat::Text => simulated.to_string(),
        SimulateFormat::Json => json(&simulated),
    };
    print(text.as_bytes())?;
    Ok(if simulated.is_change() { Answer::No } else { Answer::Yes })
}

/// A log is read once, from front to back.
const BUFFER: usize = 256 * 1024;
