//! A fake of Azure: an authority that issues tokens and a resource manager that shows fixtures, on one address, over
//! TLS. It remembers every request, so that tests see what was sent, and to whom.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{Authority, Namespace, Program};

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    /// A field of the form that asks for a token, or a part of the query, decoded as far as tests need it.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let form = if self.body.is_empty() { &self.query } else { &self.body };
        let prefix = format!("{name}=");
        let value = form.split('&').find_map(|part| part.strip_prefix(prefix.as_str()))?;
        Some(decode(value))
    }

    pub(crate) fn is_for_token(&self) -> bool {
        self.path.ends_with("/oauth2/v2.0/token") || self.path.starts_with("/metadata/")
    }
}

/// What comes back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// What `Content-Length` says, if it lies.
    length: Option<usize>,
}

impl Reply {
    pub(crate) fn json(body: &Value) -> Self {
        Self::text(&body.to_string())
    }

    /// Of the right type, whatever it holds.
    pub(crate) fn text(body: &str) -> Self {
        let headers = vec![("Content-Type", "application/json; charset=utf-8".to_owned())];
        Self { status: 200, headers, body: body.to_owned(), length: None }
    }

    /// One of ARM's errors.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({ "error": { "code": code, "message": message } });
        Self { status, ..Self::json(&body) }
    }

    /// What ARM says to those who may not.
    pub(crate) fn forbidden() -> Self {
        let message = "The client 'builder' with object id '0' does not have authorization to perform action \
                       'Microsoft.Fake/read' over scope '/subscriptions/s' or the scope is invalid.";
        Self::error(403, "AuthorizationFailed", message)
    }

    pub(crate) fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.retain(|(name, _)| *name != header);
        self.headers.push((header, value.to_owned()));
        self
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Promises more than it sends.
    pub(crate) fn cut_off(mut self) -> Self {
        self.length = Some(self.body.len() + 100);
        self
    }
}

/// The fake; dropping it ends it.
pub(crate) struct Azure {
    address: SocketAddr,
    folder: TempDir,
    state: Arc<State>,
}

struct State {
    replies: Mutex<HashMap<String, Script>>,
    requests: Mutex<Vec<Request>>,
    tokens: Mutex<Tokens>,
    connections: AtomicUsize,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Script {
    first: VecDeque<Reply>,
    then: Option<Reply>,
}

/// How tokens are issued.
struct Tokens {
    issued: usize,
    /// How long they say that they are good.
    lifetime: u64,
    /// How many requests a token is really good for.
    uses: usize,
    /// Per token, what is left of it.
    left: HashMap<String, usize>,
}

impl Azure {
    /// On the loopback of this machine.
    pub(crate) fn start() -> Result<Self> {
        Self::listen(None)
    }

    /// On the loopback of a namespace.
    pub(crate) fn start_inside(namespace: &Namespace) -> Result<Self> {
        Self::listen(Some(namespace))
    }

    fn listen(namespace: Option<&Namespace>) -> Result<Self> {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let listener = namespace.map_or_else(|| Ok(bind()), |inside| inside.enter(bind))??;
        let address = listener.local_addr()?;
        let authority = Authority::create()?;
        let identity = authority.issue(&["127.0.0.1", "localhost"])?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.pem"), authority.pem())?;
        let key = PrivateKeyDer::try_from(identity.key_der).map_err(anyhow::Error::msg)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate_der.into()], key)?;
        let config = Arc::new(config);
        let state = Arc::new(State {
            replies: Mutex::default(),
            requests: Mutex::default(),
            tokens: Mutex::new(Tokens {
                issued: 0,
                lifetime: 3600,
                uses: usize::MAX,
                left: HashMap::new(),
            }),
            connections: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        accept(listener, state.clone(), move |stream| {
            let connection = ServerConnection::new(config.clone()).ok()?;
            Some(StreamOwned::new(connection, stream))
        });
        Ok(Self { address, folder, state })
    }

    /// Listens without TLS, too, as the services of a machine do that know its identity.
    pub(crate) fn listen_plainly(
        &self,
        namespace: &Namespace,
        address: &str,
    ) -> Result<SocketAddr> {
        let listener = namespace.enter(|| TcpListener::bind(address))?.context("bind")?;
        let address = listener.local_addr()?;
        accept(listener, self.state.clone(), Some);
        Ok(address)
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A file of the authority that vouches for it.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Always answers so.
    pub(crate) fn on(&self, path: &str, reply: Reply) {
        self.script(path, |script| script.then = Some(reply));
    }

    /// Answers so once, before whatever comes always.
    pub(crate) fn once(&self, path: &str, reply: Reply) {
        self.script(path, |script| script.first.push_back(reply));
    }

    fn script(&self, path: &str, change: impl FnOnce(&mut Script)) {
        let mut replies = self.state.replies.lock().expect(UNBROKEN);
        change(replies.entry(path.to_ascii_lowercase()).or_default());
    }

    /// From now on tokens say that they are good for so many seconds.
    pub(crate) fn token_lifetime(&self, seconds: u64) {
        self.state.tokens.lock().expect(UNBROKEN).lifetime = seconds;
    }

    /// From now on a token is good for so many requests, whatever it says.
    pub(crate) fn token_uses(&self, uses: usize) {
        self.state.tokens.lock().expect(UNBROKEN).uses = uses;
    }

    /// How often anyone connected, with or without a request.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// All that arrived.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().expect(UNBROKEN).clone()
    }

    /// What arrived at the resource manager.
    pub(crate) fn arm_requests(&self) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|request| request.path.starts_with("/subscriptions"))
            .collect()
    }

    /// What asked for a token.
    pub(crate) fn token_requests(&self) -> Vec<Request> {
        self.requests().into_iter().filter(Request::is_for_token).collect()
    }

    /// The program, told to ask this fake.
    pub(crate) fn program(&self, arguments: &[&str]) -> Program {
        let ca = self.ca();
        let url = self.url();
        Program::new(env!("CARGO_BIN_EXE_allowlist-gen"))
            .args(arguments)
            .args(["--arm-endpoint", &url, "--authority", &url, "--azure-ca"])
            .arg(ca)
    }

    /// The same, as a service principal with its secret.
    pub(crate) fn discover(&self, arguments: &[&str]) -> Program {
        self.ask(&[&["discover"], arguments].concat())
    }

    /// Any command, as a service principal with its secret.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Program {
        self.program(arguments)
            .env("AZURE_TENANT_ID", TENANT)
            .env("AZURE_CLIENT_ID", CLIENT)
            .env("AZURE_CLIENT_SECRET", SECRET)
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
    }
}

/// Serves connections until the fake is over, or nothing comes for long.
fn accept<S: Read + Write>(
    listener: TcpListener,
    state: Arc<State>,
    wrap: impl Fn(TcpStream) -> Option<S> + Send + Sync + 'static,
) {
    let wrap = Arc::new(wrap);
    thread::spawn(move || {
        for stream in listener.incoming() {
            if state.is_over.load(Ordering::SeqCst) {
                return;
            }
            state.connections.fetch_add(1, Ordering::SeqCst);
            let (state, wrap) = (state.clone(), wrap.clone());
            let Ok(stream) = stream else { return };
            thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_mins(1)));
                if let Some(stream) = wrap(stream) {
                    serve(&state, stream);
                }
            });
        }
    });
}

/// One connection, until the client leaves or a reply was a lie.
fn serve<S: Read + Write>(state: &State, stream: S) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let reply = state.answer(&request);
        let length = reply.length.unwrap_or(reply.body.len());
        let mut text = format!("HTTP/1.1 {} Fake\r\nContent-Length: {length}\r\n", reply.status);
        for (name, value) in &reply.headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text += "\r\n";
        text += &reply.body;
        let stream = reader.get_mut();
        if stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).is_err()
            || reply.length.is_some()
        {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (path, query) = (decode(path), query.to_owned());
    Some(Request { method, path, query, headers, body: String::from_utf8(body).ok()? })
}

impl State {
    fn answer(&self, request: &Request) -> Reply {
        self.requests.lock().expect(UNBROKEN).push(request.clone());
        let scripted = self.scripted(&request.path);
        if request.is_for_token() {
            return scripted.unwrap_or_else(|| self.issue(request));
        }
        if let Some(tenant) = request.path.strip_suffix("/v2.0/.well-known/openid-configuration") {
            return openid(request, tenant);
        }
        if request.path.starts_with("/subscriptions") {
            if !self.take(request) {
                let message = "The access token expiry UTC time is earlier than current UTC time.";
                return Reply::error(401, "ExpiredAuthenticationToken", message);
            }
            if request.field("api-version").is_none() {
                return Reply::error(
                    400,
                    "MissingApiVersionParameter",
                    "The api-version is missing.",
                );
            }
        }
        scripted.unwrap_or_else(|| Reply::error(404, "ResourceNotFound", "It was not found."))
    }

    fn scripted(&self, path: &str) -> Option<Reply> {
        let mut replies = self.replies.lock().expect(UNBROKEN);
        let script = replies.get_mut(&path.to_ascii_lowercase())?;
        script.first.pop_front().or_else(|| script.then.clone())
    }

    fn issue(&self, request: &Request) -> Reply {
        let mut tokens = self.tokens.lock().expect(UNBROKEN);
        tokens.issued += 1;
        let token = format!("token-{}", tokens.issued);
        let uses = tokens.uses;
        tokens.left.insert(token.clone(), uses);
        let until = std::time::SystemTime::now() + Duration::from_secs(tokens.lifetime);
        let until = until.duration_since(std::time::UNIX_EPOCH).expect("later").as_secs();
        Reply::json(&json!({
            "token_type": "Bearer",
            "access_token": token,
            "expires_in": tokens.lifetime,
            "ext_expires_in": tokens.lifetime,
            // The machine's services say when, in text, and for what.
            "expires_on": until.to_string(),
            "resource": request.field("resource").unwrap_or_default(),
        }))
    }

    fn take(&self, request: &Request) -> bool {
        let mut tokens = self.tokens.lock().expect(UNBROKEN);
        let header = request.headers.get("authorization");
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        let Some(left) = token.and_then(|token| tokens.left.get_mut(token)) else { return false };
        let is_good = *left > 0;
        *left = left.saturating_sub(1);
        is_good
    }
}

/// <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata>
fn openid(request: &Request, tenant: &str) -> Reply {
    let base = format!("https://{}{tenant}", request.headers["host"]);
    Reply::json(&json!({
        "issuer": format!("{base}/v2.0"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
    }))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits =
                    [rest.next(), rest.next()].map(|digit| char::from(digit.unwrap_or(b'0')));
                u8::from_str_radix(&digits.iter().collect::<String>(), 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).expect("UTF-8")
}

pub(crate) const TENANT: &str = "99999999-8888-7777-6666-555555555555";
pub(crate) const CLIENT: &str = "77777777-0000-0000-0000-000000000001";
pub(crate) const SECRET: &str = "hunter2-is-the-secret";

const UNBROKEN: &str = "nothing panics while it holds this";
