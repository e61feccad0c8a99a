//! BIND, Unbound and the `PowerDNS` Recursor, which know no registry but the listed ones.

use allowlist_gen::export::{self, Error, Format, Options};
use anyhow::Result;
use ringfence_config::{Allowlist, Entry, Issue, Role};
use test_support::{Running, require, require_program};

use super::lab::{Alias, Lab, Probe, addresses};
use super::programs::{self, kzonecheck, named_checkzone};
use super::{is_registrys, list_of, strangers};
use crate::consumer::{self, Mutation};
use crate::{lists, matrix};

#[test]
fn bind_obeys_the_policy_zone() -> Result<()> {
    if !require(&["named", "dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    put_through(
        "BIND",
        "bind9",
        bind,
        Aliases::Stopped,
        &[
            // Each of these lines closes what no other does: a wildcard spans nothing below a name that is there.
            Mutation { from: "\n*.contoso.azurecr.io CNAME .", to: "" },
            Mutation { from: "\n*.eastus.data.azurecr.io CNAME .", to: "" },
        ],
    )
}

#[test]
fn unbound_obeys_the_policy_zone() -> Result<()> {
    if !require(&["unbound", "dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    put_through(
        "Unbound",
        "unbound",
        unbound,
        Aliases::NotAlwaysStopped,
        &[Mutation { from: "\n*.contoso.azurecr.io CNAME .", to: "" }],
    )
}

#[test]
fn powerdns_obeys_the_policy_zone() -> Result<()> {
    if !require(&["pdns_recursor", "dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    put_through("PowerDNS Recursor", "pdns-recursor", powerdns, Aliases::Stopped, &[])
}

/// What becomes of names in other domains that lead to registries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aliases {
    Stopped,
    /// Which is a limit of the consumer, as the notes say.
    NotAlwaysStopped,
}

fn put_through(
    consumer: &str,
    package: &str,
    start: impl Fn(&Lab, &str) -> Result<Running>,
    aliases: Aliases,
    more: &[Mutation],
) -> Result<()> {
    let examine = |text: &str| -> Result<usize> {
        let lab = Lab::new(&leading_elsewhere())?;
        let _running = start(&lab, text)?;
        lab.examine(&probes(text, aliases))
    };
    let mut mutations = vec![
        // A well-formed zone, which sends clients to a host of that name.
        Mutation {
            from: "contoso.azurecr.io CNAME rpz-passthru.",
            to: "contoso.azurecr.io CNAME rpz-pasthru.",
        },
        Mutation { from: "*.data.azurecr.io CNAME .", to: "*.data.azurecr.io CNAME rpz-passthru." },
        Mutation { from: "*.azurecr.us CNAME .", to: "*.azurecr.uss CNAME ." },
    ];
    mutations.extend(more.iter().map(|&Mutation { from, to }| Mutation { from, to }));
    let verdict = |text: &str| examine(text).map(drop).map_err(|error| format!("{error:#}"));
    let judgement = consumer::judge(Format::Rpz, &mutations, verdict);
    let probes = examine(&lists::contoso().export(Format::Rpz)?.text)?;
    let version = consumer::debian_version(package);
    matrix::record(Format::Rpz, consumer, &version, judgement.with_probes(probes));
    Ok(())
}

/// The listed names pass, in any spelling; those of other registries don't exist; all others pass, too.
fn probes(text: &str, aliases: Aliases) -> Vec<Probe> {
    let list = list_of(text);
    let listed = list.hosts().into_iter().map(|host| {
        let alias = leading_elsewhere().into_iter().find(|alias| alias.name == host);
        alias.map_or_else(
            || Probe::anywhere(&host),
            |alias| Probe::behind(&host, &addresses(alias.addresses)),
        )
    });
    let others = strangers(&list).into_iter().map(|name| {
        if is_registrys(&name) { Probe::unknown(&name) } else { Probe::anywhere(&name) }
    });
    let mut probes: Vec<Probe> = listed.flat_map(Probe::spellings).chain(others).collect();
    if aliases == Aliases::Stopped {
        probes.extend(Probe::withheld("alias.example").spellings());
    }
    probes
}

/// A registry with a private endpoint, and somebody's name for somebody's registry.
fn leading_elsewhere() -> [Alias; 2] {
    let alias = |name: &str, target: &str, addresses| Alias {
        name: name.to_owned(),
        target: target.to_owned(),
        addresses,
    };
    [
        alias("contoso.azurecr.io", "contoso.privatelink.azurecr.io", ["10.20.0.6", "fd00:20::6"]),
        alias("alias.example", "evil.azurecr.io", ["203.0.113.8", "2001:db8::8"]),
    ]
}

fn bind(lab: &Lab, zone: &str) -> Result<Running> {
    bind_with(lab, zone, &configuration("response-policy "))
}

fn bind_with(lab: &Lab, zone: &str, policy: &str) -> Result<Running> {
    let zone = lab.file("acr.rpz", zone)?;
    let rest = configuration("zone ").replace("/etc/bind/acr.rpz", &zone.to_string_lossy());
    programs::bind(lab, policy, &rest, "rpz: acr.rpz: reload done: success")
}

fn unbound(lab: &Lab, zone: &str) -> Result<Running> {
    let zone = lab.file("acr.rpz", zone)?;
    let zonefile = configuration("zonefile: ");
    let zonefile = zonefile.replace("/etc/unbound/acr.rpz", &zone.to_string_lossy());
    let rest = ["rpz:", &configuration("name: "), &zonefile].join("\n") + "\n";
    programs::unbound(lab, &configuration("module-config: "), &rest)
}

fn powerdns(lab: &Lab, zone: &str) -> Result<Running> {
    let zone = lab.file("acr.rpz", zone)?;
    let lua = configuration("rpzFile(").replace("/etc/powerdns/acr.rpz", &zone.to_string_lossy());
    programs::powerdns(lab, &lua)
}

/// The line of configuration that begins like this, as the format's page has it.
#[track_caller]
fn configuration(beginning: &str) -> String {
    let lines = Format::Rpz.about().apply.lines().filter_map(|line| line.strip_prefix('#'));
    let mut lines = lines.map(str::trim).filter(|line| line.starts_with(beginning));
    lines.next().expect("a line of the page").to_owned()
}

/// What the notes say of BIND, which also shows that questions would be seen behind.
#[test]
fn without_its_option_bind_asks_before_it_refuses() -> Result<()> {
    if !require(&["named", "dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    let lab = Lab::new(&[])?;
    let zone = lists::contoso().export(Format::Rpz)?.text;
    let _running = bind_with(&lab, &zone, "response-policy { zone \"acr.rpz\"; };")?;
    lab.ask(&[Probe::withheld("evil.azurecr.io")])?;
    assert!(lab.asked()?.contains("evil.azurecr.io"));
    Ok(())
}

#[test]
fn two_more_programs_accept_the_policy_zone() {
    let mutations = [
        Mutation { from: "contoso.azurecr.io CNAME rpz-passthru.", to: "contoso.azurecr.io CNAME" },
        Mutation { from: " IN SOA ", to: " IN SAO " },
        Mutation {
            from: "*.azurecr.io CNAME .",
            to: "*.azurecr.io CNAME .\n*.azurecr.io A 10.0.0.1",
        },
        Mutation { from: "$TTL 300", to: "$TTL soon" },
    ];
    if require_program("named-checkzone") {
        let judgement = consumer::judge(Format::Rpz, &mutations, named_checkzone("acr.rpz"));
        let version = consumer::debian_version("bind9-utils");
        matrix::record(Format::Rpz, "named-checkzone", &version, judgement);
    }
    if require_program("kzonecheck") {
        let judgement = consumer::judge(Format::Rpz, &mutations, kzonecheck("acr.rpz"));
        let version = consumer::debian_version("knot-dnssecutils");
        matrix::record(Format::Rpz, "kzonecheck", &version, judgement);
    }
}

#[test]
fn names_that_a_policy_zone_reads_as_something_else_are_refused() -> Result<()> {
    let label = "a".repeat(60);
    let long = [label.as_str(); 4].join(".") + ".example";
    for (host, why) in [
        (
            "32.1.0.0.10.rpz-ip",
            "in a policy zone, what ends like this isn't a name but a kind of trigger",
        ),
        (&long, "with the policy zone's name behind it, it is longer than a name may be"),
    ] {
        let list = Allowlist::new([Entry::new(host.parse()?, Role::Other)])?;
        let refused = export::render(Format::Rpz, &list, Issue::default(), &Options::default());
        let (host, format) = (host.to_owned(), "rpz");
        assert_eq!(refused, Err(Error::Unrepresentable { host, format, why: why.into() }));
    }
    Ok(())
}

#[test]
fn a_long_list_is_a_zone_like_any_other() -> Result<()> {
    let login = |number: usize| {
        let label = format!("registry{number:04}").parse().expect("a label");
        Entry::new(
            format!("registry{number:04}.azurecr.io").parse().expect("a host"),
            Role::Login(label),
        )
    };
    let list = Allowlist::new((0..2000).map(login))?;
    let text = export::render(Format::Rpz, &list, Issue::default(), &Options::default())?.text;
    assert_eq!(text.matches("CNAME rpz-passthru.").count(), 2000);
    if require_program("named-checkzone") {
        named_checkzone("acr.rpz")(&text).map_err(anyhow::Error::msg)?;
    }
    if require_program("kzonecheck") {
        kzonecheck("acr.rpz")(&text).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}
