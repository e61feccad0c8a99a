//! What is learned from a real proxy's log, and what must not be, whatever the log says.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ringfence_config::document::{self, Document};
use serde_json::Value;
use test_support::{Dns, Network, Program, Recorder, Ringfence, address, require_program, skip};

use crate::program::{Run, program, snapshot};

const CONTOSO: &str = "schema = 1 # ours\n\n[[entry]] # by hand\nhost = \"contoso.azurecr.io\"\nrole = \"login\"\nregistry = \"contoso\"\n\n\
                       [[entry]]\nhost = \"build.example.com\"\nports = [8443]\nrole = \"other\"\nwhy = \"builds\"";

/// A line about `host`, as the proxy in audit mode writes it.
fn asked(host: &str, port: u16, client: u8, second: u8, rest: &str) -> String {
    format!(
        "{{\"schema\":1,\"time\":\"2026-11-30T21:00:{second:02}.250Z\",\"id\":7,\"client\":\"10.0.0.{client}:50000\",\
         \"listener\":\"plain\",\"group\":\"everyone\",\"identity\":\"address\",{rest},\"host\":\"{host}\",\"port\":{port},\
         \"sent\":0,\"received\":0,\"ms\":{{\"total\":1.0}},\"generation\":1,\"allowlist\":\"sha256:0\"}}\n"
    )
}

const CARRIED: &str = "\"outcome\":\"tunnel\",\"would_deny\":\"not_in_policy\"";
const DENIED: &str = "\"outcome\":\"denied\",\"reason\":\"not_in_policy\"";
const STORAGE: &str = "\"outcome\":\"denied\",\"reason\":\"storage_forbidden\"";

/// A log of everything: what may be learned, what must not, and what is no line at all.
fn log() -> String {
    let unread = |reason: &str, authority: &str| {
        let line = asked(
            "x.y",
            1,
            9,
            30,
            &format!(
                "\"outcome\":\"malformed\",\"reason\":\"{reason}\",\"authority\":\"{authority}\""
            ),
        );
        line.replace(",\"host\":\"x.y\",\"port\":1", "")
    };
    [
        asked(
            "contoso.azurecr.io",
            443,
            4,
            1,
            "\"outcome\":\"tunnel\",\"role\":\"login\",\"registry\":\"contoso\"",
        ),
        asked("contoso.eastus.data.azurecr.io", 443, 4, 2, CARRIED),
        asked("packages.example.com", 443, 4, 3, CARRIED),
        asked("packages.example.com", 443, 5, 4, DENIED),
        asked("packages.example.com", 8443, 4, 5, DENIED),
        asked("westus.data.mcr.microsoft.com", 443, 4, 6, CARRIED),
        asked(
            "build.example.com",
            443,
            4,
            7,
            "\"outcome\":\"denied\",\"reason\":\"port_not_allowed\"",
        ),
        asked("exfil.blob.core.windows.net", 443, 6, 8, STORAGE),
        asked("bucket.s3.amazonaws.com", 443, 6, 9, STORAGE),
        asked("fabrikam.azurecr.io", 443, 6, 10, DENIED),
        asked("fabrikam.eastus.data.azurecr.io", 443, 6, 10, CARRIED),
        asked("contoso.azurecr.us", 443, 6, 11, DENIED),
        asked(
            "contoso.azurecr.io",
            8443,
            6,
            12,
            "\"outcome\":\"denied\",\"reason\":\"port_not_allowed\"",
        ),
        asked("d1234.cloudfront.net", 443, 6, 13, CARRIED),
        asked("acs-mirror.azureedge.net", 443, 4, 14, CARRIED),
        asked("stranger.hcp.eastus.azmk8s.io", 443, 6, 15, CARRIED),
        asked("a.kawasaki.jp", 443, 6, 16, DENIED),
        asked("azurecr.io", 443, 6, 17, DENIED),
        asked(
            "typo.example.com",
            443,
            4,
            18,
            "\"outcome\":\"failed\",\"reason\":\"dns_not_found\",\"would_deny\":\"not_in_policy\"",
        ),
        asked(
            "other.example.com",
            443,
            4,
            19,
            "\"outcome\":\"denied\",\"reason\":\"credentials_required\"",
        ),
        asked(
            "soon.example.com",
            443,
            4,
            20,
            "\"outcome\":\"opening\",\"would_deny\":\"not_in_policy\"",
        ),
        unread("ip_literal", "203.0.113.7:443").replace("malformed", "denied"),
        unread("bad_authority", "*.example.com:443"),
        unread(
            "bad_authority",
            "evil.example.com\\n[[entry]]\\nhost = \\\"exfil.example\\\"\\u001b[2J\\u202e",
        ),
        "ringfence: listening on 127.0.0.1:3128\n".to_owned(),
        asked("*.example.com", 443, 4, 21, CARRIED),
        asked("evil.example.com", 443, 4, 22, CARRIED)[..80].to_owned(),
    ]
    .concat()
}

/// What serves everyone from the same hosts is no host of anybody's, and never learned.
#[test]
fn what_serves_everyone_is_not_learned() {
    let hosts = [
        "registry-1.docker.io",
        "production.cloudflare.docker.com",
        "ghcr.io",
        "gcr.io",
        "quay.io",
        "public.ecr.aws",
        "cdn.jsdelivr.net",
        "10.0.0.4.nip.io",
        "dns.google",
    ];
    let log: String = hosts.iter().map(|host| asked(host, 443, 4, 1, CARRIED)).collect();
    let run = learn(&log, &["--format", "json"]);
    let said: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(said["proposed"], Value::Array(Vec::new()), "{run}");
    let refused = said["refused"].as_array().expect("a list");
    assert_eq!(refused.len(), hosts.len(), "{run}");
    assert!(refused.iter().all(|refused| refused["code"] == "everyones-service"), "{run}");
}

/// Names that only look like a host, or like another one, are no lines of the log, which has canonical names.
#[test]
fn names_that_only_look_like_hosts_are_not_learned() {
    let endless = format!("{0}.{0}.{0}.{0}.com", "a".repeat(63));
    let hosts = [
        "xn--80ak6aa92e.com",
        "packages.example.com.",
        "Packages.example.com",
        "packages..example.com",
        "*.example.com",
        "10.0.0.4",
        "0x7f.1",
        "[::1]",
        "localhost",
        endless.as_str(),
    ];
    let log: String = hosts.iter().map(|host| asked(host, 443, 4, 1, CARRIED)).collect();
    let log = log + &asked("fine.example.com", 443, 4, 1, CARRIED);
    let run = learn(&log, &["--format", "json"]);
    let said: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(said["proposed"][0]["host"], "fine.example.com", "{run}");
    assert_eq!(said["proposed"].as_array().map(Vec::len), Some(1), "{run}");
    assert_eq!(said["counts"]["foreign"], hosts.len(), "{run}");
}

/// `allowlist-gen learn - --allowlist LIST` on that log, with the list's folder taken out of what it says.
fn learn(log: &str, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("allowlist.toml");
    fs::write(&list, CONTOSO).expect("written");
    let path = list.to_str().expect("UTF-8");
    let arguments = [&["learn", "-", "--allowlist", path], arguments].concat();
    let mut run = program(log.as_bytes(), &arguments);
    run.rename(path, "allowlist.toml");
    run
}

#[test]
fn a_log_becomes_a_change_for_review() {
    snapshot("learn-diff", &learn(&log(), &[]));
    snapshot(
        "learn-own-registries",
        &learn(&log(), &["--registry", "fabrikam", "--at-least", "2", "--format", "text"]),
    );
}

#[test]
fn only_what_is_exact_and_somebodys_is_learned() {
    let run = learn(&log(), &["--format", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let said: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(said["schema"], 1);
    let proposed: Vec<String> = said["proposed"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| format!("{}:{}", p["host"].as_str().expect("a host"), p["port"]))
        .collect();
    assert_eq!(
        proposed,
        [
            "contoso.eastus.data.azurecr.io:443",
            "packages.example.com:443",
            "packages.example.com:8443",
            "westus.data.mcr.microsoft.com:443",
        ]
    );
    let refused: Vec<(&str, &str)> = said["refused"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| (r["code"].as_str().expect("a code"), r["what"].as_str().expect("a text")))
        .collect();
    for expected in [
        ("address", "203.0.113.7:443"),
        ("never-on-a-list", "a.kawasaki.jp:443"),
        ("never-on-a-list", "azurecr.io:443"),
        ("never-reached", "typo.example.com:443"),
        ("no-host", "*.example.com:443"),
        ("other-ports", "build.example.com:443"),
        ("registry-port", "contoso.azurecr.io:8443"),
        ("shared-domain", "acs-mirror.azureedge.net:443"),
        ("shared-domain", "d1234.cloudfront.net:443"),
        ("shared-domain", "stranger.hcp.eastus.azmk8s.io:443"),
        ("storage", "bucket.s3.amazonaws.com:443"),
        ("storage", "exfil.blob.core.windows.net:443"),
        ("strangers-registry", "contoso.azurecr.us:443"),
        ("strangers-registry", "fabrikam.azurecr.io:443"),
        ("strangers-registry", "fabrikam.eastus.data.azurecr.io:443"),
    ] {
        assert!(refused.contains(&expected), "{expected:?}: {refused:?}");
    }
    // And the one that would forge an entry.
    assert_eq!(refused.len(), 16, "{refused:?}");
    assert_eq!(said["counts"]["foreign"], 2);
    assert_eq!(said["counts"]["cut"], 1);

    let entries =
        Document::parse("learned", said["document"].as_str().expect("a document")).expect("a list");
    let list = document::merge(&[entries]).expect("a list");
    let roles: Vec<_> =
        list.entries().iter().map(|entry| (entry.host.as_str(), entry.role.name())).collect();
    assert_eq!(
        roles,
        [
            ("contoso.eastus.data.azurecr.io", "data"),
            ("packages.example.com", "other"),
            ("westus.data.mcr.microsoft.com", "other"),
        ]
    );
    let why = list.entries()[1].why.as_deref().expect("a reason");
    assert_eq!(
        why,
        "learned from a log: 3 connections of 10.0.0.4, 10.0.0.5, 2026-11-30T21:00:03Z to \
                     2026-11-30T21:00:05Z; nobody has said yet what for"
    );
}

/// Whatever a client wrote makes no line of its own, in no format.
#[test]
fn a_log_forges_nothing() {
    for format in ["diff", "toml", "text", "json"] {
        let run = learn(&log(), &["--format", format]);
        assert_eq!(run.code, 0, "{run}");
        let control = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!run.stdout.contains(control) && !run.stderr.contains(control), "{run}");
        assert!(!run.stdout.lines().any(|line| line.starts_with("host = \"exfil")), "{run}");
    }
}

#[test]
fn the_change_applies_and_loads() -> Result<()> {
    if !require_program("patch") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("allowlist.toml");
    fs::write(&list, CONTOSO)?;
    let run = learn(&log(), &[]);
    let diff = folder.path().join("learned.diff");
    fs::write(&diff, &run.stdout)?;
    Program::new("patch").args([&list, &diff]).run()?.succeeded()?;
    let text = fs::read_to_string(&list)?;
    ensure!(text.starts_with(CONTOSO), "comments stay: {text}");
    let grown = document::merge(&[Document::parse("allowlist.toml", &text)?])?;
    ensure!(grown.entries().len() == 5, "{text}");

    // Learned once, there is nothing left to learn.
    let (list, log) = (path(&list)?, log());
    let again = program(log.as_bytes(), &["learn", "-", "--allowlist", &list]);
    ensure!(again.code == 0 && again.stdout.contains("\n# proposed: 0\n"), "{again}");
    ensure!(!again.stdout.contains("+++"), "{again}");
    Ok(())
}

/// Whatever the file's lines end with, and whatever it is called.
#[test]
fn the_change_applies_to_files_of_any_sort() -> Result<()> {
    if !require_program("patch") {
        return Ok(());
    }
    let log = asked("packages.example.com", 443, 4, 3, CARRIED);
    let crlf = CONTOSO.replace('\n', "\r\n");
    let issue = "schema = 1\nserial = 7\nnot_after = 2999-01-01T00:00:00Z\nallow_patterns = true\n\n\
                 [[entry]]\nhost = \"*.data.mcr.microsoft.com\"\nrole = \"other\"\nwhy = \"images\"\n\
                 presets = [\"mcr\"]\n# the end";
    let folder = tempfile::tempdir()?;
    for (name, text) in [
        ("crlf.toml", crlf.clone()),
        ("crlf-and-end.toml", crlf + "\r\n"),
        ("issue.toml", issue.to_owned()),
        ("two words.toml", CONTOSO.to_owned()),
        ("a\nb.toml", CONTOSO.to_owned()),
    ] {
        let (list, diff) = (folder.path().join(name), folder.path().join("learned.diff"));
        fs::write(&list, &text)?;
        let arguments = ["learn", "-", "--allowlist", &path(&list)?, "--output", &path(&diff)?];
        let run = program(log.as_bytes(), &arguments);
        ensure!(run.code == 0, "{run}");
        Program::new("patch").args([&list, &diff]).run()?.succeeded()?;
        let patched = fs::read_to_string(&list)?;
        ensure!(
            patched.starts_with(&text) && patched.contains("packages.example.com"),
            "{patched}"
        );
        let ends = patched.matches('\n').count();
        let is_crlf = text.contains('\r');
        ensure!(patched.matches("\r\n").count() == if is_crlf { ends } else { 0 }, "{patched:?}");
        document::merge(&[Document::parse(name, &patched)?])?;
    }
    Ok(())
}

#[test]
fn a_list_without_tables_of_entries_is_said_to_be_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("inline.toml");
    fs::write(
        &list,
        "schema = 1\nentry = [{ host = \"a.example.com\", role = \"other\", why = \"x\" }]\n",
    )?;
    let log = asked("packages.example.com", 443, 4, 3, CARRIED);
    let mut run = program(log.as_bytes(), &["learn", "-", "--allowlist", &path(&list)?]);
    run.rename(&path(&list)?, "inline.toml");
    ensure!((run.code, run.stdout.as_str()) == (2, ""), "{run}");
    let help = "`allowlist-gen export toml inline.toml --output inline.toml`";
    ensure!(run.stderr.contains(help) && !run.stderr.contains(":4:"), "{run}");
    Ok(())
}

#[test]
fn what_is_no_log_is_said() {
    for (log, code, phrase) in [
        ("", 0, "0 lines"),
        ("\n\n", 0, "0 lines"),
        ("hello\nworld\n", 2, "<stdin> has no line of ringfence's access log, schema 1"),
        ("{\"schema\":2}\n", 2, "has no line of ringfence's access log"),
    ] {
        let run = program(log.as_bytes(), &["learn", "-"]);
        assert_eq!(run.code, code, "{run}");
        assert!(run.stderr.contains(phrase), "{run}");
    }
    for (arguments, phrase) in [
        (&["learn"][..], "<LOG>..."),
        (&["learn", "-", "-"], "`-` stands twice"),
        (&["learn", "-", "--allowlist", "-"], "`-` stands twice"),
        (&["learn", "missing.log"], "can't read missing.log"),
        (&["learn", "."], "can't read ."),
        (&["learn", "-", "--allowlist", "missing.toml"], "can't read missing.toml"),
        (&["learn", "-", "--registry", "a-b-c"], "no registry is called `a-b-c`"),
        (&["learn", "-", "--at-least", "few"], "--at-least"),
    ] {
        let run = program(b"", arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
    let group = learn(&log(), &["--group", "build", "--format", "json"]);
    assert!(
        group.stdout.contains("\"other_groups\": 24") && group.stdout.contains("\"proposed\": []"),
        "{group}"
    );
}

/// Twenty-five thousand connections, each to another name: a bounded part of them is kept, and the one host that is asked for again
/// and again is still there.
#[test]
fn a_flood_of_names_is_no_flood_of_memory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("access.log");
    let mut text = String::new();
    for number in 0..25_000 {
        text.push_str(&asked(&format!("h{number}.example.com"), 443, 6, 1, DENIED));
        if number % 100 == 0 {
            text.push_str(&asked("packages.example.com", 443, 4, 2, CARRIED));
        }
    }
    fs::write(&log, text)?;
    let run = program(b"", &["learn", &path(&log)?, "--at-least", "100", "--format", "json"]);
    let said: Value = serde_json::from_str(&run.stdout)?;
    let proposed = said["proposed"].as_array().context("a list")?;
    ensure!(proposed.len() == 1 && proposed[0]["host"] == "packages.example.com", "{proposed:?}");
    ensure!(proposed[0]["evidence"]["connections"] == 250);
    ensure!(said["forgotten"].as_u64() > Some(9_000), "{}", said["forgotten"]);
    Ok(())
}

fn path(path: &Path) -> Result<String> {
    Ok(path.to_str().context("UTF-8")?.to_owned())
}

const PACKAGES: &str = "packages.example.com";
const CDN: &str = "contoso.azureedge.net";
const LOGIN: &str = "contoso.azurecr.io";
const STORAGE_HOST: &str = "exfil.blob.core.windows.net";

/// A real proxy in audit mode, a real client, and the list that comes of it in a real proxy: what was proposed passes,
/// what was refused doesn't, and the simulation has said both before.
#[test]
fn what_is_learned_is_what_passes() -> Result<()> {
    let ringfence = Path::new(env!("CARGO_BIN_EXE_allowlist-gen")).with_file_name("ringfence");
    if !ringfence.exists() {
        skip("the proxy isn't built: `cargo build -p ringfence`");
        return Ok(());
    }
    let Some(network) = Network::open(&["curl", "patch"])? else {
        return Ok(());
    };
    let hosts = [
        (LOGIN, address::LOGIN),
        (PACKAGES, address::EASTUS),
        (CDN, address::WESTUS),
        (STORAGE_HOST, address::STRANGER),
    ];
    let dns = Dns::start(&network, &hosts)?;
    let recorders = hosts.map(|(host, address)| Recorder::start(&network, host, address));
    let [_login, packages, cdn, storage] = recorders;
    let (packages, cdn, storage) = (packages?, cdn?, storage?);
    let list = network.write("allowlist.toml", CONTOSO)?;
    let stage = LearnStage { network, dns, ringfence };

    let audit = stage.network.write("audit.toml", "mode = \"audit\"\n")?;
    let proxy = stage.proxy(&[
        OsStr::new("--config"),
        audit.as_ref(),
        OsStr::new("--allowlist"),
        list.as_ref(),
    ])?;
    stage.ask(&proxy, PACKAGES)?.succeeded()?;
    stage.ask(&proxy, PACKAGES)?.succeeded()?;
    stage.ask(&proxy, LOGIN)?.succeeded()?;
    stage.ask(&proxy, CDN)?.succeeded()?;
    for refused in [STORAGE_HOST, "203.0.113.7", "typo.example.com"] {
        stage.ask(&proxy, refused)?.failed()?;
    }
    let log = stage.log(&proxy, 7)?;
    drop(proxy);

    let run = program(b"", &["learn", &path(&log)?, "--allowlist", &path(&list)?]);
    ensure!(run.code == 0, "{run}");
    for said in [
        "#   packages.example.com:443: 2 connections of 10.99.0.2,",
        "#   (shared-domain) contoso.azureedge.net:443: 1 connection of 10.99.0.2,",
        "#   (storage) exfil.blob.core.windows.net:443:",
        "#   (address) 203.0.113.7",
        "#   (never-reached) typo.example.com:443:",
        "+host = \"packages.example.com\"",
    ] {
        ensure!(run.stdout.contains(said), "{said}: {run}");
    }
    let grown = stage.network.write("grown.toml", CONTOSO)?;
    let diff = stage.network.write("learned.diff", &run.stdout)?;
    Program::new("patch").args([&grown, &diff]).run()?.succeeded()?;

    let foreseen = program(b"", &["simulate", &path(&grown)?, &path(&log)?]);
    ensure!(foreseen.code == 1, "{foreseen}");
    ensure!(
        foreseen
            .stdout
            .starts_with("+ packages.example.com:443: not_in_policy -> other: 2 connections"),
        "{foreseen}"
    );
    ensure!(foreseen.stdout.contains("newly denied   0\nnewly allowed  2\n"), "{foreseen}");

    let arrived = [&cdn, &storage].map(Recorder::received);
    let before = packages.received()?;
    let proxy = stage.proxy(&[OsStr::new("--allowlist"), grown.as_ref()])?;
    stage.ask(&proxy, PACKAGES)?.succeeded()?;
    stage.ask(&proxy, LOGIN)?.succeeded()?;
    for refused in [CDN, STORAGE_HOST, "203.0.113.7", "typo.example.com"] {
        stage.ask(&proxy, refused)?.failed_saying("403")?;
    }
    ensure!(packages.received()?.connections == before.connections + 1);
    for (recorder, before) in [&cdn, &storage].into_iter().zip(arrived) {
        ensure!(recorder.received()? == before?, "something arrived that was refused");
    }
    let log = stage.log(&proxy, 6)?;
    let same = program(b"", &["simulate", &path(&grown)?, &path(&log)?]);
    ensure!(same.code == 0 && same.stdout.contains("unchanged      2 allowed, 3 denied"), "{same}");
    let narrower = program(b"", &["simulate", &path(&list)?, &path(&log)?]);
    ensure!(narrower.code == 1, "{narrower}");
    ensure!(
        narrower.stdout.starts_with(
            "- packages.example.com:443: other -> not_in_policy: 1 connection of 10.99.0.2"
        ),
        "{narrower}"
    );
    Ok(())
}

struct LearnStage {
    network: Network,
    dns: Dns,
    ringfence: PathBuf,
}

impl LearnStage {
    fn proxy(&self, arguments: &[&OsStr]) -> Result<Ringfence> {
        let resolver = self.dns.address();
        let arguments =
            arguments.iter().copied().chain([OsStr::new("--resolver"), resolver.as_ref()]);
        Ringfence::at_gate(&path(&self.ringfence)?, &self.network, arguments)
    }

    fn ask(&self, proxy: &Ringfence, host: &str) -> Result<test_support::Finished> {
        let curl =
            self.network.client("curl", proxy).args(["--silent", "--show-error", "--verbose"]);
        curl.arg(format!("https://{host}/")).run()
    }

    /// The proxy's log, once it has that many lines, as a file.
    fn log(&self, proxy: &Ringfence, lines: u64) -> Result<PathBuf> {
        proxy.logged(|line| line["id"] == lines)?;
        let log = proxy.log()?;
        ensure!(log.len() as u64 == lines, "{log:?}");
        let text: Vec<String> = log.iter().map(ToString::to_string).collect();
        self.network.write("access.log", &(text.join("\n") + "\n"))
    }
}
