//! How the target is written, and which it is.

use ringfence_config::guard;

use super::{ACCOUNT, Case, Deed, Section, Words, odd, other};

/// All cases of the section.
pub(super) fn cases(words: &Words) -> Vec<Case> {
    [spellings(words), strangers(words)].concat()
}

/// Ways to write the allowed target, and others so that they look like it.
fn spellings(words: &Words) -> Vec<Case> {
    let Words { host, port, allowed, request: _, denied, first, rest } = words;
    let case = |row, title, probes: Vec<(String, Deed)>| {
        Case::new((row, title), Section::Authority, probes)
    };
    let digits = port.to_string();
    let (head, tail) = digits.split_at(1);
    vec![
        case(
            "H01",
            "brackets round a name",
            [words.others([format!("[{denied}]")]), words.spellings([format!("[{host}]")])]
                .concat(),
        ),
        case(
            "H02",
            "nested and lone brackets",
            words.spellings([format!("[[{host}]]"), format!("{host}]"), format!("[{host}")]),
        ),
        case(
            "H03",
            "a trailing dot on a name that is not listed",
            words.others([format!("{denied}.")]),
        ),
        case(
            "H04",
            "empty labels",
            words.spellings([format!("{host}.."), format!(".{host}"), format!("{first}..{rest}")]),
        ),
        case(
            "H06",
            "characters outside ASCII that some map into it",
            words.spellings([
                format!("{first}\u{3002}{rest}"),
                format!("{first}\u{ff0e}{rest}"),
                format!("{first}\u{ff61}{rest}"),
                format!("{first}\u{ad}.{rest}"),
                format!("{first}\u{200d}.{rest}"),
                host.chars().map(full_width).collect(),
            ]),
        ),
        case(
            "H07",
            "punycode that decodes to ASCII",
            words.others([format!("xn--{first}-.{rest}")]),
        ),
        case(
            "H08",
            "percent signs and NUL",
            [
                words.others([format!("{denied}%00.{rest}"), format!("{denied}\0.{host}")]),
                words.spellings([format!("{first}%2e{rest}"), format!("not-listed%40{host}")]),
            ]
            .concat(),
        ),
        case(
            "H09",
            "users, paths, queries and other parts of a URL",
            [
                format!("{allowed}@{denied}"),
                format!("user:password@{allowed}"),
                format!("{host}#{denied}"),
                format!("{allowed}?{denied}"),
                format!("{allowed}/{denied}"),
                format!("{allowed}\\{denied}"),
                format!("{allowed};{denied}"),
            ]
            .map(odd)
            .into(),
        ),
        case("H10", "control characters and spaces", whitespace(words)),
        case(
            "H11",
            "ports in other spellings, or none",
            [
                format!("{host}:+{port}"),
                format!("{host}:0{port}"),
                format!("{host}:{head}_{tail}"),
                format!("{host}:{}", u32::from(*port) + 65536),
                format!("{host}:-1"),
                format!("{host}:0"),
                format!("{host}:"),
                host.clone(),
            ]
            .map(odd)
            .into(),
        ),
    ]
}

/// Targets that are not on a list of exact hosts.
fn strangers(words: &Words) -> Vec<Case> {
    let Words { host, port, allowed, denied, first, rest, .. } = words;
    let case = |row, title, probes: Vec<(String, Deed)>| {
        Case::new((row, title), Section::Authority, probes)
    };
    let long = "a".repeat(64);
    vec![
        case("H12", "other ports of the allowed host", {
            let ports = [22, 80, 443, 8443].into_iter().filter(|other| other != port);
            ports.map(|port| other(format!("{host}:{port}"))).collect()
        }),
        case(
            "H13",
            "names that begin or end like the allowed one",
            words.others([
                format!("evil{host}"),
                format!("{host}.evil.example"),
                host.replacen('.', "-", 1) + ".example",
                denied.clone(),
            ]),
        ),
        case(
            "H14",
            "sibling registries, and regions that nobody listed",
            words.others([
                format!("{first}2.{rest}"),
                format!("{first}-a1b2c3d4.{rest}"),
                format!("{first}.nowhere.data.{rest}"),
                format!("{first}.nowhere.geo.{rest}"),
            ]),
        ),
        case("H15", "storage hosts of every cloud", {
            let accounts = guard::storage_domains().map(|domain| format!("{ACCOUNT}.{domain}"));
            words
                .others(accounts.chain(STORAGE.iter().map(|form| form.replace("ACCOUNT", ACCOUNT))))
        }),
        case(
            "H16",
            "names that no host can have",
            words.others([
                format!("{long}.{host}"),
                format!("{}{host}", "a.".repeat(120)),
                format!("{}{host}", "a".repeat(10_000)),
                format!("not_listed.{host}"),
                format!("-not-listed.{host}"),
                format!("not-listed-.{host}"),
            ]),
        ),
        case(
            "H17",
            "the loopback as a number",
            words.others([
                "127.0.0.1",
                "127.0.0.1.",
                "127.1",
                "2130706433",
                "0x7f.1",
                "0177.0.0.1",
                "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
            ]),
        ),
        case(
            "H19",
            "IPv6 addresses",
            words.others([
                "[::1]",
                "[::ffff:127.0.0.1]",
                "[fe80::1%25lo]",
                "[fe80::1%lo]",
                "[v1.x]",
                "::1",
            ]),
        ),
        case(
            "H20",
            "other forms of a request target",
            [format!("https://{allowed}/"), String::new(), "*".into(), "/".into()].map(odd).into(),
        ),
    ]
}

/// Requests whose target has something in or around it that some readers skip.
fn whitespace(words: &Words) -> Vec<(String, Deed)> {
    let Words { host, port, allowed, denied, .. } = words;
    let targets = [
        format!("{allowed} {denied}:{port}"),
        format!("{host}\t:{port}"),
        format!("{host}\u{b}:{port}"),
        format!("{host}\u{c}:{port}"),
        format!("{host}\r:{port}"),
        format!("{host}\n:{port}"),
        format!("{host}: {port}"),
        format!(" {allowed}"),
        format!("{allowed} "),
    ];
    let probe = |target: String| {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {allowed}\r\n\r\n");
        let request = Deed::Odd(request.into_bytes());
        (target, request)
    };
    targets.map(probe).into()
}

fn full_width(c: char) -> char {
    let shifted = u32::from(c).checked_add(0xfee0).and_then(char::from_u32);
    shifted.filter(|_| c.is_ascii_graphic()).unwrap_or(c)
}

/// Shapes of Azure's storage hosts that no domain alone shows.
const STORAGE: &[&str] = &[
    "ACCOUNT.z07.blob.storage.azure.net",
    "ACCOUNT.z13.web.core.windows.net",
    "ACCOUNT-secondary.blob.core.windows.net",
    "ACCOUNT.privatelink.blob.core.windows.net",
    "ACCOUNT.BLOB.core.windows.net",
    "ACCOUNT.blob.core.windows.net.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_storage_hosts_are_storage() {
        let accounts = guard::storage_domains().map(|domain| format!("{ACCOUNT}.{domain}"));
        let shapes = STORAGE.iter().map(|form| form.replace("ACCOUNT", ACCOUNT));
        for host in accounts.chain(shapes) {
            let host = host.trim_end_matches('.').parse().expect("a host");
            assert!(guard::is_storage(&host), "{host}");
        }
    }
}
