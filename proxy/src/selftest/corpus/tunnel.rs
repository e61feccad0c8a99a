//! What goes through an open tunnel, and what must not.

use super::{Case, Deed, Section, Tunnel, Words, connect};
use crate::selftest::hello::{
    extension, host_name, message, naming, record, records, server_name, server_names, sslv2,
};

/// What must not go through a tunnel to the allowed host.
pub(super) fn attacks(words: &Words) -> Vec<Case> {
    [names(words), shapes(words)].concat()
}

/// Hellos that name another host, or don't say which.
fn names(words: &Words) -> Vec<Case> {
    let Words { host, request, denied, .. } = words;
    let name = server_name(host);
    let with = |extensions: &[u8]| record(&message(extensions));
    let of_list = |list: &[u8]| with(&server_names(list));
    let other = naming(denied);
    vec![
        Case::new(("T01", "the name of another host"), Section::Tunnel, {
            let ahead = other.clone();
            let request = request.clone();
            [
                ("behind the answer", words.smuggle([other.clone()])),
                ("ahead of it", Deed::Smuggle(Tunnel { request, ahead, pieces: Vec::new() })),
            ]
        }),
        case(words, "T03", "no name", vec![("", with(&[]))]),
        Case::new(("T06", "the name of another host, in pieces"), Section::Tunnel, {
            [
                ("segments of a byte", words.smuggle(other.chunks(1).map(<[u8]>::to_vec))),
                ("records of a byte", words.smuggle([records(&other[5..], 1)])),
                ("records of 60 bytes", words.smuggle([records(&other[5..], 60)])),
            ]
        }),
        case(words, "T08", "more than one name, or a list that is none", {
            let unknown = [&[1][..], &host_name(denied)[1..]].concat();
            let list = host_name(host);
            let length = u16::try_from(list.len()).unwrap_or(u16::MAX).to_be_bytes();
            vec![
                ("two extensions", with(&[&name[..], &server_name(denied)].concat())),
                ("two names", of_list(&[&list[..], &host_name(denied)].concat())),
                ("an unknown type first", of_list(&[&unknown[..], &list].concat())),
                ("an empty list", of_list(&[])),
                ("bytes behind the list", {
                    with(&extension(0, &[&length[..], &list, &[0]].concat()))
                }),
            ]
        }),
        case(words, "T09", "names that no host has", {
            vec![
                ("a trailing dot", with(&server_name(format!("{host}.")))),
                ("NUL", with(&server_name(format!("{host}\0.{denied}")))),
                ("a space", with(&server_name(format!("{host} ")))),
                ("an address", with(&server_name("127.0.0.1"))),
                ("brackets", with(&server_name(format!("[{host}]")))),
            ]
        }),
        case(words, "T10", "an encrypted ClientHello", {
            vec![("", with(&[&name[..], &extension(0xfe0d, &[0; 64])].concat()))]
        }),
        Case::new(("T22", "an alert for a client that names another host"), Section::Tunnel, {
            [("", Deed::Alert(words.tunnel([other])))]
        }),
        case(words, "T25", "an encrypted name", {
            vec![("", with(&[&name[..], &extension(0xffce, &[0; 64])].concat()))]
        }),
    ]
}

/// What is no hello, or no well-formed one.
fn shapes(words: &Words) -> Vec<Case> {
    let Words { host, denied, .. } = words;
    let name = server_name(host);
    let first = |record: &[u8]| [record, &naming(host)].concat();
    let padding = extension(21, &vec![0; 17_000]);
    vec![
        case(words, "T04", "no TLS", {
            vec![
                ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
                ("HTTP", format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()),
                ("a second CONNECT", connect(&words.with_port(denied))),
                ("zeros", vec![0; 64]),
            ]
        }),
        case(words, "T07", "malformed records and messages", {
            vec![
                ("an empty record first", first(&record(&[]))),
                ("an alert first", first(&[21, 3, 3, 0, 2, 1, 0])),
                ("a change of ciphers first", first(&[20, 3, 3, 0, 1, 1])),
                ("a record of more than 16 KiB", {
                    record(&message(&[&name[..], &padding].concat()))
                }),
                ("a message of 16 MiB", record(&[1, 0xff, 0xff, 0xff])),
                ("a ServerHello", record(&[2, 0, 0, 0])),
                ("a second message in the record", {
                    record(&[message(&name), vec![1, 0, 0, 0]].concat())
                }),
            ]
        }),
        case(words, "T11", "an SSL 2.0 hello", vec![("", sslv2())]),
    ]
}

/// A case in which each of these is sent through a tunnel of its own.
fn case(
    words: &Words,
    row: &'static str,
    title: &'static str,
    probes: Vec<(&str, Vec<u8>)>,
) -> Case {
    let probes = probes.into_iter().map(|(what, bytes)| (what, words.smuggle([bytes])));
    Case::new((row, title), Section::Tunnel, probes)
}

/// What ordinary clients do. A proxy that refuses everything holds nothing.
pub(super) fn controls(words: &Words) -> Vec<Case> {
    let Words { host, port, allowed, .. } = words;
    let case = |row, title, tunnel| {
        Case::new((row, title), Section::Controls, [("", Deed::Carry(tunnel))])
    };
    let hello = naming(host);
    let opened_by = |request: Vec<u8>| Tunnel { request, ..words.tunnel([hello.clone()]) };
    let upper = host.to_ascii_uppercase();
    let padding = extension(21, &vec![0; 60 * 1024]);
    let large = message(&[padding, server_name(host)].concat());
    let small = message(&[extension(21, &[0; 500]), server_name(host)].concat());
    vec![
        case("H05", "a tunnel", words.tunnel([hello.clone()])),
        case("H05", "a CONNECT in upper case", opened_by(connect(&format!("{upper}:{port}")))),
        case("H05", "HTTP/1.0 without Host header", {
            opened_by(format!("CONNECT {allowed} HTTP/1.0\r\n\r\n").into_bytes())
        }),
        case("P02", "a ClientHello ahead of the answer", {
            Tunnel { ahead: hello.clone(), ..words.tunnel([]) }
        }),
        case("T06", "a ClientHello in segments of a byte", {
            words.tunnel(hello.chunks(1).map(<[u8]>::to_vec))
        }),
        case("T06", "a ClientHello in records of a byte", words.tunnel([records(&small, 1)])),
        case("T09", "a server name in upper case", words.tunnel([naming(&upper)])),
        case("T23", "a ClientHello of 60 KiB, its name behind the padding", {
            words.tunnel([records(&large, 16 * 1024)])
        }),
    ]
}
