//! `export` and `formats` as commands: files, options, exit codes. What each format says is held in `tests/exports`.

use std::fs;

use crate::program::{program, snapshot};

const LIST: &str = "../../exports/lists/contoso.toml";
const OWN: &[u8] = b"schema = 1\nnot_after = 2099-01-01T00:00:00Z\n[[entry]]\nhost = \"login.microsoftonline.com\"\n\
    role = \"other\"\nwhy = \"az acr login\"\n";

#[test]
fn lists_are_merged_in_any_order() {
    let run = program(OWN, &["export", "text", LIST, "-"]);
    let turned = program(OWN, &["export", "text", "-", LIST]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
    assert_eq!(run.stdout, turned.stdout);
    // Their serials count different files; the first end is everybody's.
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "# not after 2099-01-01T00:00:00Z", "{run}");
    assert_eq!((lines[1], lines[6]), ("contoso.azurecr.io", "login.microsoftonline.com"), "{run}");
    let alone = program(b"", &["export", "text", LIST]);
    assert_eq!(alone.stdout.lines().next(), Some("# serial 7"), "{alone}");
}

#[test]
fn what_generate_writes_can_be_exported() {
    let list = program(b"", &["generate", "constructed/acr-show.gov.json"]);
    let text = program(list.stdout.as_bytes(), &["export", "host-port", "-"]);
    let direct =
        program(b"", &["generate", "constructed/acr-show.gov.json", "--format", "host-port"]);
    assert_eq!((text.code, &text.stdout), (0, &direct.stdout), "{text}");
}

#[test]
fn a_file_is_replaced_whole_or_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("squid.conf");
    fs::write(&file, "old").expect("a file");
    let output = file.to_str().expect("UTF-8");

    let refused =
        program(b"", &["export", "squid", LIST, "--proxy", "http://p:1", "--output", output]);
    assert_eq!(refused.code, 2, "{refused}");
    assert_eq!(fs::read_to_string(&file).expect("the old file"), "old");

    let run = program(b"", &["export", "squid", LIST, "--output", output]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run}");
    let printed = program(b"", &["export", "squid", LIST]).stdout;
    assert_eq!(fs::read_to_string(&file).expect("the new file"), printed);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing else is left");
}

#[test]
fn what_cannot_be_written_is_an_error_that_says_why() {
    let port = OWN.to_vec();
    let port = String::from_utf8(port).expect("UTF-8").replace("role", "ports = [8443]\nrole");
    let pattern = "schema = 1\nallow_patterns = true\n[[entry]]\nhost = \"*.data.mcr.microsoft.com\"\nrole = \"other\"\n\
        why = \"images\"\n";
    let of_preset = format!("{pattern}presets = [\"mcr\"]\n");
    let wide = "schema = 1\n[[entry]]\nhost = \"*.blob.core.windows.net\"\nrole = \"other\"\nwhy = \"x\"\n";
    for (stdin, arguments, phrase) in [
        (
            &port[..],
            &["export", "text", "-"][..],
            "can't be written as text: it knows only port 443, and this host is listed for 8443",
        ),
        (pattern, &["export", "squid", "-"], "consumers disagree on what a wildcard spans"),
        (
            &of_preset,
            &["export", "squid", "-"],
            "with `--exact-only`, which leaves out this wildcard of the preset `mcr`",
        ),
        (wide, &["export", "json", "-"], "blob.core.windows.net"),
        ("schema = 1\n[[entry]\n", &["export", "json", "-"], "<stdin>:2"),
        ("", &["export", "json", "-"], "schema"),
        ("", &["export", "json", "nowhere.toml"], "can't read nowhere.toml"),
        ("", &["export", "json", "-", "-"], "`-` stands twice"),
        ("", &["export", "json"], "<FILE>..."),
        ("", &["export", "dns-of-tomorrow", LIST], "invalid value 'dns-of-tomorrow'"),
        (
            "",
            &["export", "json", LIST, "--client", "10.0.0.0/16"],
            "`--client` means nothing to json, which takes nothing",
        ),
        ("", &["export", "squid", LIST, "--client", "10.0.0.1/16"], "10.0.0.0/16"),
        ("", &["export", "squid", LIST, "--listen", "3128"], "invalid value '3128'"),
        ("", &["export", "squid", LIST, "--listen", "127.0.0.1:0"], "write an address and a port"),
        (
            "",
            &["export", "squid", LIST, "--listen", "[fe80::1%2]:443"],
            "write an address and a port",
        ),
        ("", &["export", "cilium", LIST, "--namespace", "Builds_1"], "a namespace is made of"),
        ("", &["export", "squid", LIST, "--ca", LIST], "is not a file of certificates"),
        (
            "",
            &["export", "json", LIST, "--proxy", "http://u:p@proxy:3128"],
            "a proxy's credentials",
        ),
        (
            "",
            &["export", "json", LIST, "--output", "no/such/folder/list.json"],
            "can't write no/such/folder/list.json",
        ),
    ] {
        let run = program(stdin.as_bytes(), arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
}

/// What a host is of a registry is told by its name, whatever somebody wrote it down as.
#[test]
fn all_hosts_of_a_registry_behind_private_link_are_exceptions() {
    let list = |entry: &str| {
        format!(
            "schema = 1\nallow_patterns = true\n[[entry]]\nhost = \"contoso.azurecr.io\"\nrole = \"login\"\n\
             registry = \"contoso\"\naddresses = [\"10.20.0.6\"]\n[[entry]]\n{entry}\n"
        )
    };
    let other = list(
        "host = \"contoso.eastus.data.azurecr.io\"\nrole = \"other\"\nwhy = \"x\"\naddresses = [\"10.20.0.4\"]",
    );
    let run = program(other.as_bytes(), &["export", "no-proxy", "-"]);
    assert_eq!(run.stdout, "contoso.azurecr.io,contoso.eastus.data.azurecr.io\n", "{run}");
    assert_eq!(run.stderr, "", "{run}");
    let pattern = list(
        "host = \"contoso.*.data.azurecr.io\"\nrole = \"data\"\nregistry = \"contoso\"\nregion = \"eastus\"",
    );
    let run = program(pattern.as_bytes(), &["export", "no-proxy", "-"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
    assert!(run.stderr.contains("list the exact hosts"), "{run}");
}

/// The platform's own addresses stay out of blocks around them, as they do in the proxy.
#[test]
fn no_export_reaches_the_platform() {
    let list = "schema = 1\n[[entry]]\nhost = \"a.example\"\nrole = \"other\"\nwhy = \"x\"\n\
                addresses = [\"100.100.100.0/24\"]\n";
    for format in ["nftables", "ipset", "iptables"] {
        let clients: &[&str] = if format == "ipset" { &[] } else { &["--client", "10.0.0.0/8"] };
        let run = program(list.as_bytes(), &[&["export", format, "-"], clients].concat());
        assert!(run.stdout.contains("100.100.100.201") && run.code == 0, "{run}");
        assert!(
            !run.stdout.contains("100.100.100.200") && !run.stdout.contains("100.100.100.0/24"),
            "{run}"
        );
    }
}

/// Blocks that a consumer would take for more than they are.
#[test]
fn clients_of_one_family_are_no_clients_of_the_other() {
    for block in ["0.0.0.0/0", "::/0", "::/3", "::ffff:0:0/96"] {
        let run = program(b"", &["export", "squid", LIST, "--client", block]);
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains("`--client` won't do for squid"), "{run}");
    }
}

#[test]
fn the_formats_describe_themselves() {
    snapshot("help-export", &program(b"", &["export", "--help"]));
    snapshot("formats", &program(b"", &["formats"]));
    snapshot("formats-squid", &program(b"", &["formats", "squid"]));
}

/// What pressing tab offers, as bash itself finds it.
#[test]
fn bash_completes_formats() {
    let script = program(b"", &["--generate", "bash"]).stdout;
    for (words, offered) in [
        (&["export", "cili"][..], &["cilium", "cilium-sni", "cilium-node"][..]),
        (&["formats", "rp"], &["rpz"]),
        (&["generate", "--format", "cs"], &["csv"]),
        (&["aks-kit", "--fut"], &["--future-region"]),
    ] {
        let line = [&["allowlist-gen"], words].concat();
        let last = line.len() - 1;
        let ask = format!(
            "{script}\nCOMP_WORDS=({words})\nCOMP_CWORD={last}\n_allowlist__gen allowlist-gen {current} {previous}\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            words = line.join(" "),
            current = line[last],
            previous = line[last - 1],
        );
        let output = std::process::Command::new("bash").args(["-c", &ask]).output().expect("bash");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.lines().collect::<Vec<_>>(), offered, "{words:?}: {output:?}");
    }
}

#[test]
fn what_an_export_leaves_open_is_said_aloud() {
    for (stdin, arguments, phrase) in [
        (
            "",
            &["export", "squid", LIST][..],
            "warning: without `--client` it is for whoever reaches the target\n",
        ),
        (
            "",
            &["export", "hosts", LIST, "--pinned-only"],
            "warning: `fabrikam.azurecr.io` is left out: it has no private address\n",
        ),
        (
            "schema = 1\n",
            &["export", "squid", "-", "--client", "10.0.0.0/8"],
            "warning: there is no host in it, so nothing passes\n",
        ),
    ] {
        let run = program(stdin.as_bytes(), arguments);
        assert_eq!(run.code, 0, "{run}");
        assert!(run.stderr.contains(phrase), "{run}");
    }
    let run = program(b"", &["generate", "constructed/acr-show.gov.json", "--format", "haproxy"]);
    assert!(run.stderr.contains("`allowlist-gen export haproxy`") && run.code == 2, "{run}");
    let run = program(b"{\"name\": \"contoso\"}", &["export", "squid", "-"]);
    assert!(
        run.stderr.contains("<stdin> is JSON, and no list: `allowlist-gen generate` makes one"),
        "{run}"
    );
}
