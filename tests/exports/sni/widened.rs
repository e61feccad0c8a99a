//! Lists other than those of all formats: with a storage account, and with very many hosts.

use allowlist_gen::export::Format;
use anyhow::{Context, Result};
use ringfence_config::endpoint::Endpoint;
use ringfence_config::{Allowlist, Entry, Role};

use super::world::World;
use crate::lists;

/// A list with a storage account of one's own, and two more hosts that somebody has added by hand: wherever `line`
/// lists the account, it stands again for each of them.
pub(crate) fn export(format: Format, line: &str) -> Result<String> {
    let mut account = Entry::new(ACCOUNT.parse()?, Role::StorageAccount);
    account.why = Some("build cache".to_owned());
    let entries = lists::contoso().allowlist.entries().to_vec();
    let text = World::export_of(format, &Allowlist::new(entries.into_iter().chain([account]))?)?;
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|found| found.trim() == line);
    let at = at.with_context(|| format!("`{line}` stands nowhere in\n{text}"))?;
    let added = ["harmless.windows.net", "exfil.blob.core.windows.net"];
    let added = added.map(|host| lines[at].replace(ACCOUNT, host));
    let added = added.iter().map(String::as_str);
    let lines = lines[..=at].iter().copied().chain(added).chain(lines[at + 1..].iter().copied());
    Ok(lines.collect::<Vec<_>>().join("\n") + "\n")
}

/// Two thousand hosts.
pub(crate) fn long(format: Format) -> Result<String> {
    let hosts = (0..1000).flat_map(|number| {
        [format!("registry{number}.azurecr.io"), format!("registry{number}.eastus.data.azurecr.io")]
    });
    let entries = hosts.map(|host| {
        let endpoint: Endpoint = host.parse()?;
        Ok(Entry::new(host.parse()?, Role::from(&endpoint)))
    });
    World::export_of(format, &Allowlist::new(entries.collect::<Result<Vec<_>>>()?)?)
}

const ACCOUNT: &str = "mine.blob.core.windows.net";
