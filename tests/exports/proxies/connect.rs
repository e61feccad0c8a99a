//! What is asked of a running forward proxy, and what must come of it.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::field::Field;
use super::written;
use crate::lists::List;
use crate::lookalikes::{self, LISTED, Probe};

/// What became of a request for a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was granted, and at its end stood whoever says this.
    Tunnel(String),
    /// It was not, with these words.
    Refused(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tunnel(end) => write!(f, "a tunnel to {end:?}"),
            Self::Refused(words) => write!(f, "refused: {words}"),
        }
    }
}

/// What is asked of proxies that go by names: names as they are and in capitals, look-alikes, other ports, and the bare addresses of what is
/// listed, which the name server gladly says the names of.
pub(crate) fn probes(field: &Field) -> Vec<Probe> {
    let addresses = LISTED.iter().map(|host| field.address(host).to_string());
    let others = ["127.0.0.1", "[::1]", "[::ffff:20.62.0.1]", "0x143e0001", "341704705"];
    let bare = addresses.chain(others.map(str::to_owned));
    let bare = bare.map(|host| Probe { host, port: 443, passes: false });
    named().into_iter().chain(bare).collect()
}

/// The same without addresses: for proxies that go by these.
pub(crate) fn named() -> Vec<Probe> {
    lookalikes::probes().into_iter().chain(lookalikes::other_ports()).collect()
}

/// The names with a dot at the end, and whether they pass.
pub(crate) fn dotted(passes: bool) -> Vec<Probe> {
    let names = lookalikes::with_trailing_dot().into_iter();
    names.map(|host| Probe { host, port: 443, passes }).collect()
}

/// A list whose hosts are on different ports, and what is asked of it.
pub(crate) fn ports() -> (List, Vec<Probe>) {
    let entry = |host, ports| {
        format!("[[entry]]\nhost = \"{host}\"\nrole = \"other\"\nwhy = \"test\"\nports = {ports}\n")
    };
    let entries = [("a.example", "[443]"), ("b.example", "[443, 8443]"), ("c.example", "[8443]")];
    let entries: String = entries.iter().map(|(host, ports)| entry(host, ports)).collect();
    let probe = |host: &str, port, passes| Probe { host: host.to_owned(), port, passes };
    let probes = vec![
        probe("a.example", 443, true),
        probe("a.example", 8443, false),
        probe("b.example", 443, true),
        probe("b.example", 8443, true),
        probe("c.example", 443, false),
        probe("c.example", 8443, true),
        probe("b.example", 80, false),
        probe("d.example", 8443, false),
    ];
    (written("ports", &format!("schema = 1\n{entries}")), probes)
}

/// A list without hosts, of which nothing passes.
pub(crate) fn nothing() -> (List, Vec<Probe>) {
    let probes = lookalikes::probes().into_iter();
    let probes = probes.map(|probe| Probe { passes: false, ..probe }).collect();
    (written("nothing", "schema = 1\n"), probes)
}

/// The hosts of a list, which pass, and others, which don't.
pub(crate) fn passes_of(list: &List, strangers: &[&str]) -> Vec<Probe> {
    let listed = list.hosts().into_iter().map(|host| Probe { host, port: 443, passes: true });
    let strangers = strangers.iter().map(|host| (*host).to_owned());
    listed.chain(strangers.map(|host| Probe { host, port: 443, passes: false })).collect()
}

/// Asks for a tunnel to each of `probes`. Returns how many there were; every one must come out as it says, and
/// nobody else may have been reached.
#[track_caller]
pub(crate) fn all_come_out(
    field: &Field,
    probes: &[Probe],
    ask: impl Fn(&str, u16) -> Answer,
) -> usize {
    let faults = faults(field, probes, ask);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    probes.len()
}

/// What comes out otherwise than `probes` say.
pub(crate) fn faults(
    field: &Field,
    probes: &[Probe],
    ask: impl Fn(&str, u16) -> Answer,
) -> Vec<String> {
    let before = field.arrivals().len();
    let mut faults = Vec::new();
    let mut expected = 0;
    for Probe { host, port, passes } in probes {
        let answer = ask(host, *port);
        expected += usize::from(*passes);
        let is_right = match &answer {
            Answer::Tunnel(end) => *passes && *end == field.banner(host, *port),
            Answer::Refused(_) => !passes,
        };
        if !is_right {
            faults.push(format!("{host}:{port}: {answer}"));
        }
    }
    let arrivals = field.arrivals();
    if arrivals.len() - before != expected {
        faults.push(format!("reached, {expected} expected: {arrivals:?}"));
    }
    faults
}

/// Asks for a tunnel with CONNECT (RFC 9110, section 9.3.6).
pub(crate) fn connect(stream: TcpStream, host: &str, port: u16) -> Answer {
    let head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
    request(stream, head.as_bytes())
}

/// Asks for `url`, as clients ask a proxy for what isn't HTTPS (RFC 9112, section 3.2.2). Whatever is not an answer
/// of the proxy's own comes from the far end.
pub(crate) fn get(stream: TcpStream, url: &str) -> Answer {
    let host = url.split('/').nth(2).expect("a URL");
    let head = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    request(stream, head.as_bytes())
}

/// Sends `head`, and reads the head of the response, and the line after it if it is a good one.
pub(crate) fn request(mut stream: TcpStream, head: &[u8]) -> Answer {
    if let Err(error) = stream.write_all(head) {
        return Answer::Refused(error.to_string());
    }
    let mut lines = BufReader::new(stream).lines();
    let mut line = || match lines.next() {
        Some(Ok(line)) => Ok(line),
        Some(Err(error)) => Err(Answer::Refused(error.to_string())),
        None => Err(Answer::Refused("closed".into())),
    };
    let mut read = || {
        let status = line()?;
        while !line()?.is_empty() {}
        if status.split(' ').nth(1) == Some("200") {
            Ok(Answer::Tunnel(line().unwrap_or_else(|nothing| nothing.to_string())))
        } else {
            Ok(Answer::Refused(status))
        }
    };
    read().unwrap_or_else(|refused| refused)
}

/// Asks for a tunnel with SOCKS 5 (RFC 1928), by name, or by address if `host` is one.
pub(crate) fn socks(mut stream: TcpStream, host: &str, port: u16) -> Answer {
    let mut talk = || -> std::io::Result<Answer> {
        stream.write_all(&[5, 1, 0])?;
        stream.read_exact(&mut [0; 2])?;
        let target = if let Ok(address) = host.parse::<Ipv4Addr>() {
            [&[1][..], &address.octets()].concat()
        } else {
            let length = u8::try_from(host.len()).expect("255 characters at most");
            [&[3, length], host.as_bytes()].concat()
        };
        stream.write_all(&[&[5, 1, 0][..], &target, &port.to_be_bytes()].concat())?;
        let mut reply = [0; 10];
        stream.read_exact(&mut reply)?;
        if reply[1] != 0 {
            return Ok(Answer::Refused(format!("reply {}", reply[1])));
        }
        let mut end = String::new();
        BufReader::new(&stream).read_line(&mut end)?;
        Ok(Answer::Tunnel(end.trim_end().to_owned()))
    };
    talk().unwrap_or_else(|error| Answer::Refused(error.to_string()))
}
