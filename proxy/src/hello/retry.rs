//! Decides whether a client may say its first word twice. A server that can't use a client's key share
//! asks for another ClientHello (RFC 8446 §4.1.4), and that one could name another server.
//!
//! Pure: bytes go in, and out comes how many of them may go on. Whoever moves them shows the [`Gate`] what
//! either side sends, in the order in which it comes, until the gate is open.

use crate::hello::{Assembly, HANDSHAKE, Progress, Rules};
use crate::policy::Permit;
use crate::reason::Reason;

/// Stands between a client and a server from the first ClientHello on, until no other can follow.
///
/// Open, it is no more than an empty pointer.
#[derive(Debug)]
pub struct Gate<'a>(Option<Box<Closed<'a>>>);

#[derive(Debug)]
struct Closed<'a> {
    permit: &'a Permit,
    rules: Rules,
    /// Of the ClientHello, as for the first one.
    limit: usize,
    /// How many of the client's bytes to come belong to something that was found to be harmless.
    harmless: usize,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The server has sent this, which doesn't say yet what it makes of the first hello.
    First(Vec<u8>),
    /// The server wants a second one, of which the client has sent this.
    Second(Assembly),
}

impl<'a> Gate<'a> {
    /// Closes behind a ClientHello, the first `hello` bytes of what the client sends. Another one, of at most
    /// `limit` bytes, has to suit `permit` and `rules` as well.
    pub fn new(permit: &'a Permit, rules: Rules, hello: usize, limit: usize) -> Self {
        let stage = Stage::First(Vec::new());
        Self(Some(Box::new(Closed { permit, rules, limit, harmless: hello, stage })))
    }

    /// Whether everything may pass, from here on and both ways.
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Takes note of what the server sends, before the client gets to see it.
    pub fn from_server(&mut self, bytes: &[u8]) {
        let Some(closed) = &mut self.0 else { return };
        let Stage::First(seen) = &mut closed.stage else { return };
        seen.extend_from_slice(&bytes[..bytes.len().min(MAX_SEEN - seen.len())]);
        match answer(seen) {
            Answer::Unclear => {}
            Answer::Retry => closed.stage = Stage::Second(Assembly::default()),
            Answer::Final => self.0 = None,
        }
    }

    /// Answers how many of the client's `bytes` may go to the server. The rest has to be kept, and shown again
    /// with what comes behind it.
    ///
    /// What must not go is an error: a ClientHello that the server didn't ask for
    /// ([`Reason::MalformedTls`], as for one that can't be read), or one that doesn't suit.
    pub fn from_client(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        let Some(closed) = &mut self.0 else { return Ok(bytes.len()) };
        let passed = closed.pass(bytes)?;
        if passed > 0 || bytes.first() != Some(&HANDSHAKE) {
            return Ok(passed);
        }
        if closed.hear(bytes)? {
            self.0 = None;
            return Ok(bytes.len());
        }
        Ok(0)
    }
}

impl Closed<'_> {
    /// How many of the first `bytes` aren't part of a handshake: what a client sends for the sake of old
    /// middleboxes, early data, and alerts.
    fn pass(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        let mut passed = 0;
        loop {
            let harmless = self.harmless.min(bytes.len() - passed);
            self.harmless -= harmless;
            passed += harmless;
            match Header::read(&bytes[passed..]) {
                Header::Cut | Header::Whole { kind: HANDSHAKE, .. } => return Ok(passed),
                Header::Whole { length, .. } if length <= MAX_FRAGMENT => {
                    self.harmless = HEADER + length;
                }
                Header::Whole { .. } | Header::Strange => return Err(Reason::MalformedTls),
            }
        }
    }

    /// Whether `bytes`, which begin with a record of a handshake, hold a second ClientHello that suits.
    fn hear(&mut self, bytes: &[u8]) -> Result<bool, Reason> {
        let Stage::Second(assembly) = &mut self.stage else {
            // No client has more to say before the server has answered.
            return Err(Reason::MalformedTls);
        };
        match assembly.advance(bytes, self.limit)? {
            // The assembly bounds the message; cut into tiny records it could still be six times as long.
            Progress::NeedsMore if bytes.len() > 2 * self.limit => Err(Reason::ClientHelloTooLarge),
            Progress::NeedsMore => Ok(false),
            Progress::Done(offer) => {
                self.permit.check_hello(&offer.name)?;
                self.rules.check(&offer)?;
                Ok(true)
            }
        }
    }
}

/// What a server makes of a ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It hasn't said yet.
    Unclear,
    /// It wants another one.
    Retry,
    /// It is content, or it isn't; no other will follow.
    Final,
}

/// Reads the first bytes that a server sends, from the first one on.
fn answer(mut seen: &[u8]) -> Answer {
    let mut message = Vec::new();
    loop {
        let (kind, length) = match Header::read(seen) {
            Header::Whole { kind, length } if kind <= HANDSHAKE => (kind, length),
            Header::Cut => return Answer::Unclear,
            // It doesn't speak TLS, or not in this order.
            Header::Whole { .. } | Header::Strange => return Answer::Final,
        };
        let (fragment, behind) = seen[HEADER..].split_at(length.min(seen.len() - HEADER));
        // A warning may come before the ServerHello: that a name is not known, for one.
        if kind == HANDSHAKE {
            message.extend_from_slice(fragment);
        }
        match message[..] {
            [] | [SERVER_HELLO] | [SERVER_HELLO, _] | [SERVER_HELLO, _, _] => {}
            // Behind the length and the version stands the random.
            [SERVER_HELLO, _, _, _, ref body @ ..] => match body.get(2..2 + 32) {
                Some(random) if random == RETRY => return Answer::Retry,
                Some(_) => return Answer::Final,
                None => {}
            },
            _ => return Answer::Final,
        }
        if fragment.len() < length {
            return Answer::Unclear;
        }
        seen = behind;
    }
}

/// What a record begins with (RFC 8446 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    /// Some of it is still to come.
    Cut,
    /// All of it: the content's type, and how many bytes of that follow.
    Whole { kind: u8, length: usize },
    /// It is none that anyone sends in a handshake.
    Strange,
}

impl Header {
    fn read(bytes: &[u8]) -> Self {
        match *bytes {
            [kind @ CHANGE_CIPHER_SPEC..=APPLICATION_DATA, 3, _, high, low, ..] => {
                Self::Whole { kind, length: usize::from(u16::from_be_bytes([high, low])) }
            }
            [CHANGE_CIPHER_SPEC..=APPLICATION_DATA, 3, ..]
            | [CHANGE_CIPHER_SPEC..=APPLICATION_DATA]
            | [] => Self::Cut,
            _ => Self::Strange,
        }
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const APPLICATION_DATA: u8 = 23;
const SERVER_HELLO: u8 = 2;
const HEADER: usize = 5;
/// Of a record under a cipher of TLS 1.2, the longest there are (RFC 5246 §6.2.3).
const MAX_FRAGMENT: usize = (1 << 14) + 2048;
/// Of a server's first bytes. A ServerHello's first 38 are enough, even in records of one byte each; who
/// goes on and on without one is never found to be content.
const MAX_SEEN: usize = 1024;
/// What a HelloRetryRequest has for a random: SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, LazyLock};

    use proptest::prelude::*;
    use ringfence_config::{Allowlist, Entry, Port, Role};
    use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
        SupportedProtocolVersion, version,
    };
    use test_support::Authority;

    use super::*;
    use crate::client::Client;
    use crate::hello::tests::{extension, message, record, sni};
    use crate::hello::{EarlyData, Protocols};
    use crate::policy::{self, Decision, Mode, Policy, Target};

    const HOST: &str = "contoso.azurecr.io";
    const LIMIT: usize = 4096;
    const LAX: Rules = Rules { early_data: EarlyData::Allow, alpn: Protocols::Any };

    fn permit() -> Permit {
        let entry = Entry::new(
            HOST.parse().expect("a host"),
            Role::Login("contoso".parse().expect("a registry")),
        );
        let policy = Policy::new(
            1,
            policy::Rules::default(),
            [(&Allowlist::new([entry]).expect("a list"), Mode::Enforce)],
        );
        let client = Client::anyone("10.0.0.4:50000".parse().expect("an address"));
        let target = Target { host: HOST.parse().expect("a host"), port: Port::HTTPS };
        match policy.decide(client, target) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => panic!("{}", denial.reason),
        }
    }

    /// What either side sends at a time.
    #[derive(Debug, Clone)]
    enum Flight {
        Client(Vec<u8>),
        Server(Vec<u8>),
    }

    /// A gate, and who uses it as the relay does.
    struct Passage<'a> {
        gate: Gate<'a>,
        waiting: Vec<u8>,
        passed: Vec<u8>,
    }

    impl<'a> Passage<'a> {
        /// Behind a first hello of this length.
        fn behind(permit: &'a Permit, hello: usize) -> Self {
            let gate = Gate::new(permit, LAX, hello, LIMIT);
            Self { gate, waiting: Vec::new(), passed: Vec::new() }
        }

        fn client(&mut self, bytes: &[u8]) -> Result<(), Reason> {
            self.waiting.extend_from_slice(bytes);
            loop {
                let free = self.gate.from_client(&self.waiting)?;
                if free == 0 {
                    return Ok(());
                }
                self.passed.extend(self.waiting.drain(..free));
            }
        }

        /// Plays flights, cut into pieces of these sizes, over and over.
        fn play(&mut self, flights: &[Flight], sizes: &[usize]) -> Result<(), Reason> {
            let mut sizes = sizes.iter().cycle();
            for flight in flights {
                let (Flight::Client(mut rest) | Flight::Server(mut rest)) = flight.clone();
                while !rest.is_empty() {
                    let size = *sizes.next().expect("a cycle");
                    let piece: Vec<u8> = rest.drain(..size.min(rest.len())).collect();
                    match flight {
                        Flight::Client(_) => self.client(&piece)?,
                        Flight::Server(_) => self.gate.from_server(&piece),
                    }
                }
            }
            Ok(())
        }
    }

    fn sent_by_client(flights: &[Flight]) -> Vec<u8> {
        let bytes = flights.iter().filter_map(|flight| match flight {
            Flight::Client(bytes) => Some(&bytes[..]),
            Flight::Server(_) => None,
        });
        bytes.collect::<Vec<_>>().concat()
    }

    /// How long the first record is.
    fn first_record(flights: &[Flight]) -> usize {
        let bytes = sent_by_client(flights);
        HEADER + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]))
    }

    type Groups<'a> = &'a [&'static dyn SupportedKxGroup];
    type Versions = &'static [&'static SupportedProtocolVersion];

    const TLS12: Versions = &[&version::TLS12];
    const TLS13: Versions = &[&version::TLS13];

    fn provider(groups: Groups<'_>) -> Arc<CryptoProvider> {
        let kx_groups = groups.to_vec();
        Arc::new(CryptoProvider { kx_groups, ..ring::default_provider() })
    }

    fn client(authority: &Authority, versions: Versions) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a root");
        roots.add(root).expect("a root");
        ClientConfig::builder_with_provider(provider(ring::ALL_KX_GROUPS))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    fn server(authority: &Authority, versions: Versions, groups: Groups<'_>) -> ServerConfig {
        let identity = authority.issue(&[HOST]).expect("a certificate");
        let key = PrivateKeyDer::try_from(identity.key_der).expect("a key");
        let mut config = ServerConfig::builder_with_provider(provider(groups))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate_der.into()], key)
            .expect("a certificate");
        config.max_early_data_size = 1000;
        config
    }

    /// All that a client and a server say to each other, from their handshake to a goodbye.
    fn converse(client: &ClientConfig, server: &ServerConfig) -> Vec<Flight> {
        let name = ServerName::try_from(HOST).expect("a name");
        let mut client = ClientConnection::new(Arc::new(client.clone()), name).expect("a client");
        let mut server = ServerConnection::new(Arc::new(server.clone())).expect("a server");
        if let Some(mut early) = client.early_data() {
            early.write_all(&[7; 500]).expect("room for early data");
        }
        let mut flights = Vec::new();
        let mut last_words = false;
        loop {
            let (mut asked, mut answered) = (Vec::new(), Vec::new());
            while client.wants_write() {
                client.write_tls(&mut asked).expect("a buffer takes everything");
            }
            let mut rest = &asked[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).expect("bytes");
                server.process_new_packets().expect("a client that speaks TLS");
            }
            while server.wants_write() {
                server.write_tls(&mut answered).expect("a buffer takes everything");
            }
            let mut rest = &answered[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("bytes");
                client.process_new_packets().expect("a server that speaks TLS");
            }
            if asked.is_empty() && answered.is_empty() {
                if last_words {
                    return flights;
                }
                last_words = true;
                client.writer().write_all(b"GET").expect("room");
                client.send_close_notify();
                server.writer().write_all(b"200").expect("room");
            }
            flights.extend([Flight::Client(asked), Flight::Server(answered)]);
        }
    }

    /// A conversation of others, and whether its server asks for a second hello.
    struct Sample {
        what: &'static str,
        retried: bool,
        flights: Vec<Flight>,
    }

    static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
        let authority = Authority::create().expect("an authority");
        let plain = client(&authority, TLS13);
        let mut eager = client(&authority, TLS13);
        eager.enable_early_data = true;
        let old = (client(&authority, TLS12), server(&authority, TLS12, ring::ALL_KX_GROUPS));
        // Clients guess that it is the first group that the server will want.
        let ready = server(&authority, TLS13, &ring::ALL_KX_GROUPS[..1]);
        let mut picky = server(&authority, TLS13, &ring::ALL_KX_GROUPS[1..]);
        picky.session_storage = Arc::clone(&ready.session_storage);
        // From now on this client has tickets to send early data with.
        converse(&eager, &ready);
        let sample = |what, retried, flights| Sample { what, retried, flights };
        vec![
            sample("tls 1.2", false, converse(&old.0, &old.1)),
            sample("tls 1.2, resumed", false, converse(&old.0, &old.1)),
            sample("tls 1.3", false, converse(&plain, &ready)),
            sample("tls 1.3, retried", true, converse(&plain, &picky)),
            sample("tls 1.3, early", false, converse(&eager, &ready)),
            sample("tls 1.3, early and retried", true, converse(&eager, &picky)),
        ]
    });

    #[test]
    fn conversations_are_what_they_are_taken_for() {
        for Sample { what, retried, flights } in SAMPLES.iter() {
            let permit = permit();
            let mut passage = Passage::behind(&permit, first_record(flights));
            passage.play(&flights[..2], &[usize::MAX]).expect(what);
            assert_eq!(passage.gate.is_open(), !retried, "{what}");
            let first = &sent_by_client(&flights[..1])[first_record(flights)..];
            let early = first.windows(3).any(|bytes| bytes == [23, 3, 3]);
            assert_eq!(early, what.contains("early"), "{what}");
        }
    }

    /// A hello from [`HOST`], or from elsewhere, in one record.
    fn hello(name: &[u8]) -> Vec<u8> {
        record(&message(&sni(name)))
    }

    /// The first message of a server in one record: a ServerHello with this random.
    fn server_hello(random: &[u8; 32]) -> Vec<u8> {
        record(&[&[SERVER_HELLO, 0, 0, 34, 3, 3][..], random].concat())
    }

    #[test]
    fn a_client_says_nothing_more_before_the_server_has_answered() {
        let (ccs, data) = (vec![20, 3, 3, 0, 1, 1], vec![23, 3, 3, 0, 3, 1, 2, 3]);
        let alert = vec![21, 3, 3, 0, 2, 1, 0];
        let malformed = Err(Reason::MalformedTls);
        let rows: Vec<(&str, Vec<u8>, Result<(), Reason>)> = vec![
            ("nothing", vec![], Ok(())),
            ("for middleboxes", ccs.clone(), Ok(())),
            ("early data", [ccs.clone(), data.clone(), data.clone()].concat(), Ok(())),
            ("goodbye", alert, Ok(())),
            ("second hello", hello(HOST.as_bytes()), malformed),
            ("second hello behind data", [data, hello(HOST.as_bytes())].concat(), malformed),
            ("any handshake", record(&[16, 0, 0, 0]), malformed),
            ("no tls", b"GET / HTTP/1.1".to_vec(), malformed),
            ("version", vec![23, 2, 0], malformed),
            ("long record", vec![23, 3, 3, 0x48, 1], malformed),
        ];
        let permit = permit();
        for (what, bytes, expected) in rows {
            let mut passage = Passage::behind(&permit, 0);
            assert_eq!(passage.client(&bytes), expected, "{what}");
            assert!(!passage.gate.is_open(), "{what}");
            if expected.is_ok() {
                assert_eq!(passage.passed, bytes, "{what}");
            }
        }
    }

    #[test]
    fn a_server_opens_the_gate_unless_it_asks_again() {
        let warning = vec![21, 3, 3, 0, 2, 1, 112];
        let retry = server_hello(&RETRY);
        let tiny: Vec<u8> = retry[HEADER..].chunks(1).flat_map(record).collect();
        let rows: Vec<(&str, Vec<u8>, Answer)> = vec![
            ("nothing", vec![], Answer::Unclear),
            ("hello", server_hello(&[7; 32]), Answer::Final),
            ("retry", retry.clone(), Answer::Retry),
            ("retry cut", retry[..retry.len() - 1].to_vec(), Answer::Unclear),
            ("retry in tiny records", tiny, Answer::Retry),
            ("retry behind a warning", [warning.clone(), retry].concat(), Answer::Retry),
            ("warning", warning, Answer::Unclear),
            ("empty record", record(&[]), Answer::Unclear),
            ("another message", record(&[1, 0]), Answer::Final),
            ("no tls", b"HTTP/1.1 400 ".to_vec(), Answer::Final),
            ("data", vec![23, 3, 3, 0, 1], Answer::Final),
        ];
        for (what, bytes, expected) in rows {
            assert_eq!(answer(&bytes), expected, "{what}");
        }
    }

    #[test]
    fn a_second_hello_is_checked_like_the_first() {
        let host = sni(HOST.as_bytes());
        let ech = extension(0xfe0d, &[0]);
        let long = extension(21, &[0; LIMIT]);
        let rows: Vec<(&str, Vec<u8>, Result<(), Reason>)> = vec![
            ("the same", hello(HOST.as_bytes()), Ok(())),
            ("another", hello(b"fabrikam.azurecr.io"), Err(Reason::SniMismatch)),
            ("none", record(&message(&[])), Err(Reason::SniMissing)),
            ("no name", hello(b"10.0.0.1"), Err(Reason::SniInvalid)),
            ("hidden", record(&message(&[host.clone(), ech].concat())), Err(Reason::EchForbidden)),
            ("twice", record(&message(&[host.clone(), host].concat())), Err(Reason::MalformedTls)),
            ("no hello", record(&[16, 0, 0, 0]), Err(Reason::MalformedTls)),
            (
                "version",
                [&[HANDSHAKE, 2], &hello(HOST.as_bytes())[2..]].concat(),
                Err(Reason::MalformedTls),
            ),
            ("long", record(&message(&long)), Err(Reason::ClientHelloTooLarge)),
        ];
        let permit = permit();
        let between = [20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 1, 7];
        for (what, bytes, expected) in rows {
            let mut passage = Passage::behind(&permit, 0);
            passage.gate.from_server(&server_hello(&RETRY));
            passage.client(&between).expect(what);
            assert_eq!(passage.client(&bytes), expected, "{what}");
            assert_eq!(passage.gate.is_open(), expected.is_ok(), "{what}");
            let out = if expected.is_ok() { bytes.len() } else { 0 };
            assert_eq!(passage.passed.len(), between.len() + out, "{what}");
        }
    }

    proptest! {
        /// Cut in any way, a real conversation goes through the gate as if there were none.
        #[test]
        fn conversations_are_not_changed(sizes in prop::collection::vec(1_usize..700, 1..20)) {
            let permit = permit();
            for Sample { what, flights, .. } in SAMPLES.iter() {
                let mut passage = Passage::behind(&permit, first_record(flights));
                prop_assert_eq!(passage.play(flights, &sizes), Ok(()), "{}", what);
                prop_assert!(passage.gate.is_open(), "{}", what);
                prop_assert_eq!(&passage.passed, &sent_by_client(flights), "{}", what);
            }
        }

        /// With another name in the second hello none of it goes out, however it is cut.
        #[test]
        fn a_second_name_stays_inside(sizes in prop::collection::vec(1_usize..700, 1..20)) {
            let permit = permit();
            for Sample { what, flights, .. } in SAMPLES.iter().filter(|sample| sample.retried) {
                let mut flights = flights.clone();
                let Flight::Client(second) = &mut flights[2] else { panic!("a client's turn") };
                let at = second.windows(HOST.len()).position(|bytes| bytes == HOST.as_bytes());
                second[at.expect("a name")] = b'x';
                let before = sent_by_client(&flights[..2]).len();
                let mut passage = Passage::behind(&permit, first_record(&flights));
                prop_assert_eq!(passage.play(&flights, &sizes), Err(Reason::SniMismatch), "{}", what);
                let ccs = 6;
                prop_assert!(passage.passed.len() <= before + ccs, "{}", what);
            }
        }

        #[test]
        fn no_bytes_panic(
            client in prop::collection::vec(any::<u8>(), 0..200),
            server in prop::collection::vec(any::<u8>(), 0..200),
            retried in any::<bool>(),
        ) {
            let permit = permit();
            let mut passage = Passage::behind(&permit, 0);
            if retried {
                passage.gate.from_server(&server_hello(&RETRY));
            }
            passage.gate.from_server(&server);
            let _ = passage.client(&client);
            let _ = passage.client(&record(&client));
        }
    }
}
