//! What clients begin with: real `ClientHello`s, with any name in them.

use anyhow::{Result, ensure};
use rustls::ClientConnection;
use test_support::Authority;
use test_support::tls_client::TlsClient;

/// A `ClientHello` with this server name, exactly as it is written here.
pub(crate) fn naming(name: &str) -> Result<Vec<u8>> {
    // Rustls knows how names are written; so it gets one of the same length, which is then replaced.
    let edges = [0, name.len() - 1];
    let letter = |(at, c)| if c == '.' && !edges.contains(&at) { '.' } else { 'x' };
    let stand_in: String = name.char_indices().map(letter).collect();
    let hello = hello(&stand_in, true)?;
    let at = hello.windows(name.len()).position(|bytes| bytes == stand_in.as_bytes());
    let at = at.expect("the name is in it");
    let mut renamed = hello;
    renamed[at..at + name.len()].copy_from_slice(name.as_bytes());
    Ok(renamed)
}

/// A `ClientHello` without a server name.
pub(crate) fn nameless() -> Result<Vec<u8>> {
    hello("contoso.azurecr.io", false)
}

fn hello(name: &str, says_it: bool) -> Result<Vec<u8>> {
    let mut config = (*TlsClient::trusting(&Authority::create()?)?.config()).clone();
    config.enable_sni = says_it;
    let mut connection = ClientConnection::new(config.into(), name.to_owned().try_into()?)?;
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes)?;
    let found = bytes.windows(name.len()).any(|window| window == name.as_bytes());
    ensure!(found == says_it, "the hello should say its name only if it is told to");
    Ok(bytes)
}
