//! `lint` and `prove`: what rules let through, shown by witnesses that others agree with.

use std::process::Command;

use ringfence_config::Hostname;
use serde_json::Value;
use test_support::{Program, require_program};

use crate::program::{Run, program, tests};

const SAMPLES: [&str; 18] = [
    "aks-bad.json",
    "aws-bad.json",
    "aws-deny.yaml",
    "aws-good.yaml",
    "azure-firewall-bad.json",
    "azure-firewall-good.json",
    "cilium-bad.yaml",
    "cilium-good.yaml",
    "envoy-bad.yaml",
    "envoy-good.yaml",
    "list-bad.txt",
    "list-good.txt",
    "no-proxy-bad.env",
    "no-proxy-good.env",
    "smokescreen-bad.yaml",
    "smokescreen-good.yaml",
    "terraform-bad.tf",
    "terraform-good.tf",
];

/// What each sample lets through, in full: good ones nothing.
#[test]
fn samples_are_judged() {
    let mut told = String::new();
    for sample in SAMPLES.iter().chain(&["squid-bad.conf", "squid-good.conf"]) {
        let run = lint_sample(&[sample]);
        let is_good = sample.contains("-good");
        assert_eq!(run.code, i32::from(!is_good), "{sample}\n{run}");
        told.extend([format!("$ allowlist-gen lint {sample} --list list.toml\n{}\n", run.stdout)]);
    }
    // A file beside it answers what was in doubt.
    let run = lint_sample(&["squid-bad.conf", "partners.txt"]);
    assert!(!run.stdout.contains("unjudged"), "{run}");
    told.extend([format!("$ allowlist-gen lint squid-bad.conf partners.txt\n{}", run.stdout)]);
    let path = tests().join("allowlist_gen/lint/told.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &told).expect("a file");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(told, expected, "UPDATE_EXPECT=1 rewrites {}", path.display());
}

fn lint_sample(samples: &[&str]) -> Run {
    let folder = tests().join("allowlist_gen/lint");
    let path = |name: &&str| folder.join(name).display().to_string();
    let list = path(&"list.toml");
    let files: Vec<String> = samples.iter().map(path).collect();
    let mut arguments = vec!["lint", "--list", &list];
    arguments.extend(files.iter().map(String::as_str));
    let mut run = program(b"", &arguments);
    // No path of this machine in what is compared.
    run.stdout = run.stdout.replace(&format!("{}/", folder.display()), "");
    run
}

/// What we write ourselves is clean, with the list that it was made of; and some of it without.
#[test]
fn our_own_exports_are_clean() {
    let golden = tests().join("exports/golden");
    let mut read = 0;
    for format in [
        "squid",
        "envoy",
        "envoy-sni",
        "smokescreen",
        "cilium",
        "cilium-sni",
        "azure-firewall",
        "azure-firewall-terraform",
        "aws-network-firewall-list",
        "no-proxy",
        "aks",
        "aks-arm",
        "aks-terraform",
        "text",
        "host-port",
    ] {
        for list in ["contoso", "hostile", "ports", "gov", "private-geo", "dnl-geo"] {
            let folder = golden.join(format);
            let files = std::fs::read_dir(&folder).expect("a folder of exports");
            let mut files = files.map(|file| file.expect("a file").path());
            let Some(file) = files.find(|file| {
                let stem = file.file_stem().is_some_and(|stem| stem == list);
                stem && file.extension().is_some_and(|extension| extension != "error")
            }) else {
                continue;
            };
            // An export of nothing is a text of comments.
            if std::fs::read_to_string(&file).expect("an export").trim().is_empty() {
                continue;
            }
            let file = file.display().to_string();
            let mut arguments = vec!["lint", file.as_str()];
            let known = tests().join(format!("exports/lists/{list}.toml")).display().to_string();
            if std::path::Path::new(&known).exists() {
                arguments.extend(["--list", known.as_str()]);
            }
            if format == "no-proxy" {
                arguments.extend(["--as", "no-proxy"]);
            }
            let run = program(b"", &arguments);
            assert_eq!(run.code, 0, "{run}");
            read += 1;
        }
    }
    assert!(read > 60, "{read}");
}

/// How one consumer's clean rule is written, and how it is asked whether a name passes: by rules that were written
/// down apart from the linter's.
struct Consumer {
    name: &'static str,
    /// `HOST` is where the pattern goes.
    text: &'static str,
    /// Widened forms of `contoso.azurecr.io`.
    widened: &'static [&'static str],
    matches: fn(pattern: &str, host: &str) -> bool,
}

const CONSUMERS: [Consumer; 7] = [
    Consumer {
        name: "azure-firewall",
        text: r#"[{"priority": 100, "ruleCollections": [{"priority": 100, "action": {"type": "Allow"}, "rules": [
            {"ruleType": "ApplicationRule", "sourceAddresses": ["*"], "targetFqdns": ["HOST"]}]}]}]"#,
        widened: &[
            "*.azurecr.io",
            "*azurecr.io",
            "*",
            "*.io",
            "*.blob.core.windows.net",
            "*.core.windows.net",
            "*.windows.net",
            "*contoso.azurecr.io",
            "*.eastus.data.azurecr.io",
            "*contoso.com",
        ],
        matches: |pattern, host| glob(pattern, host, |_| true, 0),
    },
    Consumer {
        name: "terraform",
        text: "resource \"azurerm_firewall_application_rule_collection\" \"x\" {\n  priority = 100\n  action = \"Allow\"\n  \
               rule {\n    source_addresses = [\"*\"]\n    target_fqdns = [\"HOST\"]\n  }\n}\n",
        widened: &[
            "*.azurecr.io",
            "*azurecr.io",
            "*",
            "*.io",
            "*.blob.core.windows.net",
            "*.core.windows.net",
            "*.windows.net",
            "*contoso.azurecr.io",
            "*.eastus.data.azurecr.io",
            "*contoso.com",
        ],
        matches: |pattern, host| glob(pattern, host, |_| true, 0),
    },
    Consumer {
        name: "cilium",
        text: "kind: CiliumNetworkPolicy\nspec:\n  egress:\n  - toFQDNs:\n    - matchPattern: \"HOST\"\n",
        widened: &[
            "*.azurecr.io",
            "*azurecr.io",
            "*",
            "**.azurecr.io",
            "*.blob.core.windows.net",
            "**.windows.net",
            "contoso*.azurecr.io",
            "*.eastus.data.azurecr.io",
            "*-contoso.azurecr.io",
            "*.*.data.azurecr.io",
        ],
        matches: |pattern, host| match pattern.strip_prefix("**.") {
            _ if pattern == "*" => true,
            Some(domain) => {
                host.strip_suffix(domain).is_some_and(|left| left.len() > 1 && left.ends_with('.'))
            }
            None => glob(pattern, host, |c| c != b'.', 0),
        },
    },
    Consumer {
        name: "smokescreen",
        text: "version: v1\nservices: []\ndefault:\n  action: enforce\n  allowed_domains:\n  - \"HOST\"\n",
        widened: &[
            "*.azurecr.io",
            "*.io",
            "*.data.azurecr.io",
            "*.eastus.data.azurecr.io",
            "*.blob.core.windows.net",
            "*.core.windows.net",
            "*.windows.net",
            "*.net",
            "*.azureedge.net",
            "*.co.uk",
        ],
        matches: |pattern, host| match pattern.strip_prefix("*.") {
            Some(domain) => host.ends_with(&format!(".{domain}")),
            None => pattern == host,
        },
    },
    Consumer {
        name: "envoy",
        text: "virtual_hosts:\n- domains: [\"HOST\"]\n  routes:\n  - match: {connect_matcher: {}}\n    route: {cluster: out}\n",
        widened: &[
            "*.azurecr.io:443",
            "*azurecr.io:443",
            "*",
            "*-contoso.azurecr.io:443",
            "*.blob.core.windows.net:443",
            "*.windows.net",
            "contoso.*",
            "contoso*",
            "*.data.azurecr.io",
            "*contoso.com:443",
        ],
        matches: |pattern, host| {
            let pattern = pattern.strip_suffix(":443").unwrap_or(pattern);
            pattern == "*" || glob(pattern, host, |_| true, 1)
        },
    },
    Consumer {
        name: "aws-network-firewall",
        text: r#"{"RulesSourceList": {"GeneratedRulesType": "ALLOWLIST", "TargetTypes": ["TLS_SNI"], "Targets": ["HOST"]}}"#,
        widened: &[
            ".azurecr.io",
            ".io",
            ".data.azurecr.io",
            ".eastus.data.azurecr.io",
            ".blob.core.windows.net",
            ".core.windows.net",
            ".windows.net",
            ".net",
            ".azureedge.net",
            ".amazonaws.com",
        ],
        matches: |pattern, host| match pattern.strip_prefix('.') {
            Some(domain) => host == domain || host.ends_with(pattern),
            None => pattern == host,
        },
    },
    Consumer {
        name: "list",
        text: "login.microsoftonline.com\nHOST\n",
        widened: &[
            "*.azurecr.io",
            ".azurecr.io",
            "*",
            "*.io",
            "*.blob.core.windows.net",
            "*.*.core.windows.net",
            "contoso*.azurecr.io",
            "*contoso.com",
            "*.azureedge.net",
            "*.co.uk",
        ],
        matches: |pattern, host| match pattern.strip_prefix('.') {
            Some(domain) => host == domain || host.ends_with(pattern),
            None => glob(pattern, host, |_| true, 0),
        },
    },
];

/// The plainest matcher: each star takes so many characters of this kind, and every split is tried.
fn glob(pattern: &str, host: &str, takes: fn(u8) -> bool, least: usize) -> bool {
    fn fits(pattern: &[u8], host: &[u8], takes: fn(u8) -> bool, least: usize) -> bool {
        match (pattern, host) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (least..=host.len()).any(|n| {
                host[..n].iter().all(|c| takes(*c)) && fits(rest, &host[n..], takes, least)
            }),
            ([p, pattern @ ..], [h, host @ ..]) => p == h && fits(pattern, host, takes, least),
            _ => false,
        }
    }
    fits(pattern.as_bytes(), host.as_bytes(), takes, least)
}

#[test]
fn every_widened_rule_is_caught_with_a_true_witness() {
    for Consumer { name, text, widened, matches } in CONSUMERS {
        let clean = lint(name, &text.replace("HOST", "contoso.azurecr.io"));
        assert_eq!(clean.code, 0, "{name}: {clean}");
        assert!(widened.len() >= 10, "{name}");
        for pattern in widened {
            let run = lint(name, &text.replace("HOST", pattern));
            assert_eq!(run.code, 1, "{name} {pattern}: {run}");
            for (code, host) in witnesses(&run) {
                assert!(matches(pattern, &host), "{name}: {pattern} doesn't let {host} through");
                assert!(!matches("contoso.azurecr.io", &host), "{name}: {host}");
                let host: Hostname = host.parse().expect("a host name");
                let is_storage = ringfence_config::guard::is_storage(&host);
                assert_eq!(is_storage, code == "storage", "{name} {pattern} {host}");
            }
        }
    }
}

/// What the linter says of squid's rules, squid itself says, too.
#[test]
fn squid_lets_through_what_the_linter_says_and_nothing_else_of_it() {
    if !require_program("squid") || !require_program("curl") {
        return;
    }
    let clean = "acl a dstdomain contoso.azurecr.io\nhttp_access allow a\n";
    for widened in [
        "acl a dstdomain .azurecr.io\nhttp_access allow a\n",
        "acl a dstdomain .data.azurecr.io\nhttp_access allow a\n",
        "acl a dstdomain .blob.core.windows.net\nhttp_access allow a\n",
        "acl a dstdom_regex azurecr\\.io$\nhttp_access allow a\n",
        "acl a dstdom_regex ^contoso.azurecr.io$\nhttp_access allow a\n",
        "acl a dstdom_regex -i ^[A-Z]+\\.Blob\\.core\nhttp_access allow a\n",
        "acl a dstdom_regex contoso\nhttp_access allow a\n",
        "acl a dstdomain .windows.net\nacl s dstdomain .blob.core.windows.net\nhttp_access deny s\nhttp_access allow a\n",
        "acl s dstdomain .blob.core.windows.net\nhttp_access allow !s\n",
        "acl s dstdomain .azurecr.io\nacl n dstdomain contoso.azurecr.io\nacl o any-of s n\nhttp_access allow o\n",
        "acl s dstdomain .blob.core.windows.net\nhttp_access deny s\nhttp_access deny !s !all\nhttp_access allow CONNECT\n",
    ] {
        let run = lint("squid", &format!("{widened}http_access deny all\n"));
        let found = witnesses(&run);
        assert!(run.code == 1 && !found.is_empty(), "{widened}: {run}");
        let hosts: Vec<&str> = found.iter().map(|(_, host)| host.as_str()).collect();
        let answers = ask_squid(&format!("{widened}http_access deny all\n"), &hosts);
        assert!(answers.iter().all(|granted| *granted), "{widened}: {hosts:?} {answers:?}");
        let answers = ask_squid(&format!("{clean}http_access deny all\n"), &hosts);
        assert!(!answers.iter().any(|granted| *granted), "{hosts:?} {answers:?}");
    }
    assert_eq!(lint("squid", &format!("{clean}http_access deny all\n")).code, 0);
}

/// Whether squid lets CONNECT through to each host. Its name server is nobody, so what it allows ends there, with 500
/// or 503 and not with 403, and nothing leaves the machine.
fn ask_squid(rules: &str, hosts: &[&str]) -> Vec<bool> {
    let folder = tempfile::Builder::new().prefix("lint-squid").tempdir().expect("a folder");
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let here = folder.path().display();
    let conf = format!(
        "http_port 127.0.0.1:{port}\ndns_nameservers 127.0.0.1\ndns_timeout 1 second\ndns_retransmit_interval 1 second\n\
         pid_filename {here}/pid\ncache_log {here}/cache.log\naccess_log none\ncache deny all\npinger_enable off\n\
         coredump_dir {here}\nshutdown_lifetime 0 seconds\n{rules}"
    );
    let file = folder.path().join("squid.conf");
    std::fs::write(&file, conf).expect("a file");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), permissions).expect("permissions");
    let name: String = format!("lint{port}");
    let squid = Program::new("squid").args(["-N", "-d", "1", "-n", &name, "-f"]).arg(&file);
    let squid = squid.start().expect("squid starts");
    squid.stderr.wait_for_line(|line| line.contains("Accepting HTTP")).expect("squid listens");
    let answers = hosts.iter().map(|host| {
        let answer = Command::new("curl")
            .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_connect}"])
            .args(["--max-time", "20", "--proxy", &format!("http://127.0.0.1:{port}")])
            .arg(format!("https://{host}/"))
            .env_clear()
            .output()
            .expect("curl runs");
        match String::from_utf8_lossy(&answer.stdout).as_ref() {
            "403" => false,
            "500" | "503" | "200" => true,
            other => panic!("{host}: {other}"),
        }
    });
    answers.collect()
}

fn lint(format: &str, text: &str) -> Run {
    program(text.as_bytes(), &["lint", "-", "--as", format, "--format", "json"])
}

/// Codes and hosts of all that a report names.
fn witnesses(run: &Run) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&run.stdout).expect("a report");
    assert_eq!(report["schema"], 1);
    let findings = report["findings"].as_array().expect("findings");
    let reached =
        findings.iter().flat_map(|finding| finding["reached"].as_array().expect("a list"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    reached.map(|reached| (text(&reached["code"]), text(&reached["host"]))).collect()
}

#[test]
fn what_cannot_be_read_is_an_error_and_never_clean() {
    for (text, arguments, why) in [
        ("", &[][..], "holds no rules"),
        ("hello: world\n", &[], "holds no rules"),
        ("{\"a\": 1}", &[], "holds no rules"),
        ("{\"targetFqdns\": [\"a\"], \"targetFqdns\": [\"b\"]}", &[], "stands twice"),
        ("{\"a\": ", &[], "is not JSON"),
        ("resource \"x\" {", &[], "is not HCL"),
        ("{}", &["--as", "envoy"], "holds no rules of envoy"),
        ("a: [", &["--as", "cilium"], "is not YAML"),
    ] {
        let arguments: Vec<&str> = ["lint", "-"].iter().chain(arguments).copied().collect();
        let run = program(text.as_bytes(), &arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{text}: {run}");
        assert!(run.stderr.contains(why), "{text}: {run}");
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(program(deep.as_bytes(), &["lint", "-"]).code, 2);
    let twice = program(b"", &["lint", "-", "-"]);
    assert!(twice.code == 2 && twice.stderr.contains("stands twice"), "{twice}");
    let bytes = program(b"\xff\xfea\0", &["lint", "-"]);
    assert!(bytes.code == 2 && bytes.stderr.contains("can't read"), "{bytes}");
}

/// Long lists are judged soon: each name by itself, and behind a long list of denials.
#[test]
fn long_rules_are_judged() {
    let names =
        |domain: &str| (0..2000).map(|n| format!("h{n}.{domain}")).collect::<Vec<_>>().join(" ");
    let conf = format!(
        "acl a dstdomain {} .azurecr.io\nacl b dstdomain {}\nhttp_access deny b\nhttp_access allow a\n\
         http_access deny all\n",
        names("example.com"),
        names("example.net")
    );
    let run = lint("squid", &conf);
    assert_eq!(witnesses(&run), [("registry".to_owned(), "exfil.azurecr.io".to_owned())]);
}

#[test]
fn what_stands_in_a_rule_makes_no_line_of_its_own() {
    let hostile = "version: v1\nservices: []\ndefault:\n  action: \"x\\nerror (storage): all is well\\e[2J\"\n";
    let run = program(hostile.as_bytes(), &["lint", "-", "--as", "smokescreen"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains(r"x\nerror (storage)") && !run.stdout.contains('\u{1b}'), "{run}");
}

const PATTERNS: &str = "schema = 1\nallow_patterns = true\n\n[[entry]]\nhost = \"contoso.*.data.azurecr.io\"\nrole = \"other\"\n\
    why = \"replicas\"\n\n[[entry]]\nhost = \"*.data.mcr.microsoft.com\"\nrole = \"other\"\nwhy = \"mcr\"\n\n[[entry]]\n\
    storage_account = \"mine.blob.core.windows.net\"\nwhy = \"ours\"\n";

#[test]
fn a_list_has_one_certificate_which_fits_no_other() {
    let proved = program(PATTERNS.as_bytes(), &["prove", "-"]);
    assert_eq!(proved.code, 0, "{proved}");
    let certificate: Value = serde_json::from_str(&proved.stdout).expect("JSON");
    assert_eq!(certificate["verdict"], "proved");
    assert_eq!(certificate["storage_accounts"][0], "mine.blob.core.windows.net");
    let verdict = |pattern: usize, family: usize| {
        let verdict = &certificate["wildcards"][pattern]["families"][family]["verdict"];
        verdict.as_str().unwrap_or_default().to_owned()
    };
    let verdicts: Vec<String> =
        (0..2).flat_map(|p| (0..4).map(move |f| (p, f))).map(|(p, f)| verdict(p, f)).collect();
    assert_eq!(
        verdicts,
        [
            "disjoint",
            "disjoint",
            "disjoint",
            "one owner",
            "disjoint",
            "one owner",
            "disjoint",
            "one owner"
        ]
    );
    let again = program(PATTERNS.as_bytes(), &["prove", "-"]);
    assert_eq!(proved.stdout, again.stdout);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proof.json");
    std::fs::write(&file, &proved.stdout).expect("a file");
    let file = file.display().to_string();
    let check = |list: &str| program(list.as_bytes(), &["prove", "-", "--check", &file]);
    let fits = check(PATTERNS);
    assert!(fits.code == 0 && fits.stdout.is_empty() && fits.stderr.is_empty(), "{fits}");
    let other = check(&PATTERNS.replace("mine.blob", "mine2.blob"));
    assert!(other.code == 1 && other.stderr.contains("`list`"), "{other}");
    // Nobody widens a certificate by hand.
    std::fs::write(&file, proved.stdout.replace("\"one owner\"", "\"disjoint\"")).expect("a file");
    let forged = check(PATTERNS);
    assert!(forged.code == 1 && forged.stderr.contains("`wildcards`"), "{forged}");
    std::fs::write(&file, "[]").expect("a file");
    assert_eq!(check(PATTERNS).code, 2);

    let wide = program(PATTERNS.replace("contoso.*", "*.*").as_bytes(), &["prove", "-"]);
    assert!(wide.code == 2 && wide.stdout.is_empty(), "{wide}");
}
