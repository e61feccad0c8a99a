//! Azure's own filters and name servers.

mod dns_policy;
mod firewall;
mod nsg;
mod private_dns;
pub(crate) mod private_link;
