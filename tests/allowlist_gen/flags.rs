//! What the options do, and what they leave behind.

use std::fs;

use crate::program::{fixtures, generate, generate_from, program, read, snapshot};

const CONTOSO: &str = "constructed/acr-show-endpoints.seed-corrected.json";
const DATA_OFF: &str = "constructed/acr-show.standard-sku.json";
const WITH_FINDING: &str = "constructed/network-nic-show.old-cli-spelling.json";

#[test]
fn strict_means_no_findings() {
    let clean = generate(&[CONTOSO, "--strict"]);
    assert_eq!((clean.code, clean.stderr.as_str()), (0, ""));
    snapshot("strict-with-a-finding", &generate(&[WITH_FINDING, "--strict"]));
}

#[test]
fn names_alone_are_enough_and_said_to_be_names_alone() {
    let contoso = ["--registry", "contoso", "--region", "East US", "--region", "westus"];
    let run = generate(&contoso);
    snapshot("names", &run);
    let from_metadata = generate(&[CONTOSO]);
    assert_eq!(run.stdout, from_metadata.stdout);

    let text = |arguments: &[&str]| generate(&[arguments, &["--format", "text"]].concat());
    for (arguments, host) in [
        (
            &["--registry", "contoso", "--region", "usgovvirginia", "--cloud", "usgov"][..],
            "contoso.azurecr.us",
        ),
        (
            &["--registry", "contoso", "--region", "chinaeast2", "--cloud", "AzureChinaCloud"],
            "contoso.azurecr.cn",
        ),
        (&["--registry", "Contoso.azurecr.us", "--region", "usgovvirginia"], "contoso.azurecr.us"),
        (&["--registry", "acme-1a2b3c", "--region", "eastus"], "acme-1a2b3c.azurecr.io"),
        (
            &["--registry", "contoso", "--region", "bleufrancesouth", "--cloud", "bleu"],
            "contoso.azurecr.sovcloud-azure.fr",
        ),
    ] {
        assert_eq!(text(arguments).hosts()[0], host, "{arguments:?}");
    }
    snapshot("names-unknown-region", &generate(&["--registry", "contoso", "--region", "easttus"]));
}

#[test]
fn names_that_are_none_are_refused() {
    for (arguments, phrase) in [
        (&["--registry", "a_b", "--region", "eastus"][..], "'_' can't stand in a host name"),
        (&["--registry", "data", "--region", "eastus"], "no registry is called `data`"),
        (&["--registry", "a-b-c", "--region", "eastus"], "no registry is called `a-b-c`"),
        (&["--registry", "contoso", "--region", "east-us"], "a region is letters and digits"),
        (&["--registry", "contoso", "--region", ""], "a region is letters and digits"),
        (&["--registry", "contoso"], "--region"),
        (
            &["--registry", "contoso.azurecr.de", "--region", "germanycentral"],
            "Azure Germany is closed",
        ),
        (
            &["--registry", "contoso.azurecr.us", "--region", "eastus", "--cloud", "public"],
            "`--cloud` says another",
        ),
        (
            &["--registry", "acct.blob.core.windows.net", "--region", "eastus"],
            "registries answer below",
        ),
        (&["--registry", "contoso", "--region", "eastus", CONTOSO], "cannot be used with"),
        (&[CONTOSO, "--region", "eastus"], "cannot be used with"),
        (&[], "FILE"),
        (&["-", "-"], "`-` stands twice"),
    ] {
        let run = generate(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
}

#[test]
fn check_compares_what_is_said_not_how() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("allowlist.toml");
    let path = list.to_str().expect("UTF-8");
    let check = || generate(&[CONTOSO, "--check", path]);

    let missing = check();
    assert_eq!((missing.code, missing.stdout.as_str()), (2, ""), "{missing}");
    fs::write(&list, "schema = 1\n[[entry]]\nhots = \"x\"\n").expect("written");
    let invalid = check();
    assert_eq!((invalid.code, invalid.stdout.as_str()), (2, ""), "{invalid}");
    assert!(invalid.stderr.contains("unknown field"), "{invalid}");

    let entry = |host: &str, rest: &str| {
        format!("[[entry]] # by hand\nregistry = \"contoso\"\nhost = \"{host}\"\n{rest}\n")
    };
    let [login, eastus, westus] = [
        entry("Contoso.azurecr.io", "role = \"login\""),
        entry("contoso.eastus.data.azurecr.io", "role = \"data\"\nregion = \"East US\""),
        entry("contoso.westus.data.azurecr.io", "role = \"data\"\nregion = \"westus\""),
    ];
    fs::write(&list, format!("schema = 1\n{westus}{login}{eastus}")).expect("written");
    let same = check();
    assert_eq!((same.code, same.stdout.as_str(), same.stderr.as_str()), (0, "", ""));

    fs::write(&list, format!("schema = 1\n{login}{eastus}")).expect("written");
    let mut differs = check();
    assert_eq!((differs.code, differs.stderr.as_str()), (1, ""));
    differs.stdout = differs.stdout.replace(path, "allowlist.toml");
    assert_eq!(
        differs.stdout,
        "--- allowlist.toml\n+++ generated\n@@ -10,3 +10,9 @@\n role = \"data\"\n registry = \"contoso\"\n \
         region = \"eastus\"\n+\n+[[entry]]\n+host = \"contoso.westus.data.azurecr.io\"\n+role = \"data\"\n\
         +registry = \"contoso\"\n+region = \"westus\"\n"
    );

    // Findings don't hide that nothing differs, but with --strict they are a no of their own.
    assert_eq!(generate(&[WITH_FINDING, "-o", path]).code, 0);
    assert_eq!(generate(&[WITH_FINDING, "--check", path]).code, 0);
    let strict = generate(&[WITH_FINDING, "--check", path, "--strict"]);
    assert_eq!((strict.code, strict.stdout.as_str()), (1, ""), "{strict}");

    // Exit code 1 would claim a difference where nothing could be compared.
    let refused = generate(&[DATA_OFF, "--check", path]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused}");
    assert!(refused.stderr.contains("data-endpoints-off"));
}

/// L08: an issue has a number and an end, in every format that has a place for them.
#[test]
fn serial_and_not_after_are_written_and_compared() {
    const END: &str = "2026-12-31T00:00:00Z";
    let flags = ["--serial", "7", "--not-after", END];
    let issue = |more: &[&str]| generate(&[&[CONTOSO][..], &flags, more].concat());
    let plain = generate(&[CONTOSO]);
    snapshot("issue", &issue(&[]));
    snapshot("issue-as-json", &issue(&["--format", "json"]));
    snapshot("issue-as-text", &issue(&["--format", "text"]));

    for (flag, value, phrase) in [
        ("--serial", "seven", "write a whole number from 0 to 9223372036854775807"),
        ("--serial", "9223372036854775808", "write a whole number"),
        ("--not-after", "2026-12-31", "as in 2026-12-31T00:00:00Z"),
        ("--not-after", "2026-12-31T00:00:00+01:00", "the `Z` of UTC"),
    ] {
        let run = generate(&[CONTOSO, flag, value]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(phrase), "{run}");
    }

    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("allowlist.toml");
    let path = list.to_str().expect("UTF-8");
    let check = |more: &[&str]| generate(&[&[CONTOSO, "--check", path][..], more].concat());
    assert_eq!(issue(&["-o", path]).code, 0);
    // What isn't asked for isn't compared, and never silently so.
    let said = "not compared: serial 7, not after 2026-12-31T00:00:00Z; \
                `--serial` and `--not-after` would\n";
    let unasked = check(&[]);
    assert_eq!((unasked.code, unasked.stdout.as_str(), unasked.stderr.as_str()), (0, "", said));
    let same = check(&flags);
    assert_eq!((same.code, same.stdout.as_str(), same.stderr.as_str()), (0, "", ""));
    let other = check(&["--serial", "8"]);
    assert_eq!(other.code, 1, "{other}");
    assert!(other.stdout.contains("\n-serial = 7\n+serial = 8\n"), "{other}");
    assert!(other.stderr.starts_with("not compared: not after 2026-12-31T00:00:00Z;"), "{other}");
    let later = check(&["--serial", "7", "--not-after", "2027-12-31T00:00:00Z"]);
    assert!(later.code == 1 && later.stdout.contains("\n+not_after = 2027-"), "{later}");

    // A list without them lacks what is asked for.
    fs::write(&list, plain.stdout).expect("written");
    let lacking = check(&flags);
    assert!(lacking.code == 1 && lacking.stdout.contains("\n+serial = 7\n"), "{lacking}");
}

#[test]
fn output_replaces_the_file_or_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("allowlist.toml");
    let path = list.to_str().expect("UTF-8");
    let names = || {
        let entries = fs::read_dir(folder.path()).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };

    let run = generate(&[CONTOSO, "-o", path]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    let written = fs::read_to_string(&list).expect("a list");
    assert_eq!(written, generate(&[CONTOSO]).stdout);
    assert_eq!(generate(&[CONTOSO, "--check", path]).code, 0);

    for failing in [
        &[DATA_OFF][..],
        &[WITH_FINDING, "--strict"],
        &["constructed/aks-http-proxy-config.json"],
        &["no-such-file.json"],
    ] {
        let run = generate(&[failing, &["-o", path]].concat());
        assert_ne!(run.code, 0, "{run}");
        assert_eq!(fs::read_to_string(&list).expect("a list"), written, "{run}");
    }
    assert_eq!(names(), ["allowlist.toml"]);

    let nowhere = folder.path().join("no/such/folder.toml");
    let run = generate(&[CONTOSO, "-o", nowhere.to_str().expect("UTF-8")]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("can't write"), "{run}");
}

#[cfg(unix)]
#[test]
fn output_keeps_links_and_leaves_devices_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let (list, link) = (folder.path().join("list.toml"), folder.path().join("link.toml"));
    fs::write(&list, "old").expect("written");
    std::os::unix::fs::symlink(&list, &link).expect("linked");
    assert_eq!(generate(&[CONTOSO, "-o", link.to_str().expect("UTF-8")]).code, 0);
    assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    assert!(fs::read_to_string(&list).expect("a list").starts_with("# Derived"));
    let mode = fs::metadata(&list).expect("a list").permissions().mode();
    assert_eq!(mode & 0o400, 0o400);
    assert_eq!(mode & 0o111, 0);

    let run = generate(&[CONTOSO, "-o", "/dev/null"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("not a regular file"), "{run}");
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let piped = generate_from(read(CONTOSO).as_bytes(), &["-"]);
    assert_eq!(piped.stdout, generate(&[CONTOSO]).stdout);
    let with_mark = ["\u{feff}", &read(CONTOSO)].concat();
    assert_eq!(generate_from(with_mark.as_bytes(), &["-"]).stdout, piped.stdout);
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let script = format!(
        "'{}' generate {CONTOSO} --format json | true; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_allowlist-gen")
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(fixtures())
        .output()
        .expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
    assert!(output.stderr.is_empty());
}

#[test]
fn the_program_documents_itself() {
    for (what, phrase) in [
        ("man", ".TH allowlist-gen-generate 1"),
        ("bash", "--assume-data-endpoints"),
        ("zsh", "#compdef allowlist-gen"),
        ("fish", "complete -c allowlist-gen"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let run = program(b"", &["--generate", what]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
        assert!(run.stdout.contains(phrase), "{what}");
    }
    // What is wrapped between the lines of an example can't be pasted into a shell.
    for command in COMMANDS {
        let help = program(b"", &[command, "--help"]).stdout;
        let Some((_, examples)) = help.split_once("\nExamples:\n") else {
            assert!(["formats"].contains(&command), "{command} has no examples");
            continue;
        };
        for line in examples.lines().filter(|line| !line.starts_with("    ")) {
            let first = line.split_whitespace().next().unwrap_or_default();
            let is_program = ["allowlist-gen", "az", "echo", "git", "kubectl", "zcat"];
            assert!(is_program.contains(&first), "{command}: {line}");
        }
    }
    snapshot("help", &program(b"", &["--help"]));
    snapshot("help-generate", &program(b"", &["generate", "--help"]));
}

const COMMANDS: [&str; 16] = [
    "generate",
    "discover",
    "findings",
    "private-link",
    "export",
    "aks-kit",
    "formats",
    "presets",
    "verify",
    "doctor",
    "diff",
    "watch",
    "lint",
    "prove",
    "learn",
    "simulate",
];
