//! What must hold for the words of a list and of a request: hosts, patterns, ports, pins, registries' hosts.

use std::fmt::{Debug, Display};
use std::net::IpAddr;
use std::str::FromStr;

use ringfence_config::address::{Class, Pin};
use ringfence_config::endpoint::Endpoint;
use ringfence_config::{HostPattern, Hostname, Label, PatternSet, Port, Region};

/// Reads `bytes` as each kind of word.
///
/// - What is accepted is written in one way, and read back as itself.
/// - A host is made of letters, digits and hyphens, and is no address; a port's digits are its number.
/// - A pattern without a star is a host; one with stars stands for the names that have one label at each.
/// - A pin admits private and loopback addresses only, platform addresses within them apart.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let host = read::<Hostname>(text);
    if let Some(host) = &host {
        check_host(host, text);
    }
    match read::<HostPattern>(text) {
        Some(HostPattern::Exact(exact)) => assert_eq!(Some(exact), host),
        Some(pattern) => check_pattern(&pattern),
        None => assert_eq!(host, None),
    }
    if let Some(endpoint) = read::<Endpoint>(text) {
        assert_eq!(Some(endpoint.host()), host);
    }
    if let Some(port) = read::<Port>(text) {
        assert_eq!(port.number().to_string(), text);
    }
    if let Some(pin) = read::<Pin>(text) {
        check_pin(pin, text);
    }
    let _ = (read::<Label>(text), read::<Region>(text));
}

fn read<T: FromStr + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    let written = value.to_string();
    let again = written.parse().ok();
    assert_eq!(again.as_ref(), Some(&value), "{text:?} is written as {written:?}");
    Some(value)
}

fn check_host(host: &Hostname, text: &str) {
    assert_eq!(host.as_str(), text.to_ascii_lowercase());
    assert!(host.as_str().len() <= 253 && host.as_str().contains('.'));
    for label in host.as_str().split('.') {
        assert!((1..=63).contains(&label.len()), "{host}");
        assert!(!label.starts_with('-') && !label.ends_with('-') && !label.starts_with("xn--"));
        let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        assert!(label.bytes().all(is_plain), "{host}");
    }
    assert!(host.as_str().parse::<IpAddr>().is_err(), "{host}");
}

fn check_pattern(pattern: &HostPattern) {
    let HostPattern::Wildcard(wildcard) = pattern else { panic!("a host") };
    let set = PatternSet::new([wildcard]);
    for (label, fits) in [("x", true), ("x.y", false)] {
        let Ok(host) = pattern.as_str().replace('*', label).parse::<Hostname>() else { continue };
        assert_eq!(pattern.matches(&host), fits, "{pattern} and {host}");
        assert_eq!(set.first_match(&host).is_some(), fits, "{pattern} and {host}");
    }
}

fn check_pin(pin: Pin, text: &str) {
    let first = text.split('/').next().unwrap_or_default();
    let address: IpAddr = first.parse().expect("a pin begins with an address");
    assert!(pin.contains(address));
    let class = Class::of(address);
    assert!(matches!(class, Class::Private | Class::Loopback | Class::Platform), "{pin}: {class}");
    assert!(class != Class::Platform || text.contains('/'), "{pin}");
}
