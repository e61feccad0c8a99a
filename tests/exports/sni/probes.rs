//! What is asked of every proxy that goes by server name (SNI).

use std::io::Write;

use anyhow::{Context, Result, ensure};

use super::hello;
use super::world::{Client, GREETING, World, answer};
use crate::lookalikes;

/// Asks everything that has an answer by name; returns how many questions there were. What passes arrives byte for
/// byte, and nothing else arrives.
pub(crate) fn ask_names(world: &World) -> Result<usize> {
    let mut questions = Vec::new();
    for probe in lookalikes::probes() {
        questions.push((probe.host.clone(), hello::naming(&probe.host)?, probe.passes));
    }
    for name in lookalikes::with_trailing_dot() {
        questions.push((name.clone(), hello::naming(&name)?, false));
    }
    for name in STRANGE_NAMES {
        questions.push((name.to_owned(), hello::naming(name)?, false));
    }
    questions.push(("no name".to_owned(), hello::nameless()?, false));
    for text in
        [&b"GET / HTTP/1.1\r\nHost: contoso.azurecr.io\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.2\r\n"]
    {
        questions.push((String::from_utf8_lossy(text).into_owned(), text.to_vec(), false));
    }
    let mut expected = Vec::new();
    for (what, bytes, passes) in &questions {
        let passed =
            passes_through(world, Client::Known, bytes, bytes.len()).context(what.clone())?;
        ensure!(passed == *passes, "`{what}`: passed is {passed}");
        if *passes {
            expected.push(bytes.clone());
        }
    }
    // A hello that comes in pieces is a hello; a listed name from elsewhere is nothing.
    let listed = hello::naming(lookalikes::LISTED[0])?;
    ensure!(passes_through(world, Client::Known, &listed, 40)?, "in pieces");
    expected.push(listed.clone());
    ensure!(!passes_through(world, Client::Stranger, &listed, listed.len())?, "a stranger passed");
    ensure!(sorted(world.arrived()?) == sorted(expected), "something else arrived");
    Ok(questions.len() + 2)
}

/// Asks for the listed hosts in a world where every name is at an address that only `allowed` may have.
pub(crate) fn ask_addresses(world: &World, allowed: &[&str]) -> Result<usize> {
    let mut expected = Vec::new();
    for host in lookalikes::LISTED {
        let bytes = hello::naming(host)?;
        let passed = passes_through(world, Client::Known, &bytes, bytes.len())?;
        ensure!(passed == allowed.contains(&host), "{host}: passed is {passed}");
        if passed {
            expected.push(bytes);
        }
    }
    // A connection without a byte on it is the most that Envoy makes.
    let arrived = world.arrived()?.into_iter().filter(|bytes| !bytes.is_empty()).collect();
    ensure!(sorted(arrived) == sorted(expected), "something else arrived");
    Ok(lookalikes::LISTED.len())
}

/// Asks for what [`widened::export`](super::widened::export) added to a file.
pub(crate) fn ask_widened(world: &World) -> Result<()> {
    let mut expected = Vec::new();
    for (name, passes) in [
        ("mine.blob.core.windows.net", true),
        ("MINE.blob.core.windows.net", true),
        ("harmless.windows.net", true),
        ("exfil.blob.core.windows.net", false),
        ("EXFIL.BLOB.core.windows.net", false),
    ] {
        let bytes = hello::naming(name)?;
        let passed = passes_through(world, Client::Known, &bytes, bytes.len())?;
        ensure!(passed == passes, "{name}: passed is {passed}");
        if passed {
            expected.push(bytes);
        }
    }
    let arrived = world.arrived()?.into_iter().filter(|bytes| !bytes.is_empty()).collect();
    ensure!(sorted(arrived) == sorted(expected), "something else arrived");
    Ok(())
}

/// Whether the far end answers to `bytes`, sent in pieces of this size.
pub(crate) fn passes_through(
    world: &World,
    client: Client,
    bytes: &[u8],
    piece: usize,
) -> Result<bool> {
    let mut stream = world.connect(client)?;
    for piece in bytes.chunks(piece) {
        // A proxy may have ended it by now, which the answer shows.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    match answer(&mut stream)? {
        None => Ok(false),
        Some(said) if said == GREETING => Ok(true),
        Some(said) => anyhow::bail!("said {}", String::from_utf8_lossy(&said)),
    }
}

/// In an order of their own: connections end in any.
pub(crate) fn sorted(mut all: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    all.sort();
    all
}

const STRANGE_NAMES: [&str; 6] = [
    "20.62.128.10",
    ".contoso.azurecr.io",
    "*.azurecr.io",
    "contoso.azurecr.io\0.evil.example",
    "contoso.azurecr.io evil.example",
    "\"};contoso.azurecr.io\n",
];
