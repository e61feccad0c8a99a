//! Decides whether a client may reach a target. Pure: no clock, no log, no counter, no lock.
//!
//! Only [`Policy::decide`] makes a [`Permit`], only a permit admits a target's address, only [`Rules`] admit
//! a parent proxy's, and only such a [`Hop`] can be dialled.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringfence_config::address::{Class, Embedded, Form};
use ringfence_config::{Allowlist, Entry, HostPattern, Hostname, PatternSet, Port, Role, guard};
use serde::{Deserialize, Serialize};

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

/// What every group of clients may reach.
#[derive(Debug, Clone)]
pub struct Policy {
    generation: u64,
    rules: Rules,
    lists: Vec<List>,
}

/// Whether a list is enforced.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What isn't listed is refused.
    #[default]
    Enforce,
    /// What isn't listed is carried, and logged as what would be refused: to learn what a list lacks.
    /// Storage hosts, addresses, requests and hellos are refused as ever, and an empty list is none.
    Audit,
}

/// One group's compiled allowlist.
#[derive(Debug, Clone)]
pub struct List {
    id: ListId,
    mode: Mode,
    exact: HashMap<Hostname, Arc<Entry>>,
    patterns: PatternSet,
    /// What `patterns` answers with the position of.
    wildcards: Vec<Arc<Entry>>,
    /// It is past its end, and no longer allows anything.
    expired: bool,
}

/// What the configuration, and not the list, says about addresses.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// This network reaches IPv4 hosts at `64:ff9b::/96` (RFC 6052): such an address is as good as the
    /// public IPv4 one in it.
    pub nat64: bool,
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
    grounds: Grounds,
    rules: Rules,
    list: ListId,
}

/// Why a target is permitted.
#[derive(Debug, Clone)]
enum Grounds {
    /// An entry admits it.
    Entry(Arc<Entry>),
    /// It would be refused for this reason, if the list were enforced.
    Audit(Reason),
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
    /// The IPv4 address that it stands for, and what kind that is.
    pub embedded: Option<(Ipv4Addr, Class)>,
    /// What the client is told if all that was inadmissible is of this kind.
    pub reason: Reason,
}

/// An address of the parent proxy, admitted because the configuration names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentAddress(SocketAddr);

/// What may be dialled. The two are not vetted alike: an address of the target's own must stay admitted
/// by every later list, while the parent proxy's address is none of the list's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// The target itself.
    Direct(Admitted),
    /// The parent proxy.
    Parent(ParentAddress),
}

impl Policy {
    /// Compiles the list of each group, in the order in which clients' groups are counted.
    pub fn new<'a>(
        generation: u64,
        rules: Rules,
        lists: impl IntoIterator<Item = (&'a Allowlist, Mode)>,
    ) -> Self {
        let compile = |(allowlist, mode)| List::new(allowlist, mode, generation);
        Self { generation, rules, lists: lists.into_iter().map(compile).collect() }
    }

    /// Counts the policies this process has enforced, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The list of each group.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }

    /// How many entries the lists have.
    pub fn len(&self) -> usize {
        self.lists.iter().map(List::len).sum()
    }

    /// Whether nothing is allowed to anyone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why nothing at all is allowed to anyone, if so.
    pub fn closed(&self) -> Option<Reason> {
        let closed: Option<Vec<Reason>> = self.lists.iter().map(List::closed).collect();
        let expired = closed?.contains(&Reason::PolicyExpired);
        Some(if expired { Reason::PolicyExpired } else { Reason::NoPolicy })
    }

    /// The same policy, with the lists of these groups past their end.
    #[must_use]
    pub fn expire(&self, groups: &[usize]) -> Self {
        let mut policy = self.clone();
        for group in groups {
            if let Some(list) = policy.lists.get_mut(*group) {
                list.expired = true;
            }
        }
        policy
    }

    /// Decides.
    ///
    /// ```
    /// use ringfence::client::Client;
    /// use ringfence::policy::{Decision, Mode, Policy, Rules, Target};
    /// use ringfence::reason::Reason;
    /// use ringfence_config::{Allowlist, Entry, Port, Role};
    ///
    /// let entry = Entry::new("contoso.azurecr.io".parse()?, Role::Login("contoso".parse()?));
    /// let list = Allowlist::new([entry])?;
    /// let policy = Policy::new(1, Rules::default(), [(&list, Mode::Enforce)]);
    /// let client = || Client::anyone("10.0.0.4:50000".parse().unwrap());
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
        let (list, id) = (self.list_of(&client), self.id_for(&client));
        match list.ok_or(Reason::NoPolicy).and_then(|list| list.judge(&target)) {
            Ok(grounds) => {
                let rules = self.rules;
                Decision::Allow(Permit { client, target, grounds, rules, list: id })
            }
            Err(reason) => Decision::Deny(Denial { client, target, reason, list: id }),
        }
    }

    /// Asks again for what was permitted under an earlier policy, and may still be on its way.
    pub fn uphold(&self, permit: &Permit) -> Result<(), Reason> {
        self.grounds_of(permit).map(|_| ())
    }

    /// Asks again for a tunnel over `hop` that was permitted under an earlier policy.
    pub fn renew(&self, permit: &Permit, hop: Hop) -> Result<(), Reason> {
        let grounds = self.grounds_of(permit)?;
        match hop {
            // A pin may have gone or moved; one that was added takes nothing away.
            Hop::Direct(address) => {
                grounds.admit(self.rules, address.socket().ip()).map_err(|_| Reason::PolicyRevoked)
            }
            Hop::Parent(_) => Ok(()),
        }
    }

    fn grounds_of(&self, permit: &Permit) -> Result<Grounds, Reason> {
        let list = self.list_of(&permit.client).ok_or(Reason::PolicyRevoked)?;
        list.judge(&permit.target).map_err(|_| Reason::PolicyRevoked)
    }

    fn id_for(&self, client: &Client) -> ListId {
        let none = || ListId { generation: self.generation, hash: "none".into() };
        self.list_of(client).map_or_else(none, |list| list.id.clone())
    }

    fn list_of(&self, client: &Client) -> Option<&List> {
        self.lists.get(client.group.index)
    }
}

impl List {
    fn new(allowlist: &Allowlist, mode: Mode, generation: u64) -> Self {
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
        Self { id, mode, exact, patterns, wildcards, expired: false }
    }

    /// Why it allows nothing at all, if so.
    pub fn closed(&self) -> Option<Reason> {
        if self.is_empty() {
            Some(Reason::NoPolicy)
        } else if self.expired {
            Some(Reason::PolicyExpired)
        } else {
            None
        }
    }

    /// Whether it is past its end.
    pub fn is_expired(&self) -> bool {
        self.expired
    }

    /// The entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.exact.values().chain(&self.wildcards).map(Arc::as_ref)
    }

    /// Which list it was compiled from.
    pub fn id(&self) -> &ListId {
        &self.id
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wildcards.len()
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn judge(&self, target: &Target) -> Result<Grounds, Reason> {
        match (self.look_up(target), self.mode) {
            (Ok(entry), _) => Ok(Grounds::Entry(Arc::clone(entry))),
            (Err(reason @ (Reason::NotInPolicy | Reason::PortNotAllowed)), Mode::Audit) => {
                Ok(Grounds::Audit(reason))
            }
            (Err(reason), _) => Err(reason),
        }
    }

    fn look_up(&self, target: &Target) -> Result<&Arc<Entry>, Reason> {
        if let Some(reason) = self.closed() {
            return Err(reason);
        }
        let position = || self.patterns.first_match(&target.host);
        let entry = self.exact.get(&target.host).or_else(|| Some(&self.wildcards[position()?]));
        // Guarded when the list was loaded, and once more here: a storage host passes only by the entry
        // that names that very account.
        let is_account = entry.is_some_and(|entry| entry.role == Role::StorageAccount);
        if guard::is_storage(&target.host) && !is_account {
            return Err(Reason::StorageForbidden);
        }
        let entry = entry.ok_or(Reason::NotInPolicy)?;
        if entry.ports.contains(target.port) { Ok(entry) } else { Err(Reason::PortNotAllowed) }
    }
}

impl Grounds {
    /// Admits a private or loopback address that the entry pins, or a public one.
    fn admit(&self, rules: Rules, address: IpAddr) -> Result<(), Inadmissible> {
        let pins = match self {
            Self::Entry(entry) => entry.addresses.as_slice(),
            Self::Audit(_) => &[],
        };
        let is_pinned = pins.iter().any(|pin| pin.contains(address));
        // A pin may reach round a platform address, which nobody gets.
        if is_pinned && Class::of(address).is_pinnable() {
            Ok(())
        } else {
            rules.admit_public(address)
        }
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

    /// By which entry, if one admits it.
    pub fn entry(&self) -> Option<&Entry> {
        match &self.grounds {
            Grounds::Entry(entry) => Some(entry),
            Grounds::Audit(_) => None,
        }
    }

    /// Why it would be refused, if the list were enforced.
    pub fn would_deny(&self) -> Option<Reason> {
        match self.grounds {
            Grounds::Entry(_) => None,
            Grounds::Audit(reason) => Some(reason),
        }
    }

    /// Of which list.
    pub fn list(&self) -> &ListId {
        &self.list
    }

    /// Turns into the refusal of a permit that a newer policy has taken back.
    pub fn revoke(self, by: &Policy) -> Denial {
        let Self { client, target, .. } = self;
        let list = by.id_for(&client);
        Denial { client, target, reason: Reason::PolicyRevoked, list }
    }

    /// Admits `address` for this target: a public one, one that the entry pins, or, where NAT64 is on,
    /// one that stands for a public one.
    pub fn admit(&self, address: IpAddr) -> Result<Admitted, Inadmissible> {
        self.grounds.admit(self.rules, address)?;
        Ok(Admitted(SocketAddr::new(address, self.target.port.number())))
    }

    /// Checks the ClientHello's server name: the host asked for, and no other.
    pub fn check_hello(&self, name: &ServerName) -> Result<(), Reason> {
        if *name.host()? == self.target.host { Ok(()) } else { Err(Reason::SniMismatch) }
    }
}

impl Rules {
    /// Admits an address of the parent proxy. It may be private or loopback: the operator has named it,
    /// and no client or list has a say in it.
    pub fn admit_parent(self, address: SocketAddr) -> Result<Hop, Inadmissible> {
        if !Class::of(address.ip()).is_pinnable() {
            self.admit_public(address.ip())?;
        }
        Ok(Hop::Parent(ParentAddress(address)))
    }

    /// Admits a public address, in whichever spelling this network has for it.
    fn admit_public(self, address: IpAddr) -> Result<(), Inadmissible> {
        let class = Class::of(address);
        if class == Class::Public {
            return Ok(());
        }
        let embedded = match address {
            IpAddr::V6(v6) => Embedded::of(v6),
            IpAddr::V4(_) => None,
        };
        let is_nat64 = embedded.is_some_and(|embedded| {
            embedded.form == Form::Nat64 && embedded.class() == Class::Public
        });
        let reason = match (is_nat64, self.nat64) {
            (true, true) => return Ok(()),
            (true, false) => Reason::Nat64Disabled,
            (false, _) => Reason::AddressForbidden,
        };
        let embedded = embedded.map(|embedded| (embedded.address, embedded.class()));
        Err(Inadmissible { address, class, embedded, reason })
    }
}

impl Hop {
    /// The address and port to dial.
    pub fn address(self) -> SocketAddr {
        match self {
            Self::Direct(Admitted(address)) | Self::Parent(ParentAddress(address)) => address,
        }
    }
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
        Policy::new(
            1,
            Rules::default(),
            [(&document::merge(&[document]).expect("a valid list"), Mode::Enforce)],
        )
    }

    fn sample() -> Policy {
        policy(include_str!("../../config/allowlist.toml"))
    }

    fn client() -> Client {
        Client::anyone("10.0.0.4:50000".parse().expect("an address"))
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
    fn a_nat64_address_is_as_good_as_the_public_one_in_it_where_nat64_is_on() {
        let rows = [
            ("64:ff9b::20.62.128.1", Err(Reason::Nat64Disabled), Ok(())),
            ("64:ff9b::10.1.1.22", Err(Reason::AddressForbidden), Err(Reason::AddressForbidden)),
            (
                "64:ff9b::168.63.129.16",
                Err(Reason::AddressForbidden),
                Err(Reason::AddressForbidden),
            ),
            (
                "64:ff9b:1::20.62.128.1",
                Err(Reason::AddressForbidden),
                Err(Reason::AddressForbidden),
            ),
            ("::ffff:20.62.128.1", Err(Reason::AddressForbidden), Err(Reason::AddressForbidden)),
            ("2002:143e:8001::", Err(Reason::AddressForbidden), Err(Reason::AddressForbidden)),
        ];
        for (address, off, on) in rows {
            for (nat64, expected) in [(false, off), (true, on)] {
                let policy = Policy { rules: Rules { nat64 }, ..sample() };
                // Its entry pins 10.1.1.22, which in no other spelling counts as pinned.
                let verdict = permit(&policy, "fabrikam.azurecr.io")
                    .admit(address.parse().expect("an address"));
                let verdict = verdict.map(drop).map_err(|inadmissible| inadmissible.reason);
                assert_eq!(verdict, expected, "{address} {nat64}");
            }
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
        let address = Hop::Direct(pinned.admit(address).expect("a pinned address"));
        assert_eq!(sample().renew(&pinned, address), Ok(()));
        let text = include_str!("../../config/allowlist.toml");
        let added = text.replace("[\"10.1.1.22\"]", "[\"10.1.1.22\", \"10.1.1.99\"]");
        assert_eq!(policy(&added).renew(&pinned, address), Ok(()));
        let moved = text.replace("10.1.1.22", "10.1.1.99");
        assert_eq!(policy(&moved).renew(&pinned, address), Err(Reason::PolicyRevoked));
        assert_eq!(policy("schema = 1").renew(&pinned, address), Err(Reason::PolicyRevoked));
        // Through a parent only the host counts: the pin is about no address that we dialled.
        let parent = "10.9.9.9:8080".parse().expect("an address");
        let parent = Rules::default().admit_parent(parent).expect("a parent");
        assert_eq!(policy(&moved).renew(&pinned, parent), Ok(()));
        assert_eq!(policy("schema = 1").renew(&pinned, parent), Err(Reason::PolicyRevoked));
    }

    #[test]
    fn a_list_past_its_end_allows_nothing() {
        let list = sample();
        let tunnel = permit(&list, "contoso.azurecr.io");
        let expired = list.expire(&[0]);
        assert_eq!((list.closed(), expired.closed()), (None, Some(Reason::PolicyExpired)));
        for host in ["contoso.azurecr.io", "eastus.data.mcr.microsoft.com", "evil.example"] {
            let Decision::Deny(denial) = expired.decide(client(), target(host)) else {
                panic!("{host}");
            };
            assert_eq!((denial.reason, &denial.list), (Reason::PolicyExpired, list.lists[0].id()));
        }
        let address = tunnel.admit("20.62.128.1".parse().expect("an address"));
        let address = Hop::Direct(address.expect("a public address"));
        assert_eq!(expired.renew(&tunnel, address), Err(Reason::PolicyRevoked));
        assert_eq!(expired.lists[0].entries().count(), list.len());
    }

    #[test]
    fn each_group_has_its_own_end() {
        let document = Document::parse("test.toml", include_str!("../../config/allowlist.toml"));
        let list = document::merge(&[document.expect("a list")]).expect("a list");
        let both = Policy::new(1, Rules::default(), [(&list, Mode::Enforce), (&list, Mode::Audit)]);
        let member = |index| {
            let mut client = client();
            client.group.index = index;
            client
        };
        let reason = |policy: &Policy, index, text| match policy.decide(member(index), target(text))
        {
            Decision::Allow(permit) => permit.would_deny(),
            Decision::Deny(denial) => Some(denial.reason),
        };
        // Audit mode carries nothing for a list that is past its end.
        let (listed, unlisted) = ("contoso.azurecr.io", "evil.example");
        let (first, second) = (both.expire(&[0]), both.expire(&[1]));
        assert_eq!(reason(&first, 0, listed), Some(Reason::PolicyExpired));
        assert_eq!(reason(&first, 1, listed), None);
        assert_eq!(reason(&first, 1, unlisted), Some(Reason::NotInPolicy));
        assert_eq!(reason(&second, 0, listed), None);
        assert_eq!(reason(&second, 1, listed), Some(Reason::PolicyExpired));
        let Decision::Deny(denial) = second.decide(member(1), target(unlisted)) else {
            panic!("carried");
        };
        assert_eq!(denial.reason, Reason::PolicyExpired);
        let closed = [&first, &second, &both.expire(&[0, 1])].map(Policy::closed);
        assert_eq!(closed, [None, None, Some(Reason::PolicyExpired)]);
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
            let fewer = Policy::new(1, Rules::default(), [(&list(&hosts[1..]), Mode::Enforce)]);
            let more = Policy::new(1, Rules::default(), [(&list(&hosts), Mode::Enforce)]);
            let allowed = |policy: &Policy| matches!(policy.decide(client(), target(&asked)), Decision::Allow(_));
            prop_assert!(!allowed(&fewer) || allowed(&more));
        }
    }
}
