//! The program around the library: arguments, files, streams and exit codes. Nothing else in this crate reads or
//! writes files.

mod aks_kit;
mod azure;
mod diff;
mod discover;
mod export;
mod extras;
mod files;
mod findings;
mod generate;
mod input;
mod lint;
mod list;
mod logs;
mod private_link;
mod prove;
mod verify;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use allowlist_gen::azure::Error as AzureError;
use allowlist_gen::endpoint::{self, Cloud, LoginServer};
use allowlist_gen::export::{CaError, Error as ExportError, Format};
use allowlist_gen::{Error, presets, report};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use ringfence_config::allowlist::Conflict;
use ringfence_config::snippet::escape;
use ringfence_config::{document, hostname};

use self::files::{print, tell};

/// Derives the exact hosts that clients of an Azure container registry need, and nothing wider.
///
/// Exit codes: 0 done; 1 a well-formed no (no exact list exists, `--strict` found something,
/// `--check` found a difference); 2 it couldn't be done.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Print the manual page or a shell's completions
    #[arg(long, value_name = "WHAT", exclusive = true)]
    generate: Option<Description>,
}

#[derive(Subcommand)]
enum Command {
    Generate(generate::GenerateArguments),
    Discover(discover::DiscoverArguments),
    Findings(findings::FindingsArguments),
    PrivateLink(private_link::PrivateLinkArguments),
    Export(export::ExportArguments),
    AksKit(aks_kit::AksKitArguments),
    Formats(export::FormatsArguments),
    Presets(extras::PresetsArguments),
    Verify(verify::VerifyArguments),
    Doctor(verify::DoctorArguments),
    Diff(diff::DiffArguments),
    Watch(watch::WatchArguments),
    Lint(lint::LintArguments),
    Prove(prove::ProveArguments),
    Learn(logs::LearnArguments),
    Simulate(logs::SimulateArguments),
}

/// [`Cloud`] as the command line spells it.
#[derive(Clone, Copy, ValueEnum)]
enum CloudName {
    /// `AzureCloud`
    #[value(alias = "AzureCloud")]
    Public,
    /// `AzureUSGovernment`
    #[value(name = "usgov", alias = "AzureUSGovernment")]
    UsGovernment,
    /// `AzureChinaCloud`, operated by 21Vianet
    #[value(alias = "AzureChinaCloud")]
    China,
    /// `AzureBleuCloud`, in France
    #[value(alias = "AzureBleuCloud")]
    Bleu,
}

impl From<CloudName> for Cloud {
    fn from(name: CloudName) -> Self {
        match name {
            CloudName::Public => Self::Public,
            CloudName::UsGovernment => Self::UsGovernment,
            CloudName::China => Self::China,
            CloudName::Bleu => Self::Bleu,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Description {
    Man,
    Bash,
    Zsh,
    Fish,
    Powershell,
}

enum Answer {
    Yes,
    No,
}

/// Parses the arguments, does what they say, and tells how it went.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match (arguments.command, arguments.generate) {
        (Some(Command::Generate(raw)), _) => generate::generate(raw),
        (Some(Command::Discover(raw)), _) => discover::discover(raw),
        (Some(Command::Findings(raw)), _) => findings::findings(&raw),
        (Some(Command::PrivateLink(raw)), _) => private_link::private_link(raw),
        (Some(Command::Export(raw)), _) => export::export(raw),
        (Some(Command::AksKit(raw)), _) => aks_kit::aks_kit(raw),
        (Some(Command::Formats(raw)), _) => export::formats(&raw),
        (Some(Command::Presets(raw)), _) => extras::presets(&raw),
        (Some(Command::Verify(raw)), _) => verify::verify(raw),
        (Some(Command::Doctor(raw)), _) => verify::doctor(raw),
        (Some(Command::Diff(raw)), _) => diff::diff(&raw),
        (Some(Command::Watch(raw)), _) => watch::watch(raw),
        (Some(Command::Lint(raw)), _) => lint::lint(raw),
        (Some(Command::Prove(raw)), _) => prove::prove(raw),
        (Some(Command::Learn(raw)), _) => logs::learn(raw),
        (Some(Command::Simulate(raw)), _) => logs::simulate(&raw),
        (None, Some(document)) => describe(document),
        (None, None) => Ok(Answer::Yes),
    };
    match result {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            failure.tell();
            ExitCode::from(2)
        }
    }
}

fn describe(document: Description) -> Result<Answer, Failure> {
    use clap_complete::{Shell, generate};

    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut out = Vec::new();
    let shell = match document {
        Description::Man => {
            command.build();
            let mut render =
                |command: clap::Command| clap_mangen::Man::new(command).render(&mut out);
            let pages = render(command.clone())
                .and_then(|()| command.get_subcommands().cloned().try_for_each(render));
            pages.map_err(Failure::Stdout)?;
            print(&out)?;
            return Ok(Answer::Yes);
        }
        Description::Bash => Shell::Bash,
        Description::Zsh => Shell::Zsh,
        Description::Fish => Shell::Fish,
        Description::Powershell => Shell::PowerShell,
    };
    generate(shell, &mut command, name, &mut out);
    if shell == Shell::Bash {
        // Its generator takes the hyphen in our name for a subcommand, in one of two places.
        let script = String::from_utf8(out).expect("a script is text");
        out = script.replace("allowlist__subcmd__gen", "allowlist__gen").into_bytes();
    }
    print(&out)?;
    Ok(Answer::Yes)
}

/// Why it couldn't be done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("can't read {0}: {1}")]
    Read(String, io::Error),
    #[error("can't write {0}: {1}")]
    Write(String, io::Error),
    #[error("can't write to standard output: {0}")]
    Stdout(io::Error),
    #[error("`-` stands twice, and there is one standard input")]
    TwoStdins,
    #[error("`{0}` is not a registry: {1}")]
    Label(String, hostname::Error),
    #[error("`{0}` is not a registry: {1}")]
    LoginServer(String, endpoint::Error),
    #[error("`{0}` says its cloud by itself, and `--cloud` says another")]
    OtherCloud(LoginServer),
    #[error(transparent)]
    Generate(Error),
    #[error(transparent)]
    Check(#[from] document::Error),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(
        "{1}\n  help: write the list first, and then `allowlist-gen export {name}` from it, which takes settings",
        name = .0.name()
    )]
    NeedsExport(Format, ExportError),
    #[error("{0}\n  help: {remedy}", remedy = .0.remedy())]
    Preset(presets::Error),
    #[error(
        "{0}\n  help: a host of a preset, or one that is added by hand, has to agree with what the list says of it"
    )]
    Extra(Conflict),
    #[error("{hosts} `--extra-host` and {whys} `--why`: each host says why it is needed")]
    Whys { hosts: usize, whys: usize },
    #[error(
        "{0} doesn't have its entries in `[[entry]]` tables, so no more can be put behind them: rewrite it \
         first, with `allowlist-gen export toml {0} --output {0}`"
    )]
    NoPlaceForEntries(String),
    #[error("{0} has no line of ringfence's access log, schema 1")]
    NoLog(String),
    #[error(transparent)]
    PrivateLink(#[from] allowlist_gen::private_link::Error),
    #[error("{0} is JSON, and no list: `allowlist-gen generate` makes one of it")]
    Json(String),
    #[error("{0} is a list, and {1} is metadata: compare with one or the other")]
    Mixed(String, String),
    #[error("`{0}` is for metadata, and the list is compared with a list")]
    NotForLists(&'static str),
    #[error(
        "a watch reads its files again and again, and standard input can be read once: name a file"
    )]
    WatchedStdin,
    #[error(
        "{0} is signed, and no signature would fit what `--apply` writes: apply to a list without {0}.minisig, and \
         sign what comes of it"
    )]
    Signed(String),
    #[error("what reads the input has ended")]
    Reader,
    #[error("can't take signals: {0}")]
    Signals(io::Error),
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    #[error("{0} is not a file of certificates: {1}")]
    Ca(String, CaError),
    #[error("{}", .0.line())]
    Azure(AzureError),
    #[error("{0} can't hold both the list and the metadata: `--metadata` takes another file")]
    SameFile(String),
    #[error(transparent)]
    Verify(#[from] verify::Problem),
    #[error("{}", escape(&.0.to_string()))]
    Lint(#[from] allowlist_gen::lint::Error),
    #[error("{0} is no certificate of a list: {1}")]
    Certificate(String, String),
}

impl Failure {
    fn tell(&self) {
        tell(&self.message());
    }

    fn message(&self) -> String {
        match self {
            Self::Generate(error) => report::Failure(error).to_string(),
            Self::Azure(error) => {
                let help = error
                    .remedy()
                    .map(|remedy| format!("  help: {}\n", remedy.replace('\n', "\n        ")));
                format!("error: {self}\n{}", help.unwrap_or_default())
            }
            other => format!("error: {other}\n"),
        }
    }
}
