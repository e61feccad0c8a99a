//! `watch`: it tells each drift once, and writes nothing but what it may.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use serde_json::{Value, json};
use test_support::{PATIENCE, Program, Running, require_program, skip};

use crate::diff::{block, page};
use crate::program::{Run, program_in, snapshot};

const ID: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries";

/// A registry as `az acr show` prints it.
fn registry(name: &str, regions: &[&str]) -> Value {
    let hosts: Vec<String> =
        regions.iter().map(|region| format!("{name}.{region}.data.azurecr.io")).collect();
    json!({
        "type": "Microsoft.ContainerRegistry/registries", "id": format!("{ID}/{name}"), "name": name,
        "location": regions[0], "loginServer": format!("{name}.azurecr.io"), "sku": {"name": "Premium"},
        "dataEndpointEnabled": true, "dataEndpointHostNames": hosts,
    })
}

fn unreadable(name: &str) -> Value {
    json!({"id": format!("{ID}/{name}/privateEndpointConnections"), "registry": format!("{ID}/{name}"),
           "error": {"code": "AuthorizationFailed", "message": "no"}})
}

/// A list and its registry's metadata, in a folder of their own.
struct Place {
    folder: tempfile::TempDir,
}

const HAND: &str =
    "\n[[entry]]\nhost = \"login.microsoftonline.com\"\nrole = \"other\"\nwhy = \"az acr login\"\n";

impl Place {
    /// A list of contoso in these regions, with a host of somebody's own.
    fn new(regions: &[&str]) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        place.azure(&registry("contoso", regions));
        let run = place.run(&["generate", "azure.json", "--output", "allowlist.toml"]);
        assert_eq!(run.code, 0, "{run}");
        fs::write(place.list(), place.read() + HAND).expect("written");
        place
    }

    fn list(&self) -> PathBuf {
        self.folder.path().join("allowlist.toml")
    }

    fn read(&self) -> String {
        fs::read_to_string(self.list()).expect("a list")
    }

    /// What Azure says from now on, put in place in one step.
    fn azure(&self, value: &Value) {
        let new = self.folder.path().join("new.json");
        fs::write(&new, value.to_string()).expect("written");
        fs::rename(new, self.folder.path().join("azure.json")).expect("renamed");
    }

    fn run(&self, arguments: &[&str]) -> Run {
        program_in(self.folder.path(), b"", arguments)
    }

    fn once(&self, arguments: &[&str]) -> Run {
        self.run(&[&["watch", "allowlist.toml", "azure.json", "--once"], arguments].concat())
    }

    /// A watch that polls only when it is told to.
    fn watch(&self, arguments: &[&str]) -> Result<Watch> {
        let input = [self.list(), self.folder.path().join("azure.json")];
        let program = Program::new(env!("CARGO_BIN_EXE_allowlist-gen")).arg("watch").args(input);
        let running = program.args(["--interval", "1d"]).args(arguments).start()?;
        running.stderr.wait_for_line(|line| line.starts_with("watching "))?;
        Ok(Watch(running))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }
}

/// A watch that runs.
pub(crate) struct Watch(pub(crate) Running);

impl Watch {
    pub(crate) fn says(&self, phrase: &str) -> Result<String> {
        self.0.stderr.wait_for_line(|line| line.contains(phrase))
    }

    fn said(&self, phrase: &str) -> usize {
        self.0.stderr.lines().iter().filter(|line| line.contains(phrase)).count()
    }

    /// Signals that come too soon after one another are one signal.
    fn poll(&self) -> Result<()> {
        self.0.signal(Signal::HUP)
    }

    /// Polls for the time that `number` says, and waits for its end.
    pub(crate) fn poll_through(&self, url: &str, number: u64) -> Result<()> {
        self.poll()?;
        metric_becomes(url, "allowlist_gen_polls_total", number)
    }

    /// Where its metrics are.
    pub(crate) fn metrics(&self) -> Result<String> {
        let line = self.says("metrics on ")?;
        Ok(line["metrics on ".len()..].to_owned())
    }

    pub(crate) fn stop(mut self, signal: Signal) -> Result<()> {
        self.0.signal(signal)?;
        let status = self.0.wait(PATIENCE)?;
        ensure!(status.code() == Some(0), "{status}: {}", self.0.stderr.text());
        self.says("stopped")?;
        ensure!(self.0.stdout.text().is_empty(), "nothing is data here");
        Ok(())
    }
}

fn curl(arguments: &[&str]) -> Result<String> {
    let curl = ["--silent", "--show-error", "--max-time", "10", "--noproxy", "*"];
    let run = Program::new("curl").args(curl).args(arguments).run()?;
    Ok(run.succeeded()?.stdout)
}

/// The value of the series that begins with `name`.
pub(crate) fn metric(url: &str, name: &str) -> Result<u64> {
    let page = curl(&[url])?;
    let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
    let line = line.with_context(|| format!("no {name} in\n{page}"))?;
    Ok(line[name.len() + 1..].parse()?)
}

/// The value once it is what it should be: a poll goes on behind the signal.
pub(crate) fn metric_becomes(url: &str, name: &str, expected: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let value = metric(url, name)?;
        if value == expected {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{name} is {value} and not {expected}");
        std::thread::yield_now();
    }
}

#[test]
fn once_tells_by_its_exit_code() {
    let place = Place::new(&["eastus", "westus"]);
    let same = place.once(&[]);
    assert_eq!((same.code, same.stdout.as_str(), same.stderr.as_str()), (0, "", "no drift\n"));
    place.azure(&registry("contoso", &["eastus", "westus", "northeurope"]));
    let before = place.read();
    let drifted = place.once(&[]);
    assert_eq!((drifted.code, drifted.stdout.as_str()), (1, ""), "{drifted}");
    snapshot("watch-once", &drifted);
    assert_eq!(place.read(), before, "only --apply writes");

    place.azure(&json!({"loginServer": "contoso.azurecr.io", "dataEndpoints": "none"}));
    let broken = place.once(&["--apply"]);
    assert_eq!(broken.code, 2, "{broken}");
    assert_eq!(place.read(), before);
    snapshot("help-watch", &place.run(&["watch", "--help"]));
}

#[test]
fn apply_writes_the_next_issue_for_the_proxy() -> Result<()> {
    let place = Place::new(&["eastus", "westus"]);
    let numbered = place.read().replacen("schema = 1\n", "schema = 1\nserial = 7\n", 1);
    fs::write(place.list(), format!("# Kept by hand.\n{numbered}"))?;
    fs::set_permissions(place.list(), fs::Permissions::from_mode(0o640))?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(place.list(), Some(65534), Some(65533))?;
    }
    let owner = |metadata: fs::Metadata| (metadata.uid(), metadata.gid());
    let owned_by = owner(fs::metadata(place.list())?);
    let before = place.read();
    // One replica comes, another goes.
    place.azure(&registry("contoso", &["eastus", "northeurope"]));
    let run = place.once(&["--apply"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("applied: allowlist.toml is now serial 8, sha256:"), "{run}");

    let written = place.read();
    let expected = before
        .replace("serial = 7", "serial = 8")
        .replace("contoso.westus.data", "contoso.northeurope.data")
        .replace("region = \"westus\"", "region = \"northeurope\"");
    assert_eq!(written, expected);
    assert_eq!(fs::metadata(place.list())?.permissions().mode() & 0o777, 0o640);
    assert_eq!(owner(fs::metadata(place.list())?), owned_by);
    assert_eq!(place.names(), ["allowlist.toml", "azure.json"]);
    let again = place.once(&["--apply"]);
    assert_eq!((again.code, again.stderr.as_str()), (0, "no drift\n"));
    assert_eq!(place.read(), written, "the serial grows with the list only");

    // What is written is what `diff --format patch` shows.
    fs::write(place.list(), &before)?;
    let patch = place.run(&["diff", "allowlist.toml", "azure.json", "--format", "patch"]);
    fs::write(place.folder.path().join("it.patch"), &patch.stdout)?;
    if require_program("patch") {
        let script = format!("cd '{}' && patch -p1 <it.patch", place.folder.path().display());
        Program::new("sh").args(["-c", &script]).run()?.succeeded()?;
        assert_eq!(place.read(), written);
    }

    let proxy = Path::new(env!("CARGO_BIN_EXE_allowlist-gen")).with_file_name("ringfence");
    if proxy.exists() || skip("`ringfence` is not built") {
        let check = Program::new(proxy).args(["check", "--allowlist"]).arg(place.list());
        let check = check.run()?.succeeded()?;
        assert!(check.to_string().contains("4 entries"), "{check}");
    }
    Ok(())
}

/// The list is told about one registry; Azure speaks of more.
#[test]
fn a_stranger_stops_everything_until_somebody_decides() {
    let place = Place::new(&["eastus", "westus"]);
    let before = place.read();
    let both = json!([
        registry("contoso", &["eastus", "westus", "northeurope"]),
        registry("contosoevil", &["eastus"])
    ]);
    place.azure(&both);
    let run = place.once(&["--apply"]);
    assert_eq!(run.code, 1, "{run}");
    snapshot("watch-refused", &run);
    assert_eq!(place.read(), before);

    let named = place.once(&["--apply", "--allow-registry", "contosoevil.azurecr.us"]);
    assert_eq!((named.code, place.read()), (1, before.clone()), "{named}");

    let listed = place.once(&["--apply", "--only-listed"]);
    assert_eq!(listed.code, 0, "{listed}");
    assert!(place.read().contains("contoso.northeurope.data") && !place.read().contains("evil"));

    let allowed = place.once(&["--apply", "--allow-registry", "contosoevil"]);
    assert_eq!(allowed.code, 0, "{allowed}");
    assert!(place.read().contains("contosoevil.eastus.data.azurecr.io"));

    for (name, phrase) in [("a_b", "is not a registry"), ("evil.example.com", "registries answer")]
    {
        let run = place.once(&["--allow-registry", name]);
        assert!(run.code == 2 && run.stderr.contains(phrase), "{run}");
    }
}

#[test]
fn nothing_is_removed_on_the_word_of_half_an_answer() {
    let place = Place::new(&["eastus", "westus", "northeurope"]);
    let before = place.read();
    let two = registry("contoso", &["eastus", "westus"]);
    let one = registry("contoso", &["eastus"]);
    let other = registry("fabrikam", &["eastus"]);
    for (answer, arguments, phrase) in [
        (json!([two, unreadable("contoso")]), &[][..], "not complete (unreadable)"),
        (
            json!([two, {"type": "Microsoft.ContainerRegistry/registries/replications", "location": "eastus",
                         "id": format!("{ID}/contoso/replications/eastus"), "provisioningState": "Deleting"}]),
            &[],
            "not complete (regions-differ, replica-not-ready)",
        ),
        (two.clone(), &["--keep-removed"], "kept: `contoso.northeurope.data.azurecr.io`"),
        (one, &["--keep-removed"], "kept: "),
        (other.clone(), &["--only-listed"], "nothing in the input describes `contoso.azurecr.io`"),
        (json!([]), &[], "no registry"),
        (
            json!({"id": "/subscriptions/s/providers/Microsoft.ContainerRegistry/registries", "value": []}),
            &[],
            "no registry",
        ),
        (
            json!({"error": {"code": "TooManyRequests", "message": "later"}}),
            &[],
            "an error from Azure",
        ),
        (
            json!({"value": [two], "nextLink": "https://management.azure.com/more"}),
            &[],
            "incomplete",
        ),
    ] {
        place.azure(&answer);
        let run = place.once(&[&["--apply"], arguments].concat());
        assert_eq!(place.read(), before, "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
    // A registry that has lost its data endpoints has no exact hosts, and is no reason to forget those it had.
    let mut off = two.clone();
    off["dataEndpointEnabled"] = false.into();
    off["dataEndpointHostNames"] = json!([]);
    place.azure(&off);
    let run = place.once(&["--apply"]);
    assert_eq!((run.code, place.read()), (2, before.clone()), "{run}");
    assert!(run.stderr.contains("refused (data-endpoints-off)"), "{run}");
    // A whole answer counts.
    place.azure(&two);
    let run = place.once(&["--apply"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(!place.read().contains("northeurope"));
}

#[test]
fn most_of_a_registry_does_not_go_at_once() {
    let place = Place::new(&["eastus", "westus", "northeurope", "uksouth"]);
    let before = place.read();
    place.azure(&registry("contoso", &["eastus"]));
    let run = place.once(&["--apply"]);
    assert_eq!((run.code, place.read()), (1, before), "{run}");
    assert!(
        run.stderr.contains("more than half of what is listed of `contoso.azurecr.io`"),
        "{run}"
    );
}

#[test]
fn each_drift_is_told_once() -> Result<()> {
    if !require_program("curl") {
        return Ok(());
    }
    let place = Place::new(&["eastus"]);
    let watch = place.watch(&["--metrics", "127.0.0.1:0"])?;
    let url = watch.metrics()?;
    watch.says("no drift")?;
    metric_becomes(&url, "allowlist_gen_polls_total", 1)?;
    let first = metric(&url, "allowlist_gen_last_successful_poll_timestamp_seconds")?;
    assert!(first > 1_700_000_000, "{first}");

    let drift = || metric(&url, "allowlist_gen_drift{reason=\"replica-added\"}");
    place.azure(&registry("contoso", &["eastus", "northeurope"]));
    watch.poll_through(&url, 2)?;
    watch.says("replica northeurope added (replica-added)")?;
    assert_eq!(drift()?, 1);
    watch.poll_through(&url, 3)?;

    place.azure(&registry("contoso", &["eastus", "northeurope", "uksouth"]));
    watch.poll_through(&url, 4)?;
    watch.says("replica uksouth added")?;
    assert_eq!(drift()?, 2);
    // It was said with both drifts that it was part of, and not when nothing had changed.
    assert_eq!(watch.said("replica northeurope added"), 2);

    // A poll that fails leaves everything as it was, and is told once.
    place.azure(&json!({"error": {"code": "AuthorizationFailed"}}));
    for polls in [5, 6] {
        watch.poll_through(&url, polls)?;
        assert_eq!(metric(&url, "allowlist_gen_poll_failures_total")?, polls - 4);
    }
    assert_eq!(drift()?, 2);

    place.azure(&registry("contoso", &["eastus"]));
    watch.poll_through(&url, 7)?;
    watch.says("polling works again")?;
    assert_eq!(watch.said("an error from Azure (`AuthorizationFailed`)"), 1);
    assert_eq!(watch.said("no drift"), 2);
    assert_eq!(drift()?, 0);
    watch.stop(Signal::TERM)
}

#[test]
fn polls_come_by_themselves() -> Result<()> {
    let place = Place::new(&["eastus"]);
    // The last of an option counts nowhere, so this one has its own command line.
    let input = [place.list(), place.folder.path().join("azure.json")];
    let program = Program::new(env!("CARGO_BIN_EXE_allowlist-gen")).arg("watch").args(input);
    let running = program.args(["--interval", "1s", "--apply"]).start()?;
    let watch = Watch(running);
    watch.says("watching ")?;
    watch.says("no drift")?;
    place.azure(&registry("contoso", &["eastus", "northeurope"]));
    watch.says("applied: ")?;
    assert!(place.read().contains("contoso.northeurope.data.azurecr.io"));
    assert!(place.read().ends_with(HAND));
    watch.stop(Signal::INT)
}

/// A list that somebody has broken is not compared, and not replaced either.
#[test]
fn a_list_that_is_none_waits_for_its_author() -> Result<()> {
    let place = Place::new(&["eastus"]);
    let watch = place.watch(&["--apply"])?;
    watch.says("no drift")?;
    let good = place.read();
    place.azure(&registry("contoso", &["eastus", "northeurope"]));
    fs::write(place.list(), good.replace("host =", "hots ="))?;
    watch.poll()?;
    watch.says("unknown field `hots`")?;
    assert!(place.read().contains("hots"));
    fs::write(place.list(), good)?;
    watch.poll()?;
    watch.says("applied: ")?;
    watch.says("polling works again")?;
    watch.stop(Signal::TERM)
}

/// Who edits the list while Azure is being asked keeps the edit.
#[test]
fn a_list_that_changes_meanwhile_is_left_alone() -> Result<()> {
    let place = Place::new(&["eastus"]);
    let slow = place.folder.path().join("azure.json");
    fs::remove_file(&slow)?;
    mkfifoat(CWD, &slow, Mode::RUSR | Mode::WUSR)?;
    let watch = place.watch(&["--apply"])?;
    let answer = registry("contoso", &["eastus", "northeurope"]).to_string();

    // It has read the list by the time it waits for the pipe's writer.
    let mut pipe = fs::OpenOptions::new().write(true).open(&slow)?;
    let edited = place.read().replace("az acr login", "edited");
    fs::write(place.list(), &edited)?;
    pipe.write_all(answer.as_bytes())?;
    drop(pipe);
    watch.says("has changed since it was read")?;
    assert_eq!(place.read(), edited);

    // The next poll sees both.
    watch.poll()?;
    let mut pipe = fs::OpenOptions::new().write(true).open(&slow)?;
    pipe.write_all(answer.as_bytes())?;
    drop(pipe);
    watch.says("applied: ")?;
    assert!(place.read().contains("edited") && place.read().contains("northeurope"));

    // And a stop doesn't wait for it.
    watch.poll()?;
    let _open = fs::OpenOptions::new().write(true).open(&slow)?;
    watch.stop(Signal::TERM)
}

#[test]
fn links_stay_and_what_is_no_file_is_refused() -> Result<()> {
    let place = Place::new(&["eastus"]);
    let real = place.folder.path().join("real.toml");
    fs::rename(place.list(), &real)?;
    std::os::unix::fs::symlink("real.toml", place.list())?;
    place.azure(&registry("contoso", &["eastus", "northeurope"]));
    let run = place.once(&["--apply"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(fs::symlink_metadata(place.list())?.is_symlink());
    assert!(fs::read_to_string(&real)?.contains("northeurope"));

    let signature = place.folder.path().join("allowlist.toml.minisig");
    fs::write(&signature, "untrusted comment: …\n")?;
    let run = place.once(&["--apply"]);
    assert!(run.code == 2 && run.stderr.contains("allowlist.toml is signed"), "{run}");
    assert_eq!(place.once(&[]).code, 0, "a signed list can be watched");

    let refusals: [(&[&str], &str); 6] = [
        (&["watch", "/dev/zero", "azure.json", "--once"], "not a regular file"),
        (&["watch", ".", "azure.json"], "not a regular file"),
        (&["watch", "missing.toml", "azure.json"], "can't read missing.toml"),
        (&["watch", "-", "azure.json"], "standard input can be read once"),
        (&["watch", "allowlist.toml", "-"], "standard input can be read once"),
        (&["watch", "azure.json", "azure.json"], "azure.json is JSON, and no list"),
    ];
    for (arguments, phrase) in refusals {
        let run = place.run(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
    for arguments in [
        &["--once", "--interval", "5m"][..],
        &["--once", "--metrics", "127.0.0.1:0"],
        &["--keep-removed"],
        &["--interval", "0s"],
        &["--metrics", "localhost"],
    ] {
        let run = place.run(&[&["watch", "allowlist.toml", "azure.json"], arguments].concat());
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
    }
    Ok(())
}

/// Root may write everywhere, so the folder is one that takes no files from anybody.
#[test]
fn a_folder_that_takes_no_files_leaves_the_list() {
    let place = Place::new(&["eastus"]);
    place.azure(&registry("contoso", &["eastus", "northeurope"]));
    let before = place.read();
    let script = "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" \"$@\"";
    let as_nobody = rustix::process::geteuid().is_root();
    if as_nobody && !require_program("setpriv") {
        return;
    }
    let (shell, program) = ("sh", env!("CARGO_BIN_EXE_allowlist-gen"));
    let open = fs::Permissions::from_mode(0o555);
    fs::set_permissions(place.folder.path(), open).expect("mine");
    let input = [place.list(), place.folder.path().join("azure.json")];
    let command = if as_nobody {
        Program::new(shell).args(["-c", script, program])
    } else {
        Program::new(program)
    };
    let run = command.arg("watch").args(input).args(["--once", "--apply"]).run().expect("it ran");
    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o700)).expect("mine");
    assert_eq!(run.status.code(), Some(2), "{run}");
    assert!(
        run.stderr.contains("can't write") && run.stderr.contains("permission denied"),
        "{run}"
    );
    assert_eq!(place.read(), before);
    assert_eq!(place.names(), ["allowlist.toml", "azure.json"]);
}

#[test]
fn a_serial_that_is_the_last_is_not_followed() {
    let place = Place::new(&["eastus"]);
    let last = format!("schema = 1\nserial = {}\n", i64::MAX);
    fs::write(place.list(), place.read().replacen("schema = 1\n", &last, 1)).expect("written");
    let before = place.read();
    place.azure(&registry("contoso", &["eastus", "northeurope"]));
    let run = place.once(&["--apply"]);
    assert_eq!((run.code, place.read()), (1, before), "{run}");
    assert!(run.stderr.contains("no serial comes after"), "{run}");
}

#[test]
fn metrics_are_served_within_bounds() -> Result<()> {
    if !require_program("curl") {
        return Ok(());
    }
    let place = Place::new(&["eastus"]);
    let watch = place.watch(&["--metrics", "127.0.0.1:0"])?;
    let url = watch.metrics()?;
    watch.says("no drift")?;
    let page = curl(&[&url])?;
    for code in allowlist_gen::drift::Reason::CODES {
        assert!(page.contains(&format!("allowlist_gen_drift{{reason=\"{code}\"}} 0\n")), "{page}");
    }
    let base = url.strip_suffix("/metrics").context("a path")?;
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    let code = |more: &[&str]| curl(&[&status[..], more].concat());
    assert_eq!(curl(&[&format!("{base}/healthz")])?, "alive\n");
    assert_eq!(code(&[&format!("{base}/")])?, "404");
    assert_eq!(code(&["--request", "POST", &url])?, "405");
    // One request a connection.
    let two = curl(&["--include", &url, &url])?;
    assert_eq!(two.matches("connection: close").count(), 2, "{two}");

    // A port that is taken is said at once.
    let taken = url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    let run = place.run(&["watch", "allowlist.toml", "azure.json", "--metrics", &taken]);
    assert!(run.code == 2 && run.stderr.contains(&format!("can't listen on {taken}")), "{run}");
    watch.stop(Signal::TERM)
}

#[test]
fn the_page_has_every_metric() -> Result<()> {
    if !require_program("curl") {
        return Ok(());
    }
    let place = Place::new(&["eastus"]);
    let watch = place.watch(&["--metrics", "127.0.0.1:0"])?;
    let served = curl(&[&watch.metrics()?])?;
    let served: BTreeSet<&str> =
        served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let page = page();
    let rows = page.lines().filter(|line| line.starts_with("| `allowlist_gen_"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let named = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: BTreeSet<&str> = named.filter_map(|name| name.split('{').next()).collect();
    ensure!(named == served, "{named:?}\n{served:?}");
    watch.stop(Signal::TERM)
}

#[test]
fn the_pages_service_is_one() -> Result<()> {
    if !require_program("systemd-analyze") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let unit = block("ini")
        .replace("/usr/local/bin/allowlist-gen", env!("CARGO_BIN_EXE_allowlist-gen"))
        .replace("User=ringfence", "User=root");
    let verify = |text: &str| {
        let file = folder.path().join("allowlist-watch.service");
        fs::write(&file, text)?;
        // Other units of the machine are none of our business.
        let run =
            Program::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]);
        run.arg(file).run()
    };
    let good = verify(&unit)?.succeeded()?;
    ensure!(good.stderr.is_empty(), "{good}");
    let bad = verify(&unit.replace("ExecReload", "ExecRelaod"))?;
    ensure!(bad.stderr.contains("ExecRelaod"), "{bad}");

    // What it starts is a command line of ours.
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("a start")?;
    let arguments = start.split(' ').skip(1).collect::<Vec<_>>();
    let run = program_in(folder.path(), b"", &arguments);
    ensure!(
        run.code == 2 && run.stderr.contains("can't read /etc/ringfence/allowlist.toml"),
        "{run}"
    );
    Ok(())
}
