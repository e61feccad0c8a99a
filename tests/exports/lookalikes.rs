//! The names that are asked of every consumer that runs: those of the list `contoso`, and forty that look like them.

/// A question, and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) passes: bool,
}

/// The list's hosts, as they are and in capitals, on port 443, which pass; the look-alikes, and the hosts on another
/// port, which don't.
pub(crate) fn probes() -> Vec<Probe> {
    let listed = LISTED.iter().flat_map(|host| [(*host).to_owned(), host.to_ascii_uppercase()]);
    let listed = listed.map(|host| Probe { host, port: 443, passes: true });
    let strangers =
        STRANGERS.iter().map(|host| Probe { host: (*host).to_owned(), port: 443, passes: false });
    listed.chain(strangers).collect()
}

/// The list's hosts on ports that aren't listed: for consumers that see ports.
pub(crate) fn other_ports() -> Vec<Probe> {
    let ports = LISTED.iter().flat_map(|host| [80, 22, 8443].map(|port| (*host, port)));
    ports.map(|(host, port)| Probe { host: host.to_owned(), port, passes: false }).collect()
}

/// The list's hosts with the root's dot at the end: consumers differ, and say so in their notes.
pub(crate) fn with_trailing_dot() -> Vec<String> {
    LISTED.iter().map(|host| format!("{host}.")).collect()
}

/// The hosts of the list `contoso`.
pub(crate) const LISTED: [&str; 5] = [
    "contoso.azurecr.io",
    "contoso.eastus.data.azurecr.io",
    "contoso.westeurope.data.azurecr.io",
    "fabrikam.azurecr.io",
    "fabrikam.westus2.data.azurecr.io",
];

/// Siblings, prefixes, suffixes, other regions, other clouds, storage.
pub(crate) const STRANGERS: [&str; 42] = [
    // The families themselves.
    "azurecr.io",
    "data.azurecr.io",
    "eastus.data.azurecr.io",
    "westus2.data.azurecr.io",
    "privatelink.azurecr.io",
    // Other people's registries.
    "evil.azurecr.io",
    "contoso2.azurecr.io",
    "contos.azurecr.io",
    "ontoso.azurecr.io",
    "evilcontoso.azurecr.io",
    "contoso-e7ggejfuhzhgedc8.azurecr.io",
    "evil.eastus.data.azurecr.io",
    "contoso2.eastus.data.azurecr.io",
    "xcontoso.eastus.data.azurecr.io",
    "evil.westus2.data.azurecr.io",
    // Below what is listed.
    "sub.contoso.azurecr.io",
    "www.fabrikam.azurecr.io",
    "a.b.contoso.azurecr.io",
    "sub.contoso.eastus.data.azurecr.io",
    "contoso.azurecr.io.contoso.azurecr.io",
    // Other regions, other families, other clouds.
    "contoso.westus2.data.azurecr.io",
    "contoso.eastus2.data.azurecr.io",
    "fabrikam.eastus.data.azurecr.io",
    "contoso.eastus.geo.azurecr.io",
    "contoso.privatelink.azurecr.io",
    "contoso.azurecr.us",
    "contoso.azurecr.cn",
    "contoso.azurecr.de",
    // What a careless pattern takes for the same.
    "contosoxazurecr.io",
    "contoso-azurecr.io",
    "contoso.azurecrxio.example",
    "contoso.azurecr.io.evil.example",
    "contoso.eastus.data.azurecr.io.evil.example",
    "evil.example",
    "contoso.azurecr.iox",
    "contoso.azurecr.i",
    // Where data would go.
    "contoso.blob.core.windows.net",
    "exfil.blob.core.windows.net",
    "exfil.dfs.core.windows.net",
    "eus2managed1.blob.core.windows.net",
    "contoso.azurecr.io.blob.core.windows.net",
    "mcr.microsoft.com",
];
