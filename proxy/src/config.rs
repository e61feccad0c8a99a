//! Turns a configuration file, the environment and flags into one checked [`Config`].

mod file;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use ringfence_config::snippet::{self, Place, Source};

use crate::client::{Group, GroupName, Listener};
use crate::lists::vintage;
use crate::lists::{Catalog, Sources};
use crate::policy::Rules;
use crate::reception::tls;
use crate::tunnel::Limits;
use crate::upstream::parent::{self, Parent};
use crate::{admission, admission::budget, head, hello, log, probe, relay, upstream};

/// Everything a running proxy was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect, and what they speak there.
    pub listeners: Vec<(Listener, SocketAddr)>,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub admin: SocketAddr,
    /// The load balancers that begin with a PROXY header.
    pub balancers: Vec<IpNet>,
    /// How TLS is spoken on its listener.
    pub tls: Option<tls::Settings>,
    /// The users that clients can be.
    pub users: Option<PathBuf>,
    /// Who clients are.
    pub groups: Vec<Group>,
    /// What each group is allowed.
    pub catalog: Catalog,
    /// What happens to lists that are too old.
    pub vintage: vintage::Rules,
    /// Where their serials are remembered over restarts.
    pub state: Option<PathBuf>,
    /// The DNS servers; those of `/etc/resolv.conf` if there are none.
    pub resolvers: Vec<SocketAddr>,
    /// What it says about addresses.
    pub rules: Rules,
    /// Through whom hosts are reached, if not directly.
    pub parent: Option<Arc<Parent>>,
    /// Threads that serve connections.
    pub workers: NonZeroUsize,
    /// How many connections come in.
    pub admission: admission::Limits,
    /// How much the clients of each group may send, in the order of the groups.
    pub budgets: Vec<Option<budget::Limit>>,
    /// How long the proxy goes on serving after SIGTERM, when it is no longer ready.
    pub grace: Duration,
    /// How long live tunnels may go on after that.
    pub drain: Duration,
    /// Where the access log goes, and how much depends on it.
    pub log: log::Settings,
    /// What is tried in the background.
    pub probe: probe::Settings,
    /// The limits of a connection's stages.
    pub limits: Limits,
}

/// The settings that flags and the environment can give. They replace those of the file.
#[derive(Debug, Default, Clone, Args)]
pub struct Options {
    /// Read settings from this file; see `config/ringfence.toml` for every key.
    #[arg(long, value_name = "FILE", env = "RINGFENCE_CONFIG")]
    pub config: Option<PathBuf>,

    /// Serve clients here [default: 127.0.0.1:3128].
    #[arg(long, value_name = "IP:PORT", env = "RINGFENCE_LISTEN")]
    pub listen: Option<SocketAddr>,

    /// Serve /metrics, /healthz and /readyz here [default: 127.0.0.1:9180].
    #[arg(long, value_name = "IP:PORT", env = "RINGFENCE_ADMIN")]
    pub admin: Option<SocketAddr>,

    /// Allow the hosts of this list; several times, or several with commas between.
    #[arg(long, value_name = "FILE", env = "RINGFENCE_ALLOWLIST", value_delimiter = ',')]
    pub allowlist: Vec<PathBuf>,

    /// Allow the hosts of the registries in this metadata (`az acr show`, …); several as above.
    #[arg(long, value_name = "METADATA.json", env = "RINGFENCE_REGISTRY", value_delimiter = ',')]
    pub registry: Vec<PathBuf>,

    /// Ask this DNS server instead of those in /etc/resolv.conf; several as above.
    #[arg(long, value_name = "IP:PORT", env = "RINGFENCE_RESOLVER", value_delimiter = ',')]
    pub resolver: Vec<SocketAddr>,
}

/// Why there is no [`Config`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("can't read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file doesn't say what it should.
    #[error("{0}")]
    File(FileError),
    /// Nothing says what is allowed.
    #[error(
        "nothing is allowed yet: give `--allowlist FILE` or `--registry METADATA.json`, or set them in the configuration file"
    )]
    NoLists,
    /// Two listeners that can't both be bound.
    #[error(
        "{first} and {second} can't both be listened on; give each an address or a port of its own"
    )]
    Listeners {
        /// The one, and its key.
        first: Address,
        /// The other, and its key.
        second: Address,
    },
    /// The parent proxy's section.
    #[error(transparent)]
    Parent(#[from] parent::Error),
}

/// Where something listens, and the key that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    key: &'static str,
    at: SocketAddr,
}

impl Address {
    fn of(listener: Listener, at: SocketAddr) -> Self {
        let key = match listener {
            Listener::Plain => "listen",
            Listener::Tls | Listener::H2 => "tls.listen",
            Listener::Transparent => "transparent.listen",
        };
        Self { key, at }
    }

    /// Whether who listens here gets what is meant for `other`. Nobody knows yet which port 0 will be; and
    /// `[::]` is every IPv4 address, too, unless the machine is set up otherwise.
    fn covers(self, other: Self) -> bool {
        let (ip, others) = (self.at.ip().to_canonical(), other.at.ip().to_canonical());
        let wide = ip.is_unspecified() && (ip.is_ipv6() || others.is_ipv4());
        self.at.port() == other.at.port() && self.at.port() != 0 && (wide || self.is(other))
    }

    /// Whether it is the same IP address. Those of a link are one on each link.
    fn is(self, other: Self) -> bool {
        let link = |at| if let SocketAddr::V6(v6) = at { v6.scope_id() } else { 0 };
        self.at.ip().to_canonical() == other.at.ip().to_canonical()
            && link(self.at) == link(other.at)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{} = \"{}\"`", self.key, self.at)
    }
}

/// A mistake in the configuration file, and where it is.
#[derive(Debug)]
pub struct FileError {
    source: Source,
    span: std::ops::Range<usize>,
    message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Place { source: &self.source, span: self.span.clone(), label: "" };
        snippet::write(f, &self.message, &[place], None)
    }
}

impl Config {
    /// Reads the file that `options` name, and lets the options win.
    pub fn load(options: Options) -> Result<Self, Error> {
        let file = match &options.config {
            None => file::File::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| Error::Read { path: path.clone(), source })?;
                let folder = path.parent().unwrap_or(Path::new(""));
                file::File::parse(&path.display().to_string(), &text)?.relative_to(folder)
            }
        };
        let everyone = Sources {
            group: GroupName::everyone(),
            mode: file.mode,
            allowlists: either(options.allowlist, file.allowlist),
            registries: either(options.registry, file.registry),
        };
        let (mut groups, mut lists, mut budgets) = (Vec::new(), Vec::new(), Vec::new());
        for client in file.client {
            budgets.push(client.upload_budget.or(file.upload_budget).map(file::Budget::limit));
            let (group, sources) = client.split(file.mode);
            groups.push(group);
            lists.push(sources);
        }
        if !everyone.is_empty() {
            budgets.push(file.upload_budget.map(file::Budget::limit));
            groups.push(Group::everyone());
            lists.push(everyone);
        }
        if lists.is_empty() {
            return Err(Error::NoLists);
        }
        let tls = file.tls.as_ref().map(|section| section.listen);
        let transparent = file.transparent.map(|section| section.listen);
        let plain = options.listen.or(file.listen);
        // Without a word about listeners there is the usual one.
        let alone = tls.or(transparent).is_none();
        let plain = plain.or(alone.then_some(DEFAULT_LISTEN));
        let listeners =
            [(Listener::Plain, plain), (Listener::Tls, tls), (Listener::Transparent, transparent)];
        let listeners: Vec<_> =
            listeners.into_iter().filter_map(|(kind, at)| Some((kind, at?))).collect();
        let admin = options.admin.or(file.admin).unwrap_or(DEFAULT_ADMIN);
        apart(&listeners, admin)?;
        let rules = Rules { nat64: file.dns.nat64 };
        let parent = file.parent.map(|parent| parent.load(rules)).transpose()?;
        Ok(Self {
            listeners,
            balancers: file.proxy_protocol.from,
            tls: file.tls.map(file::Tls::settings),
            users: file.credentials.map(|section| section.users),
            admin,
            groups,
            catalog: Catalog { groups: lists, keys: file.lists.public_keys },
            vintage: vintage::Rules { rollback: file.lists.rollback, expired: file.lists.expired },
            state: file.lists.state,
            resolvers: either(options.resolver, file.resolver),
            rules,
            parent: parent.map(Arc::new),
            workers: file.workers.unwrap_or_else(cores),
            admission: admission::Limits {
                connections: file.limits.connections,
                queue: file.timeouts.queue.0,
                connections_per_client: file.limits.connections_per_client,
                rate_per_client: file.limits.rate_per_client,
                burst_per_client: file.limits.burst_per_client,
            },
            budgets,
            grace: file.timeouts.grace.0,
            drain: file.timeouts.drain.0,
            log: log::Settings {
                file: file.log.file,
                audit: file.log.audit,
                queue: file.log.queue.0,
            },
            probe: probe::Settings {
                hosts: file.probe.hosts,
                every: file.probe.every.0,
                ca: file.probe.ca,
            },
            limits: Limits {
                head: head::Limits { bytes: file.limits.head_bytes.0, time: file.timeouts.head.0 },
                hello: hello::Limits {
                    bytes: file.limits.hello_bytes.0,
                    time: file.timeouts.hello.0,
                },
                rules: hello::Rules { early_data: file.hello.early_data, alpn: file.hello.alpn },
                upstream: upstream::Limits {
                    resolve: file.timeouts.resolve.0,
                    connect: file.timeouts.connect.0,
                },
                relay: relay::Limits { idle: file.timeouts.idle.0, total: file.timeouts.total.0 },
            },
        })
    }

    /// What may not be as it seems.
    pub fn remark(&self) -> Option<&'static str> {
        let asks = self.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
        let needs = self.groups.iter().any(|group| !group.certificates.is_empty());
        (asks && !needs).then_some(
            "clients are asked for certificates (`client_ca`), but no group needs one, so that keeps nobody out",
        )
    }

    /// The files that say who clients are, and who we are to them.
    pub fn identity_files(&self) -> Vec<PathBuf> {
        let tls = self.tls.iter().flat_map(|tls| {
            let clients = tls.clients.iter();
            let clients = clients.flat_map(|clients| {
                std::iter::once(&clients.authorities).chain(&clients.revocations)
            });
            [&tls.certificate, &tls.key].into_iter().chain(clients)
        });
        tls.chain(&self.users).cloned().collect()
    }
}

/// Sees that no listener stands in another's way.
fn apart(listeners: &[(Listener, SocketAddr)], admin: SocketAddr) -> Result<(), Error> {
    let addresses = listeners.iter().map(|(listener, at)| Address::of(*listener, *at));
    let addresses: Vec<_> = addresses.chain([Address { key: "admin", at: admin }]).collect();
    for (number, &second) in addresses.iter().enumerate() {
        let clash = |first: &Address| first.covers(second) || second.covers(*first);
        if let Some(&first) = addresses[..number].iter().find(|first| clash(first)) {
            return Err(Error::Listeners { first, second });
        }
    }
    Ok(())
}

fn either<T>(option: Vec<T>, file: Vec<T>) -> Vec<T> {
    if option.is_empty() { file } else { option }
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

const DEFAULT_LISTEN: SocketAddr = loopback(3128);
const DEFAULT_ADMIN: SocketAddr = loopback(9180);

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    use super::file::{Dns, File, Lists, Timeouts};
    use super::values::Volume;
    use super::*;
    use crate::policy::Mode;

    const SAMPLE: &str = include_str!("../../config/ringfence.toml");

    #[test]
    fn the_sample_shows_every_key_with_its_default() {
        let sample = File::parse("ringfence.toml", SAMPLE).expect("the sample parses");
        assert_eq!(sample.dns, Dns::default());
        assert_eq!(sample.timeouts, Timeouts::default());
        assert_eq!(sample.limits, file::Limits::default());
        assert_eq!(sample.lists, Lists::default());
        assert_eq!((&sample.log, &sample.probe), (&file::Log::default(), &file::Probe::default()));
        assert_eq!(sample.hello, file::Hello::default());
        assert_eq!((sample.listen, sample.admin), (Some(DEFAULT_LISTEN), Some(DEFAULT_ADMIN)));
        // Keys without a default to show stand in comments; uncommented, they must parse, too.
        let all: String = SAMPLE
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let all = File::parse("ringfence.toml", &all).expect("the commented keys parse");
        assert!(!all.allowlist.is_empty() && !all.registry.is_empty() && !all.resolver.is_empty());
        assert!(all.transparent.is_some() && !all.proxy_protocol.from.is_empty());
        assert!(all.upload_budget.is_some() && all.client[0].upload_budget.is_some());
        let tls = all.tls.expect("TLS");
        assert!(tls.client_ca.is_some() && !tls.crl.is_empty() && tls.http2);
        assert!(
            all.transparent.is_some()
                && all.credentials.is_some()
                && !all.proxy_protocol.from.is_empty()
        );
        assert!(all.workers.is_some() && all.parent.is_some() && all.mode == sample.mode);
        let [client] = &all.client[..] else { panic!("one group") };
        assert!(!client.certificate.is_empty() && !client.user.is_empty());
        assert!(!client.address.is_empty() && client.mode == Some(Mode::Audit));
        assert!(!all.lists.public_keys.is_empty() && all.lists.state.is_some());
    }

    #[test]
    fn options_win_over_the_file() {
        let folder = std::env::temp_dir().join(format!("ringfence-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("ringfence.toml");
        std::fs::write(
            &path,
            "listen = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\nallowlist = [\"a.toml\"]\n\
             [lists]\nstate = \"state.json\"\n",
        )
        .expect("a file");
        let options = Options {
            config: Some(path),
            listen: Some("127.0.0.1:3".parse().expect("an address")),
            ..Options::default()
        };
        let config = Config::load(options).expect("a configuration");
        assert_eq!(config.listeners[0].1.port(), 3);
        assert_eq!(config.admin.port(), 2);
        assert_eq!(config.catalog.groups[0].allowlists, [folder.join("a.toml")]);
        assert_eq!(config.state, Some(folder.join("state.json")));
        std::fs::remove_dir_all(folder).expect("the folder goes");
    }

    #[test]
    fn mistakes_show_file_line_and_caret() {
        let rows = [
            ("listne = \"127.0.0.1:1\"", "unknown field `listne`"),
            ("[timeouts]\nidle = \"soon\"", "`soon` is not a duration"),
            ("[timeouts]\nidle = \"0s\"", "`0s` is not a duration"),
            ("[timeouts]\nidle = \"300000000000y\"", "`300000000000y` is not a duration"),
            ("[timeouts]\nidle = \"2y\"", "`2y` is not a duration of up to a year"),
            ("[limits]\nhead_bytes = 5", "5 is out of range; give 1024 to 1048576"),
            ("[limits]\nconnections = 0", "nonzero"),
            ("[lists]\npublic_keys = []", "without keys no signature is checked"),
            ("[lists]\npublic_keys = [\"RWx\"]", "`RWx` is not a minisign public key"),
            ("[lists]\npublic_keys = \"RWx\"", "expected a sequence"),
            ("[lists]\npublic_key = [\"RWx\"]", "unknown field `public_key`"),
            ("[lists]\nrollback = \"ignore\"", "expected `refuse` or `warn`"),
            ("[lists]\nexpired = false", "wanted string or table"),
            ("[timeouts]\ngrace = \"-1s\"", "`-1s` is not a duration"),
            ("[log]\nqueue = 0", "0 is out of range"),
            ("[log]\naudit = \"maybe\"", "expected `best_effort` or `required`"),
            ("[probe]\nhosts = [\"10.0.0.1:443\"]", "`10.0.0.1:443` can't be probed: IP addresses"),
            ("[hello]\nalpn = \"h3\"", "unknown variant `h3`, expected `any` or `http`"),
            ("[hello]\nearly_data = \"on\"", "unknown variant `on`, expected `allow` or `forbid`"),
            ("[limits]\nrate_per_client = 0", "nonzero"),
            ("[timeouts]\nqueue = \"0s\"", "`0s` is not a duration"),
            ("upload_budget = \"5GiB\"", "expected struct Budget"),
            ("upload_budget = { bytes = \"5GB\", per = \"1h\" }", "`5GB` is not an amount of data"),
            ("upload_budget = { bytes = \"5GiB\" }", "missing field `per`"),
            ("listen = \"localhost:1\"", "invalid socket address"),
            ("[proxy_protocol]\nfrom = [\"010.0.0.0/8\"]", "`010.0.0.0/8`: expected an IP address"),
            ("[proxy_protocol]\nfrom = [\"10.0.0.6/8\"]", "has host bits set; write `10.0.0.0/8`"),
            ("mode = \"off\"", "expected `enforce` or `audit`"),
            ("[[client]]\nname = \"A b\"", "`A b` is no group name"),
            (
                "[[client]]\nname = \"a\"\nallowlist = [\"x\"]",
                "give `address`, `certificate` or `user`",
            ),
            ("[[client]]\nname = \"a\"\naddress = [\"10.0.0.0/8\"]", "give `allowlist`"),
            (
                "[[client]]\nname = \"a\"\ncertificate = [\"build\"]",
                "`build`: a certificate's name begins with `dns:`, `uri:` or `email:`",
            ),
            (
                "[[client]]\nname = \"a\"\ncertificate = [\"dns:b\"]",
                "give `client_ca` under `[tls]`",
            ),
            ("[[client]]\nname = \"a\"\nuser = [\"b\"]", "give `users` under `[credentials]`"),
            ("[credentials]\nusers = \"users\"", "`[credentials]` keeps nobody out"),
            (
                "[[client]]\nname = \"a\"\naddress = [\"10.0.0.0/8\"]\nallowlist = [\"x\"]\n\
                 [[client]]\nname = \"b\"\naddress = [\"10.1.0.0/16\"]\nallowlist = [\"x\"]",
                "one before it takes all of its clients",
            ),
            (
                "[tls]\nlisten = \"[::]:1\"\ncertificate = \"a\"\nkey = \"b\"\ncrl = [\"c\"]",
                "give `client_ca` under `[tls]`, too",
            ),
            (
                "[[client]]\nname = \"a\"\naddress = [\"10.0.0.0/8\"]\nallowlist = [\"x\"]\n\
                 [[client]]\nname = \"a\"\naddress = [\"10.0.0.0/8\"]\nallowlist = [\"x\"]",
                "two groups have this name",
            ),
            ("[dns]\nnat64 = \"yes\"", "expected a boolean"),
            ("[parent]\nurl = \"https://a.example:1\"", "only parents that speak plain HTTP"),
            ("[parent]\nvet = true", "missing field `url`"),
        ];
        for (text, expected) in rows {
            let shown = File::parse("ringfence.toml", text).expect_err(text).to_string();
            assert!(shown.contains(expected) && shown.contains("ringfence.toml:"), "{shown}");
        }
    }

    #[test]
    fn amounts_of_data_have_a_unit() {
        let rows = [
            ("1B", Some(1)),
            ("007KiB", Some(7 << 10)),
            ("100MiB", Some(100 << 20)),
            ("5GiB", Some(5 << 30)),
            ("2TiB", Some(2 << 40)),
            ("0B", None),
            ("5", None),
            ("5 GiB", None),
            ("5gib", None),
            ("5GB", None),
            ("-5GiB", None),
            ("+5GiB", None),
            ("1.5GiB", None),
            ("GiB", None),
            ("", None),
            ("٣GiB", None),
            ("99999999999TiB", None),
        ];
        for (text, expected) in rows {
            let read = text.parse::<Volume>().ok().map(|volume| volume.0.get());
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn listeners_need_addresses_of_their_own() {
        let rows = [
            ("127.0.0.1:1", "127.0.0.1:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", true),
            ("127.0.0.1:1", "127.0.0.2:1", true),
            ("127.0.0.1:0", "127.0.0.1:0", true),
            ("0.0.0.0:0", "0.0.0.0:0", true),
            ("0.0.0.0:1", "127.0.0.1:1", false),
            ("127.0.0.1:1", "0.0.0.0:1", false),
            ("0.0.0.0:1", "127.0.0.1:2", true),
            ("0.0.0.0:1", "[::1]:1", true),
            ("[::]:1", "127.0.0.1:1", false),
            ("[::]:1", "0.0.0.0:1", false),
            ("[::1]:1", "[::]:1", false),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", false),
            ("[fe80::1%1]:1", "[fe80::1%2]:1", true),
            ("[fe80::1%1]:1", "[fe80::1%1]:1", false),
        ];
        for (plain, other, fits) in rows {
            let address = |text: &str| text.parse::<SocketAddr>().expect(text);
            let options = Options {
                listen: Some(address(plain)),
                admin: Some(address(other)),
                allowlist: vec!["a.toml".into()],
                ..Options::default()
            };
            let loaded = Config::load(options);
            assert_eq!(loaded.is_ok(), fits, "{plain} and {other}");
            if let Err(error) = loaded {
                let (plain, other) = (address(plain), address(other));
                let expected =
                    format!("`listen = \"{plain}\"` and `admin = \"{other}\"` can't both");
                assert!(error.to_string().starts_with(&expected), "{error}");
            }
        }
        let (wide, one) = ("0.0.0.0:1".parse(), "127.0.0.1:1".parse());
        let listeners = [
            (Listener::Tls, wide.expect("an address")),
            (Listener::Transparent, one.expect("an address")),
        ];
        let error = apart(&listeners, DEFAULT_ADMIN).expect_err("both on one port").to_string();
        assert!(error.contains("`tls.listen = ") && error.contains("`transparent.listen = "));
    }

    #[test]
    fn nothing_to_allow_is_an_error() {
        assert!(matches!(Config::load(Options::default()), Err(Error::NoLists)));
    }
}
