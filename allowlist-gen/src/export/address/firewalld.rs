//! A policy of firewalld with a rich rule for each address and port.

use std::io;

use ipnet::IpNet;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{Family, Target, targets};
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-allow.xml",
    kind: Kind::Address,
    scope: Scope::PinnedPorts,
    takes: &[Setting::Client, Setting::PinnedOnly],
    // A policy that refused whatever comes by would cut off more than anybody meant.
    needs: &[Setting::Client],
    limits: "",
    notes: &[
        "What the clients open through this machine reaches these addresses and ports alone; all else of theirs is \
         refused. What they have open already stays open.",
        "What this machine itself opens isn't touched, nor what goes to it.",
        "What clients need beside it, a name server say, is accepted by a policy whose priority is below -100.",
        "There is a rule for each address, port and client: for thousands of them, `nftables` is faster.",
        "An address of a family that no client has gets no rule; a host with no other address is an error.",
        "Clients are known by their addresses: give all that they have, of both families, and see that the network \
         lets them take no others.",
    ],
    apply: "\
# A copy of the configuration is checked before the policy goes into the configuration itself.
(
  set -e
  trial=$(mktemp -d)
  trap 'rm -r \"$trial\"' EXIT
  cp -a /etc/firewalld/. \"$trial\"
  install -D -m 644 acr-allow.xml \"$trial/policies/acr-allow.xml\"
  firewall-offline-cmd --system-config \"$trial\" --check-config
  install -D -m 644 acr-allow.xml /etc/firewalld/policies/acr-allow.xml
  firewall-cmd --reload
)",
    validator: "`firewall-offline-cmd --check-config`, and connections through a gateway on which firewalld has loaded it",
    sources: &[
        "https://firewalld.org/documentation/man-pages/firewalld.policy.html",
        "https://firewalld.org/documentation/man-pages/firewalld.richlanguage.html",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    super::clients_reach_all(sheet)?;
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut writer, sheet).expect("memory takes what it gets");
    let mut text = String::from_utf8(writer.into_inner()).expect("what went in was UTF-8");
    text.push('\n');
    Ok(text)
}

fn write(writer: &mut Writer<Vec<u8>>, sheet: &Sheet<'_>) -> io::Result<()> {
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    // Before the rules of zones and of most policies. What isn't refused or accepted here goes on to those.
    let policy = [("target", "CONTINUE"), ("priority", "-100")];
    writer.create_element("policy").with_attributes(policy).write_inner_content(|writer| {
        writer.create_element("short").write_text_content(BytesText::new("acr-allow"))?;
        let summary = sheet.summary();
        writer.create_element("description").write_text_content(BytesText::new(&summary))?;
        writer.create_element("ingress-zone").with_attribute(("name", "ANY")).write_empty()?;
        writer.create_element("egress-zone").with_attribute(("name", "ANY")).write_empty()?;
        for target in targets(sheet) {
            let clients = sheet.options.clients.iter();
            for client in clients.filter(|client| Family::of(**client) == target.family()) {
                accept(writer, *client, &target)?;
            }
        }
        for client in &sheet.options.clients {
            reject(writer, *client)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn accept(writer: &mut Writer<Vec<u8>>, client: IpNet, target: &Target<'_, '_>) -> io::Result<()> {
    let names = target.hosts.iter().map(|host| host.name.as_str());
    for name in names.filter(|name| !name.contains("--")) {
        // Two dashes, of which no comment may consist (XML 1.0, section 2.5), are in names that aren't ASCII.
        writer.write_event(Event::Comment(BytesText::from_escaped(format!(" {name} "))))?;
    }
    let family = ("family", target.family().name());
    let (client, pin, port) = (client.to_string(), target.pin.to_string(), target.port.to_string());
    writer.create_element("rule").with_attribute(family).write_inner_content(|writer| {
        let source = ("address", client.as_str());
        writer.create_element("source").with_attribute(source).write_empty()?;
        let destination = ("address", pin.as_str());
        writer.create_element("destination").with_attribute(destination).write_empty()?;
        let port = [("port", port.as_str()), ("protocol", "tcp")];
        writer.create_element("port").with_attributes(port).write_empty()?;
        writer.create_element("accept").write_empty()?;
        Ok(())
    })?;
    Ok(())
}

fn reject(writer: &mut Writer<Vec<u8>>, client: IpNet) -> io::Result<()> {
    // Of one priority, firewalld looks at what refuses first.
    let rule = [("family", Family::of(client).name()), ("priority", "1")];
    let client = client.to_string();
    writer.create_element("rule").with_attributes(rule).write_inner_content(|writer| {
        let source = ("address", client.as_str());
        writer.create_element("source").with_attribute(source).write_empty()?;
        writer.create_element("reject").write_empty()?;
        Ok(())
    })?;
    Ok(())
}
