//! The program around the library: arguments, files, streams and exit codes. Nothing else in this crate reads or
//! writes anything.

mod aks_kit;
mod export;
mod files;
mod input;
mod lint;
mod prove;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use allowlist_gen::endpoint::{self, Cloud, LoginServer};
use allowlist_gen::export::{CaError, Error as ExportError, Format};
use allowlist_gen::{DataEndpoints, Error, Generated, report};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use ringfence_config::issue::{Moment, Serial};
use ringfence_config::registry::{Label, Region};
use ringfence_config::snippet::escape;
use ringfence_config::{Allowlist, Document, Issue, document, hostname};
use similar::TextDiff;

use self::files::{Destination, print, tell};

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
    Generate(GenerateArguments),
    Export(export::ExportArguments),
    AksKit(aks_kit::AksKitArguments),
    Formats(export::FormatsArguments),
    Lint(lint::LintArguments),
    Prove(prove::ProveArguments),
}

/// Write the allowlist of the registries that FILEs describe
///
/// FILEs hold JSON as az, ARM or Resource Graph print it. Each is recognised by itself, several
/// about one registry are joined in any order, and many registries make one list.
///
/// Whatever someone should look at (contradictions, gaps, assumptions) goes to standard error, each
/// with a stable code; the list is complete nevertheless. With `--strict` there is no list then.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
struct GenerateArguments {
    /// JSON files about registries; `-` is standard input, which may hold several documents
    #[arg(value_name = "FILE", required_unless_present = "registry")]
    files: Vec<PathBuf>,

    /// Without metadata: the registry's login server, or its first label
    #[arg(long, value_name = "NAME", conflicts_with = "files", requires = "regions")]
    registry: Option<String>,

    /// Without metadata: the home region, and each replica's
    #[arg(long = "region", value_name = "REGION", conflicts_with = "files", requires = "registry")]
    regions: Vec<Region>,

    /// Without metadata: the cloud that the registry lives in [default: public]
    #[arg(long, conflicts_with = "files", requires = "registry")]
    cloud: Option<CloudName>,

    /// Write to this file, by rename, instead of standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "check")]
    output: Option<PathBuf>,

    /// How to write the list: one of `allowlist-gen formats` that needs no settings
    #[arg(long, default_value = "toml", hide_possible_values = true, conflicts_with = "check")]
    format: Format,

    /// Number this issue of the list; let it grow with each
    ///
    /// A proxy refuses an issue with a lower serial than one it has seen.
    #[arg(long, value_name = "N")]
    serial: Option<Serial>,

    /// End the list's validity, as in 2026-12-31T00:00:00Z
    ///
    /// From then on a proxy refuses everything until it gets a newer list.
    #[arg(long, value_name = "TIME")]
    not_after: Option<Moment>,

    /// Write nothing; compare with this list, whatever its order and comments
    ///
    /// The list's serial and end are compared if `--serial` and `--not-after` are given; otherwise
    /// standard error says that they were not.
    ///
    /// Exit code 0 means that both say the same, 1 that they differ (standard output has the
    /// difference), and 2 that they can't be compared, also because no exact list exists now.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,

    /// Write nothing and exit with 1 if there is anything to look at
    #[arg(long)]
    strict: bool,

    /// Take dedicated data endpoints to be on where they aren't yet
    ///
    /// The hosts of the layers change the moment data endpoints are switched on, so rules for the
    /// new hosts have to be in place before. The replicas must be known: give `az acr replication
    /// list`, too.
    #[arg(long)]
    assume_data_endpoints: bool,
}

const AFTER_HELP: &str = "\
What the files may hold:
  az acr show-endpoints                     the hosts, if dedicated data endpoints are on
  az acr show, az acr list                  hosts, switches, private endpoint connections
  az acr replication list                   the regions, also while data endpoints are off
  az acr private-endpoint-connection list   which private endpoints are approved
  az network private-endpoint show          private addresses
  az network nic show                       private addresses, also with a DNS zone group
  az network private-dns record-set a list  private addresses that clients resolve

Examples:
  az acr show-endpoints --name contoso | allowlist-gen generate -
  allowlist-gen generate contoso.json nic.json --output allowlist.toml
  allowlist-gen generate contoso.json --serial 8 --not-after 2026-12-31T00:00:00Z
  allowlist-gen generate contoso.json --check allowlist.toml
  allowlist-gen generate contoso.json replications.json --assume-data-endpoints
  allowlist-gen generate --registry contoso --region eastus --region westus";

/// A text that describes this program.
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

/// The arguments, checked.
struct Options {
    input: Input,
    issue: Issue,
    action: Action,
    findings: Findings,
}

enum Input {
    Files(Vec<PathBuf>, DataEndpoints),
    Names { login_server: LoginServer, home: Region, replicas: Vec<Region> },
}

enum Action {
    Write(Format, Destination),
    Check(PathBuf),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Findings {
    Tolerated,
    Fatal,
}

enum Answer {
    Yes,
    No,
}

/// Parses the arguments, does what they say, and tells how it went.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match (arguments.command, arguments.generate) {
        (Some(Command::Generate(raw)), _) => Options::try_from(raw).and_then(|o| generate(&o)),
        (Some(Command::Export(raw)), _) => export::export(raw),
        (Some(Command::AksKit(raw)), _) => aks_kit::aks_kit(raw),
        (Some(Command::Formats(raw)), _) => export::formats(&raw),
        (Some(Command::Lint(raw)), _) => lint::lint(raw),
        (Some(Command::Prove(raw)), _) => prove::prove(raw),
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

fn generate(options: &Options) -> Result<Answer, Failure> {
    let generated = match (derive(&options.input), &options.action) {
        (Err(Failure::Generate(error @ Error::Refused(_))), Action::Write(..)) => {
            tell(&report::Failure(&error));
            return Ok(Answer::No);
        }
        (result, _) => result?,
    };
    tell(&report::Findings(&generated.findings));
    let is_fatal = options.findings == Findings::Fatal && !generated.findings.is_empty();
    match &options.action {
        Action::Check(file) => {
            let answer = check(&generated.allowlist, options.issue, file)?;
            Ok(if is_fatal { Answer::No } else { answer })
        }
        // Half a success would be installed, so a strict no leaves no list behind.
        Action::Write(..) if is_fatal => {
            tell(&"\nrefused (strict): there are findings, so no list is written\n");
            Ok(Answer::No)
        }
        Action::Write(format, destination) => {
            export::write_derived(*format, &generated.allowlist, options.issue, destination)
        }
    }
}

fn derive(input: &Input) -> Result<Generated, Failure> {
    let generated = match input {
        Input::Files(files, data) => allowlist_gen::generate(&input::read_files(files)?, *data),
        Input::Names { login_server, home, replicas } => {
            allowlist_gen::generate_from_names(login_server.clone(), home.clone(), replicas.clone())
        }
    };
    generated.map_err(Failure::Generate)
}

/// Compares canonical documents, so that comments and order don't count. Each issue has another serial and
/// another end, so those count if they are asked for, and it is said if they don't.
fn check(list: &Allowlist, issue: Issue, file: &Path) -> Result<Answer, Failure> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| Failure::Read(name.clone(), error))?;
    let document = Document::parse(&name, &text)?;
    let (serial, not_after) = (document.serial(), document.not_after());
    let asked =
        Issue { serial: issue.serial.and(serial), not_after: issue.not_after.and(not_after) };
    let passed_over = Issue {
        serial: serial.filter(|_| issue.serial.is_none()),
        not_after: not_after.filter(|_| issue.not_after.is_none()),
    };
    if !passed_over.is_empty() {
        tell(&format_args!("not compared: {passed_over}; `--serial` and `--not-after` would\n"));
    }
    let known = document::merge(&[document])?;
    let (old, new) = (known.to_toml_issue(asked), list.to_toml_issue(issue));
    if old == new {
        return Ok(Answer::Yes);
    }
    let diff = TextDiff::from_lines(&old, &new);
    let diff = diff.unified_diff().header(&name, "generated").to_string();
    print(diff.as_bytes())?;
    Ok(Answer::No)
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

impl TryFrom<GenerateArguments> for Options {
    type Error = Failure;

    fn try_from(raw: GenerateArguments) -> Result<Self, Failure> {
        let mut regions = raw.regions.into_iter();
        let input = match (raw.registry, regions.next()) {
            (Some(registry), Some(home)) => Input::Names {
                login_server: login_server(&registry, raw.cloud.map(Cloud::from))?,
                home,
                replicas: regions.collect(),
            },
            _ if raw.assume_data_endpoints => Input::Files(raw.files, DataEndpoints::AssumedOn),
            _ => Input::Files(raw.files, DataEndpoints::AsReported),
        };
        let action = match raw.check {
            Some(file) => Action::Check(file),
            None => Action::Write(raw.format, Destination::from(raw.output)),
        };
        let findings = if raw.strict { Findings::Fatal } else { Findings::Tolerated };
        let issue = Issue { serial: raw.serial, not_after: raw.not_after };
        Ok(Self { input, issue, action, findings })
    }
}

/// `contoso`, or `contoso.azurecr.io`, which says its cloud by itself.
fn login_server(text: &str, cloud: Option<Cloud>) -> Result<LoginServer, Failure> {
    if !text.contains('.') {
        let label: Label = text.parse().map_err(|error| Failure::Label(text.to_owned(), error))?;
        return LoginServer::new(&label, cloud.unwrap_or(Cloud::Public))
            .map_err(|error| Failure::LoginServer(text.to_owned(), error));
    }
    let server: LoginServer =
        text.parse().map_err(|error| Failure::LoginServer(text.to_owned(), error))?;
    match cloud {
        Some(cloud) if cloud != server.cloud() => Err(Failure::OtherCloud(server)),
        _ => Ok(server),
    }
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
    #[error("{0} is JSON, and no list: `allowlist-gen generate` makes one of it")]
    Json(String),
    #[error("{0} is not a file of certificates: {1}")]
    Ca(String, CaError),
    #[error("{}", escape(&.0.to_string()))]
    Lint(#[from] allowlist_gen::lint::Error),
    #[error("{0} is no certificate of a list: {1}")]
    Certificate(String, String),
}

impl Failure {
    fn tell(&self) {
        match self {
            Self::Generate(error) => tell(&report::Failure(error)),
            other => tell(&format_args!("error: {other}\n")),
        }
    }
}
