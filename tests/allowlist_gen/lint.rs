//! `lint` and `prove`: what rules let through, shown by witnesses that others agree with.

use ringfence_config::Hostname;
use serde_json::Value;
use test_support::{Namespace, Program, require};

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
    if !require(&["squid", "curl"]) {
        return;
    }
    let clean = "acl a dstdomain contoso.azurecr.io\nhttp_access allow a\nhttp_access deny all\n";
    assert_eq!(lint("squid", clean).code, 0);
    let widened = [
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
        // A comment ends with its line, and a line goes on behind comments, empty lines and within a word.
        "# all is well \\\nacl a dstdomain .azurecr.io\nhttp_access allow a\n",
        "acl a dstdomain foo.example.com \\\n# bar\n\n  .azurecr.io\nhttp_access allow a\n",
        "acl a dstdomain .azure\\\ncr.io\nhttp_acc\\\n  ess allow a\n",
        // A line without an ACL denies nothing.
        "http_access deny\nhttp_access allow all\n",
        // One method and one port are left.
        "acl m method GET PUT POST HEAD\nacl p port 1-442 444-65535\nhttp_access deny m\nhttp_access deny p\nhttp_access allow all\n",
        "acl m method connect\nhttp_access allow m\n",
    ];
    let judge = |rules: &str| {
        let rules = format!("{rules}http_access deny all\n");
        let run = lint("squid", &rules);
        let hosts: Vec<String> = witnesses(&run).into_iter().map(|(_, host)| host).collect();
        assert!(run.code == 1 && !hosts.is_empty(), "{rules}: {run}");
        let answers = ask_squid(&rules, &hosts);
        assert!(answers.iter().all(|granted| *granted), "{rules}: {hosts:?} {answers:?}");
        hosts
    };
    let hosts: Vec<String> = std::thread::scope(|scope| {
        let judges: Vec<_> = widened.map(|rules| scope.spawn(move || judge(rules))).into();
        judges.into_iter().flat_map(|judge| judge.join().expect("squid agrees")).collect()
    });
    let answers = ask_squid(clean, &hosts);
    assert!(!answers.iter().any(|granted| *granted), "{hosts:?} {answers:?}");
}

/// Whether squid lets CONNECT through to each host. It finds all of them at an address without a server, so what it
/// allows ends there, with 503 and not with 403, and nothing leaves the machine.
fn ask_squid(rules: &str, hosts: &[String]) -> Vec<bool> {
    let folder = tempfile::Builder::new().prefix("lint-squid").tempdir().expect("a folder");
    // Where nobody else takes ports.
    let namespace = Namespace::create("squid").expect("a namespace");
    let here = folder.path().display();
    let conf = format!(
        "http_port 127.0.0.1:3128\ndns_nameservers 127.0.0.1\nhosts_file {here}/hosts\n\
         pid_filename {here}/pid\ncache_log {here}/cache.log\naccess_log none\ncache deny all\npinger_enable off\n\
         coredump_dir {here}\nshutdown_lifetime 0 seconds\n{rules}"
    );
    let lines: Vec<String> = hosts.iter().map(|host| format!("127.255.255.254 {host}\n")).collect();
    std::fs::write(folder.path().join("hosts"), lines.concat()).expect("a file");
    let file = folder.path().join("squid.conf");
    std::fs::write(&file, conf).expect("a file");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), permissions).expect("permissions");
    // Squid calls its shared memory so.
    let name = here.to_string().replace(|c: char| !c.is_ascii_alphanumeric(), "");
    let squid = Program::new("squid")
        .inside(&namespace)
        .args(["-N", "-d", "1", "-n", &name, "-f"])
        .arg(&file);
    let squid = squid.start().expect("squid starts");
    squid.stderr.wait_for_line(|line| line.contains("Accepting HTTP")).expect("squid listens");
    let answers = hosts.iter().map(|host| {
        let curl = Program::new("curl")
            .inside(&namespace)
            .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_connect}"])
            .args(["--max-time", "20", "--proxy", "http://127.0.0.1:3128"])
            .arg(format!("https://{host}/"));
        let answer = curl.run().expect("curl runs");
        match answer.stdout.as_str() {
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

/// Texts that open storage, or hide what does; each was once passed over in silence.
#[test]
fn what_opens_storage_is_never_clean() {
    let arm = |group: &str, deny: &str, allow: &str| {
        format!(
            r#"{{"priority": {group}, "ruleCollections": [{deny}{{"priority": 200, "action": {{"type": "Allow"}}, "rules": [{allow}]}}]}}"#
        )
    };
    let star = r#"{"ruleType": "ApplicationRule", "sourceAddresses": ["*"], "targetFqdns": ["*"], "protocols": [{"protocolType": "Https", "port": 443}]}"#;
    let ssh = r#"{"priority": 100, "action": {"type": "Deny"}, "rules": [{"ruleType": "NetworkRule", "sourceAddresses": ["*"],
        "destinationAddresses": ["*"], "ipProtocols": ["TCP"], "destinationPorts": ["22"]}]},"#;
    let http = r#"{"priority": 100, "action": {"type": "Deny"}, "rules": [{"ruleType": "ApplicationRule", "sourceAddresses": ["*"],
        "targetFqdns": ["*"], "protocols": [{"protocolType": "Http", "port": 80}]}]},"#;
    let late = r#"{"priority": "[parameters('p')]", "action": {"type": "Deny"}, "rules": [{"ruleType": "ApplicationRule",
        "sourceAddresses": ["*"], "targetFqdns": ["*"]}]},"#;
    let good = r#"{"ruleType": "ApplicationRule", "targetFqdns": ["a.example.com"]}"#;
    for (format, text) in [
        ("squid", "acl c method GET PUT CONNECT\nhttp_access deny c\nhttp_access allow all\nhttp_access deny all\n".to_owned()),
        ("squid", "acl p port 1-100 102-65535\nhttp_access deny p\nhttp_access allow all\nhttp_access deny all\n".to_owned()),
        ("squid", "acl a dstdomain ${service_name}.azurecr.io\nhttp_access allow a\nhttp_access deny all\n".to_owned()),
        ("squid", "acl a dstdomain parameters('x')\nhttp_access allow a\nhttp_access deny all\n".to_owned()),
        ("squid", "acl a dstdomain '.azurecr.io'\nhttp_access allow a\nhttp_access deny all\n".to_owned()),
        // Denials of another port, another protocol, or at a time that isn't known.
        ("azure-firewall", arm("100", ssh, star)),
        ("azure-firewall", arm("100", http, star)),
        ("azure-firewall", arm("100", late, star)),
        // Keys in another case, and what something else makes rules of.
        ("azure-firewall", arm("100", "", star).replace("targetFqdns", "TargetFQDNs")),
        ("azure-firewall", arm("100", "", star).replace("\"rules\"", "\"Rules\"")),
        ("azure-firewall", arm("100", "", star).replace("ApplicationRule", "[parameters('kind')]")),
        ("azure-firewall", r#"{"ruleCollections": [{"action": {"type": "Allow"}, "rules": "[parameters('rules')]"}]}"#.to_owned()),
        ("azure-firewall", r#"{"ruleCollections": "[variables('all')]"}"#.to_owned()),
        ("azure-firewall", format!(r#"{{"ruleCollections": [{{"copy": [{{"name": "rules", "count": 2, "input": {star}}}]}}]}}"#)),
        ("azure-firewall", arm("1", "", r#"{"ruleType": "ApplicationRule", "copy": [{"name": "targetFqdns", "input": "[concat('*.', 'azurecr.io')]"}]}"#)),
        ("azure-firewall", format!(r#"[{}, {{"parameters": {{"more": {{"value": [{star}]}}}}}}]"#, arm("1", "", good))),
        ("azure-firewall", arm("1", "", &good.replace("a.example.com", "*.{{ region }}.azurecr.io"))),
        ("azure-firewall", arm("1", "", r#"{"ruleType": "NetworkRule", "destinationAddresses": ["10.0.0.0-192.168.255.255"]}"#)),
        ("terraform", "module \"fw\" {\n  target_fqdns = [\"*\"]\n}\n".to_owned()),
        ("terraform", "resource \"azapi_resource\" \"x\" {\n  body = { ruleCollections = [{ rules = [{ targetFqdns = [\"*\"] }] }] }\n}\n".to_owned()),
        (
            "terraform",
            "resource \"azurerm_firewall_policy_rule_collection_group\" \"x\" {\n  priority = 1\n  network_rule_collection {\n\
             priority = 1\n action = \"Deny\"\n rule {\n source_addresses = [\"*\"]\n destination_addresses = [\"*\"]\n\
             protocols = [\"TCP\"]\n destination_ports = [\"22\"]\n }\n }\n application_rule_collection {\n priority = 2\n\
             action = \"Allow\"\n rule {\n source_addresses = [\"*\"]\n destination_fqdns = [\"*\"]\n }\n }\n}\n"
                .to_owned(),
        ),
        ("terraform", "resource \"azurerm_kubernetes_cluster\" \"x\" {\n  dynamic \"http_proxy_config\" {\n  }\n}\n".to_owned()),
        ("terraform", "resource \"aws_networkfirewall_rule_group\" \"x\" {\n  rule_group {\n  rules_source {\n  stateful_rule {\n  }\n  }\n  }\n}\n".to_owned()),
        // A key without a value is no destination.
        ("cilium", "kind: CiliumNetworkPolicy\nspec:\n  egress:\n  - toFQDNs:\n    toPorts:\n    - ports: [{port: '443'}]\n".to_owned()),
        ("cilium", "kind: CiliumNetworkPolicy\nspec:\n  egress:\n  - toFQDNs:\n    - matchPattern: '*.{{ x }}'\n".to_owned()),
        ("cilium", "kind: CiliumNetworkPolicy\nspec: {}\n---\nkind: NetworkPolicy\nspec:\n  egress: [{}]\n".to_owned()),
        ("aws-network-firewall", r#"{"GeneratedRulesType": "ALLOWLIST", "Targets": [], "StatefulRules": [{"Action": "PASS"}]}"#.to_owned()),
        ("aws-network-firewall", "GeneratedRulesType: ALLOWLIST\nTargets:\n- !Ref Names\n".to_owned()),
        // The other spelling, another program's answer, another port.
        ("envoy", "virtual_hosts: []\nfilterChains:\n- filterChainMatch: {serverNames: ['*']}\n".to_owned()),
        ("envoy", "filter_chains:\n- filters:\n  - typed_config: {rds: {route_config_name: x}}\n".to_owned()),
        ("envoy", "virtual_hosts:\n- domains: ['*']\n  routes: [{route: {cluster: x}}]\n- domains: ['*.net:80', '*.io:80', '*.com:80']\n".to_owned()),
        ("envoy", "virtual_hosts:\n- domains: ['x1.blob.core.windows.net:*']\n  routes: [{route: {cluster: x}}]\n".to_owned()),
        ("envoy", "filter_chains:\n- filters: [{name: tcp}]\nclusters:\n- type: ORIGINAL_DST\n".to_owned()),
        ("no-proxy", "NO_PROXY=\"a.example.com,\\\n  *.azurecr.io\"\n".to_owned()),
        ("no-proxy", "NO_PROXY=\"a.example.com,\n  .azurecr.io\"\n".to_owned()),
        ("no-proxy", "NO_PROXY=a.example.com,$MORE\n".to_owned()),
        ("no-proxy", "NO_PROXY: .azurecr.io\nno_proxy: a.example.com\n".to_owned()),
        ("no-proxy", "{\"noProxy\": [{\"a\": 1}]}".to_owned()),
    ] {
        let run = lint(format, &text);
        assert_eq!(run.code, 1, "{format}: {text}: {run}");
    }
    // What was written without a rule that is known can't be read.
    let other = program(b"resource \"null_resource\" \"x\" {\n}\n", &["lint", "-"]);
    assert!(other.code == 2 && other.stderr.contains("holds no rules of terraform"), "{other}");
    // A manifest that holds a text of another format has rules of its own.
    let both = "kind: ConfigMap\ndata:\n  x: |\n    export NO_PROXY=a.example.com\n---\nkind: CiliumNetworkPolicy\nspec:\n\
                \x20 egress:\n  - toFQDNs:\n    - matchPattern: '*'\n";
    let run = program(both.as_bytes(), &["lint", "-", "--format", "json"]);
    assert!(run.code == 1 && run.stdout.contains("exfil.blob.core.windows.net"), "{run}");
    // A container's variable.
    let variable = "kind: Pod\nspec:\n  containers:\n  - env:\n    - name: NO_PROXY\n      value: .azurecr.io\n";
    assert_eq!(program(variable.as_bytes(), &["lint", "-"]).code, 1);
}

/// What denies everything is still clean.
#[test]
fn what_is_denied_before_is_clean() {
    let deny = r#"{"priority": 100, "action": {"type": "Deny"}, "rules": [{"ruleType": "ApplicationRule", "sourceAddresses": ["*"],
        "targetFqdns": ["*"], "protocols": [{"protocolType": "Https", "port": 443}]}]}"#;
    let allow = deny.replace("Deny", "Allow").replace("100", "200");
    let group =
        format!(r#"{{"priority": "[parameters('p')]", "ruleCollections": [{deny}, {allow}]}}"#);
    let run = lint("azure-firewall", &group);
    assert_eq!(run.code, 0, "{run}");
    let policy = "kind: CiliumNetworkPolicy\nspec:\n  egressDeny:\n  - toEntities: [world]\n  egress:\n  - toFQDNs:\n\
                  \x20   - matchPattern: '*'\n";
    let run = lint("cilium", policy);
    assert_eq!(run.code, 0, "{run}");
    // A denial of one port leaves the others.
    let ports = policy.replace("[world]", "[world]\n    toPorts: [{ports: [{port: '22'}]}]");
    assert_eq!(lint("cilium", &ports).code, 1);
}

/// No file that is given is left out, whichever others seem to name it.
#[test]
fn every_file_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let open = "http_access allow all\nhttp_access deny all\ninclude /etc/squid/conf.d/*.conf\n";
    let a = write("a/squid.conf", open);
    let b = write("b/squid.conf", open);
    let commented = write(
        "c.conf",
        "acl a dstdomain x.example.com # \"d.txt\"\nhttp_access allow a\nhttp_access deny all\n",
    );
    let d = write("d.txt", "*.azurecr.io\n");
    for (files, expected) in
        [([&a, &b], "exfil.blob.core.windows.net"), ([&commented, &d], "exfil.azurecr.io")]
    {
        let run = program(b"", &["lint", files[0], files[1]]);
        assert!(run.code == 1 && run.stdout.contains(expected), "{run}");
    }
    // Files that name each other many times end soon.
    let many = (0..100).map(|n| format!("include x{}.conf\n", n % 5)).collect::<Vec<_>>().concat();
    let files: Vec<String> = (0..5)
        .map(|n| write(&format!("x{n}.conf"), &format!("http_access deny all\n{many}")))
        .collect();
    let mut arguments = vec!["lint"];
    arguments.extend(files.iter().map(String::as_str));
    assert_eq!(program(b"", &arguments).code, 1);
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
