//! A URL list that a Palo Alto firewall fetches by itself: an external dynamic list.

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-edl.txt",
    kind: Kind::Name,
    scope: Scope::Https,
    takes: &[],
    needs: &[],
    limits: "50 000 URLs in all lists of a firewall, which the smallest models take: more is an error, as the firewall \
             would skip entries; 255 characters an entry, which no host name reaches",
    notes: &[
        "The list has the type URL List. A list of domains is for sinkholing, and can't allow anything.",
        "Every entry ends in a slash: without it, a firewall that doesn't append one takes \
         `contoso.azurecr.io.evil.example` for the entry `contoso.azurecr.io`.",
        "It has no ports: the security rule that uses it as a URL category has to hold the port, with a service for TCP \
         on 443, and the application ssl.",
        "The firewall lets packets pass until it has seen the server name (SNI), and believes the client what it \
         says there, whatever the address.",
        "A URL list has no comments, so the file says nothing of itself.",
    ],
    apply: "\
# Serve the file over HTTPS, and tell the firewall where it is:
#   set external-list acr-allowlist type url url https://lists.corp.example/acr-edl.txt
#   set external-list acr-allowlist type url recurring five-minute
#   set rulebase security rules acr-egress category acr-allowlist
install -m 644 acr-edl.txt /var/www/lists/acr-edl.txt",
    validator: "our own reader, by the rules that Palo Alto publishes; nothing of theirs runs here",
    sources: &[
        "https://docs.paloaltonetworks.com/pan-os/11-1/pan-os-admin/policy/use-an-external-dynamic-list-in-policy",
        "https://docs.paloaltonetworks.com/advanced-url-filtering/administration/configuring-url-filtering/url-category-exceptions",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    sheet.at_most(MOST_URLS, "hosts", sheet.hosts.len())?;
    let mut text = Text::default();
    for host in &sheet.hosts {
        text.line(format_args!("{}/", host.name));
    }
    Ok(text.into_string())
}

const MOST_URLS: usize = 50_000;
