//! What must hold for request heads.

use httparse::{EMPTY_HEADER, Request, Status};
use ringfence::head::{self, Limits};
use ringfence::policy::Target;
use ringfence::reason::Reason;

use crate::pieces::{LENGTHS, LONG, Pieces, wait};

/// Reads `bytes` as what a client sends first.
///
/// - However they arrive, the answer is the same.
/// - An accepted head has one reading: `httparse` and `plainly` find the same target in it, and it is
///   the head up to the first empty line, with all that came behind it kept apart.
/// - The target, written out, is read as itself.
/// - What a refusal shows of the request is short and printable.
pub fn head(bytes: &[u8]) {
    let whole = read(bytes, bytes.len());
    for length in LENGTHS {
        assert_eq!(read(bytes, length), whole, "in pieces of {length}");
    }
    let Ok(target) = whole else { return };
    let head = &bytes[..end(bytes).expect("an accepted head has an end")];
    assert_eq!(as_httparse_does(head).as_ref(), Some(&target.to_string()));
    assert_eq!(plainly(head).as_ref(), Some(&target.to_string()));
    let written = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    assert_eq!(read(written.as_bytes(), written.len()), Ok(target));
}

const LIMITS: Limits = Limits { bytes: 2048, time: LONG };

fn read(bytes: &[u8], length: usize) -> Result<Target, Reason> {
    let refused = |malformed: head::Malformed| {
        let shown = malformed.authority.unwrap_or_default();
        assert!(shown.len() <= 300 && shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        malformed.reason
    };
    let head = wait(head::read(&mut Pieces::new(bytes, length), &LIMITS)).map_err(refused)?;
    let target = head.target().map_err(refused);
    let end = end(bytes).expect("a whole head has an end");
    assert!(end <= LIMITS.bytes && bytes[end..].starts_with(&head.into_pipelined()));
    target
}

/// Where the first empty line ends.
fn end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn as_httparse_does(head: &[u8]) -> Option<String> {
    let mut headers = [EMPTY_HEADER; 256];
    let mut request = Request::new(&mut headers);
    let status = request.parse(head).ok()?;
    (status == Status::Complete(head.len()))
        .then(|| request.path.unwrap_or_default().to_lowercase())
}

/// RFC 9112 in its plainest words: lines, words, and a colon.
fn plainly(head: &[u8]) -> Option<String> {
    let text: String = head.iter().copied().map(char::from).collect();
    let mut lines = text.strip_suffix("\r\n\r\n")?.split("\r\n");
    let words: Vec<&str> = lines.next()?.split(' ').collect();
    let ["CONNECT", authority, "HTTP/1.0" | "HTTP/1.1"] = words[..] else { return None };
    let authority = authority.to_ascii_lowercase();
    let (host, port) = authority.split_once(':')?;
    let is_host = host.split('.').all(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    let is_port = port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    let mut hosts = 0;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let is_name = !name.is_empty() && name.bytes().all(is_token);
        if !is_name || value.contains(|c: char| c.is_ascii_control() && c != '\t') {
            return None;
        }
        match name.to_ascii_lowercase().as_str() {
            "content-length" | "transfer-encoding" | "upgrade" => return None,
            "host" => {
                hosts += 1;
                let value = value.trim_matches([' ', '\t']).to_ascii_lowercase();
                if value != host && value != authority {
                    return None;
                }
            }
            _ => {}
        }
    }
    (is_host && is_port && hosts <= 1).then_some(authority)
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a client could send beside what it should: whatever separates, ends, or hides.
    const SPOILS: [&str; 24] = [
        "\r",
        "\n",
        "\r\n",
        "\r\n\r\n",
        "\0",
        " ",
        "\t",
        ":",
        "@",
        ".",
        "[",
        "]",
        "%00",
        "#",
        "/",
        "?",
        "\u{3002}",
        "\x0b",
        "443",
        "Host:",
        "Content-Length: 1\r\n",
        "Content_Length: 1\r\n",
        " HTTP/1.1",
        "evil.example",
    ];

    proptest! {
        /// A sound head, spoilt in a few places, is refused or has one reading.
        #[test]
        fn spoilt_heads_hold(
            host in "[a-zA-Z0-9-]{1,8}(\\.[a-z0-9-]{1,8}){1,3}",
            port in prop_oneof![Just("443".to_owned()), "[0-9+-]{0,6}"],
            version in "HTTP/1\\.[01]",
            headers in prop::collection::vec(
                prop_oneof![
                    Just("Host: @".to_owned()),
                    Just("host:\t@:443 ".to_owned()),
                    "[A-Za-z_-]{1,12}: ?[ -~]{0,12}",
                ],
                0..4,
            ),
            spoils in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&SPOILS[..])), 0..3),
        ) {
            let headers: String = headers.iter().map(|line| line.replace('@', &host) + "\r\n").collect();
            let mut bytes = format!("CONNECT {host}:{port} {version}\r\n{headers}\r\nbehind").into_bytes();
            for (at, spoil) in spoils {
                let at = at.index(bytes.len());
                bytes.splice(at..at, spoil.bytes());
            }
            head(&bytes);
        }

        #[test]
        fn changed_heads_hold(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let mut bytes = b"CONNECT contoso.azurecr.io:443 HTTP/1.1\r\nHost: contoso.azurecr.io:443\r\nUser-Agent: x\r\n\r\n\x16\x03".to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            head(&bytes);
        }
    }

    #[test]
    fn the_reference_reads_what_clients_send() {
        let head = b"CONNECT Contoso.azurecr.io:443 HTTP/1.1\r\nHost: contoso.azurecr.io\r\n\r\n";
        assert_eq!(plainly(head).as_deref(), Some("contoso.azurecr.io:443"));
        for other in [
            "GET / HTTP/1.1\r\n\r\n",
            "CONNECT a.b:0443 HTTP/1.1\r\n\r\n",
            "CONNECT a.b:443 HTTP/1.1\r\nHost: c.d\r\n\r\n",
        ] {
            assert_eq!(plainly(other.as_bytes()), None, "{other}");
        }
    }
}
