//! Whose images podman and its kin take: skopeo asks for one of each host, and its own words say what became of it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Mutex;

use allowlist_gen::export::Format;
use anyhow::{Result, bail, ensure};
use ringfence_config::{Entry, Port, Role};
use test_support::require;

use super::stage::{Seen, Stage, head};
use crate::consumer;
use crate::lists::{self, List};
use crate::lookalikes::STRANGERS;
use crate::matrix::{self, Judgement};

#[test]
fn skopeo_blocks_other_registries_on_azure() -> Result<()> {
    let ask = |stage: &Stage, text: &str, host: &str| {
        let file = stage.write("registries.conf", text)?;
        let skopeo = stage.program("skopeo").arg("--registries-conf").arg(file);
        let finished =
            skopeo.args(["inspect", "--no-tags", &format!("docker://{host}/x")]).run()?;
        match finished.stderr.as_str() {
            said if said.contains(" is blocked in ") => Ok(Fate::Refused),
            said if said.contains("pinging container registry") => Ok(Fate::Taken),
            _ => bail!("{finished}"),
        }
    };
    let is_taken = |host: &str| {
        let domains = [
            ".azurecr.io",
            ".azurecr.us",
            ".azurecr.cn",
            ".azurecr.sovcloud-azure.fr",
            ".azurecr.de",
        ];
        // It looks for the domain where the name has it first. Nobody on Azure can have such a name.
        let has_it_twice = host == "contoso.azurecr.io.contoso.azurecr.io";
        has_it_twice || !domains.iter().any(|domain| host.ends_with(domain))
    };
    let mutations = [
        ("prefix = \"contoso.azurecr.io\"", "prefix = \"contoso2.azurecr.io\""),
        ("blocked = true", "blocked = \"yes\""),
        ("blocked = true", "blocked = true\nlocation = \"evil.example\""),
        ("blocked = true", "blokked = true"),
    ];
    // What the notes say of it.
    let noted = [
        ("contoso.azurecr.io:8443", Fate::Taken),
        ("CONTOSO.azurecr.io", Fate::Refused),
        ("EVIL.AZURECR.IO", Fate::Taken),
        ("evil.azurecr.de", Fate::Refused),
    ];
    judge(Format::RegistriesConf, &mutations, is_taken, &noted, ask)
}

#[test]
fn skopeo_rejects_all_other_registries() -> Result<()> {
    let ask = |stage: &Stage, text: &str, host: &str| {
        let policy = stage.write("policy.json", text)?;
        let registries = stage.write("registries.conf", "")?;
        let target = format!("dir:{}", stage.path("image").display());
        let skopeo = stage.program("skopeo").arg("--policy").arg(policy);
        let skopeo = skopeo.arg("--registries-conf").arg(registries);
        let copy = ["copy", "--src-tls-verify=false", &format!("docker://{host}/x"), &target];
        let finished = skopeo.args(copy).run()?;
        match finished.stderr.as_str() {
            _ if finished.status.success() => Ok(Fate::Taken),
            said if said.contains("is rejected by policy") => Ok(Fate::Refused),
            _ => bail!("{finished}"),
        }
    };
    let mutations = [
        ("\"contoso.azurecr.io\"", "\"contoso2.azurecr.io\""),
        ("\"contoso.azurecr.io\"", "\"\""),
        ("\"reject\"", "\"insecureAcceptAnything\""),
        ("\"reject\"", "\"refuse\""),
        ("\"docker\"", "\"dockers\""),
    ];
    judge(Format::PolicyJson, &mutations, |_| false, &[("CONTOSO.AZURECR.IO", Fate::Refused)], ask)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Taken,
    Refused,
}

/// Shows skopeo every list, and the list `contoso` with each mutation; asks for all look-alikes, of which `others` says
/// which are taken nevertheless, and for what is `noted`.
fn judge(
    format: Format,
    mutations: &[(&str, &str)],
    others: impl Fn(&str) -> bool,
    noted: &[(&str, Fate)],
    ask: impl Fn(&Stage, &str, &str) -> Result<Fate>,
) -> Result<()> {
    if !require(&["unshare", "skopeo"]) {
        return Ok(());
    }
    let lists = lists::all();
    let names: BTreeSet<String> = lists.iter().flat_map(List::hosts).collect();
    let stage = Stage::open(names.iter().map(String::as_str).chain(STRANGERS))?;
    stage.listen("10.99.0.1:80", registry)?;
    stage.listen("10.99.0.1:8443", registry)?;

    for list in &lists {
        let text = list.export(format)?.text;
        for host in registries(list) {
            let fate = ask(&stage, &text, &host)?;
            ensure!(fate == Fate::Taken, "{host} of {} is {fate:?}", list.name);
        }
    }

    let contoso = lists::contoso();
    let (text, listed) = (contoso.export(format)?.text, registries(&contoso));
    let mut strangers: Vec<&str> = STRANGERS.to_vec();
    // Data endpoints are no registries.
    let data: Vec<String> =
        contoso.hosts().into_iter().filter(|host| host.contains(".data.")).collect();
    strangers.extend(data.iter().map(String::as_str));
    let fate = |host: &str| if others(host) { Fate::Taken } else { Fate::Refused };
    for host in &strangers {
        let found = ask(&stage, &text, host)?;
        ensure!(found == fate(host), "{host} is {found:?}");
    }

    for &(name, fate) in noted {
        let found = ask(&stage, &text, name)?;
        ensure!(found == fate, "{name} is {found:?}");
    }

    for (from, to) in mutations {
        let mutated = text.replacen(from, to, 1);
        ensure!(text != mutated, "`{from}` stands nowhere in\n{text}");
        // Two that are listed and two that aren't are enough to tell.
        let all_is_well = [&listed[0], &listed[1], "evil.azurecr.io", "contoso2.azurecr.io"]
            .into_iter()
            .all(|host: &str| {
                let expected =
                    if listed.iter().any(|one| one == host) { Fate::Taken } else { fate(host) };
                ask(&stage, &mutated, host).is_ok_and(|found| found == expected)
            });
        ensure!(!all_is_well, "`{to}` for `{from}` changes nothing");
    }

    let probes = listed.len() + strangers.len() + noted.len();
    let judgement = Judgement { accepted: lists.len(), rejected: mutations.len(), probes: 0 };
    let version = consumer::debian_version("skopeo");
    matrix::record(format, "skopeo", &version, judgement.with_probes(probes));
    Ok(())
}

/// What images can be named after: hosts, with the port where it is another than 443.
fn registries(list: &List) -> Vec<String> {
    let entries = list.allowlist.entries().iter();
    let registries =
        entries.filter(|entry| !matches!(entry.role, Role::Data(..) | Role::StorageAccount));
    let named = |entry: &Entry, port: Port| match port {
        Port::HTTPS => entry.host.as_str().to_owned(),
        port => format!("{}:{port}", entry.host.as_str()),
    };
    registries.flat_map(|entry| entry.ports.iter().map(move |port| named(entry, port))).collect()
}

/// A registry that has one image, which is empty: <https://distribution.github.io/distribution/spec/api/>
fn registry(mut stream: TcpStream, _: &Mutex<Seen>) -> io::Result<()> {
    const TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
    let request = head(&stream)?;
    let path = request.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let (kind, body) = if path.contains("/manifests/") {
        (
            TYPE,
            format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"{TYPE}\",\"config\":{CONFIG},\"layers\":[]}}"
            ),
        )
    } else {
        ("application/json", "{}".to_owned())
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Of a configuration that is `{}`.
const CONFIG: &str = "{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"size\":2,\
    \"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"}";
