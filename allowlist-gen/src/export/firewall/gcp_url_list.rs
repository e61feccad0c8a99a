//! A URL list for Google Cloud's Secure Web Proxy.

use serde_json::json;

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-url-list.json",
    kind: Kind::Name,
    scope: Scope::Https,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &[
        "PROJECT and LOCATION in its name are yours to fill in.",
        "It has no ports, and does nothing until a rule of the proxy's policy uses it; the rule has to hold the port: \
         `inUrlList(host(), 'projects/PROJECT/locations/LOCATION/urlLists/acr-allowlist') && destination.port == 443`.",
        "An entry without a star is that name and none below it.",
    ],
    apply: "\
sed --in-place \"s|PROJECT|$PROJECT|; s|LOCATION|$LOCATION|\" acr-url-list.json && \\
  gcloud network-security url-lists import acr-allowlist --source acr-url-list.json \\
    --project \"$PROJECT\" --location \"$LOCATION\"",
    validator: "Google's own client library (`google-cloud-network-security`), strictly, and our own reader for values",
    sources: &["https://cloud.google.com/secure-web-proxy/docs/url-list-syntax-reference"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let hosts: Vec<&str> = sheet.hosts.iter().map(|host| host.name.as_str()).collect();
    Ok(quote::json(&json!({
        "name": "projects/PROJECT/locations/LOCATION/urlLists/acr-allowlist",
        "description": sheet.origin(),
        "values": hosts,
    })))
}
