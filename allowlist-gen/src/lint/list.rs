//! Plain lists of names, one or more a line, of which nobody says who reads them: they are read in the widest way
//! that some firewall does, in which `*` is anything at all, and `.foo` is foo and every name below it.

use ringfence_config::snippet::Source;

use super::block::{self, Reached};
use super::language::Language;
use super::rule::{Consumer, Place, Reading, Rule};

/// The names on a list.
pub(super) fn read(source: &Source) -> Reading {
    let mut reading = Reading::default();
    for (number, line) in (1..).zip(source.text.lines()) {
        for item in items(line) {
            let place = Place::line(&source.name, number);
            if !item.contains('*') && !matches!(block::reached(item), Reached::NotAddresses) {
                match block::reached(item) {
                    Reached::Public => reading.address(place, item, Consumer::List),
                    Reached::Everything => {
                        let reads = "every address, and so every name";
                        let everything = Language::everything();
                        let item = item.to_owned();
                        reading.rules.push(Rule::new(
                            place,
                            item,
                            Consumer::List,
                            reads,
                            everything,
                        ));
                    }
                    Reached::Inside | Reached::NotAddresses => {}
                }
                continue;
            }
            let Some((names, reads)) = names(item) else {
                let why = "it is no name, and no pattern of names";
                reading.unjudged(place, item, Consumer::List, why);
                continue;
            };
            reading.rules.push(Rule::new(place, item.to_owned(), Consumer::List, reads, names));
        }
    }
    reading
}

/// Whether a text can be a list: each item looks like a name, a pattern or an address.
pub(super) fn is_list(text: &str) -> bool {
    let mut items = text.lines().flat_map(items).peekable();
    items.peek().is_some()
        && items.all(|item| {
            names(item).is_some() || !matches!(block::reached(item), Reached::NotAddresses)
        })
}

fn items(line: &str) -> impl Iterator<Item = &str> {
    let line = line.split('#').next().unwrap_or_default();
    line.split(|c: char| c == ',' || c == ';' || c.is_whitespace()).filter(|item| !item.is_empty())
}

fn names(item: &str) -> Option<(Language, &'static str)> {
    let name = item.split_once("://").map_or(item, |(_, rest)| rest);
    let name = name.split('/').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, port)) if port == "*" || port.parse::<u16>().is_ok() => name,
        _ => name,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || ".-_*".contains(c);
    if !name.contains(['.', '*']) || !name.chars().all(is_of_names) {
        return None;
    }
    Some(if let Some(domain) = name.strip_prefix('.') {
        (Language::at_or_below(domain), "`.foo` is foo and every name below it")
    } else if name.contains('*') {
        (Language::glob(name, ".*"), "in the widest way: `*` is anything at all, dots among it")
    } else {
        (Language::exact(name), "`foo` is that name alone")
    })
}
