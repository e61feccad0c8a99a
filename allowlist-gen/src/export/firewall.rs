//! Firewalls, on the network and on the machine: as boxes, as services of clouds, as agents.

use std::borrow::Cow;

use ringfence_config::allowlist::Ports;
use uuid::Uuid;

use super::sheet::Group;

pub(super) mod aws_network_firewall;
pub(super) mod aws_network_firewall_list;
pub(super) mod fortigate;
pub(super) mod gcp_firewall;
pub(super) mod gcp_url_list;
pub(super) mod harden_runner;
pub(super) mod palo_alto;
pub(super) mod palo_alto_edl;
pub(super) mod suricata;
pub(super) mod windows;

/// An id for `words` that is the same in every run and on every machine: version 5 of
/// <https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-5>.
fn id(words: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("allowlist-gen:{words}").as_bytes())
}

/// `name` if it has at most `most` characters; else its beginning, with a hash of all of it, so that names which
/// begin alike stay apart. Two dashes stand in no registry's name, so no name that is short enough looks like that.
fn short(name: &str, most: usize) -> Cow<'_, str> {
    if name.len() <= most {
        return Cow::Borrowed(name);
    }
    let hash = id(name).simple().to_string();
    let kept: String = name.chars().take(most - HASH - 2).collect();
    Cow::Owned(format!("{}--{}", kept.trim_end_matches('-'), &hash[..HASH]))
}

/// What the object of `group` is called on a firewall, where it stands among everybody else's: `acr-` is in front even
/// if no registry is in it, and `acr--other` is no registry's.
fn object_name(group: &Group<'_>, most: usize) -> String {
    match group.registry {
        Some(_) => short(&group.name, most).into_owned(),
        None => short(&format!("acr--{}", group.name), most).into_owned(),
    }
}

/// The ports with `separator` between them.
fn joined(ports: &Ports, separator: &str) -> String {
    let ports: Vec<String> = ports.iter().map(|port| port.to_string()).collect();
    ports.join(separator)
}

/// Hexadecimal digits of a hash in a name.
const HASH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_and_stays_unlike_others() {
        assert_eq!(short("acr-contoso", 11), "acr-contoso");
        let one = short("acr-contoso-in-the-north--part1", 20).into_owned();
        let two = short("acr-contoso-in-the-north--part2", 20).into_owned();
        assert!(one.starts_with("acr-contos") && two.starts_with("acr-contos"), "{one} {two}");
        assert!(one.len() <= 20 && one != two, "{one} {two}");
        // What another registry could be called is no name of a long one: two dashes stand in none.
        assert!(one.contains("--") && two.contains("--"), "{one} {two}");
    }

    #[test]
    fn an_id_is_the_same_tomorrow() {
        assert_eq!(
            id("windows-firewall/contoso.azurecr.io").to_string(),
            "ea4e7bc5-aa9e-586e-9e2f-00208863ef32"
        );
        assert_ne!(id("a"), id("b"));
    }
}
