//! Handshakes with real certificates, on streams in memory.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use super::names::MAX_NAMES;
use super::*;

/// An authority, whose certificates count from serial number 1.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

/// What someone can show.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    pem: String,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    fn new(name: &str) -> Self {
        let params = authority_params(name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// An authority below this one.
    fn below(&self, name: &str) -> Self {
        let params = authority_params(name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A certificate for client authentication, but for what `edit` changes.
    fn issue(&self, serial: u8, edit: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "common.example");
        params.serial_number = Some(SerialNumber::from_slice(&[serial]));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        edit(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { chain: vec![certificate.der().clone()], key, pem: certificate.pem() }
    }

    fn list(&self, revoked: &[u8], next_update: i32) -> rcgen::CertificateRevocationList {
        let entry = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list")
    }

    fn list_pem(&self, revoked: &[u8], next_update: i32) -> String {
        self.list(revoked, next_update).pem().expect("PEM")
    }
}

fn named(names: &[&str]) -> impl FnOnce(&mut CertificateParams) {
    let names = names.iter().map(|name| {
        let text = |rest: &str| rest.try_into().expect("ASCII");
        match name.split_once(':').expect("a kind") {
            ("dns", rest) => SanType::DnsName(text(rest)),
            ("uri", rest) => SanType::URI(text(rest)),
            ("email", rest) => SanType::Rfc822Name(text(rest)),
            ("ip", rest) => SanType::IpAddress(rest.parse().expect("an address")),
            (kind, _) => panic!("{kind}"),
        }
    });
    let names = names.collect();
    |params| params.subject_alt_names = names
}

/// A folder with the proxy's certificate, as `settings` name it.
struct Stage {
    folder: TempDir,
    proxy: Authority,
    clients: Authority,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stage = Self {
            folder,
            proxy: Authority::new("for proxies"),
            clients: Authority::new("for clients"),
        };
        stage.renew();
        stage.write("clients.pem", &stage.clients.pem);
        stage
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private).expect("set");
        path
    }

    /// Gives the proxy a new certificate, and answers with it.
    fn renew(&self) -> CertificateDer<'static> {
        let identity = self.proxy.issue(1, |params| {
            named(&["dns:proxy.example"])(params);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        self.write("proxy.pem", &identity.pem);
        self.write("proxy.key", identity.key.serialize_pem());
        identity.chain[0].clone()
    }

    fn settings(&self, clients: bool, revocations: &[&str]) -> Settings {
        let path = |name: &str| self.folder.path().join(name);
        let revocations = revocations.iter().map(|name| path(name)).collect();
        let clients = clients.then(|| Clients { authorities: path("clients.pem"), revocations });
        Settings { certificate: path("proxy.pem"), key: path("proxy.key"), clients, http2: true }
    }

    fn acceptor(&self, revocations: &[&str]) -> Acceptor {
        let (acceptor, warnings) = Acceptor::new(self.settings(true, revocations)).expect("valid");
        assert_eq!(warnings, []);
        acceptor
    }

    /// A client that trusts the proxy and shows `identity`, whether or not it holds its key.
    fn client(
        &self,
        identity: Option<&Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> ClientConfig {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.proxy.der.clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots);
        let Some(Identity { chain, key, .. }) = identity else {
            return builder.with_no_client_auth();
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let key = provider.key_provider.load_private_key(key).expect("a key");
        let certified = CertifiedKey::new(chain.clone(), key);
        builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
    }
}

/// What the two ends of a handshake make of it. The client has seen the end of it once the proxy's
/// first byte arrives.
struct Meeting {
    proxy: Result<Peer, HandshakeFailure>,
    client: Result<HandshakeKind, io::Error>,
}

impl Meeting {
    async fn of(acceptor: &Acceptor, client: &Arc<ClientConfig>) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let proxy = async {
            let (mut stream, peer) = acceptor.accept(ours, soon()).await?;
            stream.write_all(b"!").await.expect("a reader");
            stream.flush().await.expect("a reader");
            Ok(peer)
        };
        let client = async {
            let name = ServerName::try_from("proxy.example").expect("a name");
            let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, theirs).await?;
            stream.read_u8().await?;
            Ok(stream.get_ref().1.handshake_kind().expect("done"))
        };
        let (proxy, client) = tokio::join!(proxy, client);
        Self { proxy, client }
    }

    fn names(&self) -> Option<String> {
        let peer = self.proxy.as_ref().expect("accepted");
        peer.proof.as_ref().and_then(Proof::names).map(ToString::to_string)
    }

    fn rejection(self) -> (String, AlertDescription) {
        let Err(HandshakeFailure::Rejected(text)) = self.proxy else {
            panic!("not rejected: {:?}", self.proxy);
        };
        let error = self.client.expect_err("the proxy rejected it");
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::AlertReceived(alert)) => (text, *alert),
            _ => panic!("no alert: {error}"),
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test]
async fn a_certificate_proves_its_alternative_names_and_nothing_else() {
    let stage = Stage::new();
    let acceptor = stage.acceptor(&[]);
    let rows: [(&[&str], &str); _] = [
        (
            &["dns:Build.Contoso.example", "uri:spiffe://Contoso/build"],
            "dns:build.contoso.example, uri:spiffe://Contoso/build",
        ),
        (&["email:Build@contoso.example"], "email:Build@contoso.example"),
        (&["dns:*.contoso.example", "dns:a.example", "ip:192.0.2.1"], "dns:a.example"),
        (&["dns:*.contoso.example"], ""),
        // The common name, as all of these have one, is no name.
        (&[], ""),
    ];
    for version in [&TLS12, &TLS13] {
        for (names, expected) in rows {
            let identity = stage.clients.issue(1, named(names));
            let client = Arc::new(stage.client(Some(&identity), version));
            let meeting = Meeting::of(&acceptor, &client).await;
            assert_eq!(meeting.names().as_deref(), Some(expected), "{names:?}");
            meeting.client.expect("accepted");
        }
        let client = Arc::new(stage.client(None, version));
        assert_eq!(Meeting::of(&acceptor, &client).await.names(), None);
    }
}

#[tokio::test]
async fn of_two_certificates_the_first_is_the_clients() {
    let stage = Stage::new();
    let acceptor = stage.acceptor(&[]);
    let mut first = stage.clients.issue(1, named(&["dns:a.example"]));
    let second = stage.clients.issue(2, named(&["dns:b.example"]));
    first.chain.extend(second.chain);
    let client = Arc::new(stage.client(Some(&first), &TLS13));
    let meeting = Meeting::of(&acceptor, &client).await;
    assert_eq!(meeting.names().as_deref(), Some("dns:a.example"));
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_ends_the_handshake() {
    use AlertDescription as Alert;
    let stage = Stage::new();
    stage.write("revoked.pem", stage.clients.list_pem(&[7], 2100));
    let acceptor = stage.acceptor(&["revoked.pem"]);
    let name = || named(&["dns:a.example"]);
    let stranger = Authority::new("for clients");
    let below = stage.clients.below("below");
    let mut below_unlisted = below.issue(1, name());
    below_unlisted.chain.push(below.der.clone());
    let key_of_another =
        Identity { key: KeyPair::generate().expect("a key"), ..stage.clients.issue(1, name()) };
    let rows = [
        (
            "it has expired",
            Alert::CertificateExpired,
            stage.clients.issue(1, |params| params.not_after = date_time_ymd(2024, 1, 1)),
        ),
        (
            "it is not valid yet",
            Alert::CertificateExpired,
            stage.clients.issue(1, |params| params.not_before = date_time_ymd(2100, 1, 1)),
        ),
        ("it has been revoked", Alert::CertificateRevoked, stage.clients.issue(7, name())),
        (
            "no revocation list covers it, or covers an authority between it and the ones trusted",
            Alert::UnknownCA,
            below_unlisted,
        ),
        (
            "none of the authorities trusted for clients has issued it",
            Alert::UnknownCA,
            stage.proxy.issue(1, name()),
        ),
        // An authority of the same name, but with a key of its own.
        (
            "a signature is wrong; the client may not have its key",
            Alert::DecryptError,
            stranger.issue(1, name()),
        ),
        (
            "it is not meant for clients",
            Alert::UnsupportedCertificate,
            stage.clients.issue(1, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
        (
            "a signature is wrong; the client may not have its key",
            Alert::DecryptError,
            key_of_another,
        ),
    ];
    for version in [&TLS12, &TLS13] {
        for (text, alert, identity) in &rows {
            let client = Arc::new(stage.client(Some(identity), version));
            let rejection = Meeting::of(&acceptor, &client).await.rejection();
            assert_eq!(rejection, ((*text).to_owned(), *alert));
        }
        let accepted = stage.clients.issue(8, name());
        let client = Arc::new(stage.client(Some(&accepted), version));
        assert!(Meeting::of(&acceptor, &client).await.client.is_ok());
    }
}

#[tokio::test]
async fn an_authority_between_needs_its_own_list() {
    let stage = Stage::new();
    let below = stage.clients.below("below");
    stage.write("above.pem", stage.clients.list_pem(&[], 2100));
    stage.write("below.crl", below.list(&[7], 2100).der());
    let acceptor = stage.acceptor(&["above.pem", "below.crl"]);
    for (serial, expected) in [(1, None), (7, Some(AlertDescription::CertificateRevoked))] {
        let mut identity = below.issue(serial, named(&["dns:a.example"]));
        identity.chain.push(below.der.clone());
        let client = Arc::new(stage.client(Some(&identity), &TLS13));
        let meeting = Meeting::of(&acceptor, &client).await;
        match expected {
            None => assert_eq!(meeting.names().as_deref(), Some("dns:a.example")),
            Some(alert) => assert_eq!(meeting.rejection().1, alert),
        }
    }
}

#[tokio::test]
async fn an_old_list_is_worse_than_none() {
    let stage = Stage::new();
    let path = stage.write("old.pem", stage.clients.list_pem(&[], 2021));
    let (acceptor, warnings) = Acceptor::new(stage.settings(true, &["old.pem"])).expect("valid");
    assert_eq!(warnings, [Warning::RevocationsExpired(path)]);
    let identity = stage.clients.issue(1, named(&["dns:a.example"]));
    let client = Arc::new(stage.client(Some(&identity), &TLS13));
    let (text, _) = Meeting::of(&acceptor, &client).await.rejection();
    assert_eq!(text, "its revocation list is past its next update");
}

#[tokio::test]
async fn names_that_cannot_be_told_are_rejected() {
    let stage = Stage::new();
    let acceptor = stage.acceptor(&[]);
    let many: Vec<String> = (0..=MAX_NAMES).map(|n| format!("dns:h{n}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let raw = |content: &'static [u8]| {
        stage.clients.issue(1, move |params| {
            // subjectAltName (RFC 5280 §4.2.1.6).
            let oid = [2, 5, 29, 17];
            let extension = rcgen::CustomExtension::from_oid_content(&oid, content.to_vec());
            params.custom_extensions.push(extension);
        })
    };
    let rows = [
        ("it has more than 64 alternative names", stage.clients.issue(1, named(&many))),
        // A sequence that is cut, which the library sees too, and a name that is not even UTF-8.
        ("it is malformed", raw(&[0x30, 9, 0x82, 1, b'a'])),
        ("its alternative names are malformed", raw(&[0x30, 3, 0x82, 1, 0xff])),
    ];
    for (text, identity) in rows {
        let client = Arc::new(stage.client(Some(&identity), &TLS13));
        let meeting = Meeting::of(&acceptor, &client).await;
        assert_eq!(meeting.proxy, Err(HandshakeFailure::Rejected(text.to_owned())));
        meeting.client.expect_err("closed");
    }
    let client = stage.clients.issue(1, named(&many[..MAX_NAMES]));
    let client = Arc::new(stage.client(Some(&client), &TLS13));
    assert!(Meeting::of(&acceptor, &client).await.client.is_ok());
}

#[tokio::test]
async fn no_session_outlives_a_reload_of_the_lists() {
    let stage = Stage::new();
    stage.write("list.pem", stage.clients.list_pem(&[], 2100));
    let acceptor = stage.acceptor(&["list.pem"]);
    let identity = stage.clients.issue(7, named(&["dns:a.example"]));
    for version in [&TLS12, &TLS13] {
        stage.write("list.pem", stage.clients.list_pem(&[], 2100));
        acceptor.reload().expect("valid");
        let client = Arc::new(stage.client(Some(&identity), version));
        for _ in 0..2 {
            let kind = Meeting::of(&acceptor, &client).await.client.expect("accepted");
            assert_eq!(kind, HandshakeKind::Full);
        }
        stage.write("list.pem", stage.clients.list_pem(&[7], 2100));
        acceptor.reload().expect("valid");
        let (text, _) = Meeting::of(&acceptor, &client).await.rejection();
        assert_eq!(text, "it has been revoked");
    }
}

#[tokio::test]
async fn without_client_certificates_sessions_are_resumed() {
    let stage = Stage::new();
    let (acceptor, _) = Acceptor::new(stage.settings(false, &[])).expect("valid");
    let client = Arc::new(stage.client(None, &TLS13));
    let mut kinds = Vec::new();
    for _ in 0..2 {
        kinds.push(Meeting::of(&acceptor, &client).await.client.expect("accepted"));
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
}

#[tokio::test]
async fn new_files_count_for_new_connections_and_bad_ones_never() {
    let stage = Stage::new();
    let acceptor = stage.acceptor(&[]);
    let client = stage.client(None, &TLS13);
    let shown = async || {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from("proxy.example").expect("a name");
        let connector = TlsConnector::from(Arc::new(client.clone()));
        let (accepted, connected) =
            tokio::join!(acceptor.accept(ours, soon()), connector.connect(name, theirs));
        accepted.expect("accepted");
        let stream = connected.expect("accepted");
        let chain = stream.get_ref().1.peer_certificates().expect("shown");
        chain[0].clone().into_owned()
    };
    let new = stage.renew();
    assert_ne!(shown().await, new);
    acceptor.reload().expect("valid");
    assert_eq!(shown().await, new);
    stage.write("proxy.pem", "-----BEGIN CERTIFICATE-----\n");
    acceptor.reload().expect_err("cut");
    assert_eq!(shown().await, new);
}

#[tokio::test]
async fn what_is_spoken_inside_is_agreed_upon() {
    let stage = Stage::new();
    let rows: [(_, &[&[u8]], _); _] = [
        (true, &[b"h2", b"http/1.1"], Some(Protocol::Http2)),
        (true, &[b"http/1.1", b"h2"], Some(Protocol::Http2)),
        (true, &[b"http/1.1"], Some(Protocol::Http1)),
        (true, &[], Some(Protocol::Http1)),
        (true, &[b"imap"], None),
        (false, &[b"h2", b"http/1.1"], Some(Protocol::Http1)),
        (false, &[b"h2"], None),
    ];
    for (http2, offered, expected) in rows {
        let settings = Settings { http2, ..stage.settings(false, &[]) };
        let (acceptor, _) = Acceptor::new(settings).expect("valid");
        let mut client = stage.client(None, &TLS13);
        client.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        let meeting = Meeting::of(&acceptor, &Arc::new(client)).await;
        match (meeting.proxy, expected) {
            (Ok(peer), expected) => assert_eq!(Some(peer.protocol), expected, "{offered:?}"),
            (Err(HandshakeFailure::Failed(_)), None) => {}
            (Err(failure), _) => panic!("{failure} for {offered:?}"),
        }
    }
}

#[tokio::test]
async fn other_failures_are_no_rejections() {
    let stage = Stage::new();
    let acceptor = stage.acceptor(&[]);
    let failure = async |bytes: &[u8], deadline| {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        theirs.write_all(bytes).await.expect("room");
        theirs.shutdown().await.expect("open");
        acceptor.accept(ours, deadline).await.expect_err("no TLS")
    };
    let failed = |text: &str| HandshakeFailure::Failed(text.to_owned());
    let not_tls = failed("the client does not speak TLS, or not correctly");
    for bytes in
        [&b"CONNECT contoso.azurecr.io:443 HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 ", b"\0\0\0\0\0"]
    {
        assert_eq!(failure(bytes, soon()).await, not_tls, "{}", bytes.escape_ascii());
    }
    assert_eq!(
        failure(b"\x16\x03\x01", soon()).await,
        failed("the client closed the connection; it may not trust the proxy's certificate")
    );
    let (ours, _theirs) = tokio::io::duplex(1 << 16);
    let late = acceptor.accept(ours, Instant::now()).await.expect_err("too late");
    assert_eq!(late, failed("it was not done in time"));

    // A client that does not trust the proxy.
    let other = Stage { proxy: Authority::new("of others"), ..Stage::new() };
    let client = Arc::new(other.client(None, &TLS13));
    let meeting = Meeting::of(&acceptor, &client).await;
    assert_eq!(
        meeting.proxy,
        Err(failed(
            "the client ended it with the alert UnknownCA; it may not trust the proxy's certificate"
        ))
    );
}

#[test]
fn a_bad_file_is_named_with_what_is_wrong() {
    let stage = Stage::new();
    let good = stage.proxy.issue(1, named(&["dns:proxy.example"]));
    let key = good.key.serialize_pem();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let list = stage.clients.list_pem(&[], 2100);
    let not_der = |label| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let rows: &[(&str, &str, &str)] = &[
        ("proxy.pem", "", "there is no certificate in"),
        ("proxy.pem", &key, "there is no certificate in"),
        ("proxy.pem", &good.pem[..200], "is not valid PEM"),
        ("proxy.pem", &not_der("CERTIFICATE"), "a certificate in"),
        ("proxy.pem", &good.pem, "does not belong to the first certificate in"),
        ("proxy.key", "", "there is no private key in"),
        ("proxy.key", &good.pem, "there is no private key in"),
        ("proxy.key", &key, "does not belong to the first certificate in"),
        ("proxy.key", &encrypted, "is encrypted; decrypt it with"),
        ("proxy.key", &not_der("PRIVATE KEY"), "the private key in"),
        ("clients.pem", "", "there is no certificate in"),
        ("clients.pem", &not_der("CERTIFICATE"), "a certificate in"),
        ("list.pem", "", "there is no revocation list in"),
        ("list.pem", &good.pem, "there is no revocation list in"),
        ("list.pem", &not_der("X509 CRL"), "a revocation list in"),
        ("list.pem", "0\x03abc", "a revocation list in"),
        ("list.pem", &list.repeat(2), "has the same issuer and scope as another"),
    ];
    for (name, text, expected) in rows {
        let stage = Stage { clients: Authority::new("for clients"), ..Stage::new() };
        stage.write("list.pem", &list);
        load(&stage.settings(true, &["list.pem"])).expect("valid before");
        let path = stage.write(name, text);
        let error = load(&stage.settings(true, &["list.pem"])).expect_err(expected);
        let error = error.to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.contains(&path.display().to_string()), "{name}: {error}");
    }
    for name in ["proxy.pem", "proxy.key", "clients.pem", "list.pem"] {
        let stage = Stage::new();
        stage.write("list.pem", &list);
        let path = stage.folder.path().join(name);
        std::fs::remove_file(&path).expect("there");
        let settings = stage.settings(true, &["list.pem"]);
        assert!(matches!(load(&settings), Err(Error::Read { path: of, .. }) if of == path));
        std::fs::create_dir(&path).expect("created");
        assert!(matches!(load(&settings), Err(Error::NotAFile(of)) if of == path));
        std::fs::remove_dir(&path).expect("removed");
        let sparse = std::fs::File::create(&path).expect("created");
        sparse.set_len(1 << 31).expect("a sparse file");
        assert!(matches!(load(&settings), Err(Error::TooLong(of)) if of == path));
    }
}

#[test]
fn what_should_be_looked_at_is_said() {
    let stage = Stage::new();
    let settings = stage.settings(false, &[]);
    assert_eq!(load(&settings).expect("valid").warnings, []);
    let all = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&settings.key, all).expect("set");
    let old = stage.proxy.issue(1, |params| params.not_after = date_time_ymd(2024, 1, 1));
    stage.write("proxy.pem", old.pem);
    let key = Warning::KeyReadableByAll(settings.key.clone());
    let certificate = Warning::CertificateNotValid(settings.certificate.clone());
    std::fs::write(&settings.key, old.key.serialize_pem()).expect("written");
    assert_eq!(load(&settings).expect("valid").warnings, [certificate, key]);
}
