//! Decides what is told of a format: in help texts, in the header of each export, and in `docs/exports`.

use std::fmt::{self, Write as _};

use super::{Format, Setting};

/// What there is to know about a format.
#[derive(Debug)]
pub struct About {
    /// The file that people usually save it as.
    pub file: &'static str,
    /// What its target goes by.
    pub kind: Kind,
    /// Which entries it can say.
    pub scope: Scope,
    /// What it takes beside the list.
    pub takes: &'static [Setting],
    /// What of that it can't do without.
    pub needs: &'static [Setting],
    /// How much the target takes, and what happens beyond; empty if there is no limit to meet.
    pub limits: &'static str,
    /// What else must be true for it to work, and what it can't do; one sentence or two each. They stand in the
    /// header of each export, too.
    pub notes: &'static [&'static str],
    /// Shell commands that put it into force.
    pub apply: &'static str,
    /// What holds our exports to the format: programs that the tests run.
    pub validator: &'static str,
    /// The pages that describe the format.
    pub sources: &'static [&'static str],
}

/// What the target of an export goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is the list itself.
    Data,
    /// The name that the client asks for.
    Name,
    /// The addresses that it finds for the name.
    Resolved,
    /// The addresses in the list.
    Address,
    /// It answers DNS questions with the addresses in the list.
    Answer,
    /// The name that is looked up.
    Lookup,
    /// It is a client's setting.
    Client,
}

impl Kind {
    /// Every kind, those that keep most out first.
    pub const ALL: [Self; 7] = [
        Self::Name,
        Self::Resolved,
        Self::Address,
        Self::Lookup,
        Self::Answer,
        Self::Client,
        Self::Data,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Name => "name",
            Self::Resolved => "resolved",
            Self::Address => "address",
            Self::Answer => "answer",
            Self::Lookup => "lookup",
            Self::Client => "client",
        }
    }

    /// Whether what isn't in the export is kept out.
    pub fn is_filter(self) -> bool {
        matches!(self, Self::Name | Self::Resolved | Self::Address)
    }

    /// What that means for whoever relies on it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Data => "The list itself, for programs and people.",
            Self::Name => {
                "By name: the target sees the name that a client asks for, and lets exactly these pass."
            }
            Self::Resolved => {
                "Resolved: the target allows the addresses that it finds for these names. Public registries share \
                 their front ends, so other people's registries can be reached at the same addresses."
            }
            Self::Address => {
                "By address: the target knows no names, so only the addresses of private endpoints are written. \
                 The public front ends are shared between registries: an address of theirs also reaches other \
                 people's."
            }
            Self::Answer => {
                "Answers to DNS questions, for registries behind private endpoints. Nothing is blocked: a client \
                 that knows an address doesn't have to ask."
            }
            Self::Lookup => {
                "By DNS questions: the target doesn't look up other registries' names. Nothing else is blocked, and a \
                 client that knows an address doesn't have to ask: this goes with a filter, and replaces none."
            }
            Self::Client => {
                "A client's setting, which it is free to ignore: this is no filter, and needs one behind it."
            }
        }
    }
}

/// Which entries a format can say. What it can't say is refused, whichever format it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything, patterns among them.
    Everything,
    /// Exact hosts, on any ports.
    Ports,
    /// Exact hosts on port 443, which goes without saying there.
    Https,
    /// Hosts that images can be named after, on any ports: login servers and hand-written hosts.
    Registries,
    /// Hosts that have private addresses, on any ports.
    PinnedPorts,
    /// Hosts that have private addresses, whatever the port: there are none in it.
    Pinned,
    /// All hosts of registries behind Private Link, and of none else: whatever the rest is, it stays out.
    PrivateLink,
}

impl Scope {
    /// What that is, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Everything => "Every entry, patterns among them.",
            Self::Ports => "Exact hosts, on any ports.",
            Self::Https => "Exact hosts on port 443; a host with another port is an error.",
            Self::Registries => {
                "Login servers and hand-written hosts, on any ports. Data endpoints have no place in it: no image is \
                 named after them."
            }
            Self::PinnedPorts => {
                "Hosts with private addresses, on any ports. A host without one is an error, or with \
                 `--pinned-only` left out and named in the header."
            }
            Self::Pinned => {
                "Hosts with private addresses; it has no ports. A host without an address is an error, or with \
                 `--pinned-only` left out and named in the header."
            }
            Self::PrivateLink => {
                "All hosts of the registries that are reached through Private Link, and no others."
            }
        }
    }
}

/// A format's page, in Markdown: `docs/exports` holds them all.
#[derive(Debug, Clone, Copy)]
pub struct Page(pub Format);

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = self.0.about();
        writeln!(f, "# {}: {}\n", self.0.name(), self.0.summary())?;
        writeln!(f, "{}\n", about.kind.meaning())?;
        writeln!(f, "| | |\n|---|---|")?;
        writeln!(f, "| usual file | `{}` |", about.file)?;
        writeln!(f, "| kind | {} |", about.kind.name())?;
        writeln!(f, "| says | {} |", about.scope.meaning())?;
        writeln!(f, "| takes | {} |", Setting::list(about.takes, about.needs))?;
        writeln!(f, "| limits | {} |", about.limits_or_none())?;
        writeln!(f, "| validated by | {} |", about.validator)?;
        for source in about.sources {
            writeln!(f, "| described at | <{source}> |")?;
        }
        if !about.notes.is_empty() {
            writeln!(f, "\nWhat else must be true:\n")?;
            for note in about.notes {
                writeln!(f, "- {note}")?;
            }
        }
        writeln!(f, "\n## Apply\n\n```sh\n{}\n```", self.0.export_command())?;
        if !about.apply.is_empty() {
            writeln!(f, "\n```sh\n{}\n```", about.apply.trim_ascii())?;
        }
        Ok(())
    }
}

/// All formats by their kinds, each with its limits and what it is validated by, in a few lines.
#[derive(Debug, Clone, Copy)]
pub struct Overview;

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{}", kind.name().to_ascii_uppercase())?;
            writeln!(f, "{}\n", filled("", kind.meaning()))?;
            for format in Format::ALL.iter().filter(|format| format.about().kind == kind) {
                let about = format.about();
                writeln!(f, "  {}: {}", format.name(), format.summary().replace('`', ""))?;
                writeln!(f, "{}", filled("    limits: ", about.limits_or_none()))?;
                writeln!(f, "{}", filled("    validated by: ", about.validator))?;
            }
        }
        Ok(())
    }
}

/// `text` for a terminal, behind `word`.
fn filled(word: &str, text: &str) -> String {
    let indent = " ".repeat(word.len() - word.trim_start().len() + 2);
    let options = textwrap::Options::new(110)
        .initial_indent(word)
        .subsequent_indent(if word.is_empty() { "" } else { &indent })
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(&text.replace('`', ""), options)
}

impl About {
    fn limits_or_none(&self) -> &'static str {
        if self.limits.is_empty() { "none that a list would meet" } else { self.limits }
    }
}

impl Format {
    /// The command that writes it, with an example of each setting that it needs.
    fn export_command(self) -> String {
        let about = self.about();
        let mut command = format!("allowlist-gen export {}", self.name());
        // Rules for everyone are rarely meant.
        let is_shown =
            |setting: &&Setting| about.needs.contains(setting) || **setting == Setting::Client;
        for setting in about.takes.iter().filter(is_shown) {
            let _ = write!(command, " {} {}", setting.flag(), setting.example());
        }
        // A list isn't written over itself.
        let lists =
            if about.file == "allowlist.toml" { "derived.toml own.toml" } else { "allowlist.toml" };
        let _ = write!(command, " {lists} --output {}", about.file);
        command
    }
}
