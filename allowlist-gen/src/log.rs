//! Reads ringfence's access log, and decides what a line of it says about the list: who asked for what, and whether
//! the list admitted it. Whatever else became of the connection is none of the list's business.
//!
//! A log can be larger than memory and hold anything: what clients ask for is theirs to choose. So a line is read,
//! told, and gone; what is no line of ours is counted and passed over.

mod evidence;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead};
use std::net::{IpAddr, SocketAddr};
use std::ops::AddAssign;

use ringfence_config::issue::Moment;
use ringfence_config::snippet::escape;
use ringfence_config::{Hostname, Port};
use serde::{Deserialize, Serialize};

use crate::judge::Denial;

pub use self::evidence::{Evidence, Tally};

/// What one line says about the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A host and a port were asked for, and the list decided.
    Asked(Asked),
    /// No host could be read from what was asked for.
    Unread(Unread),
    /// A connection about which no list has decided, or a tunnel that is about to open and has another line at its end.
    Beside,
}

/// Who asked, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    /// The client's address.
    pub client: IpAddr,
    /// When it came.
    pub time: Moment,
    /// Whose list applied.
    pub group: Option<Box<str>>,
}

/// A host and a port that the list has decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who asked, and when.
    pub occasion: Occasion,
    /// For which host.
    pub host: Hostname,
    /// On which port.
    pub port: Port,
    /// What the list said.
    pub verdict: Verdict,
    /// Why no tunnel came of it, although it was permitted or carried in audit mode; `None` if one did, or if the
    /// list denied it.
    pub failure: Option<Box<str>>,
}

/// What a list said, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An entry with this role, of this registry and region, admitted it.
    Admitted(Admission),
    /// It denied it.
    Denied(Denial),
    /// It would have denied it; audit mode went on.
    WouldDeny(Denial),
}

/// The words for what an entry is for, as log and document spell them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Admission {
    /// The role's name.
    pub role: Box<str>,
    /// The registry, if the role has one.
    pub registry: Option<Box<str>>,
    /// The region, if the role has one.
    pub region: Option<Box<str>>,
}

impl From<&ringfence_config::Role> for Admission {
    fn from(role: &ringfence_config::Role) -> Self {
        Self {
            role: role.name().into(),
            registry: role.registry().map(|registry| registry.as_str().into()),
            region: role.region().map(|region| region.as_str().into()),
        }
    }
}

impl fmt::Display for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [Some(&self.role), self.registry.as_ref(), self.region.as_ref()];
        let words: Vec<&str> = words.into_iter().flatten().map(|word| &**word).collect();
        f.write_str(&words.join(" "))
    }
}

/// A request from which no host could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Who asked, and when.
    pub occasion: Occasion,
    /// The proxy's code for what was wrong.
    pub reason: Box<str>,
    /// What was asked for, in one line and cut.
    pub authority: Box<str>,
}

/// How many lines there were of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All lines.
    pub lines: u64,
    /// Those about which a list decided.
    pub asked: u64,
    /// Those from which no host could be read.
    pub unread: u64,
    /// Those that say nothing about a list.
    pub beside: u64,
    /// Those of groups that nobody asked about.
    pub other_groups: u64,
    /// Those that are no lines of ringfence's access log, or of a version that isn't known.
    pub foreign: u64,
    /// Last lines that end in the middle.
    pub cut: u64,
}

impl Counts {
    /// Whether there is any line of an access log.
    pub fn is_a_log(&self) -> bool {
        self.lines == 0 || self.foreign + self.cut < self.lines
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self { lines, asked, unread, beside, other_groups, foreign, cut } = other;
        self.lines += lines;
        self.asked += asked;
        self.unread += unread;
        self.beside += beside;
        self.other_groups += other_groups;
        self.foreign += foreign;
        self.cut += cut;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", count(self.lines, "line", "lines"))?;
        for (number, what) in [
            (self.beside, "about nothing that a list decides"),
            (self.other_groups, "of other groups"),
            (self.foreign, "passed over: not of ringfence's access log, schema 1"),
            (self.cut, "cut short at the end"),
        ] {
            if number > 0 {
                write!(f, "; {number} {what}")?;
            }
        }
        Ok(())
    }
}

/// `1 line`, `2 lines`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Tells `each` what the lines of `log` say, of this group or of all, and counts them.
pub fn read(
    mut log: impl BufRead,
    group: Option<&str>,
    counts: &mut Counts,
    mut each: impl FnMut(Line),
) -> io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(end) = next_line(&mut log, &mut bytes)? {
        if bytes.trim_ascii().is_empty() && end != End::TooLong {
            continue;
        }
        counts.lines += 1;
        match (parse(&bytes), end) {
            (Some((line, of)), End::Whole | End::File) => {
                if group.is_some_and(|group| of.as_deref() != Some(group)) {
                    counts.other_groups += 1;
                    continue;
                }
                match line {
                    Line::Asked(_) => counts.asked += 1,
                    Line::Unread(_) => counts.unread += 1,
                    Line::Beside => counts.beside += 1,
                }
                each(line);
            }
            (None, End::File) => counts.cut += 1,
            _ => counts.foreign += 1,
        }
    }
    Ok(())
}

/// How a line ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// Without a line feed, as the file did.
    File,
    /// Beyond what a line may have; the rest has been passed over.
    TooLong,
}

/// Puts the next line into `bytes`, and never more than a line may have.
fn next_line(log: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<Option<End>> {
    bytes.clear();
    let mut end = None;
    loop {
        let buffer = match log.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            let is_nothing = bytes.is_empty() && end.is_none();
            return Ok(if is_nothing { None } else { end.or(Some(End::File)) });
        }
        let line_feed = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..line_feed.unwrap_or(buffer.len())];
        if bytes.len() + part.len() > MOST {
            end = Some(End::TooLong);
            bytes.clear();
        } else if end.is_none() {
            bytes.extend_from_slice(part);
        }
        let used = line_feed.map_or(buffer.len(), |at| at + 1);
        log.consume(used);
        if line_feed.is_some() {
            return Ok(end.or(Some(End::Whole)));
        }
    }
}

/// What a line says, and of which group; `None` if it is none of ours.
fn parse(bytes: &[u8]) -> Option<(Line, Option<Box<str>>)> {
    let raw: Raw<'_> = serde_json::from_slice(bytes).ok()?;
    let client: SocketAddr = raw.client.parse().ok()?;
    let time: Moment = raw.time.parse().ok()?;
    if raw.schema != SCHEMA || raw.group.as_ref().is_some_and(|group| group.len() > MOST_WORD) {
        return None;
    }
    let group: Option<Box<str>> = raw.group.as_deref().map(Into::into);
    let occasion = Occasion { client: client.ip().to_canonical(), time, group: group.clone() };
    Some((line(&raw, occasion)?, group))
}

fn line(raw: &Raw<'_>, occasion: Occasion) -> Option<Line> {
    if !OUTCOMES.contains(&&*raw.outcome) {
        return None;
    }
    if raw.outcome == "opening" {
        return Some(Line::Beside);
    }
    let reason = raw.reason.as_deref().map(|text| word(text).ok_or(())).transpose().ok()?;
    let (Some(host), Some(port)) = (&raw.host, raw.port) else {
        return match &raw.authority {
            Some(authority) => {
                let (reason, authority) = (reason?, shown(authority).into());
                Some(Line::Unread(Unread { occasion, reason, authority }))
            }
            None => Some(Line::Beside),
        };
    };
    // The log has canonical names only; whatever isn't one is no line of ours.
    let host = host.parse::<Hostname>().ok().filter(|parsed| parsed.as_str() == &**host)?;
    let port = Port::try_from(port).ok()?;
    // A tunnel is for the host that its ClientHello names; whatever says otherwise wasn't written by the proxy.
    let is_other = |sni: &Cow<'_, str>| **sni != *host.as_str();
    if raw.outcome == "tunnel" && raw.sni.as_ref().is_some_and(is_other) {
        return None;
    }
    let denial = reason.as_deref().and_then(Denial::from_code);
    let verdict = match (&raw.would_deny, denial, &raw.role) {
        (Some(code), _, _) => Verdict::WouldDeny(Denial::from_code(code)?),
        (None, Some(denial), _) if raw.outcome == "denied" => Verdict::Denied(denial),
        (None, _, Some(role)) => Verdict::Admitted(Admission {
            role: word(role)?,
            registry: raw.registry.as_deref().map(|text| word(text).ok_or(())).transpose().ok()?,
            region: raw.region.as_deref().map(|text| word(text).ok_or(())).transpose().ok()?,
        }),
        (None, _, None) => return Some(Line::Beside),
    };
    let failure = match verdict {
        Verdict::Denied(_) => None,
        // A tunnel may have ended for a reason, and was one.
        Verdict::Admitted(_) | Verdict::WouldDeny(_) if raw.outcome == "tunnel" => None,
        Verdict::Admitted(_) | Verdict::WouldDeny(_) => Some(reason?),
    };
    Some(Line::Asked(Asked { occasion, host, port, verdict, failure }))
}

/// A line of the log, as far as it is about the list. Other fields, and those to come, are passed over.
#[derive(Deserialize)]
struct Raw<'a> {
    schema: u32,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    client: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    group: Option<Cow<'a, str>>,
    #[serde(borrow)]
    host: Option<Cow<'a, str>>,
    port: Option<u16>,
    #[serde(borrow)]
    sni: Option<Cow<'a, str>>,
    #[serde(borrow)]
    authority: Option<Cow<'a, str>>,
    #[serde(borrow)]
    would_deny: Option<Cow<'a, str>>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    registry: Option<Cow<'a, str>>,
    #[serde(borrow)]
    region: Option<Cow<'a, str>>,
}

/// A word of the log, which no client has chosen: a code, a role, a registry's label, a region. Whatever
/// isn't one makes the line none of ours.
fn word(text: &str) -> Option<Box<str>> {
    let is_word =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let is_ours = (1..=MOST_WORD).contains(&text.len()) && text.bytes().all(is_word);
    is_ours.then(|| text.into())
}

/// A text from the log in one line, cut: a client has written it.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = escape(text).chars().take(MOST_SHOWN).collect();
    if shown.len() < escape(text).len() {
        shown.push('…');
    }
    shown
}

/// The version of the log that is read.
const SCHEMA: u32 = 1;

/// The outcomes of that version.
const OUTCOMES: [&str; 6] = ["tunnel", "opening", "denied", "failed", "malformed", "panicked"];

/// A line of ours has a few kilobytes at most: what a client chose is cut.
const MOST: usize = 64 * 1024;

const MOST_WORD: usize = 100;
const MOST_SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(log: &[u8]) -> (Vec<Line>, Counts) {
        let (mut lines, mut counts) = (Vec::new(), Counts::default());
        // Any buffer will do, a tiny one, too.
        let log = io::BufReader::with_capacity(7, log);
        read(log, None, &mut counts, |line| lines.push(line)).expect("memory can be read");
        (lines, counts)
    }

    const HEAD: &str =
        "\"schema\":1,\"time\":\"2026-11-30T21:00:00.123Z\",\"client\":\"10.0.0.4:50000\"";

    fn verdict(rest: &str) -> Option<Verdict> {
        match &lines(format!("{{{HEAD},{rest}}}\n").as_bytes()).0[..] {
            [Line::Asked(asked)] => Some(asked.verdict.clone()),
            _ => None,
        }
    }

    #[test]
    fn a_line_says_what_the_list_said() {
        let host = "\"host\":\"a.example.com\",\"port\":443";
        let admitted = |role: &str| {
            let (role, registry, region) = (role.into(), None, None);
            Some(Verdict::Admitted(Admission { role, registry, region }))
        };
        for (rest, expected) in [
            ("\"outcome\":\"tunnel\",\"role\":\"other\"", admitted("other")),
            (
                "\"outcome\":\"failed\",\"reason\":\"dns_not_found\",\"role\":\"other\"",
                admitted("other"),
            ),
            (
                "\"outcome\":\"denied\",\"reason\":\"sni_mismatch\",\"role\":\"login\"",
                admitted("login"),
            ),
            (
                "\"outcome\":\"denied\",\"reason\":\"not_in_policy\"",
                Some(Verdict::Denied(Denial::NotInPolicy)),
            ),
            (
                "\"outcome\":\"tunnel\",\"would_deny\":\"not_in_policy\"",
                Some(Verdict::WouldDeny(Denial::NotInPolicy)),
            ),
            (
                "\"outcome\":\"tunnel\",\"role\":\"other\",\"sni\":\"a.example.com\"",
                admitted("other"),
            ),
            ("\"outcome\":\"tunnel\",\"role\":\"other\",\"sni\":\"b.example.com\"", None),
            (
                "\"outcome\":\"denied\",\"reason\":\"sni_mismatch\",\"role\":\"other\",\"sni\":\"b.example.com\"",
                admitted("other"),
            ),
            // Refused before any list was asked, or taken back by a later one.
            ("\"outcome\":\"denied\",\"reason\":\"credentials_required\"", None),
            ("\"outcome\":\"denied\",\"reason\":\"policy_revoked\"", None),
            ("\"outcome\":\"opening\",\"role\":\"other\"", None),
        ] {
            assert_eq!(verdict(&format!("{host},{rest}")), expected, "{rest}");
        }
    }

    #[test]
    fn what_is_no_line_of_ours_is_counted() {
        let ours = format!(
            "{{{HEAD},\"outcome\":\"denied\",\"reason\":\"not_in_policy\",\"host\":\"a.b.c\",\"port\":443}}"
        );
        let long = format!("{{\"x\":\"{}\"}}", "x".repeat(MOST));
        let rows: &[(&str, u64)] = &[
            ("hello", 1),
            ("{}", 1),
            ("[]", 1),
            ("null", 1),
            (&ours.replace("\"schema\":1", "\"schema\":2"), 1),
            (&ours.replace("10.0.0.4:50000", "nobody"), 1),
            (&ours.replace("21:00", "25:00"), 1),
            (&ours.replace("a.b.c", "A.b.c"), 1),
            (&ours.replace("a.b.c", "*.b.c"), 1),
            (&ours.replace("a.b.c", "10.0.0.1"), 1),
            (&ours.replace(":443", ":0"), 1),
            (&ours.replace(":443", ":65979"), 1),
            (&ours.replace("\"denied\"", "\"loved\""), 1),
            (&ours.replace("not_in_policy", "not\\u001bin_policy"), 1),
            (&ours.replace("\"host\"", "\"host\":\"x.y.z\",\"host\""), 1),
            (&long, 1),
            ("\u{feff}{}", 1),
            ("", 0),
            ("  \r", 0),
        ];
        for (text, foreign) in rows {
            let (read, counts) = lines(format!("{text}\n{ours}\n").as_bytes());
            assert_eq!((counts.foreign, counts.asked, read.len()), (*foreign, 1, 1), "{text:.200}");
        }
        let invalid = [&[0xff, 0xfe, b'\n'][..], ours.as_bytes(), b"\r\n"].concat();
        assert_eq!(
            lines(&invalid).1,
            Counts { lines: 2, asked: 1, foreign: 1, ..Counts::default() }
        );
        // The last line may be whole without a line feed, or not.
        assert_eq!(lines(ours.as_bytes()).1.asked, 1);
        let cut = format!("{ours}\n{}", &ours[..50]);
        assert_eq!(
            lines(cut.as_bytes()).1,
            Counts { lines: 2, asked: 1, cut: 1, ..Counts::default() }
        );
        assert_eq!(lines(&vec![b'x'; 3 * MOST]).1.foreign, 1);
        assert_eq!(lines(b"").1, Counts::default());
    }

    #[test]
    fn what_a_client_wrote_is_one_short_line() {
        let authority = format!("\\n\\u001b[2J\\u202e{}", "x".repeat(300));
        let (lines, _) = lines(
            format!("{{{HEAD},\"outcome\":\"malformed\",\"reason\":\"bad_authority\",\"authority\":\"{authority}\"}}\n").as_bytes(),
        );
        let [Line::Unread(unread)] = &lines[..] else { panic!("{lines:?}") };
        assert!(unread.authority.starts_with("\\n\\u{1b}[2J\\u{202e}xxx"), "{}", unread.authority);
        assert_eq!(unread.authority.chars().count(), MOST_SHOWN + 1);
    }
}
