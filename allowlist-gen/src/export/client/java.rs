//! System properties for Java, in a file of arguments.

use super::{NEEDS, NOTE_PRIVATE, TAKES, direct, plain_proxy};
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "proxy.args",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: TAKES,
    needs: NEEDS,
    limits: "",
    notes: &[
        NOTE_PRIVATE,
        "Entries are separated by `|`; each is exact without a star.",
        "`http.nonProxyHosts` counts for both schemes, and replaces Java's own exceptions for the machine itself, \
         so these stand in front.",
        "A library with a client of its own may ignore it.",
    ],
    apply: "java @proxy.args -jar application.jar",
    validator: "Java's `HttpsURLConnection`, started with the file: both the hosts and the proxy say who came",
    sources: &[
        "https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/net/doc-files/net-properties.html",
        "https://docs.oracle.com/en/java/javase/17/docs/specs/man/java.html#java-command-line-argument-files",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let proxy = plain_proxy(sheet, "Java doesn't speak TLS to a proxy: give an `http` one")?;
    let mut text = Text::new(sheet.header("# "));
    text.line("");
    for scheme in ["http", "https"] {
        text.line(format_args!("-D{scheme}.proxyHost={}", proxy.host()));
        text.line(format_args!("-D{scheme}.proxyPort={}", proxy.port()));
    }
    let own = "localhost|127.*|[::1]";
    let hosts = direct(sheet, "|");
    let separator = if hosts.is_empty() { "" } else { "|" };
    text.line(format_args!("-Dhttp.nonProxyHosts={own}{separator}{hosts}"));
    Ok(text.into_string())
}
