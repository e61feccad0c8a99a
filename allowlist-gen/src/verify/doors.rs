//! What should be closed, and is it: ways past the proxy that the user names. Each door is knocked on with the least
//! that shows whether somebody answers; nothing is sent through it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use ringfence_config::{Hostname, Port};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::dial::dial;
use super::dns::vet;
use super::http::{Ask, Connect, get};
use super::in_order;
use super::outcome::Outcome;
use super::report::{Check, Evidence, Finding, Log, Step, Subject};
use super::tls::Stream;
use super::way::{Proxy, Way, evidence_of, server_name};

/// Something that should not be reached from where we stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A storage host, on port 443.
    Storage(Place),
    /// A name server, over UDP and TCP.
    NameServer(SocketAddr),
    /// A server for DNS over HTTPS (RFC 8484).
    Doh(Place, Port),
    /// A service of the platform, which speaks HTTP.
    Metadata(SocketAddr),
}

/// A host by name or by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By name.
    Name(Hostname),
    /// By address.
    Address(IpAddr),
}

/// Why a text names no door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// For storage.
    #[error(
        "write a host name or an IP address, as in exfil.blob.core.windows.net or 20.150.38.66"
    )]
    Place,
    /// For name servers and services of the platform.
    #[error(
        "write an IP address, with a port if it is not the usual one, as in 8.8.8.8 or 8.8.8.8:5353"
    )]
    Socket,
    /// For DNS over HTTPS.
    #[error(
        "write a host name or an IP address, with a port if it is not 443, as in dns.google or 8.8.8.8:8443"
    )]
    PlaceAndPort,
}

impl Door {
    /// `HOST` or `IP`.
    pub fn storage(text: &str) -> Result<Self, DoorError> {
        place(text).map(Self::Storage).ok_or(DoorError::Place)
    }

    /// `IP` or `IP:PORT`.
    pub fn name_server(text: &str) -> Result<Self, DoorError> {
        let address = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
        address.ok().or_else(|| socket(text)).map(Self::NameServer).ok_or(DoorError::Socket)
    }

    /// `HOST`, `IP`, or either with a port.
    pub fn doh(text: &str) -> Result<Self, DoorError> {
        if let Some(place) = place(text) {
            return Ok(Self::Doh(place, Port::HTTPS));
        }
        let (host, port) = text.rsplit_once(':').ok_or(DoorError::PlaceAndPort)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().map_err(|_| DoorError::PlaceAndPort)?;
        place(host).map(|place| Self::Doh(place, port)).ok_or(DoorError::PlaceAndPort)
    }

    /// `IP`, on the ports that the platform's services have there, or `IP:PORT`.
    /// <https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>
    pub fn metadata(text: &str) -> Result<Vec<Self>, DoorError> {
        let Ok(ip) = text.parse::<IpAddr>() else {
            return socket(text).map(|at| vec![Self::Metadata(at)]).ok_or(DoorError::Socket);
        };
        let ports: &[u16] = if ip == WIRE_SERVER { &[80, 32526] } else { &[80] };
        Ok(ports.iter().map(|port| Self::Metadata(SocketAddr::new(ip, *port))).collect())
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Storage(place) => Subject::door(place.to_text(), 443),
            Self::Doh(place, port) => Subject::door(place.to_text(), port.number()),
            Self::NameServer(at) | Self::Metadata(at) => {
                Subject::door(at.ip().to_string(), at.port())
            }
        }
    }

    fn first_step(&self) -> Step {
        match self {
            Self::Storage(_) => Step::Storage,
            Self::NameServer(_) => Step::DnsUdp,
            Self::Doh(..) => Step::Doh,
            Self::Metadata(_) => Step::Metadata,
        }
    }
}

impl Place {
    fn to_text(&self) -> String {
        match self {
            Self::Name(host) => host.to_string(),
            Self::Address(ip) => ip.to_string(),
        }
    }

    /// As a URL has it.
    fn authority(&self, port: u16) -> String {
        match self {
            Self::Name(host) => format!("{host}:{port}"),
            Self::Address(ip) => SocketAddr::new(*ip, port).to_string(),
        }
    }
}

fn place(text: &str) -> Option<Place> {
    if let Ok(ip) = text.parse() {
        return Some(Place::Address(ip));
    }
    text.parse().ok().map(Place::Name)
}

fn socket(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|at: &SocketAddr| at.port() != 0)
}

/// Knocks on all doors, and answers in their order.
pub(crate) async fn check(way: &Arc<Way>, doors: Vec<Door>) -> Vec<Check> {
    in_order(doors.into_iter().map(|door| {
        let way = Arc::clone(way);
        async move {
            let mut log = Log::new(door.subject());
            if way.limit().is_zero() {
                log.push(door.first_step(), Outcome::OutOfTime);
            } else {
                way.knock_on(&door, &mut log).await;
            }
            log.checks
        }
    }))
    .await
}

/// What came of a knock on a TLS server.
enum Knock {
    /// The name has no address that could be tried.
    NotTried(Evidence),
    /// Nobody answered, or the handshake was cut, as a firewall does that goes by names.
    Closed(Evidence),
    /// Somebody did; with a connection, if the certificate is good for the name.
    Answered(Evidence, Option<Box<Stream>>),
}

impl Knock {
    /// The finding, if `open` is what an answer means.
    fn finding(self, open: Outcome) -> Finding {
        let (outcome, evidence) = match self {
            Self::NotTried(evidence) => (Outcome::DoorNotTried, evidence),
            Self::Closed(evidence) => (Outcome::DoorClosed, evidence),
            Self::Answered(evidence, _) => (open, evidence),
        };
        Finding { outcome, evidence }
    }
}

impl Way {
    async fn knock_on(&self, door: &Door, log: &mut Log) {
        match door {
            Door::Storage(place) => {
                let knock = self.knock(place, Port::HTTPS).await;
                log.push(Step::Storage, self.in_time(knock.finding(Outcome::StorageOpen)));
                if let Some(proxy) = &self.proxy {
                    log.push(Step::ByProxy, self.storage_by(proxy, place).await);
                }
            }
            Door::NameServer(at) => {
                log.push(Step::DnsUdp, self.in_time(self.dns_udp(*at).await));
                log.push(Step::DnsTcp, self.in_time(self.dns_tcp(*at).await));
            }
            Door::Doh(place, port) => {
                log.push(Step::Doh, self.in_time(self.doh(place, *port).await));
            }
            Door::Metadata(at) => log.push(Step::Metadata, self.in_time(self.metadata(*at).await)),
        }
    }

    /// What was found, unless the time for everything is over: silence that nobody has waited for closes no door.
    fn in_time(&self, finding: Finding) -> Finding {
        let is_silence = matches!(finding.outcome, Outcome::DoorClosed | Outcome::DoorNotTried);
        if is_silence && self.limit().is_zero() { Outcome::OutOfTime.into() } else { finding }
    }

    /// Goes as far as a handshake; whoever takes part in one has been reached, whatever the certificate is worth.
    async fn knock(&self, place: &Place, port: Port) -> Knock {
        let addresses = match place {
            Place::Address(ip) => vec![*ip],
            Place::Name(host) => match self.resolver.resolve(host, self.limit()).await {
                Ok(answer) => answer.addresses,
                Err(finding) => return Knock::NotTried(because(finding)),
            },
        };
        // What the user has written is tried; what DNS says, only if it can be a server at all.
        let can_be = |ip: &&IpAddr| {
            matches!(place, Place::Address(_))
                || !matches!(vet(&[**ip], &[], self.nat64), Outcome::AddressForbidden)
        };
        let sockets = addresses.iter().filter(can_be).map(|ip| SocketAddr::new(*ip, port.number()));
        let sockets: Vec<SocketAddr> = sockets.collect();
        if sockets.is_empty() {
            return Knock::NotTried(Evidence { addresses, ..Evidence::default() });
        }
        let ((_, stream), Finding { evidence: dialled, .. }) =
            match dial(&sockets, self.limit()).await {
                Ok(connected) => connected,
                Err(finding) => return Knock::Closed(because(finding)),
            };
        let name = match place {
            Place::Name(host) => server_name(host),
            Place::Address(ip) => Ok(ServerName::from(*ip)),
        };
        let shaken = match name {
            Ok(name) => self.tls.shake(Box::new(stream), name, self.limit()).await,
            Err(finding) => Err(finding),
        };
        match shaken {
            Ok((stream, Finding { evidence, .. })) => {
                let evidence = Evidence { address: dialled.address, ..evidence };
                Knock::Answered(evidence, Some(Box::new(stream)))
            }
            Err(finding) => {
                let is_cut = matches!(finding.outcome, Outcome::TlsCut | Outcome::TlsTimeout);
                let evidence = Evidence { address: dialled.address, ..because(finding) };
                if is_cut { Knock::Closed(evidence) } else { Knock::Answered(evidence, None) }
            }
        }
    }

    /// Whether the proxy opens a tunnel to a storage host. It is asked for one, and nothing is sent through it.
    async fn storage_by(&self, proxy: &Proxy, place: &Place) -> Finding {
        match self.ask(proxy, &place.authority(Port::HTTPS.number())).await {
            Ok(Connect::Tunnel(_)) => Outcome::ProxyCarriesStorage.into(),
            Ok(Connect::Refusal(refusal)) => {
                let outcome = match refusal.status {
                    // Who isn't known is refused everything.
                    407 => Outcome::ProxyCredentials,
                    // Nor does who is slow or asks too often learn anything about the host.
                    408 | 429 => Outcome::ProxyUnclear,
                    400..=499 => Outcome::ProxyRefusesStorage,
                    _ => Outcome::ProxyUnclear,
                };
                // What to do about a refusal is nothing.
                let evidence = Evidence { proxy_remedy: None, ..evidence_of(refusal) };
                Finding { outcome, evidence }
            }
            Err(finding) => finding,
        }
    }

    async fn dns_udp(&self, at: SocketAddr) -> Finding {
        let exchange = async {
            let any: SocketAddr = match at {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any).await?;
            // Then the kernel takes answers from nobody else, and says if the port is closed.
            socket.connect(at).await?;
            socket.send(&question()).await?;
            let mut answer = [0; 512];
            loop {
                let length = socket.recv(&mut answer).await?;
                if is_answer(&answer[..length]) {
                    return Ok::<(), std::io::Error>(());
                }
            }
        };
        match timeout(self.limit(), exchange).await {
            Ok(Ok(())) => Finding::said(Outcome::DnsOpen, &"it answers"),
            Ok(Err(error)) => Finding::said(Outcome::DoorClosed, &error),
            Err(_) => Finding::said(Outcome::DoorClosed, &"no answer in time"),
        }
    }

    /// A connection is a way out, too, whether or not it is DNS that answers there.
    async fn dns_tcp(&self, at: SocketAddr) -> Finding {
        let mut stream = match dial(&[at], self.limit()).await {
            Ok(((_, stream), _)) => stream,
            Err(finding) => return closed(finding),
        };
        let answered = timeout(self.limit(), ask_over_tcp(&mut stream)).await;
        match answered {
            Ok(Ok(true)) => Finding::said(Outcome::DnsOpen, &"it answers"),
            _ => Finding::said(Outcome::DnsOpen, &"it takes connections, and doesn't answer"),
        }
    }

    async fn doh(&self, place: &Place, port: Port) -> Finding {
        let (evidence, stream) = match self.knock(place, port).await {
            Knock::Answered(evidence, Some(stream)) => (evidence, stream),
            other => return other.finding(Outcome::DohOpen),
        };
        // RFC 8484 §4.1. The name is nobody's (RFC 6761 §6.4).
        let path = format!("/dns-query?dns={}", URL_SAFE_NO_PAD.encode(question()));
        let authority = match port {
            Port::HTTPS => place.to_text(),
            port => place.authority(port.number()),
        };
        let headers = vec![(ACCEPT, HeaderValue::from_static(DNS_MESSAGE))];
        let ask = Ask { authority: &authority, path: &path, headers, max_body: 0 };
        let answer = get(*stream, &ask, self.limit()).await;
        let (status, detail) = match &answer {
            Ok(answer) if answer.headers.get(CONTENT_TYPE).is_some_and(|is| is == DNS_MESSAGE) => {
                (Some(answer.status), "it answers with DNS")
            }
            Ok(answer) => (Some(answer.status), "it answers, and not with DNS"),
            Err(_) => (None, "it shakes hands, and doesn't answer"),
        };
        let evidence = Evidence { status, detail: Some(detail.to_owned()), ..evidence };
        Finding { outcome: Outcome::DohOpen, evidence }
    }

    /// What it answers is not shown: it is about this machine.
    async fn metadata(&self, at: SocketAddr) -> Finding {
        let ((_, stream), Finding { mut evidence, .. }) = match dial(&[at], self.limit()).await {
            Ok(connected) => connected,
            Err(finding) => return closed(finding),
        };
        let path = if at.ip() == WIRE_SERVER { "/?comp=versions" } else { INSTANCE };
        let headers = vec![(METADATA, HeaderValue::from_static("true"))];
        let authority = at.to_string();
        let authority = authority.strip_suffix(":80").unwrap_or(&authority);
        let ask = Ask { authority, path, headers, max_body: 0 };
        match get(stream, &ask, self.limit()).await {
            Ok(answer) => evidence.status = Some(answer.status),
            Err(_) => evidence.detail = Some("it takes connections, and doesn't answer".to_owned()),
        }
        Finding { outcome: Outcome::MetadataOpen, evidence }
    }
}

/// RFC 7766 §8: a length before each message.
async fn ask_over_tcp(stream: &mut TcpStream) -> std::io::Result<bool> {
    let question = question();
    let length = u16::try_from(question.len()).expect("a question is short").to_be_bytes();
    stream.write_all(&[&length[..], &question].concat()).await?;
    let length = usize::from(stream.read_u16().await?);
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(is_answer(&answer))
}

/// Asks for the address of a name that nobody has (RFC 1035 §4.1, RFC 6761 §6.4).
fn question() -> Vec<u8> {
    let [high, low] = QUESTION_ID;
    let header = [high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let mut message = header.to_vec();
    for label in ["ringfence-doctor", "invalid"] {
        message.push(u8::try_from(label.len()).expect("a label is short"));
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// Whether this is a response to our question, whatever it says.
fn is_answer(message: &[u8]) -> bool {
    message.len() >= 12 && message[..2] == QUESTION_ID && message[2] & 0x80 != 0
}

/// What stood in the way, where that is as it should be.
fn closed(finding: Finding) -> Finding {
    Finding { outcome: Outcome::DoorClosed, evidence: because(finding) }
}

/// The evidence, with what it came to in front of what was said.
fn because(Finding { outcome, evidence }: Finding) -> Evidence {
    let detail = match &evidence.detail {
        Some(detail) => format!("{}: {detail}", outcome.code()),
        None => outcome.code().to_owned(),
    };
    Evidence { detail: Some(detail), ..evidence }
}

const WIRE_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));
/// <https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service>
const INSTANCE: &str = "/metadata/instance?api-version=2021-02-01";
const METADATA: HeaderName = HeaderName::from_static("metadata");
const DNS_MESSAGE: &str = "application/dns-message";
const QUESTION_ID: [u8; 2] = *b"RF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_named_by_host_address_or_both() {
        let at = |text: &str| text.parse::<SocketAddr>().expect(text);
        let name = |text: &str| Place::Name(text.parse().expect(text));
        let ip = |text: &str| Place::Address(text.parse().expect(text));
        let storage = "exfil.blob.core.windows.net";
        assert_eq!(Door::storage(storage), Ok(Door::Storage(name(storage))));
        assert_eq!(Door::storage("20.150.38.66"), Ok(Door::Storage(ip("20.150.38.66"))));
        for bad in ["", "https://a.b", "a.b:443", "0x7f.1", "localhost", "*.blob.core.windows.net"]
        {
            assert_eq!(Door::storage(bad), Err(DoorError::Place), "{bad}");
        }
        assert_eq!(Door::name_server("8.8.8.8"), Ok(Door::NameServer(at("8.8.8.8:53"))));
        assert_eq!(Door::name_server("[::1]:5353"), Ok(Door::NameServer(at("[::1]:5353"))));
        assert_eq!(Door::name_server("2001:db8::1"), Ok(Door::NameServer(at("[2001:db8::1]:53"))));
        for bad in ["dns.google", "8.8.8.8:0", "8.8.8.8:x", ""] {
            assert_eq!(Door::name_server(bad), Err(DoorError::Socket), "{bad}");
        }
        assert_eq!(Door::doh("dns.google"), Ok(Door::Doh(name("dns.google"), Port::HTTPS)));
        let other = "8443".parse().expect("a port");
        assert_eq!(Door::doh("[::1]:8443"), Ok(Door::Doh(ip("::1"), other)));
        assert_eq!(Door::doh("8.8.8.8:8443"), Ok(Door::Doh(ip("8.8.8.8"), other)));
        for bad in ["https://dns.google/dns-query", "dns.google:", "dns.google:0"] {
            assert_eq!(Door::doh(bad), Err(DoorError::PlaceAndPort), "{bad}");
        }
        let sockets = |text: &str| match Door::metadata(text) {
            Ok(doors) => Ok(doors.len()),
            Err(error) => Err(error),
        };
        assert_eq!(sockets("169.254.169.254"), Ok(1));
        assert_eq!(sockets("168.63.129.16"), Ok(2));
        assert_eq!(sockets("168.63.129.16:80"), Ok(1));
        assert_eq!(sockets("metadata"), Err(DoorError::Socket));
    }

    #[test]
    fn only_a_response_to_our_question_is_one() {
        assert!(!is_answer(&question()));
        let mut answer = question();
        answer[2] |= 0x80;
        assert!(is_answer(&answer) && !is_answer(&answer[..11]));
        answer[0] ^= 1;
        assert!(!is_answer(&answer));
    }
}
