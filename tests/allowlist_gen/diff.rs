//! `diff`: every difference has one reason, and the new list can be made from what it prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use allowlist_gen::drift::answer::Unsettled;
use allowlist_gen::drift::plan::{Permit, Plan, Removals};
use allowlist_gen::drift::{Difference, Drift, Reason};
use allowlist_gen::endpoint::{Endpoint, LoginServer};
use proptest::prelude::*;
use ringfence_config::address::Pin;
use ringfence_config::allowlist::Ports;
use ringfence_config::{Allowlist, Document, Entry, Role, document};
use serde_json::{Value, json};
use test_support::{Program, require_program, skip};

use crate::program::{Run, fixtures, program, snapshot};

const CONTOSO: &str = "constructed/acr-show-endpoints.seed-corrected.json";
const DATA_OFF: &str = "constructed/acr-show.standard-sku.json";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

/// `allowlist-gen diff`, run in `folder`.
fn diff_in(folder: &Path, arguments: &[&str]) -> Run {
    crate::program::program_in(folder, b"", &[&["diff"], arguments].concat())
}

/// A registry that is on a list in full.
fn registry(name: &str, regions: &[&str], rest: &str) -> String {
    let login = format!(
        "\n[[entry]]\nhost = \"{name}.azurecr.io\"\nrole = \"login\"\nregistry = \"{name}\"\n{rest}"
    );
    let data = regions.iter().map(|region| {
        format!(
            "\n[[entry]]\nhost = \"{name}.{region}.data.azurecr.io\"\nrole = \"data\"\n\
             registry = \"{name}\"\nregion = \"{region}\"\n{rest}"
        )
    });
    [login].into_iter().chain(data).collect()
}

fn regional(name: &str, region: &str) -> String {
    format!(
        "\n[[entry]]\nhost = \"{name}.{region}.geo.azurecr.io\"\nrole = \"regional-login\"\n\
         registry = \"{name}\"\nregion = \"{region}\"\n"
    )
}

const ENTRA: &str =
    "\n[[entry]]\nhost = \"login.microsoftonline.com\"\nrole = \"other\"\nwhy = \"az acr login\"\n";

fn list(entries: &[&str]) -> String {
    format!("schema = 1\n{}", entries.concat())
}

fn parse(text: &str) -> Allowlist {
    let document = Document::parse("list.toml", text).expect("valid");
    document::merge(&[document]).expect("one list")
}

#[test]
fn each_difference_has_its_reason() {
    let contoso = registry("contoso", &["eastus", "westus"], "");
    let pinned = |pins: &str| registry("contoso", &["eastus"], &format!("addresses = [{pins}]\n"));
    let login =
        "\n[[entry]]\nhost = \"contoso.azurecr.io\"\nrole = \"login\"\nregistry = \"contoso\"\n";
    let data_in_westus = "\n[[entry]]\nhost = \"contoso.westus.data.azurecr.io\"\nrole = \"data\"\n\
                          registry = \"contoso\"\nregion = \"westus\"\n";
    let by_hand = "\n[[entry]]\nhost = \"contoso.azurecr.io\"\nrole = \"other\"\nwhy = \"x\"\n";
    let everything = registry("contoso", &["eastus"], "") + &regional("contoso", "eastus");
    let rows: &[(&str, &str, &[&str], &[&str])] = &[
        (&contoso, &contoso, &[], &[]),
        ("", &contoso, &["registry-added"; 3], &["registry-removed"; 3]),
        (&registry("contoso", &["eastus"], ""), &contoso, &["replica-added"], &["replica-removed"]),
        (login, &contoso, &["data-endpoints-on"; 2], &["data-endpoints-off"; 2]),
        (
            &registry("contoso", &["eastus"], ""),
            &everything,
            &["regional-endpoints-on"],
            &["regional-endpoints-off"],
        ),
        (
            // A new region with both of its hosts, where regional endpoints were on.
            &everything,
            &(everything.clone() + data_in_westus + &regional("contoso", "westus")),
            &["replica-added"; 2],
            &["replica-removed"; 2],
        ),
        (
            // Half of what a region has.
            &(everything.clone() + data_in_westus),
            &(everything.clone() + data_in_westus + &regional("contoso", "westus")),
            &["host-added"],
            &["host-removed"],
        ),
        (data_in_westus, &(login.to_owned() + data_in_westus), &["host-added"], &["host-removed"]),
        (
            &pinned("\"10.0.0.4\""),
            &pinned("\"10.0.0.4\", \"10.0.0.5\""),
            &["address-added"; 2],
            &["address-removed"; 2],
        ),
        (
            &pinned("\"10.0.0.4\""),
            &pinned("\"10.0.0.5\""),
            &["address-changed"; 2],
            &["address-changed"; 2],
        ),
        (
            login,
            &format!("{login}ports = [443, 8443]\nwhy = \"y\"\n"),
            &["port-changed", "why-changed"],
            &["port-changed", "why-changed"],
        ),
        (by_hand, login, &["role-changed", "why-changed"], &["role-changed", "why-changed"]),
        ("", ENTRA, &["host-added"], &["host-removed"]),
        (
            ENTRA,
            &format!("{ENTRA}presets = [\"az-acr-login\"]\n"),
            &["preset-changed"],
            &["preset-changed"],
        ),
    ];
    let reasons = |old: &str, new: &str| {
        let drift = Drift::between(&parse(&list(&[old])), &parse(&list(&[new])));
        drift.differences().map(|(_, reason, _)| reason.code()).collect::<Vec<_>>()
    };
    let mut seen = BTreeSet::new();
    for (old, new, there, back) in rows {
        assert_eq!(reasons(old, new), *there, "{old}\n->\n{new}");
        assert_eq!(reasons(new, old), *back, "{new}\n->\n{old}");
        seen.extend(there.iter().chain(*back).copied());
    }
    assert_eq!(seen, BTreeSet::from(Reason::CODES), "each reason is shown");
}

/// Two clouds can have registries of one name, and a name can be the beginning of another.
#[test]
fn registries_are_told_apart() {
    let other_cloud = registry("contoso", &["chinaeast2"], "").replace("azurecr.io", "azurecr.cn");
    let old = list(&[&registry("contoso", &["eastus"], "")]);
    let evil = registry("contoso-evil", &["eastus"], "");
    let new = list(&[&registry("contoso", &["eastus"], ""), &other_cloud, &evil]);
    let drift = Drift::between(&parse(&old), &parse(&new));
    let owners: Vec<String> = drift.groups().iter().map(|group| group.owner.to_string()).collect();
    assert_eq!(owners, ["contoso.azurecr.cn", "contoso-evil.azurecr.io"]);
    assert!(drift.differences().all(|(_, reason, _)| *reason == Reason::RegistryAdded));
}

const OLD: &[&str] = &["eastus", "westus"];
const NEW: &[&str] = &["eastus", "northeurope"];

fn two_lists() -> (String, String) {
    let old = list(&[&registry("contoso", OLD, "addresses = [\"10.0.0.4\"]\n"), ENTRA]);
    let fabrikam = registry("fabrikam", &["westeurope"], "");
    let entra = &ENTRA.replace("az acr login", "100%: a, b::c");
    let new = list(&[&registry("contoso", NEW, "addresses = [\"10.0.0.5\"]\n"), &fabrikam, entra]);
    (format!("# Ours.\n{old}"), format!("# Theirs.\n\n{new}"))
}

#[test]
fn two_lists_differ_in_every_format() {
    let (old, new) = two_lists();
    let folder = folder(&[("old.toml", &old), ("new.toml", &new)]);
    for format in ["text", "json", "github", "patch"] {
        let run = diff_in(folder.path(), &["old.toml", "new.toml", "--format", format]);
        assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{run}");
        snapshot(&format!("diff-{format}"), &run);
        let same = diff_in(folder.path(), &["new.toml", "new.toml", "--format", format]);
        assert_eq!((same.code, same.stderr.as_str()), (0, ""), "{same}");
        assert_eq!(same.stdout.is_empty(), format != "json", "{same}");
    }
}

/// `patch` and `git apply` both make the new list of the old one, byte for byte.
#[test]
fn a_patch_makes_the_new_list() {
    let (old, new) = two_lists();
    let other_order = format!("schema = 1 # here\n{ENTRA}# note\n{}", registry("contoso", OLD, ""));
    let without_end = old.trim_end().to_owned();
    let with_returns = old.replace('\n', "\r\n");
    for (old, name) in [
        (&old, "allowlist.toml"),
        (&other_order, "allowlist.toml"),
        (&without_end, "allowlist.toml"),
        (&with_returns, "allowlist.toml"),
        (&old, "my list.toml"),
    ] {
        let folder = folder(&[(name, old), ("new", &new)]);
        let patch = diff_in(folder.path(), &[name, "new", "--format", "patch"]);
        assert_eq!(patch.code, 1, "{patch}");
        fs::write(folder.path().join("it.patch"), &patch.stdout).expect("written");
        for (tool, script) in [
            ("patch", "patch --quiet --binary -p1 <it.patch"),
            ("git", "git apply --whitespace=nowarn it.patch"),
        ] {
            if !require_program(tool) {
                continue;
            }
            fs::write(folder.path().join(name), old).expect("written");
            let script = format!("cd '{}' && {script}", folder.path().display());
            let run = Program::new("sh").args(["-c", &script]).run().expect("a shell");
            run.succeeded().unwrap_or_else(|error| panic!("{tool}: {error}\n{patch}"));
            let made = fs::read_to_string(folder.path().join(name)).expect("a list");
            assert_eq!(made, new, "{tool}: {patch}");
        }
    }
}

/// What is compared with metadata keeps its head, its own hosts and its reasons, and gets the next serial.
#[test]
fn a_patch_against_metadata_is_the_next_issue() {
    let old = format!(
        "# Ours.\nschema = 1\nserial = 7\nnot_after = 2099-12-31T00:00:00Z\n{}{}",
        registry("contoso", &["eastus"], "why = \"builds\"\n"),
        ENTRA
    );
    let folder = folder(&[("allowlist.toml", &old)]);
    let metadata = fixtures().join(CONTOSO);
    let metadata = metadata.to_str().expect("UTF-8");
    let patch = diff_in(folder.path(), &["allowlist.toml", metadata, "--format", "patch"]);
    assert_eq!((patch.code, patch.stderr.as_str()), (1, ""), "{patch}");
    assert!(patch.stdout.contains("\n-serial = 7\n+serial = 8\n not_after = 2099"), "{patch}");
    let changed = patch.stdout.lines().filter(|line| line.starts_with(['+', '-'])).skip(2);
    assert_eq!(
        changed.collect::<Vec<_>>(),
        [
            "-serial = 7",
            "+serial = 8",
            "+host = \"contoso.westus.data.azurecr.io\"",
            "+role = \"data\"",
            "+registry = \"contoso\"",
            "+region = \"westus\"",
            "+",
            "+[[entry]]",
        ]
    );
}

#[test]
fn what_metadata_does_not_tell_is_not_compared() {
    let old = list(&[
        &registry("contoso", &["eastus", "westus"], "addresses = [\"10.0.0.4\"]\n"),
        &registry("fabrikam", &["westeurope"], ""),
        ENTRA,
    ]);
    let folder = folder(&[("allowlist.toml", &old)]);
    let metadata = fixtures().join(CONTOSO);
    let metadata = metadata.to_str().expect("UTF-8");
    let run = diff_in(folder.path(), &["allowlist.toml", metadata]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run}");
    assert_eq!(
        run.stderr,
        "not compared (addresses-in-doubt): the input lacks private addresses of `contoso.azurecr.io`, \
         `contoso.eastus.data.azurecr.io`, `contoso.westus.data.azurecr.io`, and is not complete \
         (private-link-untold), so they stay\n\
         not compared (not-described): nothing in the input describes `fabrikam.azurecr.io`, so its entries stay\n"
    );
    let strict = diff_in(folder.path(), &["allowlist.toml", metadata, "--strict"]);
    assert_eq!((strict.code, strict.stdout.as_str()), (1, ""), "{strict}");

    let off = fixtures().join(DATA_OFF);
    let off = off.to_str().expect("UTF-8");
    let unlisted = diff_in(folder.path(), &["allowlist.toml", off]);
    assert_eq!(unlisted.code, 0, "{unlisted}");
    assert!(unlisted.stderr.contains("not compared (unlistable)"), "{unlisted}");
    let quiet = diff_in(folder.path(), &["allowlist.toml", off, "--only-listed"]);
    assert!(!quiet.stderr.contains("unlistable"), "{quiet}");
}

/// A registry's own wildcard gives way to its hosts, and one of somebody's own stays.
#[test]
fn patterns_are_compared_like_hosts() {
    let pattern = "allow_patterns = true\n\n[[entry]]\nhost = \"contoso.*.data.azurecr.io\"\nrole = \"data\"\n\
                   registry = \"contoso\"\nregion = \"eastus\"\n";
    let own = "\n[[entry]]\nhost = \"*.data.mcr.microsoft.com\"\nrole = \"other\"\nwhy = \"base images\"\n";
    let login =
        "\n[[entry]]\nhost = \"contoso.azurecr.io\"\nrole = \"login\"\nregistry = \"contoso\"\n";
    let folder = folder(&[("allowlist.toml", &list(&[pattern, login, own]))]);
    let metadata = fixtures().join(CONTOSO);
    let run = diff_in(folder.path(), &["allowlist.toml", metadata.to_str().expect("UTF-8")]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{run}");
    assert_eq!(
        run.stdout,
        "contoso.azurecr.io\n  replica westus added (replica-added)\n    + contoso.westus.data.azurecr.io\n  \
         host added (host-added)\n    + contoso.eastus.data.azurecr.io\n  \
         host removed (host-removed)\n    - contoso.*.data.azurecr.io\n\
         hosts: 2 added, 1 removed, 0 changed\n"
    );
}

/// A list of real metadata has not drifted from it.
#[test]
fn a_new_list_has_not_drifted() {
    let files = [
        "constructed/private-geo/acr-show.json",
        "constructed/private-geo/acr-replication-list.json",
        "constructed/private-geo/network-nic-show.json",
        "constructed/private-geo/network-private-dns-record-set-a-list.json",
    ];
    let paths = files.map(|file| fixtures().join(file).to_str().expect("UTF-8").to_owned());
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let written = crate::program::generate(&files);
    assert_eq!(written.code, 0, "{written}");
    let folder = folder(&[("allowlist.toml", &written.stdout)]);
    let run = diff_in(folder.path(), &[&["allowlist.toml"][..], &paths].concat());
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run}");
    // Without what tells its private addresses, they stay.
    let run = diff_in(folder.path(), &[&["allowlist.toml"][..], &paths[..2]].concat());
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run}");
    assert!(run.stderr.contains("not compared (addresses-in-doubt)"), "{run}");
}

/// Exit code 1 would claim a difference where nothing could be compared.
#[test]
fn a_listed_registry_without_exact_hosts_cannot_be_compared() {
    let name =
        serde_json::from_str::<Value>(&crate::program::read(DATA_OFF)).expect("JSON")["name"]
            .clone();
    let old = list(&[&registry(name.as_str().expect("a name"), &["eastus"], "")]);
    let folder = folder(&[("allowlist.toml", &old)]);
    let off = fixtures().join(DATA_OFF);
    let run = diff_in(folder.path(), &["allowlist.toml", off.to_str().expect("UTF-8")]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
    assert!(run.stderr.contains("refused (data-endpoints-off)"), "{run}");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let (old, new) = two_lists();
    let folder = folder(&[
        ("old.toml", &old),
        ("new.toml", &new),
        ("empty", ""),
        ("bad.toml", "schema = 1\nhots = 1\n"),
        ("headless.toml", "[[entry]]\nhost = \"a.example.com\"\n"),
        ("registry.json", &json!({"loginServer": "contoso.azurecr.io"}).to_string()),
        ("utf16", "s\0c\0"),
        (
            "wide.toml",
            &list(&[
                "allow_patterns = true\n[[entry]]\nhost = \"*.core.windows.net\"\nrole = \"other\"\nwhy = \"x\"\n",
            ]),
        ),
    ]);
    for (arguments, phrase) in [
        (&["old.toml"][..], "<FILE>"),
        (&[], "<OLD>"),
        (&["missing.toml", "new.toml"], "can't read missing.toml"),
        (&["old.toml", "missing.toml"], "can't read missing.toml"),
        (&["registry.json", "new.toml"], "registry.json is JSON, and no list"),
        (
            &["old.toml", "new.toml", "registry.json"],
            "new.toml is a list, and registry.json is metadata",
        ),
        (&["old.toml", "new.toml", "--only-listed"], "`--only-listed` is for metadata"),
        (
            &["old.toml", "new.toml", "--assume-data-endpoints"],
            "`--assume-data-endpoints` is for metadata",
        ),
        (&["old.toml", "bad.toml"], "unknown field `hots`"),
        (&["bad.toml", "new.toml"], "unknown field `hots`"),
        (&["old.toml", "headless.toml"], "missing field `schema`"),
        (&["old.toml", "empty"], "empty is empty"),
        (&["old.toml", "utf16"], "UTF-16"),
        (&["old.toml", "wide.toml"], "`exfil.blob.core.windows.net`"),
        (&["-", "-"], "`-` stands twice"),
        (&["old.toml", "new.toml", "--format", "yaml"], "invalid value 'yaml'"),
    ] {
        let run = diff_in(folder.path(), arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
}

#[test]
fn standard_input_is_a_list_like_any_other() {
    let (old, new) = two_lists();
    let folder = folder(&[("old.toml", &old), ("new.toml", &new)]);
    let files = diff_in(folder.path(), &["old.toml", "new.toml"]);
    let run = |arguments: &[&str], stdin: &str| {
        crate::program::program_in(folder.path(), stdin.as_bytes(), arguments)
    };
    assert_eq!(run(&["diff", "-", "new.toml"], &old).stdout, files.stdout);
    assert_eq!(run(&["diff", "old.toml", "-"], &new).stdout, files.stdout);
    // What is no file has no place for annotations.
    let annotations = run(&["diff", "-", "new.toml", "--format", "github"], &old);
    assert!(!annotations.stdout.contains("file="), "{annotations}");
}

#[test]
fn issues_of_lists_are_not_compared_and_that_is_said() {
    let plain = list(&[ENTRA]);
    let seven = plain.replacen("schema = 1\n", "schema = 1\nserial = 7\n", 1);
    let folder = folder(&[("old.toml", &plain), ("new.toml", &seven)]);
    let run = diff_in(folder.path(), &["old.toml", "new.toml"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run}");
    assert_eq!(run.stderr, "not compared: the issue, which was none and is serial 7\n");
}

/// A reader of workflow commands, written from the runner's rules and not from our writer.
/// <https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs>
fn read_command(line: &str) -> Option<(String, BTreeMap<String, String>, String)> {
    let rest = line.strip_prefix("::")?;
    let end = rest.find("::")?;
    let (info, message) = (&rest[..end], &rest[end + 2..]);
    let (command, properties) = info.split_once(' ').unwrap_or((info, ""));
    let unescape = |text: &str, pairs: &[(&str, &str)]| {
        pairs.iter().fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
    };
    let of_data = [("%0D", "\r"), ("%0A", "\n"), ("%25", "%")];
    let of_property = [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")];
    let properties = properties.split(',').filter_map(|pair| pair.split_once('='));
    let properties = properties.map(|(key, value)| (key.to_owned(), unescape(value, &of_property)));
    Some((command.to_owned(), properties.collect(), unescape(message, &of_data)))
}

#[test]
fn annotations_point_at_the_lines() {
    let (old, new) = two_lists();
    let name = "my,list::50%.toml";
    let folder = folder(&[(name, &old), ("new.toml", &new)]);
    let run = diff_in(folder.path(), &[name, "new.toml", "--format", "github"]);
    let read = |line| read_command(line).unwrap_or_else(|| panic!("no command: {line}"));
    let commands: Vec<_> = run.stdout.lines().map(read).collect();
    let lines: Vec<&str> = old.lines().collect();
    let at = |title: &str| {
        let command =
            commands.iter().find(|(_, properties, _)| properties["title"].contains(title));
        let (kind, properties, message) = command.unwrap_or_else(|| panic!("{title}: {run}"));
        assert_eq!((kind.as_str(), properties["file"].as_str()), ("error", name));
        let line: usize = properties["line"].parse().expect("a number");
        (lines[line - 1], message.clone())
    };
    // Where more of the registry would stand; where it stands; nowhere yet.
    let (line, message) = at("contoso.azurecr.io: replica northeurope added (replica-added)");
    assert_eq!(line, "host = \"contoso.westus.data.azurecr.io\"");
    assert_eq!(message, "+ contoso.northeurope.data.azurecr.io (10.0.0.5)");
    let (line, message) = at("address-changed");
    assert_eq!(line, "host = \"contoso.azurecr.io\"");
    assert_eq!(message.lines().count(), 2);
    assert_eq!(at("replica-removed").0, "host = \"contoso.westus.data.azurecr.io\"");
    assert_eq!(at("registry-added").0, "# Ours.");
    let (line, message) = at("why-changed");
    assert_eq!(line, "host = \"login.microsoftonline.com\"");
    assert_eq!(message, "~ login.microsoftonline.com: `az acr login` -> `100%: a, b::c`");
    assert_eq!(commands.len(), 5);
}

/// A reason from elsewhere makes no command, no line and no colour of its own.
#[test]
fn no_reason_gets_out_of_its_line() {
    let forged = "x\\n::error file=evil::pwned\\u001b[2J\\r::set-output\\u202e";
    let entra = ENTRA.replace("az acr login", forged);
    let folder = folder(&[
        ("old.toml", &list(&[ENTRA])),
        ("new.toml", &list(&[&entra])),
        ("none", &list(&[])),
    ]);
    for format in ["text", "json", "github"] {
        for old in ["old.toml", "none"] {
            let run = diff_in(folder.path(), &[old, "new.toml", "--format", format]);
            assert_eq!(run.code, 1, "{run}");
            assert!(!run.stdout.contains(['\u{1b}', '\r']), "{run}");
            let commands = run.stdout.lines().filter(|line| line.trim_start().starts_with("::"));
            assert_eq!(commands.count(), usize::from(format == "github"), "{run}");
        }
    }
}

/// Makes the new list of the old one by nothing but the JSON, as a script would.
#[test]
fn json_tells_all_that_the_new_list_has() {
    let (old, new) = two_lists();
    let folder = folder(&[("old.toml", &old), ("new.toml", &new)]);
    let as_json = |name: &str| {
        let run = crate::program::program_in(folder.path(), b"", &["export", "json", name]);
        serde_json::from_str::<Value>(&run.stdout).expect("JSON")
    };
    let run = diff_in(folder.path(), &["old.toml", "new.toml", "--format", "json"]);
    let drift: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!((&drift["schema"], &drift["drift"]), (&json!(1), &json!(true)));

    let mut hosts: BTreeMap<String, Value> = BTreeMap::new();
    for entry in as_json("old.toml")["entries"].as_array().expect("entries") {
        hosts.insert(entry["host"].as_str().expect("a host").to_owned(), entry.clone());
    }
    for group in drift["groups"].as_array().expect("groups") {
        for change in group["changes"].as_array().expect("changes") {
            for difference in change["differences"].as_array().expect("differences") {
                let host = difference["host"].as_str().expect("a host").to_owned();
                match difference["difference"].as_str().expect("a kind") {
                    "added" => {
                        let mut entry = difference["entry"].clone();
                        entry["host"] = host.clone().into();
                        hosts.insert(host, entry);
                    }
                    "removed" => {
                        hosts.remove(&host).expect("the old list has it");
                    }
                    "changed" => {
                        let key = difference["key"].as_str().expect("a key");
                        let entry = hosts.get_mut(&host).expect("the old list has it");
                        assert_eq!(entry[key], difference["old"]);
                        entry[key] = difference["new"].clone();
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }
    let made: BTreeSet<String> = hosts.values().map(sorted).collect();
    let new = as_json("new.toml");
    let expected = new["entries"].as_array().expect("entries").iter().map(sorted);
    assert_eq!(made, expected.collect());
    assert_eq!(drift["new"]["hash"], new["hash"]);
}

/// An object with its keys in order.
fn sorted(value: &Value) -> String {
    let object: BTreeMap<_, _> = value.as_object().expect("an object").iter().collect();
    format!("{object:?}")
}

#[test]
fn ten_thousand_entries_are_compared() {
    let many = |from: usize| {
        let entries: Vec<String> = (from..from + 10_000)
            .map(|n| {
                format!(
                    "[[entry]]\nhost = \"h{n}.example.com\"\nrole = \"other\"\nwhy = \"test {n}\"\n"
                )
            })
            .collect();
        parse(&format!("schema = 1\n{}", entries.concat()))
    };
    let (old, new) = (many(0), many(5_000));
    let drift = Drift::between(&old, &new);
    let tally = drift.tally();
    assert_eq!((tally.added, tally.removed, tally.changed), (5_000, 5_000, 0));
}

#[test]
fn help_is_as_it_was() {
    snapshot("help-diff", &program(b"", &["diff", "--help"]));
}

/// Lists over few names, so that two of them have much in common.
fn lists() -> impl Strategy<Value = Allowlist> {
    let registry = prop::sample::select(vec!["contoso", "fabrikam"]);
    let region = prop::sample::select(vec!["eastus", "westus", "northeurope"]);
    let cloud = prop::sample::select(vec!["azurecr.io", "azurecr.us"]);
    let kind = 0..5_u8;
    let pins = prop::collection::btree_set(4..7_u8, 0..3);
    let ports = prop::collection::btree_set(prop::sample::select(vec![443_u16, 8443]), 1..3);
    let why = prop::option::of("[a-c]");
    let presets = prop::collection::btree_set("(mcr|aks/core)", 0..2);
    let entry = (registry, region, cloud, kind, pins, ports, why, presets).prop_map(
        |(registry, region, cloud, kind, pins, ports, why, presets)| {
            let (label, area) =
                (registry.parse().expect("a label"), region.parse().expect("a region"));
            let (host, role) = match kind {
                0 => (format!("{registry}.{cloud}"), Role::Login(label)),
                1 => (format!("{registry}.{region}.data.{cloud}"), Role::Data(label, area)),
                2 => (format!("{registry}.{region}.geo.{cloud}"), Role::RegionalLogin(label, area)),
                3 => (format!("{registry}.{cloud}"), Role::Other),
                _ => (format!("{region}.example.com"), Role::Other),
            };
            let ports = ports.into_iter().map(|port| port.try_into().expect("a port")).collect();
            let pins =
                pins.into_iter().map(|n| format!("10.0.0.{n}").parse::<Pin>().expect("a pin"));
            Entry {
                host: host.parse().expect("a host"),
                role,
                ports: Ports::new(ports).expect("a port"),
                addresses: pins.collect(),
                why,
                presets: presets.iter().map(|name| name.parse().expect("a preset")).collect(),
            }
        },
    );
    prop::collection::vec(entry, 0..12).prop_map(|entries| {
        let hosts: BTreeMap<_, _> =
            entries.into_iter().map(|entry| (entry.host.clone(), entry)).collect();
        Allowlist::new(hosts.into_values()).expect("each host once")
    })
}

/// How many facts differ, counted without any notion of a reason.
fn facts(list: &Allowlist) -> BTreeMap<(String, &'static str), String> {
    let mut facts = BTreeMap::new();
    for entry in list.entries() {
        let host = entry.host.to_string();
        facts.insert((host.clone(), "role"), format!("{:?}", entry.role));
        facts.insert((host.clone(), "ports"), format!("{:?}", entry.ports));
        facts.insert((host.clone(), "addresses"), format!("{:?}", entry.addresses));
        facts.insert((host.clone(), "why"), format!("{:?}", entry.why));
        facts.insert((host, "presets"), format!("{:?}", entry.presets));
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn drift_leads_from_the_old_list_to_the_new(old in lists(), new in lists()) {
        let drift = Drift::between(&old, &new);
        prop_assert_eq!(&drift.apply(&old).expect("a list"), &new);
        prop_assert_eq!(drift.is_empty(), old == new);
        prop_assert_eq!(&Drift::between(&new, &old).apply(&new).expect("a list"), &old);
    }

    /// Whatever Azure says: what is written has no host that nobody has asked for, and all that is written by hand.
    #[test]
    fn a_plan_never_goes_further_than_it_may(
        old in lists(),
        azure in lists(),
        allowed in any::<bool>(),
        removals in prop::sample::select(vec![Removals::Applied, Removals::Kept]),
    ) {
        let by_hand: Vec<Entry> =
            old.entries().iter().filter(|entry| entry.role.registry().is_none()).cloned().collect();
        let is_by_hand = |host| by_hand.iter().any(|entry| entry.host == host);
        let derived = azure.entries().iter().filter(|entry| entry.role.registry().is_some());
        let derived = derived.filter(|entry| !is_by_hand(entry.host.clone())).cloned();
        let derived = derived.map(|entry| Entry { ports: Ports::https(), ..entry });
        let new = Allowlist::new(derived.chain(by_hand.clone())).expect("each host once");
        let fabrikam: LoginServer = "fabrikam.azurecr.io".parse().expect("a login server");
        let registries = allowed.then_some(fabrikam).into_iter().collect();
        let permit = Permit { registries, removals };

        let server = |entry: &Entry| {
            let endpoint: Endpoint = entry.host.as_str().parse().expect("a host of a registry");
            endpoint.login_server().clone()
        };
        let mut known = permit.registries.clone();
        known.extend(old.entries().iter().filter(|entry| entry.role.registry().is_some()).map(server));
        let has_stranger = new.entries().iter().any(|entry| {
            entry.role.registry().is_some() && !known.contains(&server(entry))
        });
        match Plan::of(&old, &new, &permit).expect("no conflict") {
            Plan::Refuse(objections) => {
                prop_assert!(has_stranger && !objections.is_empty());
            }
            Plan::Leave(_) => prop_assert!(!has_stranger),
            Plan::Write(written, _) => {
                prop_assert!(!has_stranger && written != old);
                for entry in &by_hand {
                    prop_assert!(written.entries().contains(entry));
                }
                for entry in new.entries() {
                    let listed = written.entries().iter().find(|other| other.host == entry.host);
                    let listed = listed.expect("what Azure has is listed");
                    prop_assert!(entry.addresses.iter().all(|pin| listed.addresses.contains(pin)));
                }
                let has = |host| written.entries().iter().find(|entry| entry.host == host);
                for entry in old.entries() {
                    let kept = has(entry.host.clone());
                    if removals == Removals::Kept {
                        let kept = kept.expect("nothing is removed");
                        prop_assert!(entry.addresses.iter().all(|pin| kept.addresses.contains(pin)));
                    }
                }
            }
        }
    }

    /// Every difference is there once, whatever the reason.
    #[test]
    fn each_difference_is_explained_once(old in lists(), new in lists()) {
        let (before, after) = (facts(&old), facts(&new));
        let drift = Drift::between(&old, &new);
        let mut explained = BTreeSet::new();
        for (_, _, difference) in drift.differences() {
            let host = difference.host().to_string();
            let keys: &[&'static str] = match difference {
                Difference::Added(_) | Difference::Removed(_) => &["role", "ports", "addresses", "why", "presets"],
                Difference::Edited(_, edit) => match edit {
                    allowlist_gen::drift::Edit::Role(..) => &["role"],
                    allowlist_gen::drift::Edit::Ports(..) => &["ports"],
                    allowlist_gen::drift::Edit::Addresses(..) => &["addresses"],
                    allowlist_gen::drift::Edit::Why(..) => &["why"],
                    allowlist_gen::drift::Edit::Presets(..) => &["presets"],
                },
            };
            for key in keys {
                prop_assert!(explained.insert((host.clone(), *key)), "{host} {key} twice");
            }
        }
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
        let differ = keys.into_iter().filter(|key| before.get(key) != after.get(key));
        prop_assert_eq!(explained, differ.collect::<BTreeSet<_>>());
    }
}

/// The codes in the first column of the table whose first row has `heading`.
fn codes_below(page: &str, heading: &str) -> Vec<String> {
    let rows = page.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let code = |row: &str| row.split('`').nth(1).expect("a code").to_owned();
    rows.map(code).collect()
}

pub(crate) fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/drift.md");
    fs::read_to_string(page).expect("the page")
}

/// The block of this language in the page.
pub(crate) fn block(language: &str) -> String {
    let page = page();
    let (_, rest) = page.split_once(&format!("\n```{language}\n")).expect("a block");
    rest.split_once("\n```\n").expect("its end").0.to_owned() + "\n"
}

#[test]
fn the_page_has_every_code() {
    let page = page();
    assert_eq!(codes_below(&page, "| code | what has happened"), Reason::CODES);
    assert_eq!(codes_below(&page, "| code | what stays"), Unsettled::CODES);
}

#[test]
fn the_pages_workflow_is_one() {
    let consumers = std::env::var_os("EXPORT_CONSUMERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/consumers"),
        PathBuf::from,
    );
    let cli = consumers.join("node/node_modules/@action-validator/cli/cli.mjs");
    if !require_program("node") || !cli.exists() && !skip("action-validator is not installed") {
        return;
    }
    let broken = block("yaml").replace("runs-on", "runs-off");
    let folder = folder(&[("good.yml", &block("yaml")), ("bad.yml", &broken)]);
    let validate = |name: &str| {
        let run = Program::new("node").arg(&cli).arg(folder.path().join(name)).run();
        run.expect("it ran")
    };
    validate("good.yml").succeeded().expect("a workflow");
    validate("bad.yml").failed().expect("no workflow");
}
