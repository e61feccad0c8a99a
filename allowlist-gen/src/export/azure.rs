//! Azure's own filters and name servers.

pub(super) mod dns_policy;
pub(super) mod firewall;
pub(super) mod firewall_bicep;
mod firewall_rules;
pub(super) mod firewall_terraform;
pub(super) mod nsg;
pub(crate) mod private_dns;
pub(crate) mod private_dns_bicep;
pub(crate) mod private_dns_terraform;
pub(crate) mod private_records;

use sha2::{Digest, Sha256};

/// The name of an object in Azure, which may have 80 characters: what is longer ends in a hash of all of it.
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>
fn object_name(name: &str) -> String {
    const MOST: usize = 80;
    if name.len() <= MOST {
        return name.to_owned();
    }
    let hash: [u8; 32] = Sha256::digest(name).into();
    let [a, b, c, d, ..] = hash;
    format!("{}-{:08x}", &name[..MOST - 9], u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        assert_eq!(object_name("acr-contoso"), "acr-contoso");
        let long = |end: &str| object_name(&format!("acr-{}{end}", "x".repeat(90)));
        assert_eq!(long("a").len(), 80);
        assert_ne!(long("a"), long("b"));
    }
}
