//! Where clients ask for hosts: a namespace in which every name is known, all of them at one address, and the only
//! way around that address is a proxy. Both write down what they are asked for, and refuse it.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result};
use rustls::server::Acceptor;
use tempfile::TempDir;
use test_support::{Namespace, PATIENCE, Program};

/// The stage, with all its hosts listening.
pub(crate) struct Stage {
    pub(crate) namespace: Namespace,
    folder: TempDir,
    seen: Arc<Mutex<Seen>>,
}

/// Which hosts were asked for, and which way: in lower case and in the order of the questions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// By the server name that the client sent when it came directly; by the address, if it sent none.
    pub(crate) direct: Vec<String>,
    /// By the authority of the request to the proxy, without the port 443.
    pub(crate) proxied: Vec<String>,
}

impl Stage {
    /// A stage on which these names, and none else, are known.
    pub(crate) fn open<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let namespace = Namespace::create("clients")?;
        for address in [HOSTS, PROXY, PRIVATE] {
            namespace.ip(&["address", "add", &format!("{address}/32"), "dev", "lo"])?;
        }
        let stage = Self { namespace, folder: tempfile::tempdir()?, seen: Arc::default() };
        stage.listen("0.0.0.0:443", |stream, seen| {
            let name = server_name(&stream)?;
            let name =
                name.map_or_else(|| stream.local_addr().map(|own| own.ip().to_string()), Ok)?;
            seen.lock().expect("no panic").direct.push(name.to_ascii_lowercase());
            Ok(())
        })?;
        stage.listen(&format!("{PROXY}:3128"), |mut stream, seen| {
            let request = head(&stream)?;
            seen.lock().expect("no panic").proxied.push(asked_for(&request));
            stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        })?;
        let mut known = format!("127.0.0.1 localhost\n{PROXY} {PROXY_NAME}\n");
        for name in names {
            writeln!(known, "{HOSTS} {name}")?;
        }
        stage.write("hosts", &known)?;
        Ok(stage)
    }

    /// Answers everyone who connects to `address` on a thread of their own, for as long as the process lives.
    pub(crate) fn listen(
        &self,
        address: &str,
        answer: impl Fn(TcpStream, &Mutex<Seen>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        let listener = self.namespace.enter(|| TcpListener::bind(address))?;
        let listener = listener.with_context(|| format!("listen on {address}"))?;
        let (answer, seen) = (Arc::new(answer), self.seen.clone());
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (answer, seen) = (answer.clone(), seen.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    answer(stream, &seen)
                });
            }
        });
        Ok(())
    }

    /// A program on the stage. Its home is a folder that goes when the stage goes.
    pub(crate) fn program(&self, program: impl AsRef<Path>) -> Program {
        // A mount that only this program sees.
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        Program::new("unshare")
            .inside(&self.namespace)
            .env("HOME", self.folder.path())
            .args(["--mount", "sh", "-c", script])
            .arg(self.path("hosts"))
            .arg(program.as_ref())
    }

    /// Where a file of that name lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file for a program to read.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// What was asked for since the last time.
    pub(crate) fn seen(&self) -> Seen {
        let mut seen = std::mem::take(&mut *self.seen.lock().expect("no panic"));
        for side in [&mut seen.direct, &mut seen.proxied] {
            side.sort();
            side.dedup();
        }
        seen
    }
}

/// What a client calls the server in its first message.
fn server_name(mut stream: &TcpStream) -> io::Result<Option<String>> {
    let mut acceptor = Acceptor::default();
    loop {
        acceptor.read_tls(&mut stream)?;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                return Ok(accepted.client_hello().server_name().map(str::to_owned));
            }
            Ok(None) => {}
            Err((error, _)) => return Err(io::Error::other(error)),
        }
    }
}

/// A request's lines up to the empty one.
pub(crate) fn head(stream: &TcpStream) -> io::Result<Vec<String>> {
    let lines = BufReader::new(stream).lines();
    lines.take_while(|line| line.as_ref().map_or(true, |line| !line.is_empty())).collect()
}

/// The host of `CONNECT host:443 HTTP/1.1`; of any other request the whole line, which is no host.
fn asked_for(request: &[String]) -> String {
    let line = request.first().map(|line| line.to_ascii_lowercase()).unwrap_or_default();
    let host = line.strip_prefix("connect ").and_then(|rest| rest.split(' ').next());
    host.and_then(|host| host.strip_suffix(":443")).map_or_else(|| line.clone(), str::to_owned)
}

/// Where all hosts are.
const HOSTS: &str = "10.99.0.1";
/// Where the proxy of `lists::options` is.
const PROXY: &str = "10.99.0.2";
const PROXY_NAME: &str = "proxy.corp.example";
/// A private address on the list `contoso`, for those who ask for it without a name.
pub(crate) const PRIVATE: &str = "10.20.0.6";
