//! Who goes directly and who through the proxy: each client asks for every host, and both ends say who came.
//!
//! No list of exceptions is a filter, so there is nothing to refuse here: a client "accepts" a setting if exactly the
//! hosts of registries behind Private Link came directly and all others by the proxy, and a mutation is refused if
//! anything else happened.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use allowlist_gen::export::Format;
use anyhow::{Context, Result, ensure};
use test_support::{PATIENCE, Program, require};

use super::stage::{PRIVATE, Seen, Stage};
use crate::consumer;
use crate::lists::{self, List};
use crate::lookalikes::{LISTED, STRANGERS};
use crate::matrix::{self, Judgement};

#[test]
fn curl_takes_the_exceptions() -> Result<()> {
    let client = Client::new("curl", Below::Direct, Dot::Direct, |stage, hosts| {
        Ok(vec![stage.program("curl").args(["--silent", "--max-time", "15"]).args(urls(hosts))])
    });
    no_proxy(&client, "curl", || consumer::debian_version("curl"))?;
    let client = Client::new("sh", Below::Direct, Dot::Direct, |stage, hosts| {
        let script = "set -a; . \"$0\"; set +a; exec curl --silent --max-time 15 \"$@\"";
        let file = stage.path("proxy.env");
        Ok(vec![stage.program("sh").args(["-c", script]).arg(file).args(urls(hosts))])
    });
    if !require(&["unshare", "curl"]) {
        return Ok(());
    }
    let judgement = judge(
        Format::NoProxyEnv,
        &client,
        &[
            ("\nno_proxy=contoso.azurecr.io,", "\nno_proxy="),
            ("\nno_proxy=contoso.azurecr.io", "\nno_proxy=.contoso.azurecr.io.x"),
            ("\nno_proxy=", "\nno_proxy=azurecr.io,"),
        ],
        |stage, text| stage.write("proxy.env", text).map(|_| Vec::new()),
    )?;
    matrix::record(Format::NoProxyEnv, "sh and curl", &consumer::debian_version("curl"), judgement);
    Ok(())
}

#[test]
fn wget_takes_the_exceptions() -> Result<()> {
    let client = Client::new("wget", Below::Direct, Dot::Proxied, |stage, hosts| {
        Ok(vec![
            stage.program("wget").args(["--quiet", "--tries=1", "--timeout=15"]).args(urls(hosts)),
        ])
    });
    no_proxy(&client, "wget", || consumer::debian_version("wget"))
}

#[test]
fn go_takes_the_exceptions() -> Result<()> {
    if !require(&["unshare", "go"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("fetch");
    let build = Program::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(script("fetch.go"))
        .env("HOME", folder.path())
        .env("CGO_ENABLED", "0");
    build.run_within(10 * PATIENCE)?.succeeded()?;
    let client = Client::new("unshare", Below::Direct, Dot::Proxied, |stage, hosts| {
        Ok(vec![stage.program(&program).args(urls(hosts))])
    });
    no_proxy(&client, "Go's net/http", || {
        consumer::first_line(Command::new("/usr/bin/go").arg("version"))
    })
}

#[test]
fn skopeo_takes_the_exceptions() -> Result<()> {
    let client = Client::new("skopeo", Below::Direct, Dot::Impossible, |stage, hosts| {
        let registries = stage.write("registries.conf", "")?;
        let inspect = |host: &String| {
            stage.program("skopeo").arg("--registries-conf").arg(&registries).args([
                "inspect",
                "--no-tags",
                &format!("docker://{host}/x"),
            ])
        };
        Ok(hosts.iter().map(inspect).collect())
    });
    no_proxy(&client, "skopeo", || consumer::debian_version("skopeo"))
}

#[test]
fn podman_takes_the_exceptions() -> Result<()> {
    if !require(&["unshare", "podman"]) {
        return Ok(());
    }
    let client = Client::new("podman", Below::Direct, Dot::Impossible, |stage, hosts| {
        let registries = stage.write("registries.conf", "")?;
        // A pull would try three times, and wait in between.
        let login = |host: &String| {
            stage.program("podman").env("CONTAINERS_REGISTRIES_CONF", &registries).args([
                "login",
                "--username=x",
                "--password=x",
                host,
            ])
        };
        Ok(hosts.iter().map(login).collect())
    });
    let judgement = judge(
        Format::Podman,
        &client,
        &[
            ("[engine]", "[engines]"),
            ("env = [", "env = {"),
            ("  \"NO_PROXY=contoso.azurecr.io,", "  \"NO_PROXY=azurecr.io,"),
        ],
        |stage, text| {
            let file = stage.write("containers.conf", text)?;
            Ok(vec![("CONTAINERS_CONF".to_owned(), file.display().to_string())])
        },
    )?;
    matrix::record(Format::Podman, "podman", &consumer::debian_version("podman"), judgement);
    Ok(())
}

#[test]
fn python_takes_the_exceptions() -> Result<()> {
    let urllib = Client::new("python3", Below::Direct, Dot::Proxied, |stage, hosts| {
        Ok(vec![stage.program("python3").arg(script("fetch.py")).arg("urllib").args(urls(hosts))])
    });
    no_proxy(&urllib, "Python's urllib", || consumer::debian_version("python3"))?;
    let Some(python) = consumer::installed("py/bin/python") else { return Ok(()) };
    let requests = Client::new("unshare", Below::Direct, Dot::Proxied, |stage, hosts| {
        Ok(vec![stage.program(&python).arg(script("fetch.py")).arg("requests").args(urls(hosts))])
    });
    no_proxy(&requests, "requests", || {
        let version = "import requests; print(requests.__version__)";
        consumer::first_line(Command::new(&python).args(["-c", version]))
    })
}

#[test]
fn node_takes_the_exceptions() -> Result<()> {
    let (Some(node), Some(modules)) =
        (consumer::installed("py/bin/node"), consumer::installed("node/node_modules"))
    else {
        return Ok(());
    };
    for (library, name, below, dot) in [
        ("fetch", "Node's fetch", Below::Direct, Dot::Proxied),
        ("undici", "undici", Below::Direct, Dot::Direct),
        ("axios", "axios", Below::Proxied, Dot::Proxied),
    ] {
        let client = Client::new("unshare", below, dot, |stage, hosts| {
            // Where a script finds modules depends on where it lies.
            let folder = modules.parent().unwrap_or(Path::new("/"));
            let fetch =
                stage.program(&node).env("NODE_USE_ENV_PROXY", "1").arg(script("fetch.mjs"));
            Ok(vec![fetch.arg(folder).arg(library).args(urls(hosts))])
        });
        let row = no_proxy(&client, name, || {
            if library == "fetch" {
                return consumer::first_line(Command::new(&node).arg("--version"));
            }
            let package = modules.join(library).join("package.json");
            let package = std::fs::read_to_string(package).expect("a package");
            let package: serde_json::Value = serde_json::from_str(&package).expect("JSON");
            package["version"].as_str().expect("a version").to_owned()
        });
        row.context(name)?;
    }
    Ok(())
}

#[test]
fn java_takes_the_exceptions() -> Result<()> {
    if !require(&["unshare", "java", "javac"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let compile = Program::new("javac").arg("-d").arg(folder.path()).arg(script("Fetch.java"));
    compile.run_within(6 * PATIENCE)?.succeeded()?;
    let client = Client::new("java", Below::Proxied, Dot::Proxied, |stage, hosts| {
        let file = format!("@{}", stage.path("proxy.args").display());
        let java = stage.program("java").arg("-cp").arg(folder.path()).arg(file).arg("Fetch");
        Ok(vec![java.args(urls(hosts))])
    });
    let judgement = judge(
        Format::Java,
        &client,
        &[
            ("|contoso.azurecr.io|", ",contoso.azurecr.io,"),
            ("|contoso.azurecr.io|", "|*azurecr.io|"),
            ("|contoso.azurecr.io|", "|.contoso.azurecr.io|"),
            ("-Dhttps.proxyHost", "-Dhttps.proxy"),
        ],
        |stage, text| stage.write("proxy.args", text).map(|_| Vec::new()),
    )?;
    let version = consumer::first_line(Command::new("java").arg("-version"));
    matrix::record(Format::Java, "Java's HttpsURLConnection", &version, judgement);
    Ok(())
}

/// A program that fetches.
struct Client<'a> {
    needs: &'static str,
    below: Below,
    dot: Dot,
    #[expect(clippy::type_complexity, reason = "written once")]
    programs: Box<dyn Fn(&Stage, &[String]) -> Result<Vec<Program>> + 'a>,
}

/// Where names below an exception go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Direct,
    Proxied,
}

/// Where an exception's name goes if a dot ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dot {
    Direct,
    Proxied,
    /// No image can be named so.
    Impossible,
}

impl<'a> Client<'a> {
    fn new(
        needs: &'static str,
        below: Below,
        dot: Dot,
        programs: impl Fn(&Stage, &[String]) -> Result<Vec<Program>> + 'a,
    ) -> Self {
        Self { needs, below, dot, programs: Box::new(programs) }
    }

    /// Asks for each of `hosts`, and tells who came which way. That nobody got an answer is no failure.
    fn ask(&self, stage: &Stage, variables: &Variables, hosts: &[String]) -> Result<Seen> {
        let mut said = String::new();
        let programs = (self.programs)(stage, hosts)?;
        for program in programs {
            let with =
                |program: Program, (name, value): &(String, String)| program.env(name, value);
            let finished = variables.iter().fold(program, with).run_within(6 * PATIENCE)?;
            said.push_str(&finished.to_string());
        }
        let seen = stage.seen();
        let all = seen.direct.len() + seen.proxied.len();
        ensure!(all > 0, "nobody came:\n{said}");
        Ok(seen)
    }
}

type Variables = Vec<(String, String)>;

/// The row of `no-proxy` for `client`.
fn no_proxy(client: &Client<'_>, name: &str, version: impl FnOnce() -> String) -> Result<()> {
    if !require(&["unshare", client.needs]) {
        return Ok(());
    }
    let variables = |_: &Stage, text: &str| {
        let mut variables = Vec::new();
        for (variable, value) in
            [("https_proxy", PROXY), ("http_proxy", PROXY), ("no_proxy", text.trim_end())]
        {
            variables.push((variable.to_owned(), value.to_owned()));
            variables.push((variable.to_ascii_uppercase(), value.to_owned()));
        }
        Ok(variables)
    };
    let mutations = [
        ("contoso.westeurope.data.azurecr.io", "contoso.westus.data.azurecr.io"),
        ("contoso.azurecr.io,", "azurecr.io,"),
        ("contoso.azurecr.io,", "contoso.azurecr.io:8443,"),
        (
            "contoso.westeurope.data.azurecr.io",
            "contoso.westeurope.data.azurecr.io,fabrikam.azurecr.io",
        ),
    ];
    let judgement = judge(Format::NoProxy, client, &mutations, variables)?;
    matrix::record(Format::NoProxy, name, &version(), judgement);
    Ok(())
}

/// Shows every list to the client; `contoso` with each mutation; and then all look-alikes.
fn judge(
    format: Format,
    client: &Client<'_>,
    mutations: &[(&str, &str)],
    install: impl Fn(&Stage, &str) -> Result<Variables>,
) -> Result<Judgement> {
    let lists = lists::all();
    let names: BTreeSet<String> = lists.iter().flat_map(List::hosts).collect();
    let dotted = LISTED.map(|host| format!("{host}."));
    let names = names.iter().map(String::as_str).chain(STRANGERS);
    let stage = Stage::open(names.chain(dotted.iter().map(String::as_str)))?;
    let ask = |text: &str, hosts: &[String]| {
        let variables = install(&stage, text)?;
        client.ask(&stage, &variables, hosts)
    };

    for list in &lists {
        let seen = ask(&list.export(format)?.text, &list.hosts())?;
        ensure!(seen == expected(list), "{} of {}: {seen:#?}", format.name(), list.name);
    }

    let (contoso, hosts) = (lists::contoso(), lists::contoso().hosts());
    let text = contoso.export(format)?.text;
    ensure!(mutations.len() >= 3, "who accepts everything is no judge");
    for (from, to) in mutations {
        let mutated = text.replacen(from, to, 1);
        ensure!(text != mutated, "`{from}` stands nowhere in\n{text}");
        let seen = ask(&mutated, &hosts).ok();
        ensure!(seen != Some(expected(&contoso)), "`{to}` for `{from}` changes nothing");
    }

    let capitals: Vec<String> = hosts.iter().map(|host| host.to_ascii_uppercase()).collect();
    let seen = ask(&text, &capitals)?;
    ensure!(seen == expected(&contoso), "in capitals: {seen:#?}");

    let strangers: Vec<String> =
        STRANGERS.iter().copied().chain([PRIVATE]).map(str::to_owned).collect();
    let seen = ask(&text, &strangers)?;
    let is_direct = |host: &String| client.below == Below::Direct && is_below_private(host);
    let (direct, proxied) = strangers.iter().cloned().partition(is_direct);
    ensure!(seen == sorted(direct, proxied), "look-alikes: {seen:#?}");

    let private: Vec<String> = expected(&contoso).direct;
    let dotted: Vec<String> = private.iter().map(|host| format!("{host}.")).collect();
    let dots = match client.dot {
        Dot::Impossible => 0,
        Dot::Direct | Dot::Proxied => {
            let seen = ask(&text, &dotted)?;
            // A server name has no dot at its end (RFC 6066, section 3).
            let expected = match client.dot {
                Dot::Direct => sorted(private, Vec::new()),
                _ => sorted(Vec::new(), dotted.clone()),
            };
            ensure!(seen == expected, "with a dot: {seen:#?}");
            dotted.len()
        }
    };
    let probes = hosts.len() + capitals.len() + strangers.len() + dots;
    let judgement = Judgement { accepted: lists.len(), rejected: mutations.len(), probes: 0 };
    Ok(judgement.with_probes(probes))
}

/// The hosts of `list` as they should come: all of a registry directly, if any of its hosts has a private address.
fn expected(list: &List) -> Seen {
    let entries = list.allowlist.entries();
    // The registry and its cloud: everything but the region in the middle.
    let registry = |host: &str| {
        let labels: Vec<&str> = host.split('.').collect();
        (labels[0].to_owned(), labels[labels.len() - 2..].join("."))
    };
    let private: BTreeSet<_> = entries
        .iter()
        .filter(|entry| !entry.addresses.is_empty() && entry.role.registry().is_some())
        .map(|entry| registry(entry.host.as_str()))
        .collect();
    let (direct, proxied) =
        list.hosts().into_iter().partition(|host| private.contains(&registry(host)));
    sorted(direct, proxied)
}

fn sorted(mut direct: Vec<String>, mut proxied: Vec<String>) -> Seen {
    direct.sort();
    proxied.sort();
    Seen { direct, proxied }
}

fn is_below_private(host: &str) -> bool {
    let contoso = LISTED.iter().filter(|listed| listed.starts_with("contoso."));
    contoso.copied().any(|listed| host.ends_with(&format!(".{listed}")))
}

fn urls(hosts: &[String]) -> Vec<String> {
    hosts.iter().map(|host| format!("https://{host}/v2/")).collect()
}

fn script(name: &str) -> PathBuf {
    lists::tests().join("exports/consumers").join(name)
}

const PROXY: &str = "http://proxy.corp.example:3128";
