//! Exceptions from a proxy, as each client reads them. What is excepted goes past the proxy, and past its list.
//!
//! There is no standard, and no two families of clients agree: what each takes an entry for was measured, and the
//! measurements are a fixture that a test holds this table to. .NET's is from its source.
//! <https://github.com/dotnet/runtime/blob/main/src/libraries/System.Net.Http/src/System/Net/Http/SocketsHttpHandler/HttpEnvironmentProxy.cs>

use std::net::IpAddr;

use ipnet::IpNet;

use super::language::Language;
use super::rule::{Consumer, NO_NAME, Place, Reading, Rule};
use super::tree::Node;

/// The lists in a document: `noProxy` of an AKS cluster, in ARM's nesting and in az's.
pub(super) fn read(file: &str, root: &Node<'_>) -> Reading {
    let mut reading = Reading::default();
    for node in root.walk() {
        let by_key = node.entries().filter(|(key, _)| is_key(key)).map(|(_, value)| value);
        // A container's variables.
        let variable = node.string("name").filter(|name| is_key(name));
        let variable = variable.and_then(|_| node.get("value"));
        for list in by_key.chain(variable) {
            let items: Vec<Node<'_>> =
                if list.is_list() { list.items().collect() } else { vec![list] };
            for item in items {
                let place = Place::node(file, &item);
                match item.text() {
                    Some(text) if text.starts_with('[') => {
                        let why =
                            "only texts that stand here can be judged, and this is an expression";
                        let text = format!("noProxy: {text}");
                        reading.unjudged(place, &text, Consumer::NoProxy, why);
                    }
                    Some(text) => entries(text, &place, &mut reading),
                    None if item.is_null() => {}
                    None => {
                        let why = "only texts can be judged";
                        reading.unjudged(place, "noProxy", Consumer::NoProxy, why);
                    }
                }
            }
        }
    }
    reading
}

/// The variable in a text of assignments, or the whole text if there is none in it.
pub(super) fn read_text(file: &str, text: &str) -> Reading {
    let mut reading = Reading::default();
    let mut assigned = false;
    for (number, line) in logical_lines(text) {
        if let Some(value) = assignment(&line) {
            assigned = true;
            entries(value, &Place::line(file, number), &mut reading);
        }
    }
    if !assigned {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            entries(line, &Place::line(file, number), &mut reading);
        }
    }
    reading
}

pub(super) fn is_key(key: &str) -> bool {
    ["noproxy", "no_proxy"].iter().any(|name| key.eq_ignore_ascii_case(name))
}

/// Lines with those that they go on in: behind a backslash, or within quotes.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    let mut quote = None;
    for (number, line) in (1..).zip(text.lines()) {
        let shorter = line.strip_suffix('\\');
        let part = shorter.unwrap_or(line);
        match lines.last_mut().filter(|_| goes_on || quote.is_some()) {
            Some((_, before)) => {
                // A shell puts nothing there and others a space, which are two entries.
                before.push(if quote.is_some() { ' ' } else { ',' });
                before.push_str(part.trim_start());
            }
            None => lines.push((number, part.to_owned())),
        }
        goes_on = shorter.is_some();
        if assignment(line).is_some() || quote.is_some() {
            for character in part.chars() {
                match quote {
                    Some(open) if open == character => quote = None,
                    None if matches!(character, '"' | '\'') => quote = Some(character),
                    _ => {}
                }
            }
        }
    }
    lines
}

/// What a line sets the variable to, in a shell's syntax, systemd's or Java's.
pub(super) fn assignment(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let lower = line.to_ascii_lowercase();
    let (start, name) = ["no_proxy", "nonproxyhosts"]
        .iter()
        .find_map(|name| Some((lower.find(&format!("{name}="))?, *name)))?;
    let value = line[start + name.len() + 1..].trim_matches(['"', '\'']);
    let end = value.find(['"', '\'']).unwrap_or(value.len());
    Some(&value[..end])
}

fn entries(text: &str, place: &Place, reading: &mut Reading) {
    let separators = |c: char| c == ',' || c == '|' || c.is_whitespace();
    for item in text.split(separators).filter(|item| !item.is_empty()) {
        entry(item, place, reading);
    }
}

/// Adds what one entry takes past the proxy.
pub(super) fn entry(text: &str, place: &Place, reading: &mut Reading) {
    // `<local>` is Windows's word for names without a dot; the rest are ports and addresses.
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_*:/<>[]%".contains(&byte)) {
        let shown = format!("no_proxy: {text}");
        reading.unjudged(place.clone(), &shown, Consumer::NoProxy, NO_NAME);
        return;
    }
    let clients: Vec<(&'static str, Language)> =
        CLIENTS.iter().map(|client| (client.name, client.names(text))).collect();
    let exact = clients.iter().find_map(|(_, names)| names.as_exact());
    let exact = exact.filter(|exact| {
        clients.iter().all(|(_, names)| names.as_exact().is_none_or(|name| name == *exact))
            && clients.iter().all(|(_, names)| names.as_exact().is_some())
    });
    let reach = match exact {
        Some(name) => Language::exact(name),
        None => Language::any(clients.iter().map(|(_, names)| names.clone())),
    };
    let reads = "what an entry takes past the proxy differs from client to client";
    let text = format!("no_proxy: {text}");
    let rule = Rule::new(place.clone(), text, Consumer::NoProxy, reads, reach);
    reading.rules.push(Rule { clients, ..rule });
}

/// A family of clients that read exceptions in one way.
pub(super) struct Client {
    pub(super) name: &'static str,
    bare: Reach,
    dot: Reach,
    star_dot: Reach,
    /// A star right before a name.
    star: Reach,
    /// `foo:443`.
    port: Reach,
    /// `foo.`
    trailing_dot: Reach,
    /// `*` alone.
    all: bool,
}

#[derive(Clone, Copy)]
enum Reach {
    Nothing,
    /// The name alone.
    Exact,
    /// The names below it.
    Below,
    /// Both.
    AtOrBelow,
    /// Every name that ends with it, within a label, too.
    Suffix,
}

use Reach::{AtOrBelow, Below, Exact, Nothing, Suffix};

const fn client(name: &'static str, bare: Reach, dot: Reach, star_dot: Reach) -> Client {
    Client {
        name,
        bare,
        dot,
        star_dot,
        star: Nothing,
        port: Nothing,
        trailing_dot: Nothing,
        all: true,
    }
}

/// In the order of the measurements.
pub(super) const CLIENTS: [Client; 11] = [
    Client { trailing_dot: AtOrBelow, ..client("curl", AtOrBelow, AtOrBelow, Nothing) },
    Client { all: false, ..client("wget", AtOrBelow, Below, Nothing) },
    client("Python urllib", AtOrBelow, AtOrBelow, Nothing),
    client("requests", AtOrBelow, AtOrBelow, Nothing),
    client("httpx", AtOrBelow, Below, Nothing),
    client("aiohttp", AtOrBelow, AtOrBelow, Nothing),
    Client { port: AtOrBelow, ..client("Go", AtOrBelow, Below, Below) },
    Client { port: Exact, star: Suffix, ..client("undici", Exact, Below, Below) },
    Client { port: Exact, star: Suffix, ..client("proxy-from-env", Exact, Below, Below) },
    Client { star: Suffix, ..client("Java", Exact, Nothing, Below) },
    Client { all: false, ..client(".NET", Exact, AtOrBelow, Nothing) },
];

impl Client {
    /// The names that this client takes `entry` for.
    pub(super) fn names(&self, entry: &str) -> Language {
        if entry == "*" {
            return if self.all { Language::everything() } else { Language::nothing() };
        }
        if entry.parse::<IpAddr>().is_ok() || entry.parse::<IpNet>().is_ok() {
            return Language::nothing();
        }
        if let Some((name, port)) = entry.rsplit_once(':') {
            let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            return if is_port { reach(self.port, name) } else { Language::nothing() };
        }
        if let Some(name) = entry.strip_suffix('.') {
            return reach(self.trailing_dot, name);
        }
        if let Some(name) = entry.strip_prefix("*.") {
            return reach(self.star_dot, name);
        }
        if let Some(name) = entry.strip_prefix('*') {
            return reach(self.star, name);
        }
        if let Some(name) = entry.strip_prefix('.') {
            return reach(self.dot, name);
        }
        // Only Java takes a star at the end.
        match entry.strip_suffix('*').filter(|_| self.name == "Java") {
            Some(_) => Language::glob(entry, ".*"),
            None => reach(self.bare, entry),
        }
    }
}

fn reach(reach: Reach, name: &str) -> Language {
    match reach {
        Nothing => Language::nothing(),
        Exact => Language::exact(name),
        Below => Language::below(name),
        AtOrBelow => Language::at_or_below(name),
        Suffix => Language::glob(&format!("*{name}"), ".*"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ringfence_config::Hostname;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Measured {
        hosts: Vec<String>,
        rows: Vec<Row>,
    }

    #[derive(serde::Deserialize)]
    struct Row {
        entry: String,
        results: BTreeMap<String, String>,
    }

    /// Each client's reading is what was measured of it.
    #[test]
    fn the_table_is_what_was_measured() {
        let text = include_str!("../../../tests/fixtures/azure/data/no-proxy-matrix.json");
        let measured: Measured = serde_json::from_str(text).expect("the fixture parses");
        let mut compared = 0;
        for row in &measured.rows {
            // Lists of several, which clients split differently.
            if row.entry.contains(' ') && !row.entry.contains('<') {
                continue;
            }
            let entry = row.entry.replace("<matching port>", "443");
            for (name, letters) in &row.results {
                let client = CLIENTS
                    .iter()
                    .find(|client| client.name.split(' ').all(|word| name.contains(word)));
                let client = client.unwrap_or_else(|| panic!("{name} is in the table"));
                let names = client.names(&entry);
                for (host, letter) in measured.hosts.iter().zip(letters.chars()) {
                    let Ok(host) = host.parse::<Hostname>() else { continue };
                    let is_direct = names.holds(&host).expect("it is small");
                    assert_eq!(is_direct, letter == 'D', "{entry} {name} {host}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 300, "{compared}");
    }

    #[test]
    fn variables_are_found_in_what_sets_them() {
        for (line, expected) in [
            ("NO_PROXY=a,b", Some("a,b")),
            ("export no_proxy=\"a b\"", Some("a b")),
            ("Environment=\"NO_PROXY=a\" \"X=y\"", Some("a")),
            ("-Dhttp.nonProxyHosts='a|b'", Some("a|b")),
            ("# NO_PROXY=a", None),
            ("a,b", None),
        ] {
            assert_eq!(assignment(line), expected, "{line}");
        }
    }
}
