//! Commands for a Palo Alto firewall: URL categories, and the security rules that use them.

use std::collections::BTreeMap;

use crate::export::sheet::{Group, Sheet};
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{joined, object_name, short};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-allowlist.panos.txt",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Client],
    needs: &[],
    limits: "31 characters for the name of a URL category and 63 for that of a rule, and longer ones are cut, with a \
             hash of the whole",
    notes: &[
        "The rules are written for any zone and go to the end of the rulebase: say from which zones to which, and \
         move them before those that deny.",
        "Set commands add to what is there: a host that left the list stays until its category's list is deleted \
         before they are run, and so does the rule of a registry that left.",
        "The firewall lets packets pass until it has seen the server name (SNI), and believes the client what it \
         says there, whatever the address.",
        "The rules allow the application ssl, which TLS is that the firewall doesn't decrypt. If the traffic log shows \
         another one for a registry, the rule needs that, too.",
        "The commands leave what they write in the candidate configuration: nothing is in force before a commit.",
    ],
    apply: "\
# Asks for the password; the commands are for configuration mode. Nothing is committed.
{ echo 'set cli scripting-mode on'; echo configure; cat acr-allowlist.panos.txt; echo 'validate full'; } | \\
  ssh \"admin@$FIREWALL\"
# Then, on the firewall: edit zones and order, look at `show config diff`, and in configuration mode `commit`.",
    validator: "what `pan-os-python` writes for the same objects, and our own reader for values and lengths; no firewall runs here",
    sources: &[
        "https://docs.paloaltonetworks.com/pan-os/11-1/pan-os-web-interface-help/objects/objects-custom-objects-url-category",
        "https://docs.paloaltonetworks.com/pan-os/11-1/pan-os-cli-quick-start",
    ],
};

/// One leaf and one value per line: a difference shows the host that came or went. There are no comments.
pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut text = Text::default();
    let groups = sheet.groups();
    services(&mut text, &groups);
    for group in &groups {
        category(&mut text, sheet, group);
        rule(&mut text, sheet, group);
    }
    Ok(text.into_string())
}

/// Services of our own: `service-https` is there from the start, but anyone can have changed it.
fn services(text: &mut Text, groups: &[Group<'_>]) {
    let services: BTreeMap<String, String> =
        groups.iter().map(|group| (service_name(group), joined(&group.ports, ","))).collect();
    for (name, ports) in services {
        text.line(format_args!("set service {name} protocol tcp port {ports}"));
    }
}

fn category(text: &mut Text, sheet: &Sheet<'_>, group: &Group<'_>) {
    let path = format!("set profiles custom-url-category {}", category_name(group));
    text.line(format_args!("{path} description \"{}\"", sheet.origin()));
    text.line(format_args!("{path} type \"URL List\""));
    for host in &group.hosts {
        // The slash ends the name: without it, `contoso.azurecr.io.evil.example` begins with the entry.
        text.line(format_args!("{path} list {}/", host.name));
    }
}

fn rule(text: &mut Text, sheet: &Sheet<'_>, group: &Group<'_>) {
    let path = format!("set rulebase security rules {}", object_name(group, MOST_OF_NAME));
    text.line(format_args!("{path} description \"{}\"", group.describe()));
    text.line(format_args!("{path} from any"));
    text.line(format_args!("{path} to any"));
    if sheet.options.clients.is_empty() {
        text.line(format_args!("{path} source any"));
    }
    for client in &sheet.options.clients {
        text.line(format_args!("{path} source {client}"));
    }
    text.line(format_args!("{path} destination any"));
    text.line(format_args!("{path} category {}", category_name(group)));
    text.line(format_args!("{path} application ssl"));
    text.line(format_args!("{path} service {}", service_name(group)));
    text.line(format_args!("{path} action allow"));
    text.line(format_args!("{path} log-end yes"));
}

fn category_name(group: &Group<'_>) -> String {
    object_name(group, MOST_OF_CATEGORY)
}

fn service_name(group: &Group<'_>) -> String {
    short(&format!("acr-tcp-{}", joined(&group.ports, "-")), MOST_OF_NAME).into_owned()
}

const MOST_OF_CATEGORY: usize = 31;
const MOST_OF_NAME: usize = 63;
