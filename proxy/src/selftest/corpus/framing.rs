//! How the request is framed, and what is no CONNECT.

use super::{Case, Deed, Section, Words, connect};
use crate::selftest::hello::naming;

/// All cases of the section.
pub(super) fn cases(words: &Words) -> Vec<Case> {
    [requests(words), fields(words)].concat()
}

/// More than one request, or another kind of request.
fn requests(words: &Words) -> Vec<Case> {
    let Words { host, port, allowed, denied, .. } = words;
    let case = |row, title, probes: Vec<(&str, Vec<u8>)>| {
        let probes = probes.into_iter().map(|(what, bytes)| (what, Deed::Request(bytes)));
        Case::new((row, title), Section::Framing, probes)
    };
    let stranger = words.with_port(denied);
    let refused = connect(&stranger);
    let get = |url: &str| format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let get_stranger = get(&format!("http://{stranger}/"));
    let post = format!("POST http://{allowed}/ HTTP/1.1\r\nHost: {allowed}\r\n");
    vec![
        case("P02", "a ClientHello behind a request that is refused", {
            vec![("", [refused.clone(), naming(host)].concat())]
        }),
        case("P03", "a second request behind one that is refused", {
            let behind = |second: &[u8]| [&refused, second].concat();
            vec![("CONNECT", behind(&refused)), ("GET", behind(&get_stranger))]
        }),
        case("P06", "plain HTTP", {
            vec![
                ("the allowed host and port", get(&format!("http://{allowed}/"))),
                ("port 80", get(&format!("http://{host}/"))),
                ("another host", get_stranger.clone()),
                ("https in a URL", get(&format!("https://{allowed}/"))),
                ("POST", format!("{post}Content-Length: 5\r\n\r\nhello").into_bytes()),
            ]
        }),
        case("P07", "a request for a server", vec![("", get("/"))]),
        case("P08", "other protocols on the same port", {
            // Both end as a head does, or the proxy would wait for the rest.
            let hello = [&naming(host)[..], b"\r\n\r\n"].concat();
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
            vec![("HTTP/2", preface), ("TLS", hello), ("SOCKS", b"\x05\x01\0\r\n\r\n".into())]
        }),
        case("P11", "paths that proxies of another kind serve", {
            vec![
                ("MASQUE", get(&format!("/.well-known/masque/udp/{denied}/{port}/"))),
                ("easy-proxy", get(&format!("/easy-proxy/https/{denied}/{port}/"))),
                ("a URL as path", get(&format!("/http://{stranger}/"))),
            ]
        }),
        case("P12", "fields that would choose the way or the client", {
            let fields = [
                "X-Forwarded-For: 127.0.0.1",
                "Forwarded: for=127.0.0.1",
                "Via: 1.1 localhost",
                "X-Upstream-Https-Proxy: http://127.0.0.1:3128",
            ];
            fields.map(|field| (field, with(&stranger, field))).into()
        }),
        Case::new(
            ("P13", "proxy credentials in a refusal"),
            Section::Framing,
            [("", {
                // `selftest:not-a-real-password`, which no proxy should accept or repeat.
                let secret = "c2VsZnRlc3Q6bm90LWEtcmVhbC1wYXNzd29yZA==".to_owned();
                let request = with(&stranger, &format!("Proxy-Authorization: Basic {secret}"));
                Deed::Secret { request, secret }
            })],
        ),
        Case::new(
            ("P15", "markup in a refusal"),
            Section::Framing,
            [("", {
                let secret = "<b>not-listed</b>".to_owned();
                let request = connect(&words.with_port(&format!("{secret}.{host}")));
                Deed::Secret { request, secret }
            })],
        ),
        Case::new(
            ("P17", "a refusal with bytes left unread"),
            Section::Framing,
            [("", { Deed::Answer([refused, vec![b'x'; 256 * 1024]].concat()) })],
        ),
    ]
}

/// A CONNECT for the allowed host, with a head that two readers could read differently.
fn fields(words: &Words) -> Vec<Case> {
    let Words { allowed, denied, .. } = words;
    let case = |row, title, probes: Vec<(&str, Vec<u8>)>| {
        let probes = probes.into_iter().map(|(what, bytes)| (what, Deed::Odd(bytes)));
        Case::new((row, title), Section::Framing, probes)
    };
    let each = |fields: &[&'static str]| {
        fields.iter().map(|field| (*field, with(allowed, field))).collect::<Vec<_>>()
    };
    let stranger = words.with_port(denied);
    vec![
        case("P01", "a CONNECT with a body", {
            let bodies = [
                ("Content-Length: 5", &b"hello"[..]),
                ("Transfer-Encoding: chunked", b"0\r\n\r\n"),
            ];
            bodies.map(|(field, body)| (field, [&with(allowed, field), body].concat())).into()
        }),
        case("P04", "lengths, encodings and line ends that can be read in two ways", {
            each(&[
                "Content-Length: 0\r\nTransfer-Encoding: chunked",
                "Content-Length: 0\r\nContent-Length: 5",
                "Content-Length: +5",
                "Transfer-Encoding: xchunked",
                "Transfer-Encoding: chunked, identity",
                "X: a\r\n b",
                "X: a\nY: b",
                "X: a\rY: b",
                "X : a",
                "X: a\0b",
            ])
        }),
        Case::new(("P05", "a Host header that names another host"), Section::Framing, {
            let named = |target: &str, host: &str| {
                format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
            };
            [
                ("listed target", Deed::Odd(named(allowed, &stranger))),
                ("listed Host", Deed::Request(named(&stranger, allowed))),
                ("two", Deed::Odd(with(allowed, &format!("Host: {stranger}")))),
            ]
        }),
        case("P08", "upgrades", {
            each(&["Upgrade: websocket", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk"])
        }),
        case("P10", "heads without measure", {
            vec![
                ("64 KiB and a byte", with(allowed, &format!("X: {}", "x".repeat(64 * 1024 + 1)))),
                ("10000 fields", with(allowed, &["X: x"; 10_000].join("\r\n"))),
            ]
        }),
        case("P16", "header names with underscores, and encodings in HTTP/1.0", {
            let old = format!("CONNECT {allowed} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
            let mut probes = each(&["Content_Length: 5", "Transfer_Encoding: chunked"]);
            probes.push(("HTTP/1.0", old.into_bytes()));
            probes
        }),
    ]
}

/// An ordinary CONNECT with one more header field.
fn with(target: &str, field: &str) -> Vec<u8> {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{field}\r\n\r\n").into_bytes()
}
