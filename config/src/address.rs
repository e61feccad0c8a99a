//! Decides what kind of address an IP address is. Which kinds a host may resolve to is decided by the
//! list (pins) and the proxy.
//!
//! Sources: the IANA special-purpose registries
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>) and the clouds' metadata addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

/// The kind of an IP address, as far as an egress proxy cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Globally reachable unicast.
    Public,
    /// RFC 1918, RFC 6598 (carrier-grade NAT) or RFC 4193 (unique local).
    Private,
    /// 127.0.0.0/8 and `::1`.
    Loopback,
    /// A cloud's own service address: wire server, instance metadata, task credentials.
    Platform,
    /// 169.254.0.0/16, `fe80::/10` and the deprecated site-local `fec0::/10`.
    LinkLocal,
    /// 224.0.0.0/4 and `ff00::/8`.
    Multicast,
    /// "This network" and `::`.
    Unspecified,
    /// An IPv6 address that stands for an IPv4 one: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
    Translated,
    /// Documentation, benchmarking, protocol assignments, future use, broadcast.
    Reserved,
}

impl Class {
    /// Classifies `address`.
    ///
    /// ```
    /// use ringfence_config::address::Class;
    ///
    /// assert_eq!(Class::of("20.62.128.1".parse().unwrap()), Class::Public);
    /// assert_eq!(Class::of("168.63.129.16".parse().unwrap()), Class::Platform);
    /// assert_eq!(Class::of("::ffff:10.0.0.1".parse().unwrap()), Class::Translated);
    /// ```
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        V4.iter().find(|(net, _)| net.contains(&address)).map_or(Self::Public, |(_, class)| *class)
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if let Some((_, class)) = V6_HOSTS.iter().find(|(host, _)| *host == address) {
            return *class;
        }
        // Before the blocks: under a pinned prefix, too, an ISATAP address leads to its IPv4 one.
        if Embedded::of(address).is_some() {
            return Self::Translated;
        }
        if let Some((_, class)) = V6.iter().find(|(net, _)| net.contains(&address)) {
            return *class;
        }
        // Only 2000::/3 is allocated as global unicast; everything else is nobody's.
        if GLOBAL_UNICAST.contains(&address) { Self::Public } else { Self::Reserved }
    }

    /// Whether a pin may admit addresses of this kind. Public ones need no pin; all others are refused
    /// whatever a list says.
    pub fn is_pinnable(self) -> bool {
        matches!(self, Self::Private | Self::Loopback)
    }

    /// The words for messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Private => "a private address",
            Self::Loopback => "a loopback address",
            Self::Platform => "a cloud platform address",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "an unspecified address",
            Self::Translated => "an IPv6 form of an IPv4 address",
            Self::Reserved => "a reserved address",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// The IPv4 address that an IPv6 one stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedded {
    /// How it is written into the IPv6 address.
    pub form: Form,
    /// Where packets end up.
    pub address: Ipv4Addr,
}

/// A way to write an IPv4 address into an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `::a.b.c.d` (RFC 4291 §2.5.5.1, deprecated).
    Compatible,
    /// `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2).
    Mapped,
    /// `::ffff:0:a.b.c.d` (RFC 2765 §2.1, obsolete).
    Translated,
    /// `64:ff9b::a.b.c.d`, the well-known prefix (RFC 6052 §2.1).
    Nat64,
    /// Under `64:ff9b:1::/48`, a network's own prefix (RFC 8215). Which of RFC 6052's lengths that has
    /// can't be told from an address; it is read as the usual one of 96 bits.
    LocalNat64,
    /// `2002:aabb:ccdd::/48` (RFC 3056 §2).
    SixToFour,
    /// Under `2001::/32`, the client's address with all bits inverted (RFC 4380 §4).
    Teredo,
    /// `0:5efe:a.b.c.d` or `200:5efe:a.b.c.d` under any prefix (RFC 5214 §6.1).
    Isatap,
}

impl Embedded {
    /// Decodes `address`, if it has one of the [forms](Form).
    ///
    /// ```
    /// use ringfence_config::address::{Embedded, Form};
    ///
    /// let embedded = Embedded::of("64:ff9b::a00:1".parse().unwrap()).unwrap();
    /// assert_eq!((embedded.form, embedded.address), (Form::Nat64, [10, 0, 0, 1].into()));
    /// ```
    pub fn of(address: Ipv6Addr) -> Option<Self> {
        let segments = address.segments();
        let (form, [high, low]) = match segments {
            // `::` and `::1` stand for themselves.
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
            [0, 0, 0, 0, 0, 0, high, low] => (Form::Compatible, [high, low]),
            [0, 0, 0, 0, 0, 0xffff, high, low] => (Form::Mapped, [high, low]),
            [0, 0, 0, 0, 0xffff, 0, high, low] => (Form::Translated, [high, low]),
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (Form::Nat64, [high, low]),
            [0x64, 0xff9b, 1, .., high, low] => (Form::LocalNat64, [high, low]),
            [0x2001, 0, .., high, low] => (Form::Teredo, [!high, !low]),
            [0x2002, high, low, ..] => (Form::SixToFour, [high, low]),
            [.., 0 | 0x200, 0x5efe, high, low] => (Form::Isatap, [high, low]),
            _ => return None,
        };
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Some(Self { form, address: Ipv4Addr::new(a, b, c, d) })
    }

    /// The kind of the IPv4 address.
    pub fn class(self) -> Class {
        Class::of_v4(self.address)
    }
}

/// Why a text is neither an address nor a block of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Neither an address nor a CIDR block.
    #[error("expected an IP address or a CIDR block such as `10.20.0.6` or `10.20.0.0/28`")]
    Syntax,
    /// A block with bits set after its prefix.
    #[error("the block has host bits set; write `{0}`")]
    HostBits(IpNet),
}

/// Reads an address or a CIDR block (RFC 4632 §3.1) that every reader reads alike.
///
/// The standard library reads the address, because `ipnet` takes `010.0.0.0` for `10.0.0.0`, where others see
/// `8.0.0.0`. The prefix is plain decimal, and no bit is set behind it.
///
/// ```
/// use ringfence_config::address::{BlockError, parse_block};
///
/// assert_eq!(parse_block("10.20.0.6"), Ok("10.20.0.6/32".parse().unwrap()));
/// assert_eq!(parse_block("010.0.0.0/8"), Err(BlockError::Syntax));
/// assert_eq!(parse_block("10.20.0.6/8"), Err(BlockError::HostBits("10.0.0.0/8".parse().unwrap())));
/// ```
pub fn parse_block(text: &str) -> Result<IpNet, BlockError> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| BlockError::Syntax)?;
    let Some(prefix) = prefix else {
        return Ok(address.into());
    };
    let length: u8 = prefix.parse().map_err(|_| BlockError::Syntax)?;
    if length.to_string() != prefix {
        return Err(BlockError::Syntax);
    }
    let net = IpNet::new(address, length).map_err(|_| BlockError::Syntax)?;
    if net == net.trunc() { Ok(net) } else { Err(BlockError::HostBits(net.trunc())) }
}

/// An address or CIDR block that one host may resolve to although it is private or loopback.
///
/// Every address of a pin is pinnable, so a pin can't be wide enough to reach a platform address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(IpNet);

/// Why a text is not a [`Pin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// No address and no block.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A block that holds more than private or loopback addresses.
    #[error("only private and loopback addresses can be pinned, and `{0}` is {1}")]
    NotPinnable(IpAddr, Class),
}

impl Pin {
    /// Whether this pin covers `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// What of the pin a host may really have: the block without the platform addresses in it, for filters that know
    /// only blocks.
    pub fn admitted(&self) -> Vec<Self> {
        let (mut admitted, mut rest) = (Vec::new(), vec![self.0]);
        while let Some(block) = rest.pop() {
            let mut inside =
                forbidden_blocks().filter(|other| block.contains(other) || other.contains(&block));
            match inside.next() {
                None => admitted.push(Self(block)),
                Some(other) if other.contains(&block) => {}
                Some(_) => {
                    let halves = block.subnets(block.prefix_len() + 1);
                    rest.extend(
                        halves.expect("a block with another inside isn't a single address"),
                    );
                }
            }
        }
        admitted.sort_unstable();
        admitted
    }

    /// The block; of a single address, one of full length.
    pub fn block(&self) -> IpNet {
        self.0
    }

    /// The address, if it is a single one.
    pub fn address(&self) -> Option<IpAddr> {
        (self.0.prefix_len() == self.0.max_prefix_len()).then(|| self.0.addr())
    }
}

impl TryFrom<IpAddr> for Pin {
    type Error = PinError;

    fn try_from(address: IpAddr) -> Result<Self, PinError> {
        match Class::of(address) {
            class if class.is_pinnable() => Ok(Self(address.into())),
            class => Err(PinError::NotPinnable(address, class)),
        }
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let net = parse_block(text)?;
        if net.prefix_len() == net.max_prefix_len() {
            return Self::try_from(net.addr());
        }
        let blocks = PINNABLE_V4
            .iter()
            .copied()
            .map(IpNet::V4)
            .chain(PINNABLE_V6.iter().copied().map(IpNet::V6));
        if !blocks.into_iter().any(|block| block.contains(&net)) {
            return Err(Self::outsider(net));
        }
        // The few platform addresses inside private blocks (100.100.100.200, fd00:ec2::254) are refused
        // address by address when dialling, so a block around them is fine; one that begins with them isn't.
        match Class::of(net.network()) {
            class if class.is_pinnable() => Ok(Self(net)),
            class => Err(PinError::NotPinnable(net.network(), class)),
        }
    }
}

impl Pin {
    /// Names one address of `net` that isn't pinnable.
    fn outsider(net: IpNet) -> PinError {
        let edges = [net.network(), net.broadcast(), net.hosts().next().unwrap_or(net.network())];
        let outsider = edges.into_iter().find(|address| !Class::of(*address).is_pinnable());
        // Both edges may be private while the middle isn't (`0.0.0.0/0` style blocks end in reserved space).
        let address = outsider.unwrap_or(net.network());
        PinError::NotPinnable(address, Class::of(address))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

impl Serialize for Pin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Blocks of addresses that are neither public nor pinnable, for filters that know only blocks. Together with
/// [`pinnable_blocks`] they hold every address that isn't public, but for the ISATAP form under a public prefix.
pub fn forbidden_blocks() -> impl Iterator<Item = IpNet> {
    let v4 = V4.iter().filter(|(_, class)| !class.is_pinnable()).map(|(net, _)| IpNet::V4(*net));
    let v6_hosts = V6_HOSTS.iter().filter(|(_, class)| *class == Class::Platform);
    let v6_hosts = v6_hosts.map(|(host, _)| IpNet::from(IpAddr::V6(*host)));
    let v6 = V6.iter().filter(|(_, class)| !class.is_pinnable()).map(|(net, _)| IpNet::V6(*net));
    let unallocated = V6_UNALLOCATED.iter().copied().map(IpNet::V6);
    v4.chain(v6_hosts).chain(v6).chain(unallocated)
}

/// Blocks of addresses that a host may have only if they are pinned. Platform addresses among them are
/// [forbidden](forbidden_blocks) nevertheless.
pub fn pinnable_blocks() -> impl Iterator<Item = IpNet> {
    let v4 = PINNABLE_V4.iter().copied().map(IpNet::V4);
    // Around `::1` stands what no pin can hold.
    let v6 = PINNABLE_V6.iter().copied().chain([v6([0; 8], 3)]).map(IpNet::V6);
    v4.chain(v6)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// First match wins, so single addresses stand before the blocks around them.
const V4: &[(Ipv4Net, Class)] = &[
    // Azure: DHCP, DNS, health probes and the VM agent.
    (v4(168, 63, 129, 16, 32), Class::Platform),
    // Instance metadata of Azure, AWS, Google and others.
    (v4(169, 254, 169, 254, 32), Class::Platform),
    // AWS: time and DNS (169.254.169.123, .253), ECS task credentials, EKS pod identity.
    (v4(169, 254, 170, 0, 24), Class::Platform),
    // Alibaba Cloud metadata, inside the carrier-grade NAT block.
    (v4(100, 100, 100, 200, 32), Class::Platform),
    // Oracle Cloud metadata, inside the protocol assignments.
    (v4(192, 0, 0, 192, 32), Class::Platform),
    (v4(0, 0, 0, 0, 8), Class::Unspecified),
    (v4(10, 0, 0, 0, 8), Class::Private),
    (v4(100, 64, 0, 0, 10), Class::Private),
    (v4(127, 0, 0, 0, 8), Class::Loopback),
    (v4(169, 254, 0, 0, 16), Class::LinkLocal),
    (v4(172, 16, 0, 0, 12), Class::Private),
    (v4(192, 0, 0, 0, 24), Class::Reserved),
    (v4(192, 0, 2, 0, 24), Class::Reserved),
    // AS112 (RFC 7534, RFC 7535), AMT (RFC 7450): anycast sinks and relays, never a registry.
    (v4(192, 31, 196, 0, 24), Class::Reserved),
    (v4(192, 52, 193, 0, 24), Class::Reserved),
    (v4(192, 175, 48, 0, 24), Class::Reserved),
    // 6to4 relay anycast, deprecated by RFC 7526.
    (v4(192, 88, 99, 0, 24), Class::Reserved),
    (v4(192, 168, 0, 0, 16), Class::Private),
    (v4(198, 18, 0, 0, 15), Class::Reserved),
    (v4(198, 51, 100, 0, 24), Class::Reserved),
    (v4(203, 0, 113, 0, 24), Class::Reserved),
    (v4(224, 0, 0, 0, 4), Class::Multicast),
    (v4(240, 0, 0, 0, 4), Class::Reserved),
];

/// Single addresses.
const V6_HOSTS: &[(Ipv6Addr, Class)] = &[
    (Ipv6Addr::UNSPECIFIED, Class::Unspecified),
    (Ipv6Addr::LOCALHOST, Class::Loopback),
    // Google, Scaleway and Oracle Cloud metadata, inside the unique local block.
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), Class::Platform),
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), Class::Platform),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), Class::Platform),
];

/// First match wins. What [`Embedded`] decodes is not here.
const V6: &[(Ipv6Net, Class)] = &[
    // AWS: metadata, time, DNS, EKS pod identity, inside the unique local block.
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32), Class::Platform),
    // IETF protocol assignments around Teredo: benchmarking, ORCHID, drone identifiers, AMT, AS112.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Class::Reserved),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Class::Reserved),
    // AS112 (RFC 7535).
    (v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48), Class::Reserved),
    // Documentation (RFC 9637).
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Class::Reserved),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Class::Private),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Class::LinkLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Class::LinkLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Class::Multicast),
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What lies outside of [`GLOBAL_UNICAST`], without `::/3`, in which `::1` is, and without the unique local
/// block; 6to4 (RFC 3056), which [`Embedded`] decodes, is inside.
const V6_UNALLOCATED: &[Ipv6Net] = &[
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 2),
    v6([0xc000, 0, 0, 0, 0, 0, 0, 0], 3),
    v6([0xe000, 0, 0, 0, 0, 0, 0, 0], 4),
    v6([0xf000, 0, 0, 0, 0, 0, 0, 0], 5),
    v6([0xf800, 0, 0, 0, 0, 0, 0, 0], 6),
    v6([0xfe00, 0, 0, 0, 0, 0, 0, 0], 7),
];

const PINNABLE_V4: &[Ipv4Net] = &[
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
];

const PINNABLE_V6: &[Ipv6Net] =
    &[v6([0, 0, 0, 0, 0, 0, 0, 1], 128), v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn no_platform_address_is_admitted_with_its_neighbours() {
        let pin: Pin = "100.64.0.0/10".parse().expect("a pin");
        let admitted = pin.admitted();
        assert_eq!(admitted.len(), 22);
        for (address, expected) in [
            ("100.64.0.0", true),
            ("100.100.100.199", true),
            ("100.100.100.200", false),
            ("100.100.100.201", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
        ] {
            let address = address.parse().expect(address);
            assert_eq!(admitted.iter().any(|pin| pin.contains(address)), expected, "{address}");
        }
        let pin: Pin = "10.20.0.0/16".parse().expect("a pin");
        assert_eq!(pin.admitted(), [pin]);
        let pin: Pin = "fd00::/8".parse().expect("a pin");
        let metadata = "fd00:ec2::254".parse().expect("an address");
        assert!(pin.contains(metadata) && !pin.admitted().iter().any(|pin| pin.contains(metadata)));
    }

    proptest! {
        #[test]
        fn blocks_and_classes_agree(v4 in any::<u32>(), v6 in any::<u128>(), near in any::<proptest::sample::Index>(), low in any::<u16>()) {
            let blocks: Vec<IpNet> = forbidden_blocks().chain(pinnable_blocks()).collect();
            // Random bits hardly ever hit a small block: take one near an edge, too.
            let edge = match near.get(&blocks).network() {
                IpAddr::V4(edge) => IpAddr::V4(Ipv4Addr::from(edge.to_bits().wrapping_add(u32::from(low)).wrapping_sub(9))),
                IpAddr::V6(edge) => IpAddr::V6(Ipv6Addr::from(edge.to_bits().wrapping_add(u128::from(low)).wrapping_sub(9))),
            };
            for address in [IpAddr::V4(v4.into()), IpAddr::V6(v6.into()), edge] {
                let class = Class::of(address);
                let is_isatap = matches!(address, IpAddr::V6(v6) if Embedded::of(v6).is_some_and(|e| e.form == Form::Isatap));
                prop_assume!(!is_isatap);
                let forbidden = forbidden_blocks().any(|block| block.contains(&address));
                let pinnable = pinnable_blocks().any(|block| block.contains(&address));
                prop_assert_eq!(class == Class::Public, !forbidden && !pinnable, "{} {:?}", address, class);
                if class.is_pinnable() {
                    prop_assert!(pinnable && !forbidden, "{} {:?}", address, class);
                }
            }
        }
    }

    #[test]
    fn every_special_range_has_its_class() {
        let rows = [
            (
                Class::Public,
                "20.62.128.1 8.8.8.8 11.0.0.0 172.15.255.255 172.32.0.0 2603:1030::1 2a00::1",
            ),
            (
                Class::Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fd12::1 fc00::1",
            ),
            (Class::Loopback, "127.0.0.1 127.255.255.255 ::1"),
            (
                Class::Platform,
                "168.63.129.16 169.254.169.254 169.254.170.2 100.100.100.200 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 192.0.0.192",
            ),
            (Class::LinkLocal, "169.254.0.1 fe80::1 fec0::1"),
            (Class::Multicast, "224.0.0.1 239.1.1.1 ff02::1"),
            (Class::Unspecified, "0.0.0.0 0.1.2.3 ::"),
            (
                Class::Translated,
                "::ffff:10.0.0.1 ::ffff:20.1.1.1 ::10.0.0.1 ::ffff:0:10.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 \
                 2002:a00:1:: 2001:0:1::1 2603:1030::5efe:10.0.0.1 2603:1030::200:5efe:10.0.0.1 fd00::5efe:10.0.0.1",
            ),
            (
                Class::Reserved,
                "192.0.0.1 192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 240.0.0.1 \
                 255.255.255.255 2001:db8::1 3fff::1 5f00::1 100::1 4000::1 2001:2::1 192.88.99.1",
            ),
        ];
        for (class, addresses) in rows {
            for address in addresses.split_whitespace() {
                assert_eq!(Class::of(address.parse().expect("an address")), class, "{address}");
            }
        }
    }

    /// The registries as IANA prints them, against our table: nothing that they hold is ever public.
    const REGISTRIES: &str = "\
        0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 \
        192.0.0.0/24 192.0.0.0/29 192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 \
        192.0.0.171/32 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.88.99.2/32 \
        192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 \
        255.255.255.255/32 224.0.0.0/4 \
        ::1/128 ::/128 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 \
        2001::/32 2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32 \
        2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16 \
        2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8 ::/96 \
        ::ffff:0:0:0/96";

    fn registries() -> Vec<IpNet> {
        REGISTRIES.split_whitespace().map(|net| net.parse().expect("a block")).collect()
    }

    /// The address at `offset` into `net`, wrapping within it.
    fn address_in(net: IpNet, offset: u128) -> IpAddr {
        match net {
            IpNet::V4(net) => {
                let host = u32::try_from(offset & u128::from(u32::from(net.hostmask())));
                (u32::from(net.network()) | host.expect("masked")).to_be_bytes().into()
            }
            IpNet::V6(net) => {
                let host = offset & u128::from(net.hostmask());
                (u128::from(net.network()) | host).to_be_bytes().into()
            }
        }
    }

    fn embed(form: Form, address: Ipv4Addr, rest: u128) -> Ipv6Addr {
        let v4 = u128::from(u32::from(address));
        let rest_of = |bits: u128| rest & bits;
        let bits = match form {
            Form::Compatible => v4,
            Form::Mapped => 0xffff << 32 | v4,
            Form::Translated => 0xffff << 48 | v4,
            Form::Nat64 => 0x0064_ff9b << 96 | v4,
            Form::LocalNat64 => 0x0064_ff9b_0001 << 80 | rest_of(0xffff_ffff_ffff << 32) | v4,
            Form::SixToFour => 0x2002 << 112 | v4 << 80 | rest_of((1 << 80) - 1),
            Form::Teredo => {
                0x2001 << 112 | rest_of(u128::from(u64::MAX) << 32) | (v4 ^ 0xffff_ffff)
            }
            Form::Isatap => rest_of(u128::MAX << 64) | (rest & 1) << 57 | 0x5efe << 32 | v4,
        };
        bits.into()
    }

    proptest! {
        #[test]
        fn nothing_that_a_registry_holds_is_public(block in select(registries()), offset: u128) {
            for offset in [0, offset, u128::MAX] {
                let address = address_in(block, offset);
                prop_assert_ne!(Class::of(address), Class::Public, "{} of {}", address, block);
            }
        }

        #[test]
        fn every_other_ipv4_address_is_public(bits: u32) {
            let address = IpAddr::V4(bits.into());
            let special = registries().iter().any(|block| block.contains(&address));
            let public = Class::of(address) == Class::Public;
            prop_assert!(public != special || Class::of(address) == Class::Platform, "{}", address);
        }

        #[test]
        fn an_embedded_address_is_found_in_every_form(bits: u32, rest: u128) {
            // `::` and `::1` are the two that embed nothing.
            prop_assume!(bits > 1);
            let address = Ipv4Addr::from(bits);
            for form in [
                Form::Compatible,
                Form::Mapped,
                Form::Translated,
                Form::Nat64,
                Form::LocalNat64,
                Form::SixToFour,
                Form::Teredo,
            ] {
                let v6 = embed(form, address, rest);
                prop_assert_eq!(Embedded::of(v6), Some(Embedded { form, address }), "{}", v6);
                prop_assert_eq!(Class::of(v6.into()), Class::Translated, "{}", v6);
            }
            // An ISATAP address may lie in the prefix of another form, which is then the one that counts.
            let isatap = embed(Form::Isatap, address, rest | 0xfd << 120);
            prop_assert_eq!(Embedded::of(isatap), Some(Embedded { form: Form::Isatap, address }));
            prop_assert_eq!(Class::of(isatap.into()), Class::Translated);
        }
    }

    #[test]
    fn what_is_embedded_has_a_class_of_its_own() {
        let rows = [
            ("::ffff:10.0.0.1", Class::Private),
            ("64:ff9b::169.254.169.254", Class::Platform),
            ("64:ff9b::20.62.128.1", Class::Public),
            ("2002:a00:1::", Class::Private),
            ("2001:0:1:2:3:4:f5ff:fffe", Class::Private),
            ("fd00::5efe:168.63.129.16", Class::Platform),
        ];
        for (text, class) in rows {
            let embedded = Embedded::of(text.parse().expect("an address")).expect(text);
            assert_eq!(embedded.class(), class, "{text}");
        }
        for text in ["::", "::1", "2603:1030::1", "64:ff9b:2::1", "fd00::300:5efe:10.0.0.1"] {
            assert_eq!(Embedded::of(text.parse().expect("an address")), None, "{text}");
        }
    }

    #[test]
    fn pins_are_private_or_refused_with_their_reason() {
        for (text, shown) in [
            ("10.20.0.6", "10.20.0.6"),
            ("10.20.0.6/32", "10.20.0.6"),
            ("10.20.0.0/28", "10.20.0.0/28"),
            ("127.0.0.1", "127.0.0.1"),
            ("fd12::/64", "fd12::/64"),
            ("::1", "::1"),
        ] {
            assert_eq!(
                text.parse::<Pin>().map(|pin| pin.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
        for text in [
            "10.0.0.256",
            "010.0.0.1",
            "10.0.0.00/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/33",
            "10.0.0.0/",
        ] {
            assert_eq!(text.parse::<Pin>(), Err(BlockError::Syntax.into()), "{text}");
        }
        assert_eq!(
            "10.20.0.6/28".parse::<Pin>(),
            Err(BlockError::HostBits("10.20.0.0/28".parse().expect("a block")).into())
        );
        for text in [
            "20.1.1.1",
            "0.0.0.0/0",
            "10.0.0.0/7",
            "::/0",
            "168.63.129.16",
            "169.254.169.254/32",
            "224.0.0.1",
            "100.100.100.200",
            "100.100.100.200/32",
            "fd00:ec2::254/128",
            "fd00:ec2::/64",
            "192.168.0.0/15",
        ] {
            assert!(matches!(text.parse::<Pin>(), Err(PinError::NotPinnable(..))), "{text}");
        }
    }
}
