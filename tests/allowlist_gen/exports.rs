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
    let wide = "schema = 1\n[[entry]]\nhost = \"*.blob.core.windows.net\"\nrole = \"other\"\nwhy = \"x\"\n";
    for (stdin, arguments, phrase) in [
        (
            &port[..],
            &["export", "text", "-"][..],
            "`login.microsoftonline.com` can't be written as text: it has no ports",
        ),
        (pattern, &["export", "squid", "-"], "consumers disagree on what a wildcard spans"),
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
            "--client means nothing to json, which takes nothing",
        ),
        ("", &["export", "squid", LIST, "--client", "10.0.0.1/16"], "10.0.0.0/16"),
        ("", &["export", "squid", LIST, "--listen", "3128"], "invalid value '3128'"),
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

#[test]
fn the_formats_describe_themselves() {
    snapshot("help-export", &program(b"", &["export", "--help"]));
    snapshot("formats", &program(b"", &["formats"]));
    snapshot("formats-squid", &program(b"", &["formats", "squid"]));
}
