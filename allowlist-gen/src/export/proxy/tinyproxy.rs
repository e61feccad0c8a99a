//! A filter file of tinyproxy: an expression per host.

use ringfence_config::Hostname;

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "allowlist.filter",
    kind: Kind::Name,
    scope: Scope::Https,
    takes: &[],
    needs: &[],
    limits: "A line has 511 bytes; the longest host takes 380.",
    notes: &[
        "The commands on its page replace tinyproxy's whole configuration. They keep the one before in /etc/tinyproxy/tinyproxy.conf.before: tinyproxy has no check, and if it doesn't start, put that back.",
        "The filter means what it says only with `FilterType ere`, `FilterDefaultDeny Yes` and without `FilterURLs`, \
         and CONNECT reaches only port 443 only with `ConnectPort 443`.",
        "Tinyproxy has no way to refuse plain HTTP: a request for `http://` passes to a listed host, on any port.",
        "It doesn't look into the tunnel and doesn't vet addresses.",
        "A name with a trailing dot is refused.",
    ],
    apply: r#"
# Allow has your clients: without it, whoever reaches tinyproxy is one.
cat >tinyproxy.conf <<'END'
User tinyproxy
Group tinyproxy
Port 8888
Timeout 600
Allow 10.10.0.0/16
ConnectPort 443
Filter "/etc/tinyproxy/allowlist.filter"
FilterType ere
FilterDefaultDeny Yes
DisableViaHeader Yes
END
cp -a /etc/tinyproxy/tinyproxy.conf /etc/tinyproxy/tinyproxy.conf.before && \
  install -m 644 allowlist.filter /etc/tinyproxy/allowlist.filter && \
  install -m 644 tinyproxy.conf /etc/tinyproxy/tinyproxy.conf && \
  systemctl restart tinyproxy"#,
    validator: "CONNECT requests to a running tinyproxy, which has no other check",
    sources: &["https://tinyproxy.github.io/"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    for group in sheet.groups() {
        // No reasons, and no list of regions: tinyproxy takes what is beyond the 511th byte of a line for the next
        // one, and that wouldn't begin with a #.
        text.line(format_args!("\n# {}", group.name));
        for host in &group.hosts {
            text.line(expression(&host.name));
        }
    }
    Ok(text.into_string())
}

/// The extended regular expression (POSIX) that matches `host` and nothing else: an expression without its ends
/// matches whatever contains it.
fn expression(host: &Hostname) -> String {
    format!("^{}$", host.as_str().replace('.', "\\."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_host_fits_into_a_line() {
        let longest = "a.".repeat(125) + "abc";
        let longest: Hostname = longest.parse().expect("253 characters");
        assert_eq!(expression(&longest).len(), 380);
    }
}
