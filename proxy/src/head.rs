//! Decides whether the first bytes of a connection are one acceptable CONNECT request, and for which
//! target. Stricter than any HTTP library: whatever two readers could read differently is refused.

use std::time::Duration;

use httparse::{EMPTY_HEADER, Header, Request};
use ringfence_config::{Hostname, Port, hostname};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::policy::Target;
use crate::reason::Reason;

/// How much of a head is read, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, the empty line included.
    pub bytes: usize,
    /// From the accept to the end of the head.
    pub time: Duration,
}

/// A whole request head, and what came behind it.
#[derive(Debug)]
pub struct Head {
    bytes: Vec<u8>,
    end: usize,
}

/// A request that isn't an acceptable CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub reason: Reason,
    /// The request target as sent, cut and made printable, if one was seen.
    pub authority: Option<String>,
}

/// Reads one head.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    limits: &Limits,
) -> Result<Head, Malformed> {
    let mut bytes = Vec::with_capacity(1024);
    match timeout(limits.time, fill(stream, &mut bytes, limits.bytes)).await {
        Ok(Ok(end)) => Ok(Head { bytes, end }),
        Ok(Err(reason)) => Err(Malformed { reason, authority: request_target(&bytes) }),
        Err(_) => Err(Malformed { reason: Reason::HeadTimeout, authority: request_target(&bytes) }),
    }
}

/// Reads until the empty line; answers where it ends.
async fn fill(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    limit: usize,
) -> Result<usize, Reason> {
    let mut seen = 0;
    loop {
        let room = limit.saturating_sub(bytes.len());
        if room == 0 {
            return Err(Reason::HeadTooLarge);
        }
        match stream.take(room as u64).read_buf(bytes).await {
            Ok(1..) => {}
            // A clean close after some bytes is a cut request; both leave no one to answer.
            Ok(0) | Err(_) => return Err(Reason::ClientClosed),
        }
        if let Some(end) = find_end(bytes, seen)? {
            return Ok(end);
        }
        seen = bytes.len();
    }
}

/// Finds the empty line in `bytes`, of which `seen` bytes were searched before.
///
/// What can't begin a request, or could end a line for one reader and not for another, is refused as
/// soon as it is seen: a TLS hello, an empty first line, a bare LF, a CR that no LF follows, a NUL.
fn find_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Reason> {
    if !bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(Reason::BadRequest);
    }
    let from = seen.saturating_sub(1);
    for at in from..bytes.len() {
        match bytes[at] {
            b'\n' if bytes[at - 1] != b'\r' => return Err(Reason::BadRequest),
            b'\n' if at >= 3 && bytes[at - 3..at] == *b"\r\n\r" => return Ok(Some(at + 1)),
            b'\r' if bytes.get(at + 1).is_some_and(|next| *next != b'\n') => {
                return Err(Reason::BadRequest);
            }
            0 => return Err(Reason::BadRequest),
            _ => {}
        }
    }
    Ok(None)
}

impl Head {
    /// The target of the CONNECT, if it is an acceptable one.
    pub fn target(&self) -> Result<Target, Malformed> {
        parse(&self.bytes[..self.end])
            .map_err(|reason| Malformed { reason, authority: request_target(&self.bytes) })
    }

    /// The value of the Proxy-Authorization header, if there is one: a secret. The [target](Self::target) of a
    /// head with two is refused.
    pub fn authorization(&self) -> Option<&[u8]> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let request = request(&self.bytes[..self.end], &mut headers).ok()?;
        let mut headers = request.headers.iter();
        let header =
            headers.find(|header| header.name.eq_ignore_ascii_case("proxy-authorization"))?;
        Some(header.value)
    }

    /// What the client sent behind the head, before our answer.
    pub fn into_pipelined(mut self) -> Vec<u8> {
        self.bytes.split_off(self.end)
    }
}

/// Parses a whole head: method, target, version and headers.
pub fn parse(head: &[u8]) -> Result<Target, Reason> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    // httparse lets octets above 127 pass in a target; they get their own reason.
    if !line.is_ascii() {
        return Err(if line.starts_with(b"CONNECT ") {
            Reason::NonAscii
        } else {
            Reason::BadRequest
        });
    }
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let request = request(head, &mut headers)?;
    let target = match (request.method, request.path) {
        (Some("CONNECT"), Some(authority)) => parse_authority(authority)?,
        // Origin-form is for servers: someone took the proxy's port for one.
        (_, Some("/")) => return Err(Reason::BadRequest),
        // There are proxies that take their target from a path (RFC 9298 §2); this isn't one.
        (_, Some(path)) if path.starts_with('/') => return Err(Reason::NotFound),
        (_, Some(path)) if path.contains("://") => return Err(Reason::PlainHttpForbidden),
        _ => return Err(Reason::MethodNotAllowed),
    };
    check_headers(request.headers.iter().map(|header| (header.name, header.value)), &target)?;
    Ok(target)
}

/// Reads the target of a request that came over HTTP/2 (RFC 9113 §8.5). There is no `:path`, no `:scheme`
/// and no `:protocol`: a tunnel to anything but a TCP port is another method's.
pub fn of_http2<B>(request: &hyper::Request<B>) -> Result<Target, Malformed> {
    let uri = request.uri();
    let authority = uri.authority().map(hyper::http::uri::Authority::as_str);
    let parse = || {
        let extended = request.extensions().get::<h2::ext::Protocol>().is_some();
        if request.method() != hyper::Method::CONNECT {
            return Err(Reason::MethodNotAllowed);
        }
        if extended || uri.scheme().is_some() || uri.path_and_query().is_some() {
            return Err(Reason::BadRequest);
        }
        let target = parse_authority(authority.ok_or(Reason::BadRequest)?)?;
        let headers = request.headers().iter();
        check_headers(headers.map(|(name, value)| (name.as_str(), value.as_bytes())), &target)?;
        Ok(target)
    };
    parse().map_err(|reason| Malformed {
        reason,
        authority: authority.and_then(|text| shown(text.as_bytes())),
    })
}

/// The head as `httparse` reads it.
fn request<'a, 'b>(
    head: &'b [u8],
    headers: &'a mut [Header<'b>],
) -> Result<Request<'a, 'b>, Reason> {
    let mut request = Request::new(headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => Ok(request),
        Err(httparse::Error::TooManyHeaders) => Err(Reason::HeadTooLarge),
        Ok(_) | Err(_) => Err(Reason::BadRequest),
    }
}

/// authority-form (RFC 9112 §3.2.3): `host ":" port`, and nothing else.
pub fn parse_authority(authority: &str) -> Result<Target, Reason> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = host.parse::<Hostname>().map_err(|error| match error {
        hostname::Error::IpLiteral => Reason::IpLiteral,
        hostname::Error::NonAscii(_) => Reason::NonAscii,
        _ => Reason::BadAuthority,
    })?;
    let port = port.ok_or(Reason::BadPort)?;
    match port.parse::<Port>() {
        Ok(port) => Ok(Target { host, port }),
        // `443@evil.example` is no mistyped port but another shape of target.
        Err(_) if port.bytes().all(|b| b.is_ascii_digit() || b"+-_".contains(&b)) => {
            Err(Reason::BadPort)
        }
        Err(_) => Err(Reason::BadAuthority),
    }
}

/// A CONNECT has no body (RFC 9110 §9.3.6) and upgrades to nothing; its Host header, if there is one,
/// names the same host. HTTP/1.0 clients, older Pythons among them, send none. Whoever shows credentials
/// shows one set of them.
fn check_headers<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    target: &Target,
) -> Result<(), Reason> {
    let (mut host, mut authorization) = (None, None);
    for (name, value) in headers {
        // Some servers read `Content_Length` as `Content-Length`; so nobody gets to send it.
        let name = name.to_ascii_lowercase().replace('_', "-");
        match name.as_str() {
            "content-length" | "transfer-encoding" | "upgrade" | "http2-settings" => {
                return Err(Reason::BadRequest);
            }
            "host" if host.replace(value).is_some() => return Err(Reason::BadRequest),
            "proxy-authorization" if authorization.replace(value).is_some() => {
                return Err(Reason::BadRequest);
            }
            _ => {}
        }
    }
    match host {
        Some(value) if !names(value, target) => Err(Reason::HostMismatch),
        _ => Ok(()),
    }
}

/// Whether a Host header names `target`, with or without its port.
fn names(value: &[u8], target: &Target) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        return false;
    };
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse() == Ok(target.port)),
        None => (text, true),
    };
    port && host.parse().as_ref() == Ok(&target.host)
}

/// The second word of the first line, for the log: printable, never long, and without what may be secret,
/// which is a user with a password, a path, and a query with its signature. There is none where the first
/// word is no method: the line may be a header with credentials.
fn request_target(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let mut words = line.split(|byte| *byte == b' ');
    let is_method = words.next()?.iter().all(u8::is_ascii_alphabetic);
    words.next().filter(|_| is_method).and_then(shown)
}

fn shown(word: &[u8]) -> Option<String> {
    let start = word.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let (scheme, rest) = word.split_at(start);
    // A password may have any of the characters that end a host.
    let (user, rest) = match rest.iter().rposition(|byte| *byte == b'@') {
        Some(at) => (&b"...@"[..], &rest[at + 1..]),
        None => (&b""[..], rest),
    };
    let end = rest.iter().position(|byte| b"/?#;&\\".contains(byte)).unwrap_or(rest.len());
    let (authority, secret) = rest.split_at(end);
    let path = if secret.is_empty() { &b""[..] } else { &b"/..."[..] };
    // What stands where a port should may be a password.
    let (host, port) = match authority.iter().rposition(|byte| *byte == b':') {
        Some(at) if !authority[at..].contains(&b']') => authority.split_at(at),
        _ => (authority, &b""[..]),
    };
    let is_port = port.iter().skip(1).all(|byte| byte.is_ascii_digit() || b"+-_".contains(byte));
    let port = if is_port { port } else { b":..." };
    let shown = [scheme, user, host, port, path].concat();
    let shown: String = shown.escape_ascii().take(MAX_SHOWN).map(char::from).collect();
    (!shown.is_empty()).then_some(shown)
}

/// A CONNECT from a real client has fewer than ten.
const MAX_HEADERS: usize = 64;

/// A host name has at most 253 characters.
const MAX_SHOWN: usize = 300;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(head: &str) -> Result<String, Reason> {
        match find_end(head.as_bytes(), 0)? {
            Some(end) => parse(&head.as_bytes()[..end]).map(|target| target.to_string()),
            None => panic!("no end: {head:?}"),
        }
    }

    #[test]
    fn connects_of_real_clients_are_accepted() {
        let rows = [
            "CONNECT contoso.azurecr.io:443 HTTP/1.1\r\nHost: contoso.azurecr.io:443\r\nUser-Agent: curl/7.88.1\r\nProxy-Connection: Keep-Alive\r\n\r\n",
            "CONNECT contoso.azurecr.io:443 HTTP/1.1\r\nHost: contoso.azurecr.io:443\r\nUser-Agent: Go-http-client/1.1\r\n\r\n",
            "CONNECT contoso.azurecr.io:443 HTTP/1.0\r\n\r\n",
            "CONNECT Contoso.AzureCR.io:443 HTTP/1.1\r\nhost: contoso.azurecr.io\r\n\r\n",
            "CONNECT contoso.azurecr.io:443 HTTP/1.1\r\nHost: contoso.azurecr.io\r\nProxy-Authorization: Basic YTpi\r\n\r\n",
        ];
        for head in rows {
            assert_eq!(verdict(head).as_deref(), Ok("contoso.azurecr.io:443"), "{head}");
        }
    }

    #[test]
    fn every_other_target_has_its_reason() {
        use Reason::{
            BadAuthority, BadPort, BadRequest, IpLiteral, MethodNotAllowed, NonAscii, NotFound,
            PlainHttpForbidden,
        };
        let a = "contoso.azurecr.io";
        let connects = [
            (BadAuthority, format!("[{a}]:443")),
            (BadAuthority, format!("[[{a}]]:443")),
            (BadAuthority, format!("{a}]:443")),
            (BadAuthority, format!("[{a}:443")),
            (BadAuthority, format!("{a}.:443")),
            (BadAuthority, format!("{a}..:443")),
            (BadAuthority, format!(".{a}:443")),
            (BadAuthority, "contoso..azurecr.io:443".into()),
            (BadAuthority, "contoso%00.azurecr.io:443".into()),
            (BadAuthority, format!("{a}:443@evil.example")),
            (BadAuthority, format!("user:pw@{a}:443")),
            (BadAuthority, format!("{a}#x:443")),
            (BadAuthority, format!("{a}/x:443")),
            (BadAuthority, format!("{a};x:443")),
            (BadAuthority, format!("https://{a}:443")),
            (BadAuthority, "*".into()),
            (BadAuthority, "/".into()),
            (BadAuthority, format!("{}.azurecr.io:443", "a".repeat(64))),
            (BadAuthority, "localhost:443".into()),
            (NonAscii, "contoso\u{ff0e}azurecr.io:443".into()),
            (IpLiteral, "127.0.0.1:443".into()),
            (IpLiteral, "127.1:443".into()),
            (IpLiteral, "2130706433:443".into()),
            (IpLiteral, "0x7f.1:443".into()),
            (IpLiteral, "[::1]:443".into()),
            (IpLiteral, "[::1]".into()),
            (IpLiteral, "::1:443".into()),
            (IpLiteral, "[fe80::1%25eth0]:443".into()),
            (BadPort, a.into()),
            (BadPort, format!("{a}:")),
            (BadPort, format!("{a}:+443")),
            (BadPort, format!("{a}:0443")),
            (BadPort, format!("{a}:4_43")),
            (BadPort, format!("{a}:65979")),
            (BadPort, format!("{a}:-1")),
            (BadPort, format!("{a}:0")),
        ];
        for (reason, authority) in connects {
            assert_eq!(
                verdict(&format!("CONNECT {authority} HTTP/1.1\r\n\r\n")),
                Err(reason),
                "{authority}"
            );
        }
        let lines = [
            (PlainHttpForbidden, format!("GET http://{a}/ HTTP/1.1")),
            (PlainHttpForbidden, format!("POST https://{a}/ HTTP/1.1")),
            (PlainHttpForbidden, format!("GET ftp://{a}/ HTTP/1.1")),
            (BadRequest, "GET / HTTP/1.1".into()),
            (NotFound, "GET /v2/ HTTP/1.1".into()),
            (NotFound, format!("GET /.well-known/masque/udp/{a}/443/ HTTP/1.1")),
            (NotFound, format!("GET /easy-proxy/https/{a}/443/ HTTP/1.1")),
            (NotFound, format!("POST /http://{a}/ HTTP/1.1")),
            (NotFound, format!("GET //{a}/ HTTP/1.1")),
            (MethodNotAllowed, "OPTIONS * HTTP/1.1".into()),
            (MethodNotAllowed, format!("GET {a}:443 HTTP/1.1")),
            (MethodNotAllowed, format!("connect {a}:443 HTTP/1.1")),
            (BadRequest, format!("CONNECT  {a}:443 HTTP/1.1")),
            (BadRequest, format!("CONNECT {a}:443  HTTP/1.1")),
            (BadRequest, format!("CONNECT\t{a}:443 HTTP/1.1")),
            (BadRequest, format!("CONNECT {a}:443 HTTP/2.0")),
            (BadRequest, "PRI * HTTP/2.0".into()),
            (BadRequest, "CONNECT HTTP/1.1".into()),
            (BadRequest, format!("CONNECT {a}:443")),
        ];
        for (reason, line) in lines {
            assert_eq!(verdict(&format!("{line}\r\n\r\n")), Err(reason), "{line}");
        }
    }

    #[test]
    fn headers_that_two_readers_read_differently_are_refused() {
        let rows = [
            (Reason::BadRequest, "Content-Length: 0\r\n"),
            (Reason::BadRequest, "Content_Length: 0\r\n"),
            (Reason::BadRequest, "Transfer-Encoding: chunked\r\n"),
            (Reason::BadRequest, "Upgrade: websocket\r\n"),
            (Reason::BadRequest, "Host: contoso.azurecr.io\r\nHost: contoso.azurecr.io\r\n"),
            (
                Reason::BadRequest,
                "Proxy-Authorization: Basic YTpi\r\nProxy-Authorization: Basic YTpi\r\n",
            ),
            (
                Reason::BadRequest,
                "Proxy_Authorization: Basic YTpj\r\nproxy-authorization: Basic YTpi\r\n",
            ),
            (Reason::BadRequest, "X: a\r\n b\r\n"),
            (Reason::BadRequest, "X : a\r\n"),
            (Reason::BadRequest, "X: a\nY: b\r\n"),
            (Reason::BadRequest, "X: a\rY: b\r\n"),
            (Reason::BadRequest, "X: a\0\r\n"),
            (Reason::HostMismatch, "Host: evil.example\r\n"),
            (Reason::HostMismatch, "Host: contoso.azurecr.io:80\r\n"),
            (Reason::HostMismatch, "Host: contoso.azurecr.io.\r\n"),
            (Reason::HostMismatch, "Host:\r\n"),
        ];
        for (reason, headers) in rows {
            let head = format!("CONNECT contoso.azurecr.io:443 HTTP/1.1\r\n{headers}\r\n");
            assert_eq!(verdict(&head), Err(reason), "{headers:?}");
        }
        let many = "X: a\r\n".repeat(MAX_HEADERS + 1);
        let head = format!("CONNECT contoso.azurecr.io:443 HTTP/1.1\r\n{many}\r\n");
        assert_eq!(verdict(&head), Err(Reason::HeadTooLarge));
    }

    #[test]
    fn credentials_are_those_of_the_one_header() {
        let rows: [(&str, Option<&[u8]>); 4] = [
            ("", None),
            ("PROXY-authorization:  Basic YTpi \r\n", Some(b"Basic YTpi")),
            ("Authorization: Basic YTpi\r\nProxy_Authorization: Basic YTpi\r\n", None),
            ("Proxy-Authorization: \u{e9}\r\n", Some("\u{e9}".as_bytes())),
        ];
        for (headers, expected) in rows {
            let bytes = format!("CONNECT a.b:443 HTTP/1.1\r\n{headers}\r\n").into_bytes();
            let head = Head { end: bytes.len(), bytes };
            assert!(head.target().is_ok(), "{headers:?}");
            assert_eq!(head.authorization(), expected, "{headers:?}");
        }
    }

    #[test]
    fn what_cannot_begin_a_request_is_refused_at_its_first_byte() {
        for start in [&b"\x16\x03\x01"[..], b"\r\nCONNECT", b"\0", b" CONNECT", b"\x05\x01"] {
            assert_eq!(find_end(start, 0), Err(Reason::BadRequest), "{start:?}");
        }
    }

    #[test]
    fn a_logged_target_is_short_and_printable() {
        let head = format!("CONNECT \x1b[31m\"{}:443 HTTP/1.1\r\n\r\n", "x".repeat(10_000));
        let shown = request_target(head.as_bytes()).expect("a word");
        assert!(shown.len() <= MAX_SHOWN && shown.starts_with("\\x1b[31m\\\""), "{shown}");
    }

    #[test]
    fn a_logged_target_has_no_secrets() {
        let rows = [
            ("contoso.azurecr.io:443", "contoso.azurecr.io:443"),
            ("user:secret@contoso.azurecr.io:443", "...@contoso.azurecr.io:443"),
            ("https://a.blob.core.windows.net/b?sig=secret", "https://a.blob.core.windows.net/..."),
            ("http://user:secret@a.example?sig=secret", "http://...@a.example/..."),
            ("/v2/?access_token=secret", "/..."),
            ("user:sec#ret@a.example:443", "...@a.example:443"),
            ("http://user:sec/ret@a.example", "http://...@a.example"),
            ("a.example:443;sig=secret&se=x", "a.example:443/..."),
            ("user:secret", "user:..."),
            ("[::1]:443", "[::1]:443"),
        ];
        for (target, shown) in rows {
            let line = format!("GET {target} HTTP/1.1\r\n");
            assert_eq!(request_target(line.as_bytes()).as_deref(), Some(shown));
        }
        assert_eq!(request_target(b"Proxy-Authorization:Basic c2VjcmV0 x\r\n"), None);
    }

    proptest! {
        /// However the bytes arrive, the end is the same.
        #[test]
        fn segmentation_does_not_matter(cuts in prop::collection::vec(1_usize..40, 0..20)) {
            let head = b"CONNECT contoso.azurecr.io:443 HTTP/1.1\r\nHost: contoso.azurecr.io\r\n\r\nrest";
            let (mut seen, mut found) = (0, None);
            for cut in cuts.into_iter().chain([head.len()]) {
                let length = (seen + cut).min(head.len());
                found = find_end(&head[..length], seen).expect("well formed");
                seen = length;
                if found.is_some() {
                    break;
                }
            }
            prop_assert_eq!(found, Some(head.len() - 4));
        }

        /// What we accept, httparse and a naive split read alike.
        #[test]
        fn accepted_heads_have_one_reading(line in "CONNECT [a-zA-Z0-9.:@/%-]{1,20} HTTP/1.[01]", header in "(Host: [a-z.:0-9]{1,10}\r\n)?") {
            let head = format!("{line}\r\n{header}\r\n");
            if let Ok(target) = parse(head.as_bytes()) {
                let naive = line.split(' ').nth(1).expect("three words").to_ascii_lowercase();
                prop_assert_eq!(target.to_string(), naive);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), seen in 0_usize..300) {
            let _ = find_end(&bytes, seen.min(bytes.len()));
            let _ = parse(&bytes);
            let _ = request_target(&bytes);
        }
    }
}
