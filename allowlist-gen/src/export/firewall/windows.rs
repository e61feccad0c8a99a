//! A PowerShell script for Windows Firewall: dynamic keywords, which Windows resolves, and rules that use them.

use crate::export::sheet::{Group, Sheet};
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

use super::{id, object_name};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-allowlist.ps1",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[],
    needs: &[],
    limits: "100 keywords a rule here, and a registry with more is split",
    notes: &[
        "The rules allow and deny nothing: outbound traffic has to be blocked by default, with rules for whatever \
         else the machine needs, its DNS first.",
        "Windows learns the addresses from DNS questions that it sees: Microsoft Defender Antivirus has to be on, \
         with network protection, and names that are looked up over HTTPS, by a proxy or in a cache stay unknown.",
        "The script can be run again: it removes all rules of its group, and the keywords of the hosts that are on the \
         list, before it makes them anew. The keywords of hosts that left the list stay, and no rule of its uses them.",
    ],
    apply: "\
# As administrator, in PowerShell:
#   powershell.exe -ExecutionPolicy Bypass -File acr-allowlist.ps1
#   if ($LASTEXITCODE -eq 0) { Set-NetFirewallProfile -All -DefaultOutboundAction Block }
scp acr-allowlist.ps1 \"administrator@$MACHINE:\"",
    validator: "the grammar `tree-sitter-powershell`, and our own check that each argument is a literal; no PowerShell runs here",
    sources: &[
        "https://learn.microsoft.com/windows/security/operating-system-security/network-security/windows-firewall/dynamic-keywords",
        "https://learn.microsoft.com/powershell/module/netsecurity/new-netfirewalldynamickeywordaddress",
        "https://learn.microsoft.com/powershell/module/netsecurity/new-netfirewallrule",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    text.line("\n$ErrorActionPreference = 'Stop'");
    text.line(format_args!(
        "Remove-NetFirewallRule -Group {} -ErrorAction 'SilentlyContinue'",
        literal(GROUP)
    ));
    let groups = sheet.groups();
    for group in &groups {
        text.line(format_args!("\n# {}", group.describe()));
        for host in &group.hosts {
            let id = literal(&keyword(host.name.as_str()));
            text.line(format_args!("# {}", ascii(&host.remark())));
            text.line(format_args!(
                "Remove-NetFirewallDynamicKeywordAddress -Id {id} -ErrorAction 'SilentlyContinue'"
            ));
            text.line(format_args!(
                "New-NetFirewallDynamicKeywordAddress -Id {id} -Keyword {} -AutoResolve $true",
                literal(host.name.as_str())
            ));
        }
    }
    text.line("");
    for part in groups.into_iter().flat_map(|group| group.parts(MOST_KEYWORDS)) {
        text.line(rule(&part));
    }
    Ok(text.into_string())
}

fn rule(group: &Group<'_>) -> String {
    let ports: Vec<String> = group.ports.iter().map(|port| literal(&port.to_string())).collect();
    let keywords: Vec<String> =
        group.hosts.iter().map(|host| literal(&keyword(host.name.as_str()))).collect();
    let (name, what) = (literal(&object_name(group, MOST_OF_NAME)), literal(&group.describe()));
    format!(
        "New-NetFirewallRule -Name {name} -DisplayName {name} -Description {what} -Group {} \
         -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort {} \
         -RemoteDynamicKeywordAddresses {}",
        literal(GROUP),
        ports.join(","),
        keywords.join(","),
    )
}

/// The id of a host's keyword: the same in every run, so that the next one finds what this one made.
fn keyword(host: &str) -> String {
    format!("{{{}}}", id(&format!("windows-firewall/{host}")))
}

/// `text` as PowerShell takes it word for word: in single quotes, in which only they are special
/// (<https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_quoting_rules>).
fn literal(text: &str) -> String {
    let text = ascii(text).replace('\'', "''");
    format!("'{text}'")
}

/// Windows PowerShell reads a file without a byte order mark in the machine's own code page; what isn't ASCII there
/// could be anything, a quote among them.
fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            plain.push(character);
        } else {
            plain.extend(character.escape_unicode());
        }
    }
    plain
}

const GROUP: &str = "acr-allowlist";
const MOST_KEYWORDS: usize = 100;
const MOST_OF_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_ends_where_it_ends() {
        for (text, expected) in [
            ("plain", "'plain'"),
            ("$env:USERNAME `n \"x\"", "'$env:USERNAME `n \"x\"'"),
            ("'; Remove-Item C:\\ #", "'''; Remove-Item C:\\ #'"),
            ("\u{2019}; x", r"'\u{2019}; x'"),
        ] {
            assert_eq!(literal(text), expected);
        }
    }
}
