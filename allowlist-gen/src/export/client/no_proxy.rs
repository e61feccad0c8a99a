//! The value of `NO_PROXY`, in one line.

use super::{LIMITS, NOTE_BELOW, NOTE_LOOPBACK, NOTE_PRIVATE, no_proxy};
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "no-proxy.txt",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: &[Setting::FutureRegion],
    needs: &[],
    limits: LIMITS,
    notes: &[
        NOTE_PRIVATE,
        NOTE_BELOW,
        NOTE_LOOPBACK,
        "Nothing behind Private Link makes an empty line: nothing goes directly then.",
        "`pac` sends the registries behind Private Link through the proxy, like all others: give a client one or the \
         other.",
        "With a trailing dot, a name goes directly with curl and undici only.",
        ".NET takes a bare name for exactly that name, as axios and Java do; it takes no stars, ports or blocks of \
         addresses. Java doesn't read the variable: see `java`.",
    ],
    apply: "\
export NO_PROXY=\"$(cat no-proxy.txt)\"
export no_proxy=\"$NO_PROXY\"",
    validator: "curl, wget, Go, skopeo, Python's urllib and requests, Node's fetch, undici and axios: each asks for the \
                hosts and their look-alikes, and both the hosts and the proxy say who came",
    sources: &[
        "https://learn.microsoft.com/azure/container-registry/container-registry-private-endpoints",
        "https://pkg.go.dev/golang.org/x/net/http/httpproxy",
        "https://curl.se/docs/manpage.html#NOPROXY",
        "https://learn.microsoft.com/dotnet/api/system.net.http.httpclient.defaultproxy",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    Ok(no_proxy(sheet)? + "\n")
}
