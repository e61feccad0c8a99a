//! What was found, as a table for people and as JSON.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use ringfence_config::snippet::escape;
use ringfence_config::{Entry, Label, Port, Region};
use serde::Serialize;

use super::outcome::{Outcome, Verdict};

/// Everything that was checked, in the order of the list.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema: u32,
    /// The list's hash.
    allowlist: String,
    /// The proxy that hosts were reached through.
    proxy: Option<String>,
    /// The repository whose image was asked for.
    repository: Option<String>,
    checks: Vec<Check>,
    summary: Summary,
}

/// How many checks came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// As it should be.
    pub ok: usize,
    /// Not as it should be.
    pub failed: usize,
    /// Not tried.
    pub skipped: usize,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    #[serde(flatten)]
    subject: Subject,
    step: Step,
    verdict: Verdict,
    outcome: Outcome,
    meaning: &'static str,
    remedy: Option<&'static str>,
    evidence: Evidence,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    host: String,
    port: u16,
    /// As the list has it; `door` for what the list has nothing to do with.
    role: &'static str,
    registry: Option<Label>,
    region: Option<Region>,
}

/// A part of the way to a host, or a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The entry of the list.
    List,
    /// The name's addresses.
    Dns,
    /// A connection to one of them.
    Tcp,
    /// A tunnel through the proxy.
    Proxy,
    /// The handshake, and the certificate.
    Tls,
    /// `GET /v2/`.
    Api,
    /// The token server.
    Token,
    /// Any answer of a data endpoint.
    Data,
    /// A token for the repository.
    PullToken,
    /// An image's manifest.
    Manifest,
    /// Where the registry sends for a blob.
    Redirect,
    /// The blob itself.
    Blob,
    /// A door: port 443 of a storage host.
    Storage,
    /// A door: a storage host through the proxy.
    ByProxy,
    /// A door: DNS over UDP.
    DnsUdp,
    /// A door: DNS over TCP.
    DnsTcp,
    /// A door: DNS over HTTPS.
    Doh,
    /// A door: a service of the platform.
    Metadata,
}

/// What an outcome rests on. What others have said is escaped, and no longer than a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// What the name resolves to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The names on the way there, from the first alias to the name that has the addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What was dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The host that an answer named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// Who issued the certificate that was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// The proxy's own reason, `ringfence`'s code or another proxy's phrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_reason: Option<String>,
    /// What that means, if the proxy said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_meaning: Option<String>,
    /// What to do about it, if the proxy said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_remedy: Option<String>,
    /// What the system or a library said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// An outcome and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it came to.
    pub outcome: Outcome,
    /// Why we think so.
    pub evidence: Evidence,
}

/// Puts what a pull has found at a data endpoint beside what else is known of it.
pub(crate) fn gather(checks: Vec<Check>) -> Vec<Check> {
    let (blobs, mut gathered): (Vec<Check>, Vec<Check>) =
        checks.into_iter().partition(|check| check.step == Step::Blob);
    for blob in blobs {
        let last = gathered.iter().rposition(|check| check.subject == blob.subject);
        gathered.insert(last.map_or(gathered.len(), |last| last + 1), blob);
    }
    gathered
}

/// What a step yields, beside what was found.
pub(crate) type Found<T> = Result<(T, Finding), Finding>;

impl From<Outcome> for Finding {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, evidence: Evidence::default() }
    }
}

impl Finding {
    /// The same, with what the system or a peer said.
    pub(crate) fn said(outcome: Outcome, detail: &dyn fmt::Display) -> Self {
        let detail = Some(clean(&detail.to_string()));
        Self { outcome, evidence: Evidence { detail, ..Evidence::default() } }
    }

    /// An answer with this status.
    pub(crate) fn status(outcome: Outcome, status: u16) -> Self {
        Self { outcome, evidence: Evidence { status: Some(status), ..Evidence::default() } }
    }

    /// The same, about a host that an answer named.
    pub(crate) fn naming(mut self, host: &str) -> Self {
        self.evidence.named = Some(clean(host));
        self
    }
}

impl Subject {
    /// An entry of the list, or one of the hosts that it stands for, on one of its ports.
    pub(crate) fn listed(host: &str, entry: &Entry, port: Port) -> Self {
        Self {
            host: host.to_owned(),
            port: port.number(),
            role: entry.role.name(),
            registry: entry.role.registry().cloned(),
            region: entry.role.region().cloned(),
        }
    }

    /// What should be closed.
    pub(crate) fn door(host: String, port: u16) -> Self {
        Self { host, port, role: "door", registry: None, region: None }
    }
}

/// The checks of one subject, as they are made.
pub(crate) struct Log {
    subject: Subject,
    /// In the order in which they were made.
    pub(crate) checks: Vec<Check>,
}

impl Log {
    pub(crate) fn new(subject: Subject) -> Self {
        Self { subject, checks: Vec::new() }
    }

    /// Writes down what a step has come to, and yields what the next one needs.
    pub(crate) fn note<T>(&mut self, step: Step, found: Found<T>) -> Option<T> {
        let (yielded, finding) = match found {
            Ok((yielded, finding)) => (Some(yielded), finding),
            Err(finding) => (None, finding),
        };
        self.push(step, finding);
        yielded
    }

    pub(crate) fn push(&mut self, step: Step, finding: impl Into<Finding>) {
        let Finding { outcome, evidence } = finding.into();
        self.checks.push(Check {
            subject: self.subject.clone(),
            step,
            verdict: outcome.verdict(),
            outcome,
            meaning: outcome.meaning(),
            remedy: outcome.remedy(),
            evidence,
        });
    }

    /// Whether this step was made.
    pub(crate) fn has(&self, step: Step) -> bool {
        self.checks.iter().any(|check| check.step == step)
    }
}

impl Report {
    pub(crate) fn new(
        allowlist: String,
        proxy: Option<String>,
        repository: Option<String>,
        checks: Vec<Check>,
    ) -> Self {
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let summary = Summary {
            ok: count(Verdict::Ok),
            failed: count(Verdict::Failed),
            skipped: count(Verdict::Skipped),
        };
        Self { schema: SCHEMA, allowlist, proxy, repository, checks, summary }
    }

    /// How many checks came to what.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// The document for programs; the same for the same findings.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings, numbers and lists of them are JSON")
            + "\n"
    }
}

/// The table for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for check in &self.checks {
            if last != Some(&check.subject) {
                let Subject { host, port, role, .. } = &check.subject;
                let gap = if last.is_some() { "\n" } else { "" };
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                writeln!(f, "{gap}{host}:{port}  {role}")?;
                last = Some(&check.subject);
            }
            check.fmt(f)?;
        }
        let Summary { ok, failed, skipped } = self.summary;
        writeln!(f, "\n{ok} ok, {failed} failed, {skipped} skipped")
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = format!("  {:<8} {:<10} ", self.verdict, self.step.name());
        let facts = self.evidence.to_string();
        let facts = if facts.is_empty() { facts } else { format!(" ({facts})") };
        match self.verdict {
            Verdict::Ok => paragraph(f, &start, &format!("{}{facts}", self.meaning))?,
            Verdict::Failed | Verdict::Skipped => {
                let code = self.outcome.code();
                paragraph(f, &start, &format!("{code}: {}{facts}", self.meaning))?;
            }
        }
        // Who refuses knows best what to do about it, and may be anybody.
        match (&self.evidence.proxy_remedy, self.remedy) {
            (Some(theirs), _) => {
                paragraph(f, INDENT, &format!("to do, as the proxy says: {theirs}"))
            }
            (None, Some(ours)) => paragraph(f, INDENT, &format!("to do: {ours}")),
            (None, None) => Ok(()),
        }
    }
}

/// Lines that hang below the first; a host or a flag is never broken.
fn paragraph(f: &mut fmt::Formatter<'_>, start: &str, text: &str) -> fmt::Result {
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(start)
        .subsequent_indent(INDENT)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(text, options).iter().try_for_each(|line| writeln!(f, "{line}"))
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Vec::new();
        if !self.addresses.is_empty() {
            facts.push(joined(&self.addresses));
        }
        if !self.aliases.is_empty() {
            facts.push(format!("alias of {}", self.aliases.join(" > ")));
        }
        facts.extend(self.address.map(|address| address.to_string()));
        facts.extend(self.status.map(|status| format!("HTTP {status}")));
        facts.extend(self.named.clone());
        facts.extend(self.not_after.as_ref().map(|end| format!("until {end}")));
        facts.extend(self.issuer.as_ref().map(|issuer| format!("issued by {issuer}")));
        match (&self.proxy_reason, &self.proxy_meaning) {
            (Some(reason), Some(meaning)) => facts.push(format!("{reason}: {meaning}")),
            (Some(only), None) | (None, Some(only)) => facts.push(only.clone()),
            (None, None) => {}
        }
        facts.extend(self.detail.clone());
        f.write_str(&facts.join(", "))
    }
}

impl Step {
    /// The name in the table, the same as in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Api => "api",
            Self::Token => "token",
            Self::Data => "data",
            Self::PullToken => "pull_token",
            Self::Manifest => "manifest",
            Self::Redirect => "redirect",
            Self::Blob => "blob",
            Self::Storage => "storage",
            Self::ByProxy => "by_proxy",
            Self::DnsUdp => "dns_udp",
            Self::DnsTcp => "dns_tcp",
            Self::Doh => "doh",
            Self::Metadata => "metadata",
        }
    }
}

/// The first few, and how many there are: a name server may send thousands.
fn joined(addresses: &[IpAddr]) -> String {
    let mut text = String::new();
    for (i, address) in addresses.iter().take(MAX_SHOWN).enumerate() {
        let _ = write!(text, "{}{address}", if i > 0 { " " } else { "" });
    }
    if addresses.len() > MAX_SHOWN {
        let _ = write!(text, " and {} more", addresses.len() - MAX_SHOWN);
    }
    text
}

/// A text of somebody else's, as one short line.
pub(crate) fn clean(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_TEXT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    escape(&short)
}

const SCHEMA: u32 = 1;
const INDENT: &str = "                      ";
const WIDTH: usize = 100;
const MAX_SHOWN: usize = 8;
const MAX_TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_words_are_one_short_line() {
        assert_eq!(clean("a\nb\u{202e}c\u{1b}[31m"), "a\\nb\\u{202e}c\\u{1b}[31m");
        let long = clean(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), MAX_TEXT + 1);
        let addresses: Vec<IpAddr> = (0..=255).map(|i| IpAddr::from([20, 0, 0, i])).collect();
        assert!(joined(&addresses).ends_with("20.0.0.7 and 248 more"));
    }

    /// The page's other tables repeat names, too.
    #[test]
    fn the_documentation_knows_each_step_and_each_key() {
        let page = include_str!("../../../docs/verify.md");
        let is_there = |name: &str| page.contains(&format!("`{name}`"));
        for step in STEPS {
            let json = serde_json::to_string(&step).expect("JSON");
            assert_eq!(json, format!("\"{}\"", step.name()));
            assert!(is_there(step.name()), "{json}");
        }
        let text = || Some("x".to_owned());
        let evidence = Evidence {
            addresses: vec!["20.0.0.1".parse().expect("an address")],
            aliases: vec!["x".to_owned()],
            address: Some("20.0.0.1:443".parse().expect("a socket")),
            status: Some(200),
            named: text(),
            issuer: text(),
            not_after: text(),
            proxy_reason: text(),
            proxy_meaning: text(),
            proxy_remedy: text(),
            detail: text(),
        };
        let mut log = Log::new(Subject::door("20.150.38.66".into(), 443));
        log.push(Step::Storage, Finding { outcome: Outcome::DoorClosed, evidence });
        let report = Report::new("sha256:0".into(), None, None, log.checks);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).expect("JSON");
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().expect("an object").keys().cloned().collect()
        };
        let check = &json["checks"][0];
        for key in [keys(&json), keys(check), keys(&check["evidence"])].concat() {
            assert!(is_there(&key), "{key}");
        }
    }

    const STEPS: [Step; 18] = [
        Step::List,
        Step::Dns,
        Step::Tcp,
        Step::Proxy,
        Step::Tls,
        Step::Api,
        Step::Token,
        Step::Data,
        Step::PullToken,
        Step::Manifest,
        Step::Redirect,
        Step::Blob,
        Step::Storage,
        Step::ByProxy,
        Step::DnsUdp,
        Step::DnsTcp,
        Step::Doh,
        Step::Metadata,
    ];

    #[test]
    fn a_failure_says_what_to_do() {
        let mut log = Log::new(Subject::door("20.150.38.66".into(), 443));
        log.push(Step::Storage, Finding::said(Outcome::StorageOpen, &"connected"));
        log.push(Step::Storage, Finding::from(Outcome::DoorClosed));
        let report = Report::new("sha256:0".into(), None, None, log.checks);
        let text = report.to_string();
        assert!(text.starts_with("20.150.38.66:443  door\n  failed   storage    storage_open: "));
        assert!(text.contains("(connected)\n") && text.contains("to do: close port 443"));
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.ends_with("\n1 ok, 1 failed, 0 skipped\n"), "{text}");
        assert_eq!(report.summary(), Summary { ok: 1, failed: 1, skipped: 0 });

        // What somebody else says to do is not what we say.
        let mut log = Log::new(Subject::door("20.150.38.66".into(), 443));
        let evidence = Evidence { proxy_remedy: Some("trust us".into()), ..Evidence::default() };
        log.push(Step::Proxy, Finding { outcome: Outcome::ProxyRefused, evidence });
        let text = Report::new("sha256:0".into(), None, None, log.checks).to_string();
        assert!(text.contains("to do, as the proxy says: trust us\n"), "{text}");
    }
}
