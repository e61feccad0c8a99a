//! Debian's `HAProxy`.

use std::net::Ipv4Addr;
use std::process::Command;

use allowlist_gen::export::{self, Error, Format};
use anyhow::{Context, Result};
use ringfence_config::{Allowlist, Entry, Issue, Role};
use serde_json::Value;
use test_support::{Program, Running, require_program};

use super::world::{Client, PINNED, PLATFORM, PUBLIC, World};
use super::{probes, widened};
use crate::consumer::{self, Mutation, Verdict};
use crate::{lists, matrix};

#[test]
fn haproxy_accepts_its_configuration_and_obeys() -> Result<()> {
    if !require_program("haproxy") {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Haproxy,
        &[
            Mutation { from: "inspect-delay 5s", to: "inspect-delay soon" },
            Mutation { from: "req.ssl_sni,lower", to: "req.ssl_snl,lower" },
            Mutation { from: "do-resolve(txn.address,names", to: "do-resolve(txn.address,name" },
            Mutation { from: "if acr-contoso", to: "if acr-contosi" },
            Mutation { from: "default_backend hosts", to: "default_backend host" },
        ],
        check,
    );
    let Some(names) = ask(PUBLIC, probes::ask_names)? else { return Ok(()) };
    let pinned = |world: &World| probes::ask_addresses(world, &["contoso.azurecr.io"]);
    let private = ask(PINNED, pinned)?.context("it ran a moment ago")?;
    let platform = ask(PLATFORM, |world| probes::ask_addresses(world, &[]))?;
    let asked = names + private + platform.context("it ran a moment ago")?;
    let version = consumer::debian_version("haproxy");
    matrix::record(Format::Haproxy, "haproxy", &version, judgement.with_probes(asked));
    Ok(())
}

#[test]
fn haproxy_says_in_its_log_what_became_of_a_name() -> Result<()> {
    let Some(world) = World::open(&["haproxy"], PUBLIC)? else { return Ok(()) };
    let running = start(&world)?;
    probes::ask_names(&world)?;
    for (name, reason) in [
        ("contoso.azurecr.io", "-"),
        ("evil.azurecr.io", "not_in_policy"),
        ("exfil.blob.core.windows.net", "storage_forbidden"),
        ("-", "sni_missing"),
        // Names that look like a listed one up to a NUL have none in the log.
        ("-", "sni_invalid"),
        // A name that would like to be a field.
        ("\"};contoso.azurecr.io\n", "not_in_policy"),
    ] {
        let said = |line: &Value| line["sni"] == name && line["reason"] == reason;
        let wanted = |line: &str| serde_json::from_str(line).is_ok_and(|line| said(&line));
        running.stdout.wait_for_line(wanted).with_context(|| format!("{name}: {reason}"))?;
    }
    Ok(())
}

#[test]
fn haproxy_lets_no_storage_pass_when_its_file_is_widened() -> Result<()> {
    let Some(world) = World::open(&["haproxy"], PUBLIC)? else { return Ok(()) };
    let line = "acl other var(txn.sni) -m str mine.blob.core.windows.net";
    let file = world.write("haproxy.cfg", &widened::export(Format::Haproxy, &[line])?)?;
    let _running = world.start(Program::new("haproxy").args(["-db", "-f"]).arg(file))?;
    probes::ask_widened(&world)
}

/// HAProxy compares a 6to4 address as the IPv4 one in it.
#[test]
fn haproxy_knows_its_clients_by_their_family() -> Result<()> {
    let Some(world) = World::open(&["haproxy"], PUBLIC)? else { return Ok(()) };
    let text = World::export(Format::Haproxy)?;
    let both = text.replacen("bind 0.0.0.0:", "bind :::", 1);
    assert_ne!(text, both);
    let file = world.write("haproxy.cfg", &both)?;
    let _running = world.start(Program::new("haproxy").args(["-db", "-f"]).arg(file))?;
    let hello = super::hello::naming("contoso.azurecr.io")?;
    for (client, passes) in
        [(Client::Disguised, false), (Client::Stranger, false), (Client::Known, true)]
    {
        let passed = probes::passes_through(&world, client, &hello, hello.len())?;
        assert_eq!(passed, passes, "{client:?}");
    }
    assert_eq!(world.arrived()?, [hello]);
    Ok(())
}

#[test]
fn haproxy_takes_a_long_list() -> Result<()> {
    if require_program("haproxy") {
        check(&widened::long(Format::Haproxy)?).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// It would find no address for such a host, and nobody would know why.
#[test]
fn haproxy_has_no_words_for_a_host_with_ipv6_addresses_alone() -> Result<()> {
    let export = |addresses: &[&str]| -> Result<_> {
        let mut entry = Entry::new("packages.example".parse()?, Role::Other);
        for address in addresses {
            entry.addresses.push(address.parse()?);
        }
        let (list, options) = (Allowlist::new([entry])?, lists::options(Format::Haproxy));
        Ok(export::render(Format::Haproxy, &list, Issue::default(), &options))
    };
    let (host, format) = ("packages.example".to_owned(), "haproxy");
    let why = "it is IPv4 only, and all private addresses of this host are IPv6".into();
    let refused = Err(Error::Unrepresentable { host, format, why });
    assert_eq!(export(&["fd00:20::5", "fd00:20::/64"])?, refused);
    for addresses in [&[][..], &["10.20.0.5"], &["10.20.0.5", "fd00:20::5"]] {
        assert!(export(addresses)?.is_ok(), "{addresses:?}");
    }
    Ok(())
}

fn ask(address: Ipv4Addr, probes: impl Fn(&World) -> Result<usize>) -> Result<Option<usize>> {
    let Some(world) = World::open(&["haproxy"], address)? else { return Ok(None) };
    let _running = start(&world)?;
    probes(&world).map(Some)
}

fn start(world: &World) -> Result<Running> {
    let file = world.write("haproxy.cfg", &World::export(Format::Haproxy)?)?;
    world.start(Program::new("haproxy").args(["-db", "-f"]).arg(file))
}

fn check(text: &str) -> Verdict {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    consumer::run(Command::new("haproxy").args(["-c", "-f"]).arg(file.path()))
}
