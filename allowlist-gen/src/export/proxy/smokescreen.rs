//! An egress ACL of smokescreen, in YAML.

use serde::Serialize;

use crate::export::quote;
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "egress-acl.yaml",
    kind: Kind::Name,
    scope: Scope::Https,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &[
        "Smokescreen has no ports: CONNECT passes to a listed host on any, so a firewall has to hold it to 443.",
        "Clients without a certificate get these rules only with `allow_missing_role: true` in its configuration.",
        "It refuses private addresses, whatever the name: registries behind private endpoints need `--allow-range` \
         with their addresses, which then holds for every name.",
        "It doesn't look into the tunnel.",
    ],
    apply: "smokescreen --listen-port 4750 --egress-acl-file egress-acl.yaml",
    validator: "its rules, which a test of ours knows: there is no package of smokescreen that a test could run",
    sources: &["https://github.com/stripe/smokescreen"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let allowed_domains = sheet.hosts.iter().map(|host| host.name.as_str()).collect();
    let default = Rule { project: "acr-allowlist", action: "enforce", allowed_domains };
    let acl = Acl { version: "v1", services: [], default };
    Ok(sheet.header("# ") + &quote::yaml(&acl))
}

/// What the file holds. Smokescreen passes over a key that it doesn't know, so these have to be right.
#[derive(Serialize)]
struct Acl<'a> {
    version: &'static str,
    /// Rules for clients by the role in their certificate. The key has to be there.
    services: [Rule<'a>; 0],
    /// The rule for everybody else.
    default: Rule<'a>,
}

#[derive(Serialize)]
struct Rule<'a> {
    /// Who answers for the rule: a name for people.
    project: &'static str,
    action: &'static str,
    allowed_domains: Vec<&'a str>,
}
