//! Palo Alto. Set commands are compared with what `pan-os-python` writes for the same objects.

use allowlist_gen::export::Format;

use super::accepts_unusual;
use crate::checker::Checker;
use crate::consumer::{self, Mutation};
use crate::lists;
use crate::lookalikes::{LISTED, STRANGERS};
use crate::matrix;

#[test]
fn the_sdk_writes_the_same_objects() {
    let Some(mut sdk) = Checker::start("py", "paloalto.py", &[]) else { return };
    let mut accepts = |text: &str| sdk.judge(text);
    let judgement = consumer::judge(
        Format::PaloAlto,
        &[
            Mutation { from: "profiles custom-url-category", to: "profiles custom-url-categories" },
            Mutation { from: " category acr-contoso", to: " categories acr-contoso" },
            Mutation { from: " log-end yes", to: " log-end maybe" },
            Mutation { from: " protocol tcp", to: " protocol tpc" },
            Mutation { from: " list contoso.azurecr.io/", to: " list contoso.azurecr.io" },
            Mutation { from: " list contoso.azurecr.io/", to: " list *.azurecr.io/" },
            Mutation { from: " category acr-contoso", to: " category acr-contso" },
            Mutation { from: " action allow", to: " action alow" },
            Mutation { from: " source 10.10.0.0/16", to: " source 10.10.0.0/36" },
        ],
        &mut accepts,
    );
    accepts_unusual(Format::PaloAlto, &[], &mut accepts);
    let consumer = "pan-os-python; values by our own reader";
    matrix::record(Format::PaloAlto, consumer, &sdk.version("pan-os-python"), judgement);
}

/// Nothing of Palo Alto's can be had that reads a URL list: this one does as their pages say.
#[test]
fn a_reader_of_url_lists_takes_the_external_list() {
    let judgement = consumer::judge(
        Format::PaloAltoEdl,
        &[
            Mutation { from: "contoso.azurecr.io/", to: "https://contoso.azurecr.io/" },
            Mutation { from: "contoso.azurecr.io/", to: "contoso.azurecr.io" },
            Mutation { from: "contoso.azurecr.io/", to: "*.azurecr.io/" },
            Mutation { from: "contoso.azurecr.io/", to: "# comment" },
        ],
        |text| read(text).map(|_| ()),
    );
    accepts_unusual(Format::PaloAltoEdl, &["ports", "long"], |text| read(text).map(|_| ()));

    let text = lists::contoso().export(Format::PaloAltoEdl).expect("a list").text;
    let entries = read(&text).expect("a list");
    for host in LISTED {
        assert!(matches(&entries, host), "{host}");
    }
    for host in STRANGERS {
        assert!(!matches(&entries, host), "{host}");
    }
    matrix::record(Format::PaloAltoEdl, "our own reader", "–", judgement);
}

/// The entries, if each is a host with a slash: anything else on a line the firewall would skip, or take for more.
fn read(text: &str) -> Result<Vec<String>, String> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let host = line.strip_suffix('/').ok_or_else(|| format!("`{line}` is open at its end"))?;
        let is_name =
            host.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
        if !is_name || line.len() > 255 || !host.contains('.') {
            return Err(format!("`{line}` is no host"));
        }
        entries.push(line.to_owned());
    }
    if entries.is_empty() { Err("no entry".to_owned()) } else { Ok(entries) }
}

/// Entries are the beginnings of URLs, where nothing ends them.
fn matches(entries: &[String], host: &str) -> bool {
    let url = format!("{host}/v2/");
    entries.iter().any(|entry| url.starts_with(entry.as_str()))
}
