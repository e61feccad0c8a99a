//! squid's access rules: `http_access` lines in their order, each of which wants all of its ACLs to match.
//!
//! - An `http_access` line is an AND, the first that matches decides, and if none does, the opposite of the last
//!   line. <http://www.squid-cache.org/Doc/config/http_access/>
//! - `dstdomain foo` is that name, `.foo` also every name below it, in any case. `dstdom_regex` fits anywhere in the
//!   name, which squid has in small letters; with `-i` capitals in the expression don't matter. Values of one ACL
//!   are an OR, and its lines add up. <http://www.squid-cache.org/Doc/config/acl/>
//!
//! What else an ACL asks (who, when, by which user) may be so or not, so every ACL has two languages: names that it
//! surely matches, and names that it possibly does. An allowing line lets through what is possible, and a denying
//! one takes away what is sure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ringfence_config::snippet::Source;

use super::language::{Case, Language};
use super::rule::{Consumer, NO_NAME, Place, Reading, Rule, is_of_names_alone};

/// What the rules of `source` let through, and the files that were read for it. Files that it names are looked for
/// among `others`.
pub(super) fn read<'s>(source: &'s Source, others: &'s [Source]) -> (Reading, BTreeSet<&'s str>) {
    let mut file = File { others, ..File::default() };
    file.lines(source);
    let read = std::mem::take(&mut file.read);
    (file.judge(), read)
}

/// Whether `source` is read as part of `by`, which includes it or takes an ACL's values from it.
pub(super) fn names(by: &Source, source: &Source) -> bool {
    logical_lines(&by.text).any(|(_, line)| {
        let words = words(&line);
        match words[..] {
            ["include", ..] => words[1..].iter().any(|word| is_meant(word, source)),
            ["acl", _, _, ..] => words[3..]
                .iter()
                .filter_map(|word| file_of(word))
                .any(|word| is_meant(word, source)),
            _ => false,
        }
    })
}

#[derive(Default)]
struct File<'s> {
    others: &'s [Source],
    acls: BTreeMap<String, Acl>,
    access: Vec<Access>,
    reading: Reading,
    /// The files that were read so far, and those that include what is being read.
    read: BTreeSet<&'s str>,
    within: Vec<&'s str>,
    includes: usize,
}

#[derive(Default)]
struct Acl {
    kind: String,
    values: Vec<Value>,
    /// A value couldn't be read: what the ACL matches is unknown.
    is_unknown: bool,
}

struct Value {
    place: Place,
    text: String,
    names: Option<Language>,
    reads: &'static str,
}

/// One `http_access` line.
struct Access {
    place: Place,
    text: String,
    is_allow: bool,
    literals: Vec<Literal>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Literal {
    acl: String,
    is_negated: bool,
}

/// The names that something surely matches, and those that it possibly does.
#[derive(Clone)]
struct Match {
    surely: Language,
    possibly: Language,
}

/// What is asked for, as far as ACLs look at it.
#[derive(Clone)]
struct Request {
    method: String,
    port: u16,
}

impl<'s> File<'s> {
    fn lines(&mut self, source: &'s Source) {
        self.read.insert(&source.name);
        self.within.push(&source.name);
        for (number, line) in logical_lines(&source.text) {
            let words = words(&line);
            let place = Place::line(&source.name, number);
            match words[..] {
                ["acl" | "http_access" | "include", ..] if line.contains("${") => {
                    let why = "squid puts something in the place of `${…}`";
                    self.reading.unjudged(place, &line, Consumer::Squid, why);
                }
                // Squid skips it with a word in its log.
                ["http_access", "allow" | "deny"] => {
                    let why = "a line without an ACL does nothing";
                    self.reading.unjudged(place, &line, Consumer::Squid, why);
                }
                ["acl", name, kind, ..] => self.acl(&place, name, kind, &words[3..]),
                ["http_access", action, ..] => self.access(place, action, &words[2..]),
                ["include", ..] => self.include(&place, &words[1..]),
                ["if" | "else" | "endif", ..] => {
                    let why = "lines that count on a condition are all taken for valid";
                    self.reading.unjudged(place, &line, Consumer::Squid, why);
                }
                _ => {}
            }
        }
        self.within.pop();
    }

    fn include(&mut self, place: &Place, words: &[&str]) {
        for word in words {
            let others = self.others;
            let meant: Vec<&Source> =
                others.iter().filter(|source| is_meant(word, source)).collect();
            let doubt = |why: &str| {
                let text = format!("include {word}");
                let mut doubt = Reading::default();
                doubt.unjudged(place.clone(), &text, Consumer::Squid, why);
                doubt
            };
            if meant.is_empty() {
                let doubt = doubt("name that file, too, to have it read in its place");
                self.reading.extend(doubt);
            }
            for source in meant {
                self.includes += 1;
                // `*.conf` may be the file itself, which squid finds in another folder.
                if self.within.last() == Some(&source.name.as_str()) {
                    continue;
                }
                if self.within.contains(&source.name.as_str()) || self.includes > MOST_INCLUDES {
                    let why = "files that include each other, or too many of them, aren't read";
                    self.reading.extend(doubt(why));
                    continue;
                }
                self.lines(source);
            }
        }
    }

    fn acl(&mut self, place: &Place, name: &str, kind: &str, words: &[&str]) {
        let mut values = Vec::new();
        let mut is_unknown = false;
        for word in words {
            let Some(file) = file_of(word) else {
                values.push((place.clone(), (*word).to_owned()));
                continue;
            };
            let others = self.others;
            let mut meant = others.iter().filter(|source| is_meant(file, source)).peekable();
            if meant.peek().is_none() {
                is_unknown = true;
                let why = "name that file, too, to have its values read";
                let text = format!("acl {name} {kind} {word}");
                self.reading.unjudged(place.clone(), &text, Consumer::Squid, why);
            }
            for source in meant {
                self.read.insert(&source.name);
                for (number, line) in (1..).zip(source.text.lines()) {
                    let text = line.trim();
                    if !text.is_empty() && !text.starts_with('#') {
                        values.push((Place::line(&source.name, number), text.to_owned()));
                    }
                }
            }
        }
        let mut case = Case::Sensitive;
        for (place, text) in values {
            match text.as_str() {
                "-i" => case = Case::Insensitive,
                "+i" => case = Case::Sensitive,
                flag if flag.starts_with('-') && !kind.contains("regex") => {}
                "-n" | "-m" | "--" => {}
                _ => {
                    let shown = format!("acl {name} {kind} {text}");
                    let (names, reads) = match names_of(kind, &text, case) {
                        Ok(Some((names, reads))) => (Some(names), reads),
                        Ok(None) => (None, ""),
                        Err(why) => {
                            is_unknown = true;
                            let place = place.clone();
                            self.reading.unjudged(place, &shown, Consumer::Squid, why);
                            continue;
                        }
                    };
                    let acl = self.acls.entry(name.to_owned()).or_default();
                    acl.values.push(Value { place, text, names, reads });
                }
            }
        }
        let acl = self.acls.entry(name.to_owned()).or_default();
        if !acl.kind.is_empty() && acl.kind != kind {
            let text = format!("acl {name} {kind}");
            let why = "this ACL was of another type before, and squid doesn't start with it";
            self.reading.unjudged(place.clone(), &text, Consumer::Squid, why);
        }
        kind.clone_into(&mut acl.kind);
        acl.is_unknown |= is_unknown;
    }

    fn access(&mut self, place: Place, action: &str, words: &[&str]) {
        let text = format!("http_access {action} {}", words.join(" "));
        let is_allow = match action {
            "allow" => true,
            "deny" => false,
            _ => {
                let why = "squid knows only `allow` and `deny`";
                self.reading.unjudged(place, &text, Consumer::Squid, why);
                return;
            }
        };
        let literal = |word: &&str| Literal {
            acl: word.trim_start_matches('!').to_owned(),
            is_negated: word.starts_with('!'),
        };
        let literals = words.iter().map(literal).collect();
        self.access.push(Access { place, text, is_allow, literals });
    }

    fn judge(mut self) -> Reading {
        let requests = self.requests();
        let mut rules = Vec::new();
        for index in 0..self.access.len() {
            if self.access[index].is_allow {
                rules.extend(self.allowed_by(index, &requests));
            }
        }
        // With no line at all, squid denies everything.
        if let Some(last) = self.access.last().filter(|last| !last.is_allow) {
            let reach = self.left_by_denials(self.access.len(), &[], &requests);
            let text = format!("{}, the last line", last.text);
            let place = last.place.clone();
            let reads = "what no http_access line matches gets the opposite of the last one";
            rules.push(Self::rule(place, text, reads, reach));
        }
        self.reading.rules.extend(rules);
        self.reading
    }

    /// A rule for each value of the first ACL that says which names are meant; or for the line, if none does.
    fn allowed_by(&mut self, index: usize, requests: &[Request]) -> Vec<Rule> {
        let line = &self.access[index];
        let by_names = line.literals.iter().find(|literal| {
            let acl = self.acls.get(&literal.acl);
            !literal.is_negated
                && acl.is_some_and(|acl| acl.values.iter().any(|v| v.names.is_some()))
        });
        let by_address = |literal: &Literal| {
            self.acls.get(&literal.acl).is_some_and(|acl| acl.kind == "dst") && !literal.is_negated
        };
        if by_names.is_none() && line.literals.iter().any(by_address) {
            let why = "it goes by addresses, and other people's names may be behind them";
            let (place, text) = (line.place.clone(), line.text.clone());
            self.reading.unjudged(place, &text, Consumer::Squid, why);
            return Vec::new();
        }
        let is_unknown = |literal: &Literal| {
            self.acls.get(&literal.acl).is_some_and(|acl| acl.is_unknown && !literal.is_negated)
        };
        // What its ACL holds has been told to be unknown; not that it lets everything through.
        if by_names.is_none() && line.literals.iter().any(is_unknown) {
            return Vec::new();
        }
        let left = self.left_by_denials(index, &line.literals, requests);
        let line_reach = |request: &Request| {
            // A value of an ACL is one of its names already.
            let others = line.literals.iter().filter(|literal| Some(*literal) != by_names);
            Language::all(others.map(|literal| self.literal(literal, request).possibly))
        };
        let reach: Vec<Language> = requests
            .iter()
            .zip(&left)
            .map(|(request, left)| Language::all([line_reach(request), left.clone()]))
            .collect();
        let Some(by_names) = by_names else {
            let reads = "without an ACL of names, a line lets every name through";
            return vec![Self::rule(line.place.clone(), line.text.clone(), reads, reach)];
        };
        let acl = &self.acls[&by_names.acl];
        let of_value = |value: &Value| {
            let names = value.names.clone()?;
            let reach = reach.iter().map(|reach| Language::all([names.clone(), reach.clone()]));
            // One name by itself can be judged without any automaton, if nothing takes it away.
            let exact = |reach: &Language| match names.as_exact().and_then(|name| name.parse().ok())
            {
                Some(host) if reach.holds(&host) == Ok(true) => names.clone(),
                Some(_) => Language::nothing(),
                None => reach.clone(),
            };
            let text = format!("acl {} {} {}", by_names.acl, acl.kind, value.text);
            let reach = reach.map(|reach| exact(&reach)).collect();
            Some(Self::rule(value.place.clone(), text, value.reads, reach))
        };
        acl.values.iter().filter_map(of_value).collect()
    }

    fn rule(place: Place, text: String, reads: &'static str, reach: Vec<Language>) -> Rule {
        let pulls = reach.first().cloned();
        let exact = reach.iter().find(|reach| reach.as_exact().is_some()).cloned();
        let reach = exact.unwrap_or_else(|| Language::any(reach));
        Rule { pulls, ..Rule::new(place, text, Consumer::Squid, reads, reach) }
    }

    /// For each request, what the lines before `index` don't surely deny, given that `granted` holds.
    fn left_by_denials(
        &self,
        index: usize,
        granted: &[Literal],
        requests: &[Request],
    ) -> Vec<Language> {
        let denials: Vec<&Access> =
            self.access[..index].iter().filter(|line| !line.is_allow).collect();
        let left = |request: &Request| {
            let surely = denials.iter().map(|line| {
                let literals = line.literals.iter().map(|literal| {
                    let is_free = self.match_of(&literal.acl, request, 0).is_none();
                    if is_free && granted.contains(literal) {
                        Language::everything()
                    } else {
                        self.literal(literal, request).surely
                    }
                });
                Language::all(literals)
            });
            Language::any(surely).complement()
        };
        requests.iter().map(left).collect()
    }

    fn literal(&self, literal: &Literal, request: &Request) -> Match {
        let free = Match { surely: Language::nothing(), possibly: Language::everything() };
        let matched = self.match_of(&literal.acl, request, 0).unwrap_or(free);
        if literal.is_negated { matched.negated() } else { matched }
    }

    /// `None` if the ACL asks for something that names, methods and ports don't tell.
    fn match_of(&self, name: &str, request: &Request, depth: usize) -> Option<Match> {
        let Some(acl) = self.acls.get(name) else {
            return match name {
                "all" => Some(Match::when(true)),
                "CONNECT" => Some(Match::when(request.method == "CONNECT")),
                // Requests to squid itself.
                "manager" => Some(Match::when(false)),
                _ => None,
            };
        };
        let texts = || acl.values.iter().map(|value| value.text.as_str());
        match acl.kind.as_str() {
            // Whether squid takes small letters for capitals is its version's to say.
            "method" => {
                let surely = Match::when(texts().any(|method| method == request.method)).surely;
                let possibly = texts().any(|method| method.eq_ignore_ascii_case(&request.method));
                Some(Match { surely, possibly: Match::when(possibly).possibly })
            }
            "port" => Some(Match::when(texts().any(|range| is_within(range, request.port)))),
            "src" if texts().any(|block| matches!(block, "all" | "0.0.0.0/0")) => {
                Some(Match::when(true))
            }
            "any-of" | "all-of" if depth < MOST_DEPTH => {
                let parts: Vec<Match> = texts()
                    .map(|text| {
                        let (name, is_negated) = match text.strip_prefix('!') {
                            Some(name) => (name, true),
                            None => (text, false),
                        };
                        let free =
                            Match { surely: Language::nothing(), possibly: Language::everything() };
                        let part = self.match_of(name, request, depth + 1).unwrap_or(free);
                        if is_negated { part.negated() } else { part }
                    })
                    .collect();
                let join = if acl.kind == "any-of" {
                    |parts: Vec<Language>| Language::any(parts)
                } else {
                    |parts: Vec<Language>| Language::all(parts)
                };
                Some(Match {
                    surely: join(parts.iter().map(|part| part.surely.clone()).collect()),
                    possibly: join(parts.iter().map(|part| part.possibly.clone()).collect()),
                })
            }
            kind if is_of_names(kind) => {
                let names = acl.values.iter().filter_map(|value| value.names.clone());
                let names = Language::any(names);
                let possibly = if acl.is_unknown { Language::everything() } else { names.clone() };
                Some(Match { surely: names, possibly })
            }
            _ => None,
        }
    }

    /// A request of each kind that the ACLs tell apart, TLS to port 443 first.
    fn requests(&self) -> Vec<Request> {
        let ports = self.acls.values().filter(|acl| acl.kind == "port");
        let ports = ports.flat_map(|acl| &acl.values);
        // Where a range begins, and right behind its end.
        let edges = |value: &Value| {
            let (low, high) = value.text.split_once('-').unwrap_or((&value.text, &value.text));
            let high = high.trim().parse::<u16>().ok().and_then(|high| high.checked_add(1));
            [low.trim().parse().ok(), high]
        };
        let ports: BTreeSet<u16> = ports.flat_map(edges).flatten().collect();
        let ports: Vec<u16> = [443, 80].into_iter().chain(ports).chain([1, 65_535]).collect();
        let mut kinds = HashSet::new();
        let mut requests = Vec::new();
        // Each method that an ACL names, and one that none does.
        let named = self.acls.values().filter(|acl| acl.kind == "method");
        let named: BTreeSet<String> = named
            .flat_map(|acl| acl.values.iter().map(|value| value.text.to_ascii_uppercase()))
            .collect();
        let methods = ["CONNECT", "GET", "PUT"].map(str::to_owned).into_iter().chain(named);
        let methods: Vec<String> = methods.chain(["POST", "UNNAMED"].map(str::to_owned)).collect();
        for (port, method) in
            ports.iter().flat_map(|port| methods.iter().map(move |method| (*port, method)))
        {
            let request = Request { method: method.clone(), port };
            let told = |acl: &Acl| match acl.kind.as_str() {
                "method" => acl.values.iter().any(|v| v.text.eq_ignore_ascii_case(method)),
                "port" => acl.values.iter().any(|value| is_within(&value.text, port)),
                _ => false,
            };
            let mut kind: Vec<bool> = self.acls.values().map(told).collect();
            kind.push(method == "CONNECT");
            if kinds.insert(kind) {
                requests.push(request);
            }
        }
        debug_assert!(requests.first().is_some_and(|first| first.port == 443));
        requests
    }
}

impl Match {
    fn when(matches: bool) -> Self {
        let names = if matches { Language::everything() } else { Language::nothing() };
        Self { surely: names.clone(), possibly: names }
    }

    fn negated(&self) -> Self {
        Self { surely: self.possibly.complement(), possibly: self.surely.complement() }
    }
}

fn is_of_names(kind: &str) -> bool {
    matches!(kind, "dstdomain" | "dstdom_regex" | "ssl::server_name" | "ssl::server_name_regex")
}

fn names_of(
    kind: &str,
    text: &str,
    case: Case,
) -> Result<Option<(Language, &'static str)>, String> {
    match kind {
        "dstdomain" | "ssl::server_name" => {
            let name = text.strip_suffix('.').unwrap_or(text);
            Ok(Some(match name.strip_prefix('.') {
                _ if name.is_empty() => return Err("a dot by itself names nothing".to_owned()),
                _ if !is_of_names_alone(name) => return Err(NO_NAME.to_owned()),
                Some(domain) => {
                    (Language::at_or_below(domain), "`.foo` is foo and every name below it")
                }
                None => (Language::exact(name), "`foo` is that name alone"),
            }))
        }
        "dstdom_regex" | "ssl::server_name_regex" => {
            check_posix(text)?;
            let names = Language::containing(text, case).map_err(|error| error.to_string())?;
            Ok(Some((names, "a regular expression that fits anywhere in the name")))
        }
        _ => Ok(None),
    }
}

/// squid's expressions are POSIX's extended ones, ours are Rust's: what the two read differently isn't judged.
/// <https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap09.html#tag_09_04>
fn check_posix(text: &str) -> Result<(), String> {
    let mut characters = text.chars().peekable();
    let mut in_brackets = false;
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        let differs = match character {
            '\\' if in_brackets => next.is_none_or(|c| c == ']' || c == '-' || c.is_alphanumeric()),
            '\\' => {
                characters.next();
                next.is_none_or(|c| c.is_alphanumeric() || matches!(c, '<' | '>' | '`' | '\''))
            }
            '[' if in_brackets => next != Some(':'),
            '[' => {
                in_brackets = true;
                // A bracket right at the beginning is one of the characters.
                characters.next_if_eq(&'^');
                characters.next_if_eq(&']');
                false
            }
            ':' if in_brackets && next == Some(']') => {
                characters.next();
                false
            }
            ']' => {
                in_brackets = false;
                false
            }
            '&' | '~' | '-' if in_brackets => next == Some(character),
            '(' => next == Some('?'),
            '*' | '+' | '?' | '}' => matches!(next, Some('?' | '+')),
            _ => false,
        };
        if differs {
            return Err("squid's library and ours read this expression differently".to_owned());
        }
    }
    Ok(())
}

fn is_within(range: &str, port: u16) -> bool {
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let [low, high] = [low, high].map(|text| text.trim().parse::<u16>());
    matches!((low, high), (Ok(low), Ok(high)) if (low..=high).contains(&port))
}

/// The file that a value is read from: `"file"` or `parameters("file")`.
fn file_of(word: &str) -> Option<&str> {
    if let Some(word) = word.strip_prefix("parameters(") {
        return Some(word.trim_end_matches(')').trim_matches(['"', '\'']));
    }
    word.strip_prefix('"')?.strip_suffix('"')
}

/// Whether a name in a configuration means this file: the same path, or its end; `*` is any part of a file's name.
fn is_meant(word: &str, source: &Source) -> bool {
    let word = file_of(word).unwrap_or(word);
    let last = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let (word, name) = (last(word), last(&source.name));
    match word.split_once('*') {
        Some((before, after)) => {
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
        }
        None => word == name && !word.is_empty(),
    }
}

fn words(line: &str) -> Vec<&str> {
    let words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    words.take_while(|word| !word.starts_with('#')).collect()
}

/// Lines with those that they continue in, each with the number of the first: as squid does it, which passes over
/// empty lines and lines of comments wherever they are, and puts nothing between the two parts of a line.
/// <https://github.com/squid-cache/squid/blob/master/src/cache_cf.cc> (`parseOneConfigFile`)
fn logical_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let lines = (1..).zip(text.split('\n'));
    let lines = lines.map(|(number, line)| (number, line.split('\r').next().unwrap_or_default()));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    std::iter::from_fn(move || {
        let (number, first) = lines.next()?;
        let mut line = first.to_owned();
        while line.ends_with('\\') {
            line.pop();
            match lines.next() {
                Some((_, more)) if line.is_empty() => line.push_str(more),
                Some((_, more)) => line.push_str(more.trim_start_matches([' ', '\t'])),
                None => break,
            }
        }
        Some((number, line))
    })
}

/// How deep ACLs are made of others.
const MOST_DEPTH: usize = 16;

const MOST_INCLUDES: usize = 1000;

#[cfg(test)]
mod tests {
    use ringfence_config::Hostname;

    use super::*;

    fn passes(text: &str, name: &str) -> bool {
        let source = Source { name: "squid.conf".to_owned(), text: text.to_owned() };
        let host: Hostname = name.parse().expect(name);
        let rules = read(&source, &[]).0.rules;
        rules.iter().any(|rule| rule.reach.holds(&host).expect("it is small"))
    }

    #[test]
    fn lines_are_asked_in_their_order() {
        let deny = "http_access deny all\n";
        for (text, name, expected) in [
            ("acl a dstdomain .foo.com\nhttp_access allow a\n", "x.foo.com", true),
            ("acl a dstdomain .foo.com\nhttp_access allow a\n", "foo.com", true),
            ("acl a dstdomain .foo.com\nhttp_access allow a\n", "evilfoo.com", false),
            ("acl a dstdomain Foo.com\nhttp_access allow a\n", "foo.com", true),
            ("acl a dstdomain foo.com\nhttp_access allow a\n", "x.foo.com", false),
            // Values add up, lines are an AND.
            ("acl a dstdomain a.com\nacl a dstdomain b.com\nhttp_access allow a\n", "b.com", true),
            (
                "acl a dstdomain .com\nacl b dstdom_regex foo\nhttp_access allow a b\n",
                "foo.com",
                true,
            ),
            (
                "acl a dstdomain .com\nacl b dstdom_regex foo\nhttp_access allow a b\n",
                "bar.com",
                false,
            ),
            // The first that matches decides.
            (
                "acl a dstdomain .a.com\nacl b dstdomain x.a.com\nhttp_access deny b\nhttp_access allow a\n",
                "x.a.com",
                false,
            ),
            (
                "acl a dstdomain .a.com\nacl b dstdomain x.a.com\nhttp_access allow a\nhttp_access deny b\n",
                "x.a.com",
                true,
            ),
            // A denial for some clients leaves the others; one with the same condition doesn't.
            (
                "acl c src 10.0.0.0/8\nacl b dstdomain x.com\nacl a dstdomain .com\nhttp_access deny c b\n\
                 http_access allow a\n",
                "x.com",
                true,
            ),
            (
                "acl c src 10.0.0.0/8\nacl b dstdomain x.com\nacl a dstdomain .com\nhttp_access deny c b\n\
                 http_access allow c a\n",
                "x.com",
                false,
            ),
            // Negation, and lines without names.
            ("acl b dstdomain .b.com\nhttp_access allow !b\n", "a.com", true),
            ("acl b dstdomain .b.com\nhttp_access allow !b\n", "x.b.com", false),
            ("acl c src 10.0.0.0/8\nhttp_access allow c\n", "anything.example", true),
            ("http_access deny CONNECT\nhttp_access allow all\n", "plain.example", true),
            (
                "acl a dstdomain .a.com\nacl o any-of a\nhttp_access deny o\nhttp_access allow all\n",
                "x.a.com",
                false,
            ),
            // Capitals.
            ("acl a dstdom_regex ^FOO\\.com$\nhttp_access allow a\n", "foo.com", false),
            ("acl a dstdom_regex -i ^FOO\\.com$\nhttp_access allow a\n", "foo.com", true),
            ("acl a dstdom_regex -i ^X$ +i ^FOO\\.com$\nhttp_access allow a\n", "foo.com", false),
        ] {
            assert_eq!(passes(&format!("{text}{deny}"), name), expected, "{text} {name}");
        }
        // Without a last line for all, what no line matches gets the opposite of the last.
        assert!(passes("acl b dstdomain .b.com\nhttp_access deny b\n", "a.com"));
        assert!(!passes("acl b dstdomain .b.com\nhttp_access allow b\n", "a.com"));
        assert!(!passes("", "a.com"));
    }

    #[test]
    fn what_two_libraries_read_differently_is_not_judged() {
        for text in [r"a\d", "(?i)a", r"[a\-z]", r"a\<b", "[a&&b]", "a*?", r"(a)\1", "a++"] {
            assert!(check_posix(text).is_err(), "{text}");
        }
        for text in
            [r"^a\.b$", "[[:alpha:]]+x", "[]a]", "[^]a]b", "(a|b)?c{2}", "[a-z0-9.-]+$", r"[\.]"]
        {
            assert_eq!(check_posix(text), Ok(()), "{text}");
        }
    }
}
