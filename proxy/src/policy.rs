//! Decides whether a client may reach a target. Pure: no clock, no log, no counter, no lock.
//!
//! Only [`Policy::decide`] makes a [`Permit`], only a permit admits an address, and only an [`Admitted`]
//! address can be dialled.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ringfence_config::address::Class;
use ringfence_config::{Allowlist, Entry, HostPattern, Hostname, PatternSet, Port, Role, guard};

use crate::client::Client;
use crate::hello::ServerName;
use crate::reason::Reason;

/// Which list it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListId {
    /// Counts the lists this process has enforced, from 1.
    pub generation: u64,
    /// The list's content hash.
    pub hash: Arc<str>,
}

/// A compiled allowlist.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Which list it was compiled from.
    pub id: ListId,
    exact: HashMap<Hostname, Arc<Entry>>,
    patterns: PatternSet,
    /// What `patterns` answers with the position of.
    wildcards: Vec<Arc<Entry>>,
    /// It is past its end, and no longer allows anything.
    expired: bool,
}

/// What a client asks for: one host, one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host.
    pub host: Hostname,
    /// The port.
    pub port: Port,
}

/// The policy's answer, which owns the question.
#[derive(Debug)]
pub enum Decision {
    /// Go on; the permit is the key to the next step.
    Allow(Permit),
    /// Stop, and say so.
    Deny(Denial),
}

/// The right of one client to reach one target.
#[derive(Debug)]
pub struct Permit {
    client: Client,
    target: Target,
    entry: Arc<Entry>,
    list: ListId,
}

/// A no, with its question.
#[derive(Debug)]
pub struct Denial {
    /// Who asked.
    pub client: Client,
    /// For what.
    pub target: Target,
    /// Why not.
    pub reason: Reason,
    /// By which list.
    pub list: ListId,
}

/// An address that a permit admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted(SocketAddr);

/// An address that a permit did not admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inadmissible {
    /// The address.
    pub address: IpAddr,
    /// What kind of address it is.
    pub class: Class,
}

impl Policy {
    /// Compiles `allowlist`.
    pub fn new(allowlist: &Allowlist, generation: u64) -> Self {
        let mut exact = HashMap::new();
        let (mut wildcards, mut globs) = (Vec::new(), Vec::new());
        for entry in allowlist.entries() {
            match &entry.host {
                HostPattern::Exact(host) => {
                    exact.insert(host.clone(), Arc::new(entry.clone()));
                }
                HostPattern::Wildcard(wildcard) => {
                    globs.push(wildcard);
                    wildcards.push(Arc::new(entry.clone()));
                }
            }
        }
        let patterns = PatternSet::new(globs);
        let id = ListId { generation, hash: allowlist.hash().into() };
        Self { id, exact, patterns, wildcards, expired: false }
    }

    /// The same list past its end.
    #[must_use]
    pub fn expire(&self) -> Self {
        Self { expired: true, ..self.clone() }
    }

    /// Whether it is past its end.
    pub fn is_expired(&self) -> bool {
        self.expired
    }

    /// The entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.exact.values().chain(&self.wildcards).map(Arc::as_ref)
    }

    /// How many entries the list has.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wildcards.len()
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decides.
    ///
    /// ```
    /// use ringfence::client::identify;
    /// use ringfence::policy::{Decision, Policy, Target};
    /// use ringfence::reason::Reason;
    /// use ringfence_config::{Allowlist, Entry, Port, Role};
    ///
    /// let entry = Entry::new("contoso.azurecr.io".parse()?, Role::Login("contoso".parse()?));
    /// let policy = Policy::new(&Allowlist::new([entry])?, 1);
    /// let client = || identify("10.0.0.4:50000".parse().unwrap());
    /// let ask = |host: &str| Target { host: host.parse().unwrap(), port: Port::HTTPS };
    ///
    /// assert!(matches!(policy.decide(client(), ask("contoso.azurecr.io")), Decision::Allow(_)));
    /// let Decision::Deny(denial) = policy.decide(client(), ask("exfil.blob.core.windows.net")) else {
    ///     panic!("a storage host is never allowed");
    /// };
    /// assert_eq!(denial.reason, Reason::StorageForbidden);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decide(&self, client: Client, target: Target) -> Decision {
        let list = self.id.clone();
        match self.judge(&target) {
            Ok(entry) => Decision::Allow(Permit { client, target, entry: Arc::clone(entry), list }),
            Err(reason) => Decision::Deny(Denial { client, target, reason, list }),
        }
    }

    /// Asks again for a tunnel to `address` that was permitted under an earlier list.
    pub fn renew(&self, permit: &Permit, address: IpAddr) -> Result<(), Reason> {
        match self.judge(&permit.target) {
            // A pin may have gone or moved; one that was added takes nothing away.
            Ok(entry) if is_admitted(entry, address) => Ok(()),
            Ok(_) | Err(_) => Err(Reason::PolicyRevoked),
        }
    }

    fn judge(&self, target: &Target) -> Result<&Arc<Entry>, Reason> {
        if self.is_empty() {
            return Err(Reason::NoPolicy);
        }
        if self.expired {
            return Err(Reason::PolicyExpired);
        }
        let entry = self.lookup(&target.host);
        // Guarded when the list was loaded, and once more here: a storage host passes only by the entry
        // that names that very account.
        let is_account = entry.is_some_and(|entry| entry.role == Role::StorageAccount);
        if guard::is_storage(&target.host) && !is_account {
            return Err(Reason::StorageForbidden);
        }
        let entry = entry.ok_or(Reason::NotInPolicy)?;
        if entry.ports.contains(target.port) { Ok(entry) } else { Err(Reason::PortNotAllowed) }
    }

    fn lookup(&self, host: &Hostname) -> Option<&Arc<Entry>> {
        self.exact
            .get(host)
            .or_else(|| self.patterns.first_match(host).map(|position| &self.wildcards[position]))
    }
}

impl Permit {
    /// Who may.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reach what.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// By which entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Of which list.
    pub fn list(&self) -> &ListId {
        &self.list
    }

    /// Turns into the refusal of a permit that a newer list, `by`, has taken back.
    pub fn revoke(self, by: ListId) -> Denial {
        let Self { client, target, .. } = self;
        Denial { client, target, reason: Reason::PolicyRevoked, list: by }
    }

    /// Admits `address` for this target: a public one, or one that the entry pins.
    pub fn admit(&self, address: IpAddr) -> Result<Admitted, Inadmissible> {
        if is_admitted(&self.entry, address) {
            Ok(Admitted(SocketAddr::new(address, self.target.port.number())))
        } else {
            Err(Inadmissible { address, class: Class::of(address) })
        }
    }

    /// Checks the ClientHello's server name: the host asked for, and no other.
    pub fn check_hello(&self, name: &ServerName) -> Result<(), Reason> {
        match name {
            ServerName::Hidden => Err(Reason::EchForbidden),
            ServerName::Missing => Err(Reason::SniMissing),
            ServerName::Invalid(_) => Err(Reason::SniInvalid),
            ServerName::Host(host) if *host == self.target.host => Ok(()),
            ServerName::Host(_) => Err(Reason::SniMismatch),
        }
    }
}

/// A public address, or a private or loopback one that the entry pins.
fn is_admitted(entry: &Entry, address: IpAddr) -> bool {
    let class = Class::of(address);
    class == Class::Public
        || (class.is_pinnable() && entry.addresses.iter().any(|pin| pin.contains(address)))
}

impl Admitted {
    /// The address and port to dial.
    pub fn socket(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringfence_config::document::{self, Document};

    use super::*;

    fn policy(text: &str) -> Policy {
        let document = Document::parse("test.toml", text).expect("a valid list");
        Policy::new(&document::merge(&[document]).expect("a valid list"), 1)
    }

    fn sample() -> Policy {
        policy(include_str!("../../config/allowlist.toml"))
    }

    fn client() -> Client {
        crate::client::identify("10.0.0.4:50000".parse().expect("an address"))
    }

    fn target(text: &str) -> Target {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, "443"));
        Target { host: host.parse().expect("a host"), port: port.parse().expect("a port") }
    }

    fn permit(policy: &Policy, text: &str) -> Permit {
        match policy.decide(client(), target(text)) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => panic!("{text}: {}", denial.reason),
        }
    }

    #[test]
    fn each_target_gets_its_verdict() {
        let rows = [
            ("contoso.azurecr.io", Ok(())),
            ("contoso.eastus.data.azurecr.io", Ok(())),
            ("contosobuildcache.blob.core.windows.net", Ok(())),
            ("eastus.data.mcr.microsoft.com", Ok(())),
            ("contoso.azurecr.io:80", Err(Reason::PortNotAllowed)),
            ("contoso.westus.data.azurecr.io", Err(Reason::NotInPolicy)),
            ("contoso2.azurecr.io", Err(Reason::NotInPolicy)),
            ("evilcontoso.azurecr.io", Err(Reason::NotInPolicy)),
            ("x.contoso.azurecr.io", Err(Reason::NotInPolicy)),
            ("contoso.azurecr.io.evil.com", Err(Reason::NotInPolicy)),
            ("contoso.eastus.geo.azurecr.io", Err(Reason::NotInPolicy)),
            ("data.mcr.microsoft.com", Err(Reason::NotInPolicy)),
            ("a.b.data.mcr.microsoft.com", Err(Reason::NotInPolicy)),
            ("exfil.blob.core.windows.net", Err(Reason::StorageForbidden)),
            ("contosobuildcache.dfs.core.windows.net", Err(Reason::StorageForbidden)),
            ("acct.z13.web.core.windows.net", Err(Reason::StorageForbidden)),
        ];
        let policy = sample();
        for (text, expected) in rows {
            let verdict = match policy.decide(client(), target(text)) {
                Decision::Allow(permit) => {
                    assert_eq!(permit.target(), &target(text), "a permit is for the target asked");
                    Ok(())
                }
                Decision::Deny(denial) => Err(denial.reason),
            };
            assert_eq!(verdict, expected, "{text}");
        }
    }

    #[test]
    fn pins_admit_private_addresses_for_their_host_only() {
        let policy = sample();
        let rows = [
            ("fabrikam.azurecr.io", "10.1.1.22", true),
            ("fabrikam.azurecr.io", "10.1.1.20", false),
            ("fabrikam.westeurope.geo.azurecr.io", "10.1.1.31", true),
            ("fabrikam.westeurope.geo.azurecr.io", "10.1.1.32", false),
            ("contoso.azurecr.io", "10.1.1.22", false),
            ("contoso.azurecr.io", "20.62.128.1", true),
            ("contoso.azurecr.io", "127.0.0.1", false),
            ("contoso.azurecr.io", "168.63.129.16", false),
            ("contoso.azurecr.io", "169.254.169.254", false),
            ("contoso.azurecr.io", "::ffff:20.62.128.1", false),
            ("contoso.azurecr.io", "2603:1030::1", true),
        ];
        for (host, address, admitted) in rows {
            let verdict = permit(&policy, host).admit(address.parse().expect("an address"));
            assert_eq!(verdict.is_ok(), admitted, "{host} {address}");
        }
    }

    #[test]
    fn a_pin_around_a_platform_address_does_not_admit_it() {
        let policy = policy(
            "schema = 1\n[[entry]]\nhost = \"a.example.com\"\nrole = \"other\"\nwhy = \"x\"\n\
             addresses = [\"100.64.0.0/10\", \"fd00::/8\"]\n",
        );
        let permit = permit(&policy, "a.example.com");
        assert!(permit.admit("100.64.0.1".parse().expect("an address")).is_ok());
        for platform in ["100.100.100.200", "fd00:ec2::254"] {
            assert!(permit.admit(platform.parse().expect("an address")).is_err(), "{platform}");
        }
    }

    #[test]
    fn the_server_name_must_equal_the_target() {
        let permit = permit(&sample(), "contoso.azurecr.io");
        let named = |text: &str| ServerName::Host(text.parse().expect("a host"));
        let rows = [
            (named("contoso.azurecr.io"), Ok(())),
            (named("contoso.eastus.data.azurecr.io"), Err(Reason::SniMismatch)),
            (ServerName::Missing, Err(Reason::SniMissing)),
            (ServerName::Hidden, Err(Reason::EchForbidden)),
            (ServerName::Invalid("contoso.azurecr.io.".into()), Err(Reason::SniInvalid)),
        ];
        for (name, expected) in rows {
            assert_eq!(permit.check_hello(&name), expected, "{name:?}");
        }
    }

    #[test]
    fn renewal_follows_the_new_list() {
        let pinned = permit(&sample(), "fabrikam.azurecr.io");
        let address = "10.1.1.22".parse().expect("an address");
        assert_eq!(sample().renew(&pinned, address), Ok(()));
        let text = include_str!("../../config/allowlist.toml");
        let added = text.replace("[\"10.1.1.22\"]", "[\"10.1.1.22\", \"10.1.1.99\"]");
        assert_eq!(policy(&added).renew(&pinned, address), Ok(()));
        let moved = text.replace("10.1.1.22", "10.1.1.99");
        assert_eq!(policy(&moved).renew(&pinned, address), Err(Reason::PolicyRevoked));
        assert_eq!(policy("schema = 1").renew(&pinned, address), Err(Reason::PolicyRevoked));
    }

    #[test]
    fn a_list_past_its_end_allows_nothing() {
        let list = sample();
        let tunnel = permit(&list, "contoso.azurecr.io");
        let expired = list.expire();
        for host in ["contoso.azurecr.io", "eastus.data.mcr.microsoft.com", "evil.example"] {
            let Decision::Deny(denial) = expired.decide(client(), target(host)) else {
                panic!("{host}");
            };
            assert_eq!((denial.reason, &denial.list), (Reason::PolicyExpired, &list.id));
        }
        let address = "20.62.128.1".parse().expect("an address");
        assert_eq!(expired.renew(&tunnel, address), Err(Reason::PolicyRevoked));
        assert_eq!(expired.entries().count(), list.len());
    }

    proptest! {
        #[test]
        fn an_empty_policy_denies_everything(host in "[a-z]{1,8}(\\.[a-z]{1,8}){1,4}", port in 1_u16..) {
            let target = Target {
                host: host.parse().expect("a host"),
                port: Port::try_from(port).expect("not zero"),
            };
            match policy("schema = 1").decide(client(), target) {
                Decision::Deny(denial) => prop_assert_eq!(denial.reason, Reason::NoPolicy),
                Decision::Allow(_) => prop_assert!(false),
            }
        }

        /// Adding an entry never takes anything away.
        #[test]
        fn an_added_entry_never_denies(hosts in prop::collection::vec("[ab]\\.[ab]\\.example", 1..4), asked in "[ab]\\.[ab]\\.example") {
            let entry = |host: &String| Entry {
                why: Some("test".into()),
                ..Entry::new(host.parse().expect("a host"), Role::Other)
            };
            let list = |hosts: &[String]| Allowlist::new(hosts.iter().map(entry)).expect("a list");
            let fewer = Policy::new(&list(&hosts[1..]), 1);
            let more = Policy::new(&list(&hosts), 1);
            let allowed = |policy: &Policy| matches!(policy.decide(client(), target(&asked)), Decision::Allow(_));
            prop_assert!(!allowed(&fewer) || allowed(&more));
        }
    }
}
