//! A proxy auto-configuration file: clients that read it take the listed hosts to the proxy, and go on as before
//! with the rest.

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, ProxyUrl, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "proxy.pac",
    kind: Kind::Client,
    scope: Scope::Ports,
    takes: &[Setting::Proxy],
    needs: &[Setting::Proxy],
    limits: "1 MiB: Chromium takes no larger PAC file.",
    notes: &[
        "The listed hosts, and no others, go to the proxy, whatever the port: what isn't listed is for the proxy to \
         refuse. If it can't be reached they fail, and don't go around it.",
        "Registries behind Private Link go to the proxy like all others, where `no-proxy` lets clients go to them \
         directly: use one or the other.",
        "Everything else goes directly, as without this file. Where it has to go through another proxy, put that in \
         the place of DIRECT.",
        "Engines and builders of containers read no PAC files; browsers, desktops and programs on Windows do. \
         Not all of them know what a proxy is that itself speaks TLS (`https://`).",
        "A name in capitals or with a trailing dot goes to the proxy like the name itself.",
    ],
    apply: "\
# To where clients fetch it from, over HTTPS and as application/x-ns-proxy-autoconfig.
install -m 644 proxy.pac /var/www/html/proxy.pac",
    validator: "pac-resolver and pacparser, asked for each host",
    sources: &[
        "https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/Proxy_servers_and_tunneling/Proxy_Auto-Configuration_PAC_file",
        "https://chromium.googlesource.com/chromium/src/+/main/net/proxy_resolution/pac_file_fetcher_impl.cc",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let proxy = sheet.options.proxy.as_ref();
    let proxy = proxy.expect("the sheet has seen to it, as it is needed");
    let mut text = Text::new(sheet.header("// "));
    // A comma after the last is a syntax error in ECMAScript 3, which is all that some clients have.
    let last = sheet.hosts.len().saturating_sub(1);
    let mut number = 0..;
    text.line("\nvar hosts = {");
    for group in sheet.groups() {
        text.line(format_args!("  // {}", group.describe()));
        for host in &group.hosts {
            let comma = if number.next() == Some(last) { "" } else { "," };
            text.line(format_args!("  \"{}\": true{comma}", host.name));
        }
    }
    text.line("};\n");
    text.line("function FindProxyForURL(url, host) {");
    text.line("  var name = host.toLowerCase().replace(/\\.$/, \"\");");
    text.line("  if (Object.prototype.hasOwnProperty.call(hosts, name)) {");
    text.line(format_args!("    return \"{}\";", directive(proxy)));
    text.line("  }\n  return \"DIRECT\";\n}");
    let text = text.into_string();
    sheet.at_most(MOST_BYTES, "bytes", text.len())?;
    Ok(text)
}

/// How a PAC file spells a proxy. None after it: who can't reach it isn't to go around it.
fn directive(proxy: &ProxyUrl) -> String {
    let kind = if proxy.is_tls() { "HTTPS" } else { "PROXY" };
    format!("{kind} {}", proxy.authority())
}

const MOST_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_speaks_tls_is_spelled_so() {
        for (url, expected) in [
            ("http://proxy:3128", "PROXY proxy:3128"),
            ("https://10.0.0.4:8443", "HTTPS 10.0.0.4:8443"),
            ("http://[fd00::1]:3128", "PROXY [fd00::1]:3128"),
        ] {
            assert_eq!(directive(&url.parse().expect("a URL")), expected);
        }
    }
}
