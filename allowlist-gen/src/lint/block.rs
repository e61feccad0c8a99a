//! What addresses in a rule say of names.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use ringfence_config::address::Class;

/// What lies behind a destination that is written as addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// Every address there is, and so every name.
    Everything,
    /// Public addresses: whose names are behind them can't be known.
    Public,
    /// Addresses of the network's own.
    Inside,
    /// No address, no block and no range.
    NotAddresses,
}

/// Reads `*`, an address, a block, or a range of addresses.
pub(super) fn reached(text: &str) -> Reached {
    if matches!(text, "*" | "Any" | "any") {
        return Reached::Everything;
    }
    if let Some((first, last)) = text.split_once('-') {
        return match (first.trim().parse::<IpAddr>(), last.trim().parse::<IpAddr>()) {
            (Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), Ok(IpAddr::V4(Ipv4Addr::BROADCAST))) => {
                Reached::Everything
            }
            (Ok(first), Ok(last)) if first > last => Reached::Public,
            (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) => {
                let mut blocks = ipnet::Ipv4Subnets::new(first, last, 0);
                if blocks.all(|block| is_block_inside(block.into())) {
                    Reached::Inside
                } else {
                    Reached::Public
                }
            }
            (Ok(IpAddr::V6(first)), Ok(IpAddr::V6(last))) => {
                let mut blocks = ipnet::Ipv6Subnets::new(first, last, 0);
                if blocks.all(|block| is_block_inside(block.into())) {
                    Reached::Inside
                } else {
                    Reached::Public
                }
            }
            (Ok(_), Ok(_)) => Reached::Public,
            _ => Reached::NotAddresses,
        };
    }
    let block = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match block {
        Err(_) => Reached::NotAddresses,
        // Two halves of all addresses are a way to write all of them.
        Ok(block) if block.prefix_len() <= 1 => Reached::Everything,
        Ok(block) if is_block_inside(block) => Reached::Inside,
        Ok(_) => Reached::Public,
    }
}

/// Blocks that are larger than any of a network's own have public addresses between their ends.
fn is_block_inside(block: IpNet) -> bool {
    let least = if block.network().is_ipv4() { 8 } else { 7 };
    let is_multicast = block.network().is_multicast() && block.broadcast().is_multicast();
    (block.prefix_len() >= least || is_multicast)
        && is_inside(block.network())
        && is_inside(block.broadcast())
}

fn is_inside(address: IpAddr) -> bool {
    Class::of(address) != Class::Public
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        for (text, expected) in [
            ("*", Reached::Everything),
            ("0.0.0.0/0", Reached::Everything),
            ("::/0", Reached::Everything),
            ("128.0.0.0/1", Reached::Everything),
            ("0.0.0.0-255.255.255.255", Reached::Everything),
            ("20.62.0.0/16", Reached::Public),
            ("20.62.0.1", Reached::Public),
            ("10.0.0.1-20.0.0.1", Reached::Public),
            // Both ends are a network's own, and what is between them isn't.
            ("10.0.0.0-192.168.255.255", Reached::Public),
            ("192.0.0.0/2", Reached::Public),
            ("10.0.0.9-10.0.0.1", Reached::Public),
            ("fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reached::Inside),
            ("10.20.0.0/16", Reached::Inside),
            ("10.20.0.4-10.20.0.9", Reached::Inside),
            ("fd00::/8", Reached::Inside),
            ("Storage.EastUS", Reached::NotAddresses),
            ("contoso-eu.azurecr.io", Reached::NotAddresses),
            ("", Reached::NotAddresses),
        ] {
            assert_eq!(reached(text), expected, "{text}");
        }
    }
}
