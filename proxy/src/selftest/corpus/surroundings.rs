//! Addresses, the proxy itself, and what a refusal tells.

use std::net::SocketAddr;

use super::{ACCOUNT, Case, Deed, Section, Words, connect, other};

/// All cases of the section.
pub(super) fn cases(words: &Words, proxy: SocketAddr) -> Vec<Case> {
    let Words { host, .. } = words;
    let case = |row, title, probes| Case::new((row, title), Section::Surroundings, probes);
    let get = format!("GET http://{proxy}/ HTTP/1.1\r\nHost: {proxy}\r\n\r\n").into_bytes();
    let mut own = vec![other(proxy.to_string()), other(format!("localhost:{}", proxy.port()))];
    own.push(("GET".into(), Deed::Request(get)));
    let request = connect(&words.with_port(&format!("{ACCOUNT}.{}", "blob.core.windows.net")));
    vec![
        case("D02", "a cloud's platform addresses", {
            words.others(["169.254.169.254", "168.63.129.16", "[fd00:ec2::254]"])
        }),
        case("D18", "the proxy itself", own),
        case("L16", "the list, in a refusal", {
            vec![(String::new(), Deed::Secret { request, secret: host.clone() })]
        }),
    ]
}
