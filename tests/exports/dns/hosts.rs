//! glibc, with our lines in the place of `/etc/hosts`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use allowlist_gen::export::Format;
use anyhow::{Context, Result, ensure};
use test_support::{Program, require};

use super::lab::{ANYWHERE, BEHIND, Lab, addresses};
use super::{list_of, pinned, strangers};
use crate::consumer::{self, Mutation};
use crate::{lists, matrix};

#[test]
fn glibc_finds_the_listed_hosts_and_asks_for_all_others() -> Result<()> {
    if !require(&["getent", "unshare", "dnsmasq", "ip"]) {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Hosts,
        &[
            Mutation { from: "10.20.0.6\t", to: "10.20.0.6/32\t" },
            Mutation { from: "10.20.0.6\tcontoso", to: "contoso.azurecr.io\tcontoso" },
            Mutation { from: "\tcontoso.azurecr.io", to: "\t*.azurecr.io" },
            Mutation { from: "10.20.0.6\t", to: "# 10.20.0.6\t" },
        ],
        |text| examine(text).map(drop).map_err(|error| format!("{error:#}")),
    );
    let probes = examine(&lists::contoso().export(Format::Hosts)?.text)?;
    let version = consumer::debian_version("libc-bin");
    matrix::record(Format::Hosts, "getent (glibc)", &version, judgement.with_probes(probes));
    Ok(())
}

fn examine(text: &str) -> Result<usize> {
    let (lab, list) = (Lab::new(&[])?, list_of(text));
    let pinned = pinned(&list);
    let spellings = |host: &String| [host.clone(), host.to_ascii_uppercase()];
    let listed: Vec<String> = pinned.keys().flat_map(spellings).collect();
    let found = getent(&lab, text, "ahosts", &listed)?;
    for name in &listed {
        let expected = &pinned[&name.to_ascii_lowercase()];
        ensure!(found[name] == *expected, "{name}: {:?} should be {expected:?}", found[name]);
    }
    let asked = lab.asked()?;
    ensure!(asked.is_empty(), "the DNS was asked for {asked:?}");

    let unpinned = list.hosts().into_iter().filter(|host| !pinned.contains_key(host));
    let others: Vec<String> = strangers(&list).into_iter().chain(unpinned).collect();
    let found = getent(&lab, text, "ahosts", &others)?;
    let asked = lab.asked()?;
    for name in &others {
        ensure!(found[name] == addresses(ANYWHERE), "{name}: {:?}", found[name]);
        ensure!(asked.contains(name), "the DNS wasn't asked for {name}");
    }
    Ok(listed.len() + others.len())
}

/// What the notes say of it.
#[test]
fn a_trailing_dot_and_ipv6_alone_go_past_the_file() -> Result<()> {
    if !require(&["getent", "unshare", "dnsmasq", "ip"]) {
        return Ok(());
    }
    let text = lists::contoso().export(Format::Hosts)?.text;
    let lab = Lab::new(&[])?;
    let [with_dot, without] = ["contoso.azurecr.io.", "contoso.azurecr.io"].map(str::to_owned);
    let found = getent(&lab, &text, "ahosts", std::slice::from_ref(&with_dot))?;
    assert_eq!(found[&with_dot], addresses(ANYWHERE));
    // This asks for IPv6 addresses first, and for others only if there are none.
    let found = getent(&lab, &text, "hosts", std::slice::from_ref(&without))?;
    let [_, v6] = ANYWHERE;
    assert_eq!(found[&without], BTreeSet::from([v6.parse::<IpAddr>()?]));
    Ok(())
}

/// The addresses that `getent` finds for each name, with `text` as the hosts file and the lab's DNS.
fn getent(
    lab: &Lab,
    text: &str,
    database: &str,
    names: &[String],
) -> Result<BTreeMap<String, BTreeSet<IpAddr>>> {
    let script = "\
        mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/resolv.conf && \
        mount --bind \"$3\" /etc/nsswitch.conf && database=$4 && shift 4 || exit 1\n\
        for name; do echo \"name $name\"; getent \"$database\" \"$name\"; done\n\
        exit 0";
    let files = [
        lab.file("hosts", text)?,
        lab.file("resolv.conf", &format!("nameserver {BEHIND}\n"))?,
        lab.file("nsswitch.conf", "hosts: files dns\n")?,
    ];
    let program = Program::new("unshare").args(["--mount", "sh", "-c", script, "sh"]);
    let program = program.args(files).arg(database).args(names).inside(&lab.namespace);
    let said = program.run()?.succeeded()?.stdout;
    let mut found = BTreeMap::new();
    for block in said.split("name ").skip(1) {
        let mut lines = block.lines();
        let name = lines.next().context("a name")?.to_owned();
        let addresses = lines.filter_map(|line| line.split_whitespace().next()?.parse().ok());
        found.insert(name, addresses.collect());
    }
    Ok(found)
}

/// Applied twice, the lines are there once, and those of others stay.
#[test]
fn applying_replaces_what_was_applied_before() -> Result<()> {
    if !require(&["unshare"]) {
        return Ok(());
    }
    let apply = Format::Hosts.about().apply;
    let folder = tempfile::tempdir()?;
    let (hosts, export) = (folder.path().join("etc-hosts"), folder.path().join("acr.hosts"));
    // Somebody's last line has no end.
    std::fs::write(&hosts, "127.0.0.1\tlocalhost")?;
    let [before, after] = [lists::written("hostile"), lists::contoso()];
    for list in [before, after] {
        std::fs::write(&export, list.export(Format::Hosts)?.text)?;
        let script = format!("mount --bind etc-hosts /etc/hosts || exit 1\n{apply}");
        let program = Program::new("unshare").args(["--mount", "sh", "-e", "-c"]);
        let script = format!("cd '{}'\n{script}", folder.path().display());
        program.arg(script).run()?.succeeded()?;
    }
    let expected = format!("127.0.0.1\tlocalhost\n{}", std::fs::read_to_string(&export)?);
    assert_eq!(std::fs::read_to_string(&hosts)?, expected);
    Ok(())
}
