//! Lists other than those of all formats: with a storage account, and with very many hosts.

use allowlist_gen::export::Format;
use anyhow::{Result, ensure};
use ringfence_config::endpoint::Endpoint;
use ringfence_config::{Allowlist, Entry, Role};

use super::world::World;
use crate::lists;

/// A list with a storage account of one's own, and two more hosts that somebody has added by hand: where one of
/// `lines` lists the account, it stands again for each of them.
pub(crate) fn export(format: Format, lines: &[&str]) -> Result<String> {
    let mut account = Entry::new(ACCOUNT.parse()?, Role::StorageAccount);
    account.why = Some("build cache".to_owned());
    let entries = lists::contoso().allowlist.entries().to_vec();
    let text = World::export_of(format, &Allowlist::new(entries.into_iter().chain([account]))?)?;
    let mut widened = String::new();
    for line in text.lines() {
        let is_list = lines.contains(&line.trim());
        let added = ["harmless.windows.net", "exfil.blob.core.windows.net"];
        let added = added.iter().take(if is_list { 2 } else { 0 });
        let added = added.map(|host| line.replace(ACCOUNT, host));
        for line in std::iter::once(line.to_owned()).chain(added) {
            widened.push_str(&line);
            widened.push('\n');
        }
    }
    ensure!(text.lines().count() + 2 * lines.len() == widened.lines().count(), "{lines:?}\n{text}");
    Ok(widened)
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
