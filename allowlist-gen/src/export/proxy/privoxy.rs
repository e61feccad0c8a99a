//! An actions file of privoxy: everything is blocked, and a pattern per host and port is not.

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "allowlist.action",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &[
        "The commands on its page replace privoxy's whole configuration. They keep the one before in /etc/privoxy/config.before.",
        "It has to be the last actions file, and best the only one: later ones win. Without `enforce-blocks 1`, \
         clients can pass a block of plain HTTP by asking for that.",
        "Privoxy compares the name in CONNECT. It doesn't look into the tunnel and doesn't vet addresses.",
        "Plain HTTP to a listed host passes, too, on a listed port; on port 80, where it is usual, it doesn't.",
        "A name with a trailing dot passes like the name itself.",
    ],
    apply: r#"
# permit-access has your clients: without it, whoever reaches privoxy is one.
cat >privoxy.config <<'END'
confdir /etc/privoxy
actionsfile allowlist.action
listen-address :8118
permit-access 10.10.0.0/16
enforce-blocks 1
enable-edit-actions 0
enable-remote-toggle 0
enable-remote-http-toggle 0
logdir /var/log/privoxy
logfile logfile
debug 1
debug 1024
debug 4096
END
# The check is of the actions as they are here, and leaves no log of root's where privoxy writes its own.
sed -e "s|^actionsfile .*|actionsfile $PWD/allowlist.action|" -e "s|^logdir .*|logdir $PWD|" \
  privoxy.config >privoxy.test && \
  privoxy --config-test privoxy.test && \
  cp -a /etc/privoxy/config /etc/privoxy/config.before && \
  install -m 644 allowlist.action /etc/privoxy/allowlist.action && \
  install -m 644 privoxy.config /etc/privoxy/config && \
  systemctl restart privoxy"#,
    validator: "`privoxy --config-test`, and CONNECT requests to a running privoxy",
    sources: &["https://www.privoxy.org/user-manual/actions-file.html"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    text.line("\n{+block{The host is not on the allowlist.}}\n/\n\n{-block}");
    for group in sheet.groups() {
        text.line(format_args!("\n# {}", group.describe()));
        for host in &group.hosts {
            text.line(format_args!("# {}", host.remark()));
            // No dot before or after the name: either would make it part of a longer one.
            for port in group.ports.iter() {
                text.line(format_args!("{}:{port}/", host.name));
            }
        }
    }
    Ok(text.into_string())
}
