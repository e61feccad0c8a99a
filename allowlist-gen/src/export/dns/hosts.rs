//! Lines for `/etc/hosts`, between two marks, so that they can be replaced.
//!
//! <https://man7.org/linux/man-pages/man5/hosts.5.html>

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "acr.hosts",
    kind: Kind::Answer,
    scope: Scope::Pinned,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: "",
    notes: &[
        "Applied twice, the lines are there once. The commands on its page keep the file before in hosts.before, where \
         they are run.",
        "A name is found in any case, but not with a trailing dot: `<registry>.azurecr.io.` is asked of the DNS.",
        "Whoever asks for IPv6 addresses alone, and finds none in the file, asks the DNS.",
        "Names below these hosts, and all others, are asked of the DNS as before.",
        "Containers have a hosts file of their own. Image pulls use that of the node.",
    ],
    apply: r"
cp -a /etc/hosts hosts.before && \
  sed '/^# BEGIN allowlist-gen$/,/^# END allowlist-gen$/d' /etc/hosts >hosts.new && \
  sed -i '$a\' hosts.new && \
  cat acr.hosts >>hosts.new && \
  cat hosts.new >/etc/hosts",
    validator: "glibc: `getent` with the file in place of `/etc/hosts`",
    sources: &["https://man7.org/linux/man-pages/man5/hosts.5.html"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    // The header stands between the marks, too: it goes when the lines go.
    let mut text = Text::new("# BEGIN allowlist-gen\n".to_owned() + &sheet.header("# "));
    for group in sheet.groups() {
        text.line(format_args!("\n# {}", group.describe()));
        for host in &group.hosts {
            text.line(format_args!("# {}", host.remark()));
            for address in super::addresses(sheet, host)? {
                text.line(format_args!("{address}\t{}", host.name));
            }
        }
    }
    text.line("# END allowlist-gen");
    Ok(text.into_string())
}
