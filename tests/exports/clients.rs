//! Settings of clients, held to what the clients then do.

mod aks;
mod docker;
mod images;
mod kit;
mod proxied;
mod stage;
mod systemd;

use std::collections::BTreeSet;

use allowlist_gen::export::Format;

use crate::lists::{self, List};

/// The variables that the file of variables has for `list`.
fn variables(list: &List) -> BTreeSet<String> {
    let text = list.export(Format::NoProxyEnv).expect("the list can be written").text;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// The list that `text` is an export of; the one that mutations are made of, if it is of none.
fn list_of(format: Format, text: &str) -> List {
    let is_this = |list: &List| list.export(format).is_ok_and(|export| export.text == text);
    lists::all().into_iter().find(is_this).unwrap_or_else(lists::contoso)
}
