//! The command line: `run`, `check`, `explain`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::{Config, Options};
use crate::explain::{Explanation, Verdict};
use crate::lists::Loaded;
use crate::notice::notice;
use crate::server;

/// Let clients reach exactly the hosts on an allowlist.
///
/// A CONNECT forward proxy for machines that pull from Azure Container Registry. It refuses every host
/// that is not on the list, every storage host, every tunnel whose TLS server name is another host, and
/// every private address that the list does not pin to the host.
///
/// Exit codes: 0 yes or done, 1 a well-formed no (`explain` says deny), 2 couldn't do it.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
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
        /// How to show it.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        #[command(flatten)]
        options: Options,
    },
    /// Write a shell completion or the manual page to stdout.
    Generate {
        /// What to write.
        what: Generated,
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
enum Generated {
    Man,
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// Runs the program.
pub fn main() -> ExitCode {
    match run(Arguments::parse().command) {
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
            let (config, loaded) = load(options)?;
            server::run(&config, &loaded)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { options } => {
            let (_, loaded) = load(options)?;
            print(format_args!("ok: {loaded}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain {
            target,
            format,
            options,
        } => {
            let (_, loaded) = load(options)?;
            let explanation = Explanation::new(&target, &loaded.allowlist);
            match format {
                Format::Text => print(format_args!("{explanation}"))?,
                Format::Json => print(format_args!(
                    "{}",
                    serde_json::to_string_pretty(&explanation)?
                ))?,
            }
            Ok(match explanation.verdict() {
                Verdict::Allow => ExitCode::SUCCESS,
                Verdict::Deny => ExitCode::from(1),
            })
        }
        Command::Generate { what } => {
            let mut text = Vec::new();
            generate(what, &mut text)?;
            print(format_args!("{}", String::from_utf8_lossy(&text)))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn load(options: Options) -> Result<(Config, Loaded), Box<dyn std::error::Error>> {
    let config = Config::load(options)?;
    let loaded = config.sources.read()?.load()?;
    for finding in &loaded.findings {
        notice(finding);
    }
    Ok((config, loaded))
}

fn generate(what: Generated, out: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Arguments::command();
    let shell = match what {
        Generated::Man => return clap_mangen::Man::new(command).render(out),
        Generated::Bash => Shell::Bash,
        Generated::Zsh => Shell::Zsh,
        Generated::Fish => Shell::Fish,
        Generated::Powershell => Shell::PowerShell,
    };
    clap_complete::generate(shell, &mut command, "ringfence", out);
    Ok(())
}

/// Prints a line; a reader that has had enough is no error.
fn print(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
