//! Contoso's registry as Azure has it, every part of which can be broken: nginx in front, Debian's docker-registry behind
//! it with token authentication, tokens that it verifies, nginx as data endpoint, dnsmasq, and a recorder as storage.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use test_support::{
    Authority, Dns, Finished, Identity, Image, Namespace, Network, Program, Recorder, Registry,
    Ringfence, Running, address, skip,
};

/// What the parts say and do. The default is in order.
#[derive(Clone)]
pub(crate) struct Setup {
    /// Names and addresses.
    pub(crate) dns: Vec<(&'static str, &'static str)>,
    pub(crate) front: Front,
    pub(crate) registry: Behind,
    pub(crate) data: Data,
    /// nftables rules for what goes out where the program runs.
    pub(crate) rules: &'static str,
    pub(crate) list: &'static str,
}

/// The login server: what nginx answers.
#[derive(Clone, PartialEq)]
pub(crate) struct Front {
    pub(crate) certificate: Certificate,
    pub(crate) api: String,
    pub(crate) token: &'static str,
}

/// What docker-registry is told.
#[derive(Clone, PartialEq)]
pub(crate) struct Behind {
    pub(crate) realm: &'static str,
    pub(crate) service: &'static str,
    /// Where it sends for blobs.
    pub(crate) blobs: &'static str,
}

/// The data endpoint: what nginx answers.
#[derive(Clone, PartialEq)]
pub(crate) struct Data {
    pub(crate) on: bool,
    pub(crate) certificate: Certificate,
    pub(crate) answer: &'static str,
}

/// What a server shows.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Certificate {
    Good,
    Expired,
    Early,
    OtherName,
    Stranger,
    /// For clients, and not for servers.
    ForClients,
    /// No TLS at all.
    None,
}

impl Default for Setup {
    fn default() -> Self {
        let api = "proxy_pass http://127.0.0.1:5000; proxy_set_header Host $http_host;".to_owned();
        Self {
            dns: vec![
                (LOGIN, address::LOGIN),
                (EASTUS, address::EASTUS),
                (STORAGE, address::STRANGER),
                (OTHER, address::STRANGER),
            ],
            front: Front { certificate: Certificate::Good, api, token: TOKEN },
            registry: Behind { realm: REALM, service: LOGIN, blobs: BLOBS },
            data: Data { on: true, certificate: Certificate::Good, answer: FILES },
            rules: "",
            list: LIST,
        }
    }
}

/// A running scene; only what changes is started anew.
pub(crate) struct Scene {
    front: Option<(Front, Running)>,
    registry: Option<(Behind, Running)>,
    data: Option<(Data, Option<Running>)>,
    dns: Option<(Vec<(&'static str, &'static str)>, Dns)>,
    pub(crate) storage: Recorder,
    files: PathBuf,
    list: PathBuf,
    stranger: Authority,
    pub(crate) image: Image,
    pub(crate) network: Network,
}

impl Scene {
    /// None where the machine can't: that has been said.
    pub(crate) fn open() -> Result<Option<Self>> {
        let Some(network) = Network::open(&["nft", "curl", "unshare"])? else {
            return Ok(None);
        };
        // It is filled without authentication, and then served with it.
        let registry = Registry::start(&network, LOGIN, address::LOGIN, EASTUS)?;
        let image = Image::write(&network.path("image"))?;
        registry.seed(&network, &image)?;
        seed_index(&network)?;
        let files = registry.storage().to_owned();
        drop(registry);
        write_token(&network)?;
        Ok(Some(Self {
            front: None,
            registry: None,
            data: None,
            dns: None,
            storage: Recorder::start(&network, STORAGE, address::STRANGER)?,
            files,
            list: network.path("allowlist.toml"),
            stranger: Authority::create()?,
            image,
            network,
        }))
    }

    /// Makes everything as `setup` says.
    pub(crate) fn set(&mut self, setup: &Setup) -> Result<()> {
        let Self { front, registry, data, dns, network, files, stranger, .. } = self;
        renew(registry, &setup.registry, |behind| start_registry(network, files, behind))?;
        renew(front, &setup.front, |front| start_front(network, stranger, front))?;
        renew(data, &setup.data, |data| start_data(network, stranger, files, data))?;
        renew(dns, &setup.dns, |names| Dns::start(network, names))?;
        let rules = format!(
            "flush ruleset\ntable inet tests {{\nchain out {{\n\
             type filter hook output priority 0;\n{}\n}}\n}}\n",
            setup.rules
        );
        network.firewall(&network.gate, &rules)?;
        std::fs::write(&self.list, setup.list)?;
        Ok(())
    }

    /// The name server's questions since it was started.
    pub(crate) fn dns(&self) -> &Dns {
        &self.dns.as_ref().expect("set before it is asked").1
    }

    /// What the data endpoint was asked for since it was started.
    pub(crate) fn data_log(&self) -> Vec<String> {
        let running = self.data.as_ref().and_then(|(_, running)| running.as_ref());
        running.map(|running| running.stdout.lines()).unwrap_or_default()
    }

    pub(crate) fn list(&self) -> &Path {
        &self.list
    }

    /// The program in a namespace, told whom to ask and to trust.
    pub(crate) fn program(&self, command: &str, namespace: &Namespace) -> Program {
        self.program_by(address::DNS, command, namespace)
    }

    fn program_by(&self, resolver: &str, command: &str, namespace: &Namespace) -> Program {
        let program = Program::new(env!("CARGO_BIN_EXE_allowlist-gen")).inside(namespace);
        let program = program.arg(command).arg(&self.list).args(["--resolver", resolver]);
        program.arg("--ca").arg(self.network.authority_file())
    }

    /// Verifies from the gate, which has a way out of its own.
    pub(crate) fn verify(&self, arguments: &[&str]) -> Result<Report> {
        self.verify_by(address::DNS, arguments)
    }

    /// The same, asking this name server.
    pub(crate) fn verify_by(&self, resolver: &str, arguments: &[&str]) -> Result<Report> {
        let program = self.program_by(resolver, "verify", &self.network.gate);
        Report::of(program.args(["--format", "json"]).args(arguments).run()?)
    }

    /// The real proxy in the gate, enforcing `list`. None if it isn't built: that has been said.
    pub(crate) fn proxy(&self, list: &str) -> Result<Option<Ringfence>> {
        let Some(binary) = ringfence() else {
            return Ok(None);
        };
        let file = self.network.write("enforced.toml", list)?;
        let resolver = self.dns().address();
        let arguments =
            ["--allowlist".as_ref(), file.as_os_str(), "--resolver".as_ref(), resolver.as_ref()];
        Ringfence::at_gate(&binary, &self.network, arguments).map(Some)
    }

    /// The same, on port 3129 of the gate, for clients that speak TLS with it and give a password.
    pub(crate) fn secure_proxy(&self, list: &str) -> Result<Option<Ringfence>> {
        let Some(binary) = ringfence() else {
            return Ok(None);
        };
        let network = &self.network;
        let identity = network.authority.issue(&[address::GATE])?;
        network.write("enforced.toml", list)?;
        network.write("tls.crt", &identity.certificate_pem)?;
        network.write("tls.key", &identity.key_pem)?;
        network.write("users", USERS)?;
        let config = format!(
            "resolver = [\"{}\"]\n[tls]\nlisten = \"{}:3129\"\ncertificate = \"tls.crt\"\n\
             key = \"tls.key\"\n[credentials]\nusers = \"users\"\n[[client]]\nname = \"build\"\n\
             user = [\"user\"]\nallowlist = [\"enforced.toml\"]\n",
            self.dns().address(),
            address::GATE
        );
        let config = network.write("ringfence.toml", &config)?;
        Ringfence::configured(Program::new(binary), &network.gate, &config).map(Some)
    }
}

/// What the program said with `--format json`.
pub(crate) struct Report {
    pub(crate) code: i32,
    pub(crate) json: Value,
    pub(crate) finished: Finished,
}

impl Report {
    pub(crate) fn of(finished: Finished) -> Result<Self> {
        let code = finished.status.code().context("no exit code")?;
        ensure!(code != 2, "{finished}");
        let json: Value = serde_json::from_str(&finished.stdout).context("JSON")?;
        ensure!(json["schema"] == 1, "{json}");
        let failed = json["summary"]["failed"].as_u64().context("a number")?;
        ensure!((failed > 0) == (code == 1), "{finished}");
        Ok(Self { code, json, finished })
    }

    /// What the step of a host came to, which happened once.
    pub(crate) fn check(&self, host: &str, step: &str) -> Result<&Value> {
        let checks = self.json["checks"].as_array().context("checks")?;
        let mut found =
            checks.iter().filter(|check| check["host"] == host && check["step"] == step);
        let check =
            found.next().with_context(|| format!("no {step} of {host}: {}", self.finished))?;
        ensure!(found.next().is_none(), "{step} of {host} twice: {}", self.finished);
        Ok(check)
    }

    /// Wants this outcome of the step.
    pub(crate) fn expect(&self, host: &str, step: &str, outcome: &str) -> Result<&Value> {
        let check = self.check(host, step)?;
        ensure!(check["outcome"] == outcome, "{outcome} of {step} expected: {}", self.finished);
        Ok(check)
    }

    /// Wants the step not to be there.
    pub(crate) fn expect_none(&self, host: &str, step: &str) -> Result<()> {
        ensure!(self.check(host, step).is_err(), "{step} of {host}: {}", self.finished);
        Ok(())
    }

    /// Wants these to be all failures, in any order.
    pub(crate) fn expect_failures(&self, expected: &[(&str, &str, &str)]) -> Result<()> {
        let checks = self.json["checks"].as_array().context("checks")?;
        let failures = checks.iter().filter(|check| check["verdict"] == "failed").count();
        ensure!(failures == expected.len(), "{expected:?} expected: {}", self.finished);
        expected
            .iter()
            .try_for_each(|(host, step, outcome)| self.expect(host, step, outcome).map(drop))
    }
}

/// The proxy's program, beside ours. None if it isn't built: that has been said.
fn ringfence() -> Option<String> {
    let binary = Path::new(env!("CARGO_BIN_EXE_allowlist-gen")).with_file_name("ringfence");
    let is_built = binary.exists() || skip("`ringfence` is not built: cargo build -p ringfence");
    is_built.then(|| binary.display().to_string())
}

fn renew<C: Clone + PartialEq, R>(
    part: &mut Option<(C, R)>,
    wanted: &C,
    start: impl FnOnce(&C) -> Result<R>,
) -> Result<()> {
    if part.as_ref().is_none_or(|(known, _)| known != wanted) {
        // The one before has the port.
        *part = None;
        *part = Some((wanted.clone(), start(wanted)?));
    }
    Ok(())
}

/// <https://distribution.github.io/distribution/about/configuration/>
fn start_registry(network: &Network, files: &Path, behind: &Behind) -> Result<Running> {
    let Behind { realm, service, blobs } = behind;
    let config = format!(
        "\
version: 0.1
storage:
  filesystem:
    rootdirectory: {}
middleware:
  storage:
    - name: redirect
      options:
        baseurl: {blobs}
auth:
  token:
    realm: {realm}
    service: {service}
    issuer: {ISSUER}
    rootcertbundle: {}
http:
  addr: 127.0.0.1:5000
  secret: one replica only
",
        files.display(),
        network.authority_file().display(),
    );
    let config = network.write("registry.yaml", &config)?;
    let program = Program::new("docker-registry").inside(&network.world).arg("serve");
    let running = program.arg(config).start()?;
    running.stderr.wait_for_line(|line| line.contains("listening on"))?;
    Ok(running)
}

fn start_front(network: &Network, stranger: &Authority, front: &Front) -> Result<Running> {
    let Front { certificate, api, token } = front;
    let token = token.replace("TOKEN-FILE", &network.path("token.json").display().to_string());
    let locations = format!("location = /oauth2/token {{ {token} }}\nlocation /v2/ {{ {api} }}");
    start_nginx(network, stranger, LOGIN, address::LOGIN, *certificate, &locations)
}

fn start_data(
    network: &Network,
    stranger: &Authority,
    files: &Path,
    data: &Data,
) -> Result<Option<Running>> {
    let Data { on, certificate, answer } = data;
    if !on {
        return Ok(None);
    }
    let location = format!("root {}; location / {{ {answer} }}", files.display());
    start_nginx(network, stranger, EASTUS, address::EASTUS, *certificate, &location).map(Some)
}

fn start_nginx(
    network: &Network,
    stranger: &Authority,
    host: &str,
    address: &str,
    certificate: Certificate,
    locations: &str,
) -> Result<Running> {
    let identity = identity(network, stranger, host, certificate)?;
    let pem = network.write(&format!("{host}.pem"), &identity.certificate_pem)?;
    let key = network.write(&format!("{host}.key"), &identity.key_pem)?;
    let ssl = if certificate == Certificate::None { "" } else { "ssl" };
    let config = format!(
        "\
daemon off;
master_process off;
pid {0}/{host}.pid;
error_log stderr notice;
events {{}}
http {{
    access_log /dev/stdout;
    default_type application/json;
    server {{
        listen {address}:443 {ssl};
        ssl_certificate {1};
        ssl_certificate_key {2};
        {locations}
    }}
}}
",
        network.directory().display(),
        pem.display(),
        key.display(),
    );
    let config = network.write(&format!("{host}.conf"), &config)?;
    let nginx = Program::new("nginx").inside(&network.world).args(["-e", "stderr", "-c"]);
    let running = nginx.arg(config).start()?;
    running.stderr.wait_for_line(|line| line.contains("OS: Linux"))?;
    Ok(running)
}

fn identity(
    network: &Network,
    stranger: &Authority,
    host: &str,
    certificate: Certificate,
) -> Result<Identity> {
    match certificate {
        Certificate::Good | Certificate::None => network.authority.issue(&[host]),
        Certificate::Expired => network.authority.issue_until(&[host], 2020),
        Certificate::Early => network.authority.issue_from(&[host], 4000),
        Certificate::OtherName => network.authority.issue(&["fabrikam.azurecr.io"]),
        Certificate::Stranger => stranger.issue(&[host]),
        Certificate::ForClients => network.authority.issue_for_client(&[host]),
    }
}

/// Tags an index of the image as `app:index`, as `docker buildx` would push it.
fn seed_index(network: &Network) -> Result<()> {
    let index = network.path("image/index.json");
    let mut document: Value = serde_json::from_str(&std::fs::read_to_string(index)?)?;
    document["mediaType"] = "application/vnd.oci.image.index.v1+json".into();
    document["manifests"][0].as_object_mut().context("a descriptor")?.remove("annotations");
    let file = network.write("pushed.json", &document.to_string())?;
    let curl = network.unproxied("curl", &network.world).args(["-sS", "--fail", "-X", "PUT"]);
    let curl = curl.args(["-H", "Content-Type: application/vnd.oci.image.index.v1+json"]);
    let url = format!("https://{}/v2/app/manifests/index", address::LOGIN);
    curl.arg("--data-binary").arg(format!("@{}", file.display())).arg(url).run()?.succeeded()?;
    Ok(())
}

/// A token that docker-registry verifies: <https://distribution.github.io/distribution/spec/auth/jwt/>.
fn write_token(network: &Network) -> Result<()> {
    let Identity { certificate_der, key_der, .. } = network.authority.issue(&["token.example"])?;
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key_der, &random)
        .map_err(anyhow::Error::msg)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(certificate_der)] });
    let claims = json!({
        "iss": ISSUER, "sub": "", "aud": LOGIN, "exp": now + 3600, "nbf": now - 60, "iat": now - 60,
        "jti": "1", "access": [{ "type": "repository", "name": "app", "actions": ["pull"] }],
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = key.sign(&random, signed.as_bytes()).map_err(anyhow::Error::msg)?;
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    network.write("token.json", &json!({ "access_token": token }).to_string())?;
    Ok(())
}

pub(crate) const LOGIN: &str = "contoso.azurecr.io";
pub(crate) const EASTUS: &str = "contoso.eastus.data.azurecr.io";
/// Another registry's data endpoint, at the recorder's address.
pub(crate) const OTHER: &str = "fabrikam.eastus.data.azurecr.io";
pub(crate) const STORAGE: &str = "eusmanaged70.blob.core.windows.net";
pub(crate) const REALM: &str = "https://contoso.azurecr.io/oauth2/token";
pub(crate) const BLOBS: &str = "https://contoso.eastus.data.azurecr.io/";
pub(crate) const LIST: &str = r#"schema = 1
[[entry]]
host = "contoso.azurecr.io"
role = "login"
registry = "contoso"
[[entry]]
host = "contoso.eastus.data.azurecr.io"
role = "data"
registry = "contoso"
region = "eastus"
"#;
/// What nginx does at a data endpoint.
const FILES: &str = "try_files $uri =404;";
/// Whoever asks for the repository gets the token, as with anonymous pull; otherwise it is a login, which needs some.
const TOKEN: &str = "if ($arg_scope = \"\") { return 401; } alias TOKEN-FILE;";
/// The same, for `user:secret` alone.
pub(crate) const TOKEN_FOR_USER: &str =
    "if ($http_authorization != \"Basic dXNlcjpzZWNyZXQ=\") { return 401; } alias TOKEN-FILE;";
const ISSUER: &str = "tests";
/// Of a user called `user` whose password is `secret`, as `htpasswd -B` writes it.
const USERS: &str = "user:$2b$10$MOSjTy9AOG5nHw8ekGbpvO5XajYnM5../f8w6hHL4IcFHfOVBiDWW\n";
