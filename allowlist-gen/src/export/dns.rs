//! DNS servers, and the hosts file that stands before them.

use std::net::IpAddr;

use super::Error;
use super::sheet::{Host, Sheet};

pub(super) mod dnsmasq;
pub(super) mod hosts;
pub(super) mod rpz;
pub(super) mod unbound;
pub(crate) mod zone;

/// The host's addresses one by one, as answers have them.
fn addresses(sheet: &Sheet<'_>, host: &Host<'_>) -> Result<Vec<IpAddr>, Error> {
    let address = |pin: &ringfence_config::address::Pin| {
        pin.address().ok_or_else(|| {
            let why =
                format!("`{pin}` is a block, and an answer is one address: list the host's own");
            sheet.unrepresentable(host.name.as_str(), why)
        })
    };
    host.addresses.iter().map(address).collect()
}

/// The type of the record that holds `address`.
fn record_type(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "A",
        IpAddr::V6(_) => "AAAA",
    }
}

/// What a zone begins with: how long its records last, and who is responsible for it, which is nobody outside.
///
/// <https://www.rfc-editor.org/rfc/rfc1035#section-3.3.13>
fn start_of_authority(serial: u32) -> String {
    format!(
        "$TTL {TTL}\n\
         @ IN SOA localhost. hostmaster.localhost. {serial} 3600 600 604800 {TTL}\n\
         @ IN NS localhost.\n"
    )
}

/// The list's serial, counted as zones count (RFC 1982): after 2³² − 1 comes 0. Without one, the beginning of the
/// list's hash, which is another for another list but not a greater one.
///
/// <https://www.rfc-editor.org/rfc/rfc1982>
fn serial(sheet: &Sheet<'_>) -> u32 {
    let number = sheet.issue.serial.map(|serial| serial.number() % (1 << 32));
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.unwrap_or_else(|| {
        let digits = sheet.hash().trim_start_matches("sha256:").get(..8).expect("64 digits");
        u32::from_str_radix(digits, 16).expect("digits in hex")
    })
}

/// For how many seconds an answer may be remembered: so long does a change take to reach everyone.
pub(super) const TTL: u32 = 300;

/// Of formats that have a serial.
const SERIAL_NOTE: &str = "\
    The zone's serial is that of the list, modulo 2^32. For a list without one it is made of the list's hash: it \
    changes with the list, but doesn't grow, and secondary servers may miss a change.";
