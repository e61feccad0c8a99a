//! Presets: what is added, what is left out, and that nobody can overlook either.

use std::fs;

use allowlist_gen::export::{self, Format, Options, Setting};
use allowlist_gen::presets::{self, Page};
use ringfence_config::document::{self, Document};
use ringfence_config::{Allowlist, Issue};

use crate::program::{Run, generate, program, snapshot};

const CONTOSO: &str = "constructed/acr-show-endpoints.seed-corrected.json";
const GOV: &str = "constructed/acr-show.gov.json";
const API_SERVER: &str = "demo-1a2b3c4d.hcp.eastus.azmk8s.io";

fn list(run: &Run) -> Allowlist {
    assert_eq!(run.code, 0, "{run}");
    document::merge(&[Document::parse("list.toml", &run.stdout).expect("a list")]).expect("a list")
}

fn hosts(run: &Run) -> Vec<String> {
    list(run).entries().iter().map(|entry| entry.host.to_string()).collect()
}

#[test]
fn a_list_with_presets_says_so_and_nothing_is_silent() {
    let arguments =
        [CONTOSO, "--preset", "aks/core", "--preset", "az-acr-login", "--location", "East US"];
    snapshot("presets-aks-core", &generate(&arguments));
    snapshot("presets-overview", &program(b"", &["presets"]));
    snapshot("presets-page", &program(b"", &["presets", "aks/keyvault-csi"]));
}

/// What the guard refuses is never added, whichever presets are taken, and its witness is named.
#[test]
fn no_preset_opens_what_anyone_can_own() {
    let all: Vec<&str> =
        presets::all().iter().flat_map(|p| ["--preset", p.name.as_str()]).collect();
    for cloud in ["public", "usgov", "china", "bleu"] {
        let arguments = [&["--cloud", cloud, "--location", "eastus"], &all[..]].concat();
        let run = generate(&arguments);
        let hosts = hosts(&run);
        let has = |host: &str| hosts.iter().any(|listed| listed == host);
        for host in [
            "*.hcp.eastus.azmk8s.io",
            "*.ods.opinsights.azure.com",
            "vault.azure.net",
            "*.azk8s.cn",
        ] {
            assert!(!has(host), "{host}: {run}");
        }
        assert!(has("*.data.mcr.microsoft.com"), "{run}");
        assert!(!hosts.iter().any(|host| host.contains('<')), "{run}");
        // Whatever a rule of this cloud became, there is an entry or a word about it.
        let azure = match cloud {
            "public" => "AzureCloud",
            "usgov" => "AzureUSGovernment",
            "china" => "AzureChinaCloud",
            _ => "AzureBleuCloud",
        };
        let mut rules = 0;
        for preset in presets::all() {
            let of_cloud = |rule: &&presets::Rule| {
                rule.clouds.iter().any(|cloud| presets::azure_name(*cloud) == azure)
            };
            for rule in preset.rules.iter().filter(of_cloud) {
                rules += 1;
                let filled = rule
                    .host
                    .as_str()
                    .split('.')
                    .map(|label| if label.starts_with('<') { "eastus" } else { label })
                    .collect::<Vec<_>>()
                    .join(".");
                let said = |host: &str| run.stderr.contains(&format!("`{host}`"));
                assert!(
                    has(&filled) || said(&filled) || said(rule.host.as_str()),
                    "{filled}: {run}"
                );
            }
        }
        assert!(rules > 0);
    }
    let run = generate(&[
        "--preset",
        "aks/keyvault-csi",
        "--preset",
        "aks/defender",
        "--preset",
        "aks/core",
        "--location",
        "eastus",
    ]);
    for said in [
        "`*.hcp.eastus.azmk8s.io` would allow `exfil.hcp.eastus.azmk8s.io`, which can belong to anyone: it is left out",
        "`*.ods.opinsights.azure.com` would allow `exfil.ods.opinsights.azure.com`, which can belong to anyone",
        "`vault.azure.net` is a domain that many owners share",
        "`--api-server HOST`",
        "list your vault's own host, NAME.vault.azure.net, with `--extra-host`",
        "An exact host isn't isolation",
    ] {
        assert!(run.stderr.contains(said), "{said}: {run}");
    }
}

#[test]
fn ones_own_hosts_stand_in_place_of_everyones() {
    let run = generate(&[
        "--preset",
        "aks/core",
        "--preset",
        "aks/keyvault-csi",
        "--api-server",
        API_SERVER,
        "--extra-host",
        "contoso.vault.azure.net",
        "--why",
        "the cluster's secrets",
        "--strict",
    ]);
    let list = list(&run);
    let entry = |host: &str| {
        list.entries().iter().find(|entry| entry.host.as_str() == host).expect(host).clone()
    };
    assert_eq!(
        entry(API_SERVER).presets.iter().next().map(ToString::to_string),
        Some("aks/core".to_owned())
    );
    assert!(entry("contoso.vault.azure.net").presets.is_empty());
    for said in [
        "`demo-1a2b3c4d.hcp.eastus.azmk8s.io` is listed in place of `*.hcp.<location>.azmk8s.io`",
        "`contoso.vault.azure.net` is listed in place of `vault.azure.net`",
    ] {
        assert!(run.stderr.contains(said), "{run}");
    }
    // Without them, strict says no: the list lacks what the cluster needs.
    for preset in ["aks/core", "aks/keyvault-csi"] {
        let run = generate(&["--preset", preset, "--strict"]);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run}");
        assert!(run.stderr.contains("a preset's host is left out"), "{run}");
    }
    // A server of the tunnel's form doesn't stand for the other one.
    let run = generate(&[
        "--cloud",
        "china",
        "--preset",
        "aks/core",
        "--api-server",
        "demo.hcp.chinaeast2.cx.prod.service.azk8s.cn",
    ]);
    assert!(run.stderr.contains("(left-out-location): `aks/core`: `*.tun.<location>"), "{run}");
    // A private cluster's may be called anything.
    let run = generate(&["--preset", "aks/core", "--api-server", "aks.corp.example"]);
    assert!(hosts(&run).contains(&"aks.corp.example".to_owned()), "{run}");
}

#[test]
fn plain_http_is_left_out_and_said() {
    let run = generate(&["--preset", "aks/optional-recommended", "--preset", "aks/windows"]);
    let hosts = hosts(&run);
    assert_eq!(
        hosts,
        ["go.microsoft.com", "onegetcdn.azureedge.net", "snapshot.ubuntu.com"],
        "{run}"
    );
    for host in ["security.ubuntu.com", "*.mp.microsoft.com", "ctldl.windowsupdate.com"] {
        assert!(
            run.stderr
                .contains(&format!("`{host}` is left out: it is asked by plain HTTP on port 80")),
            "{run}"
        );
    }
    // No exact host would put that right, so it isn't what `--strict` is about.
    assert_eq!(generate(&["--preset", "aks/windows", "--strict"]).code, 0);
}

#[test]
fn exact_only_leaves_wildcards_out_and_exports_anywhere() {
    let run = generate(&[CONTOSO, "--preset", "mcr", "--exact-only", "--format", "text"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.hosts().contains(&"mcr.microsoft.com") && !run.stdout.contains('*'), "{run}");
    assert!(run.stderr.contains("(left-out-wildcard): `mcr`: `*.data.mcr.microsoft.com`"), "{run}");
    let run = generate(&[CONTOSO, "--preset", "mcr", "--format", "text"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
}

#[test]
fn the_cloud_is_the_registries() {
    let gov = hosts(&generate(&[GOV, "--preset", "az-acr-login"]));
    assert!(gov.contains(&"login.microsoftonline.us".to_owned()), "{gov:?}");
    assert!(!gov.contains(&"login.microsoftonline.com".to_owned()), "{gov:?}");
    let both = hosts(&generate(&[GOV, CONTOSO, "--preset", "az-acr-login"]));
    assert!(
        ["login.microsoftonline.us", "login.microsoftonline.com"]
            .iter()
            .all(|host| both.contains(&(*host).to_owned()))
    );
    let nothing = generate(&["--cloud", "bleu", "--preset", "aks/gpu"]);
    assert!(nothing.stderr.contains("its page says nothing of AzureBleuCloud"), "{nothing}");
}

/// The vendor's own registry has the roles of a registry, and the presets beside them.
#[test]
fn registries_of_presets_are_registries() {
    let run =
        generate(&["--preset", "aks/cluster-extensions", "--location", "eastus", "--exact-only"]);
    let list = list(&run);
    let roles: Vec<_> = list
        .entries()
        .iter()
        .filter(|entry| entry.role.registry().is_some())
        .map(|entry| (entry.role.name(), entry.presets.len()))
        .collect();
    assert_eq!(
        roles,
        [("login", 1), ("data", 1), ("data", 1), ("data", 1), ("data", 1), ("data", 1)]
    );
    assert!(
        list.entries()
            .iter()
            .any(|entry| entry.host.as_str() == "eastus.dp.kubernetesconfiguration.azure.com")
    );
}

/// Where a host is from is part of the list, and of every export that has a place for it.
#[test]
fn exports_say_where_a_host_is_from() {
    let run = generate(&[
        CONTOSO,
        "--preset",
        "aks/core",
        "--preset",
        "az-acr-login",
        "--api-server",
        API_SERVER,
        "--exact-only",
    ]);
    let list = list(&run);
    let options = |format: Format| Options {
        clients: if format.about().takes.contains(&Setting::Client) {
            vec!["10.10.0.0/16".parse().expect("a block")]
        } else {
            Vec::new()
        },
        ..Options::default()
    };
    let (mut told, mut untold) = (Vec::new(), Vec::new());
    for &format in Format::ALL {
        let export = export::render(format, &list, Issue::default(), &options(format));
        let Ok(export) = export else { continue };
        let text = &export.text;
        if text.contains("packages.aks.azure.com") {
            let says = text.contains("aks/core") || text.contains("preset-aks-core");
            if says { told.push(format.name()) } else { untold.push(format.name()) }
        }
        assert!(!text.contains("hand-written: "), "{format:?}: {text}");
    }
    // Files of bare names, and JSON without any place for a word.
    let bare = [
        "text",
        "host-port",
        "palo-alto-edl",
        "aws-network-firewall-list",
        "gcp-url-list",
        "policy-json",
    ];
    assert_eq!(untold, bare, "{told:?}");
    let csv = export::render(Format::Csv, &list, Issue::default(), &Options::default())
        .expect("a table")
        .text;
    assert!(csv.starts_with("host,port,registry,region,purpose,private_ip,why,presets\n"), "{csv}");
    assert!(csv.contains("\nlogin.microsoftonline.com,443,,,other,,Microsoft Entra ID signs people and programs in,aks/core az-acr-login\n"), "{csv}");
    let arm = export::render(Format::AzureFirewall, &list, Issue::default(), &Options::default())
        .expect("a template")
        .text;
    for group in ["\"acr-contoso\"", "\"preset-aks-core\"", "\"presets\""] {
        assert!(arm.contains(group), "{group}: {arm}");
    }
}

#[test]
fn extra_hosts_say_why_and_are_guarded() {
    let run = generate(&[
        CONTOSO,
        "--extra-host",
        "images.contoso.com",
        "--why",
        "custom domain",
        "--extra-host",
        "Build.example.com:8443",
        "--why",
        "= build \"cache\"\u{202e}",
    ]);
    let list = list(&run);
    let custom = list.entries().last().expect("an entry");
    assert_eq!(
        (custom.host.as_str(), custom.role.name(), custom.why.as_deref()),
        ("images.contoso.com", "other", Some("custom domain"))
    );
    for (arguments, phrase) in [
        (&["--extra-host", "a.example.com"][..], "--why"),
        (&["--why", "x", CONTOSO], "--extra-host"),
        (
            &["--extra-host", "a.example.com", "--extra-host", "b.example.com", "--why", "x"],
            "2 `--extra-host` and 1 `--why`: each host says why",
        ),
        (&["--extra-host", "a.example.com", "--why", " "], "say what the host is needed for"),
        (&["--extra-host", "*.example.com", "--why", "x"], "write an exact host"),
        (&["--extra-host", "10.0.0.4", "--why", "x"], "an IP address is not a host name"),
        (&["--extra-host", "a.example.com:0", "--why", "x"], "a port is a decimal number"),
        (
            &["--extra-host", "exfil.blob.core.windows.net", "--why", "x"],
            "is a storage host, and any storage host is a way out",
        ),
        (&["--extra-host", "exfil.blob.core.windows.net", "--why", "x"], "storage_account = "),
        (&["--extra-host", "azurecr.io", "--why", "x"], "this is the domain of all registries"),
        (
            &["--extra-host", "contoso.azurecr.io:8443", "--why", "x"],
            "registries answer on port 443",
        ),
        (
            &[CONTOSO, "--preset", "mcr", "--extra-host", "mcr.microsoft.com:8443", "--why", "x"],
            "two entries for `mcr.microsoft.com` contradict each other",
        ),
        (&["--preset", "mcr", "--api-server", "a.example.com"], "stands in place of nothing"),
        (
            &["--preset", "aks/core", "--api-server", "exfil.blob.core.windows.net"],
            "any storage host is a way out",
        ),
        (&["--location", "eastus", CONTOSO], "--preset"),
        (&["--preset", "aks"], "possible values: aks/azure-monitor"),
        (&["--preset", "aks/core", "--location", "east-us"], "a region is letters and digits"),
    ] {
        let run = generate(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
}

/// `--check` compares what was asked for, presets among it.
#[test]
fn check_knows_presets() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("allowlist.toml");
    let path = path.to_str().expect("UTF-8");
    assert_eq!(generate(&[CONTOSO, "--preset", "mcr", "-o", path]).code, 0);
    assert_eq!(generate(&[CONTOSO, "--preset", "mcr", "--check", path]).code, 0);
    let without = generate(&[CONTOSO, "--check", path]);
    assert!(without.code == 1 && without.stdout.contains("-presets = [\"mcr\"]"), "{without}");
}

#[test]
fn presets_are_data_for_programs_too() {
    let run = program(b"", &["presets", "--format", "json"]);
    let all: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(all["schema"], 1);
    assert_eq!(all["presets"].as_array().map(Vec::len), Some(presets::all().len()));
    let rules = all["presets"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|preset| preset["rules"].as_array().expect("a list"));
    assert!(rules.clone().count() > 50);
    assert!(rules.clone().all(|rule| rule["fate"].is_string() && rule["source"].is_string()));
    let one = program(b"", &["presets", "mcr", "--format", "json"]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&one.stdout).expect("JSON")["presets"][0]["name"],
        "mcr"
    );
}

/// `docs/presets.md` is what the program tells. `UPDATE_EXPECT=1` writes it anew.
#[test]
fn the_page_is_what_the_program_tells() {
    let pages: Vec<String> = presets::all().iter().map(|preset| Page(preset).to_string()).collect();
    let text = format!(
        "<!-- Written by a test from what `allowlist-gen presets NAME` tells. -->\n\n{}",
        pages.join("\n").replace("\n# ", "\n## ").replacen("# ", "## ", 1)
    );
    let text = text.replacen("\n\n## ", "\n\n# Presets\n\n## ", 1);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/presets.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &text).expect("written");
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        text,
        "UPDATE_EXPECT=1 writes it anew"
    );
}
