//! A network of one machine: the server under test at one address, and at another the name server behind it, which
//! is all of the DNS here.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use test_support::{Namespace, Program, Running};

/// Where the server under test listens.
pub(super) const HERE: &str = "127.0.0.1";

/// Where the name server behind it listens.
pub(super) const BEHIND: &str = "127.0.0.2";

/// What the name server behind says of every name, but those that it was told more of.
pub(super) const ANYWHERE: [&str; 2] = ["203.0.113.7", "2001:db8::7"];

/// What runs until it is dropped.
pub(super) struct Lab {
    pub(super) namespace: Namespace,
    folder: TempDir,
    behind: Running,
}

/// A name in the DNS that leads elsewhere.
pub(super) struct Alias {
    pub(super) name: String,
    pub(super) target: String,
    /// Where one arrives: an IPv4 and an IPv6 address.
    pub(super) addresses: [&'static str; 2],
}

/// A name that is asked for, and what must come of it.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) name: String,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// These addresses, and nobody else is asked.
    Here(BTreeSet<IpAddr>),
    /// These addresses, and the server behind is asked.
    Behind(BTreeSet<IpAddr>),
    /// There is no such name, although the server behind is asked, and knows it.
    Withheld,
    /// There is no such name, and nobody else is asked.
    Unknown,
}

impl Lab {
    /// The network, with the name server behind running.
    pub(super) fn new(aliases: &[Alias]) -> Result<Self> {
        let namespace = Namespace::create("dns")?;
        let mut program = Program::new("dnsmasq")
            .inside(&namespace)
            .args(["--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--pid-file"])
            .args(["--no-hosts", "--no-resolv", "--log-queries", "--log-facility=-"])
            .args(["--bind-interfaces", &format!("--listen-address={BEHIND}"), "--local-ttl=60"])
            .args(ANYWHERE.map(|address| format!("--address=/#/{address}")));
        for Alias { name, target, addresses } in aliases {
            program = program.arg(format!("--cname={name},{target}"));
            program = program.arg(format!("--host-record={target},{}", addresses.join(",")));
        }
        let behind = program.start()?;
        behind.stderr.wait_for_line(|line| line.contains("started, version"))?;
        Ok(Self { namespace, folder: TempDir::new()?, behind })
    }

    /// The path of a file that says `text`.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// A folder for whatever a server wants to write.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server under test, which has started once it says so.
    pub(super) fn start(&self, program: Program, ready: &str) -> Result<Running> {
        let running = program.inside(&self.namespace).start()?;
        running.stderr.wait_for_line(|line| line.contains(ready))?;
        Ok(running)
    }

    /// Holds what the server under test answers, and what the server behind is asked, to `probes`; how many questions
    /// that were.
    ///
    /// What must not get further is asked first, so that whatever is seen behind came through, and then again, when
    /// the server remembers what it has learnt from the others.
    pub(super) fn examine(&self, probes: &[Probe]) -> Result<usize> {
        let (behind, not_behind): (Vec<Probe>, Vec<Probe>) = probes
            .iter()
            .cloned()
            .partition(|probe| matches!(probe.outcome, Outcome::Behind(_) | Outcome::Withheld));
        let before = self.ask(&not_behind)?;
        let mut asked = self.asked()?;
        // Its servers may be asked for, which says nothing of the questions.
        asked.remove(".");
        ensure!(asked.is_empty(), "the server behind was asked for {asked:?}");
        let passed = self.ask(&behind)?;
        let asked = self.asked()?;
        for Probe { name, .. } in &behind {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            ensure!(asked.contains(&name), "{name} was never asked for behind");
        }
        let after = self.ask(&not_behind)?;
        Ok(before + passed + after)
    }

    /// Asks `probes`, and holds the answers to them; how many questions that were.
    pub(super) fn ask(&self, probes: &[Probe]) -> Result<usize> {
        let questions: Vec<(&Probe, &str)> = probes
            .iter()
            .flat_map(|probe| probe.types().map(move |of_type| (probe, of_type)))
            .collect();
        let mut batch = String::new();
        for (probe, of_type) in &questions {
            writeln!(batch, "{} {of_type}", probe.name)?;
        }
        let batch = self.file("questions", &batch)?;
        let program = Program::new("dig").inside(&self.namespace).arg(format!("@{HERE}"));
        let program = program.args(["+noall", "+comments", "+question", "+answer", "+nocookie"]);
        let program = program.args(["+tries=2", "+time=10", "-f"]).arg(batch);
        let said = program.run()?.stdout;
        let answers: Vec<Answer> = said.split("->>HEADER<<-").skip(1).map(Answer::read).collect();
        ensure!(answers.len() == questions.len(), "not every question was answered:\n{said}");
        for ((probe, of_type), answer) in questions.iter().zip(answers) {
            let expected = Answer::expected(probe, of_type);
            ensure!(answer == expected, "{answer:?}\nshould be\n{expected:?}");
        }
        Ok(questions.len())
    }

    /// Every name that the server behind has been asked for until now, in lower case.
    ///
    /// "Not asked" is only true once all questions have been read. So this asks one of its own, and waits until it
    /// stands in the log; those before it stand before it.
    pub(super) fn asked(&self) -> Result<BTreeSet<String>> {
        let log = &self.behind.stderr;
        let ours = format!("question-{}", log.lines().len());
        self.namespace.enter(|| {
            let socket = UdpSocket::bind((BEHIND, 0))?;
            socket.send_to(&question(&ours)?, (BEHIND, 53)).context("ask the server behind")
        })??;
        log.wait_for_line(|line| asked(line).is_some_and(|name| name == ours))?;
        let names = log.lines().into_iter().filter_map(|line| asked(&line));
        Ok(names.filter(|name| !name.starts_with("question-")).collect())
    }
}

impl Probe {
    pub(super) fn here(name: &str, addresses: &BTreeSet<IpAddr>) -> Self {
        Self { name: name.to_owned(), outcome: Outcome::Here(addresses.clone()) }
    }

    pub(super) fn behind(name: &str, addresses: &BTreeSet<IpAddr>) -> Self {
        Self { name: name.to_owned(), outcome: Outcome::Behind(addresses.clone()) }
    }

    /// What the DNS says of names that it knows nothing more of.
    pub(super) fn anywhere(name: &str) -> Self {
        Self::behind(name, &addresses(ANYWHERE))
    }

    pub(super) fn withheld(name: &str) -> Self {
        Self { name: name.to_owned(), outcome: Outcome::Withheld }
    }

    pub(super) fn unknown(name: &str) -> Self {
        Self { name: name.to_owned(), outcome: Outcome::Unknown }
    }

    /// The types of records that are asked for. The server behind has but addresses.
    fn types(&self) -> impl Iterator<Item = &'static str> {
        let is_behind = matches!(self.outcome, Outcome::Behind(_) | Outcome::Withheld);
        ["A", "AAAA"].into_iter().chain((!is_behind).then_some("HTTPS"))
    }

    /// The same of the name in capitals, and with the root's dot.
    pub(super) fn spellings(self) -> [Self; 3] {
        let with = |name: String| Self { name, ..self.clone() };
        [with(self.name.to_ascii_uppercase()), with(format!("{}.", self.name)), self]
    }
}

pub(super) fn addresses(texts: [&str; 2]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

/// What a server says to a question.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// The name in lower case, and the type.
    question: String,
    status: String,
    addresses: BTreeSet<IpAddr>,
}

impl Answer {
    /// Reads what dig prints of a message.
    fn read(text: &str) -> Self {
        let status = text.split_once("status: ").map_or("", |(_, rest)| rest);
        let question = text.lines().skip_while(|line| !line.contains("QUESTION SECTION")).nth(1);
        let question: Vec<&str> = question.unwrap_or_default().split_whitespace().collect();
        let records = text.lines().filter(|line| !line.starts_with(';'));
        let addresses = records.filter_map(|record| record.split_whitespace().nth(4)?.parse().ok());
        Self {
            question: question.join(" ").to_ascii_lowercase(),
            status: status.split(',').next().unwrap_or_default().to_owned(),
            addresses: addresses.collect(),
        }
    }

    fn expected(probe: &Probe, of_type: &str) -> Self {
        let (status, addresses) = match &probe.outcome {
            Outcome::Here(addresses) | Outcome::Behind(addresses) => ("NOERROR", addresses.clone()),
            Outcome::Withheld | Outcome::Unknown => ("NXDOMAIN", BTreeSet::new()),
        };
        let of_the_type = |address: &IpAddr| match address {
            IpAddr::V4(_) => of_type == "A",
            IpAddr::V6(_) => of_type == "AAAA",
        };
        let name = probe.name.trim_end_matches('.');
        Self {
            question: format!(";{name}. in {of_type}").to_ascii_lowercase(),
            status: status.to_owned(),
            addresses: addresses.into_iter().filter(of_the_type).collect(),
        }
    }
}

/// The name in `dnsmasq[7]: query[A] cONtoSo.azurecr.io from 127.0.0.1`, in lower case.
fn asked(line: &str) -> Option<String> {
    let (_, question) = line.split_once(": query[")?;
    question.split_whitespace().nth(1).map(str::to_ascii_lowercase)
}

/// A DNS message that asks for a name's address: RFC 1035, section 4.1.
fn question(label: &str) -> Result<Vec<u8>> {
    let header = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let length = u8::try_from(label.len())?;
    let (root, a, internet) = ([0], [0, 1], [0, 1]);
    Ok([&header[..], &[length], label.as_bytes(), &root, &a, &internet].concat())
}
