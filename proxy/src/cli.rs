//! The command line: `run`, `check`, `explain`, `test`, `selftest`.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::Serialize;

use crate::client::{Clients, GroupName};
use crate::config::{Config, Options};
use crate::expectations::{Expectations, Lists, Report};
use crate::explain::{Explanation, Verdict};
use crate::lists::Loaded;
use crate::lists::ledger::Ledger;
use crate::notice::notice;
use crate::probe::Probes;
use crate::reception::Reception;
use crate::{selftest, server};

/// Let clients reach exactly the hosts on an allowlist.
///
/// A CONNECT forward proxy for machines that pull from Azure Container Registry. It refuses every host
/// that is not on the list, every storage host, every tunnel whose TLS server name is another host, and
/// every private address that the list does not pin to the host.
///
/// Exit codes: 0 yes or done, 1 a well-formed no (`explain` says deny, `test` finds something else than
/// expected, `selftest` finds something that does not hold), 2 couldn't do it.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Print the manual page or a shell's completions
    #[arg(long, value_name = "WHAT")]
    generate: Option<Description>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients until SIGTERM; SIGHUP, or a change of the files, reloads what is allowed.
    Run {
        #[command(flatten)]
        options: Options,
    },
    /// Check the configuration and the lists without serving.
    Check {
        #[command(flatten)]
        options: Options,
    },
    /// Show what would become of a CONNECT to HOST, step by step.
    Explain {
        /// The host, with or without port; 443 if there is none.
        #[arg(value_name = "HOST[:PORT]")]
        target: String,
        /// For clients of this group; without it, for those who need no group.
        #[arg(long, value_name = "GROUP")]
        client: Option<GroupName>,
        /// How to show it.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        #[command(flatten)]
        options: Options,
    },
    /// Check that the lists allow and deny what files of expectations say.
    ///
    /// A file has one expectation a line: `allow HOST[:PORT]`, or `deny HOST[:PORT] [REASON]` with a code of
    /// docs/reasons.md; the port is 443 if there is none. ` as GROUP` behind either asks for a client of
    /// that group. `#` begins a comment.
    ///
    /// Every list is judged as if it were enforced, in audit mode, too: `deny` means that the list does not
    /// have it. A notice names the groups whose list is not enforced, and so lets it through.
    Test {
        /// Expectations, one a line.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// How to show what came of them.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        #[command(flatten)]
        options: Options,
    },
    /// Attack a running proxy, this one or another, with every way round we know.
    ///
    /// Prints one line a case: `held`; `leaked`, an attack got through; `tried`, it failed only after the
    /// proxy had tried to reach the host; `lax`, a request for the allowed host was served that can be read
    /// in two ways; `broken`, an ordinary client was refused, or could not read why; or `unclear`.
    ///
    /// It connects to the proxy and to nothing else. But a proxy that does not refuse looks up names and
    /// opens connections: to hosts made from the allowed one, to the loopback and the cloud's platform
    /// addresses, and to storage hosts of an account that nobody has. docs/selftest.md says what each
    /// verdict rests on.
    Selftest {
        #[command(flatten)]
        options: selftest::Options,
        /// How to show the scorecard.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// Complete and versioned.
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Description {
    Man,
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match (arguments.command, arguments.generate) {
        (Some(command), _) => run(command),
        (None, Some(what)) => describe(what),
        (None, None) => Ok(ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            notice(format_args!("{}", crate::chain(error.as_ref())));
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Run { options } => {
            let (config, loaded, mut ledger) = load(options)?;
            let loaded = loaded.remembered(&mut ledger)?;
            server::run(&config, &loaded, ledger)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { options } => {
            let (config, loaded, _) = load(options)?;
            Probes::new(&config.probe, &config.groups, &loaded.policy(1, config.rules))?;
            Reception::new(&config)?;
            config.remark().into_iter().for_each(notice);
            Clients::load(&config)?;
            config.log.check()?;
            loaded.tell_empty();
            loaded.tell_audits("what isn't listed will be carried and logged with `would_deny`");
            loaded.tell_findings();
            print(format_args!("ok: {loaded}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain { target, client, format, options } => {
            let (_, loaded, _) = load(options)?;
            let explanation = Explanation::new(&target, loaded.list_for(client.as_ref())?);
            show(format, &explanation)?;
            Ok(match explanation.verdict() {
                Verdict::Allow => ExitCode::SUCCESS,
                Verdict::Deny => ExitCode::from(1),
            })
        }
        Command::Test { files, format, options } => {
            let (_, loaded, _) = load(options)?;
            loaded.tell_audits("judged here as if the list were enforced, and it is not");
            let lists = Lists::new(&loaded);
            let mut results = Vec::new();
            for file in files {
                results.extend(Expectations::read(&file)?.check(&lists)?);
            }
            let report = Report::new(results);
            show(format, &report)?;
            Ok(if report.all_held() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Selftest { options, format } => {
            let scorecard = selftest::run(options)?;
            show(format, &scorecard)?;
            Ok(if scorecard.all_held() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
    }
}

fn load(options: Options) -> Result<(Config, Loaded, Ledger), Box<dyn std::error::Error>> {
    let config = Config::load(options)?;
    let ledger = Ledger::open(config.vintage, config.state.as_deref())?;
    let loaded = config.catalog.read()?.load()?.judged(&ledger, SystemTime::now())?;
    Ok((config, loaded, ledger))
}

fn describe(what: Description) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    let shell = match what {
        Description::Man => {
            command.build();
            clap_mangen::Man::new(command.clone()).render(&mut text)?;
            for subcommand in command.get_subcommands() {
                clap_mangen::Man::new(subcommand.clone()).render(&mut text)?;
            }
            None
        }
        Description::Bash => Some(Shell::Bash),
        Description::Zsh => Some(Shell::Zsh),
        Description::Fish => Some(Shell::Fish),
        Description::Powershell => Some(Shell::PowerShell),
    };
    if let Some(shell) = shell {
        clap_complete::generate(shell, &mut command, "ringfence", &mut text);
    }
    print(format_args!("{}", String::from_utf8_lossy(&text)))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a value in the format asked for.
fn show<T: Display + Serialize>(
    format: Format,
    value: &T,
) -> Result<(), Box<dyn std::error::Error>> {
    match format {
        Format::Text => print(format_args!("{value}"))?,
        Format::Json => print(format_args!("{}", serde_json::to_string_pretty(value)?))?,
    }
    Ok(())
}

/// Prints a line; a reader that has had enough is no error.
fn print(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
