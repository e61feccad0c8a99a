//! The drop-in, in the hands of Debian's systemd.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use allowlist_gen::export::Format;
use anyhow::{Context, Result};
use tempfile::TempDir;
use test_support::{PATIENCE, Program, require_program};

use super::{list_of, variables};
use crate::consumer::{self, Mutation, Verdict};
use crate::matrix;

/// The units that the format's notes name.
const UNITS: [&str; 3] = ["containerd", "docker", KUBELET];
/// It gets the file with more exceptions, made as the page says.
const KUBELET: &str = "kubelet";

#[test]
fn systemd_accepts_the_drop_in_for_each_unit() {
    if !require_program("systemd-analyze") {
        return;
    }
    let judgement = consumer::judge(
        Format::Systemd,
        &[
            Mutation { from: "Environment=", to: "Environments=" },
            Mutation { from: "[Service]", to: "[Services]" },
            Mutation {
                from: "NO_PROXY=contoso.azurecr.io,",
                to: "NO_PROXY=contoso.azurecr.io\\%,",
            },
        ],
        verify,
    );
    let version = consumer::debian_version("systemd");
    matrix::record(Format::Systemd, "systemd-analyze verify", &version, judgement);
}

/// The manager itself, in test mode: it reads units, says what it would start and with what, and starts nothing.
#[test]
fn systemd_would_start_the_services_with_the_variables() {
    if !require_program("systemd-analyze") || !require_program("setpriv") {
        return;
    }
    let judgement = consumer::judge(
        Format::Systemd,
        &[
            Mutation { from: "[Service]", to: "[Unit]" },
            Mutation {
                from: "\"no_proxy=contoso.azurecr.io,",
                to: "\"no_proxy=contoso.azurecr.io%%,",
            },
            Mutation {
                from: "\"NO_PROXY=contoso.azurecr.io,",
                to: "\"NO_PROXY=contoso.azurecr.io,\" \"",
            },
            Mutation { from: "Environment=\"HTTPS_PROXY", to: "#Environment=\"HTTPS_PROXY" },
        ],
        |text| {
            let mut expected = variables(&list_of(Format::Systemd, text));
            let folder = units(text).map_err(|error| error.to_string())?;
            for unit in UNITS {
                let dump = dump(folder.path(), unit).map_err(|error| format!("{error:#}"))?;
                let lines =
                    dump.lines().filter_map(|line| line.trim().strip_prefix("Environment: "));
                let found: BTreeSet<String> = lines.map(str::to_owned).collect();
                if unit == KUBELET {
                    expected = expected.into_iter().map(excepted).collect();
                }
                if found != expected {
                    return Err(format!("{unit}: {found:#?}"));
                }
            }
            Ok(())
        },
    );
    let version = consumer::debian_version("systemd");
    matrix::record(Format::Systemd, "systemd --test", &version, judgement);
}

fn verify(text: &str) -> Verdict {
    let folder = units(text).map_err(|error| error.to_string())?;
    for unit in UNITS {
        let mut analyze = Command::new("systemd-analyze");
        let path = format!("{}:", folder.path().display());
        analyze.env("SYSTEMD_UNIT_PATH", path).args(["verify", "--recursive-errors=no"]);
        let output = analyze.arg(folder.path().join(format!("{unit}.service"))).output();
        let output = output.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // What it only warns of, it passes over when the service starts. Other units of the machine aren't ours.
        if !output.status.success() || said.contains("http-proxy.conf") {
            return Err(said);
        }
    }
    Ok(())
}

/// `variable` with the exceptions that the page adds for the kubelet, if it is one of them.
fn excepted(variable: String) -> String {
    const MORE: &str = ",api.cluster.example,10.0.0.1,10.224.0.0/12,10.244.0.0/16,10.0.0.0/16,.svc";
    let is_one = variable.to_ascii_uppercase().starts_with("NO_PROXY=");
    if is_one { variable + MORE } else { variable }
}

/// What the page's own commands make of the drop-in for the kubelet.
fn for_kubelet(folder: &Path, text: &str) -> Result<String> {
    let name = Format::Systemd.about().file;
    fs::write(folder.join(name), text)?;
    let commands =
        Format::Systemd.about().apply.lines().filter_map(|line| line.strip_prefix("#   "));
    let commands: Vec<&str> = commands.filter(|line| !line.starts_with("install ")).collect();
    let script = format!("cd \"$1\"\n{}", commands.join("\n"));
    Program::new("sh").args(["-euc", &script, "sh"]).arg(folder).run()?.succeeded()?;
    Ok(fs::read_to_string(folder.join("kubelet-proxy.conf"))?)
}

fn units(text: &str) -> Result<TempDir> {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    for unit in UNITS {
        let name = folder.path().join(format!("{unit}.service"));
        fs::write(&name, "[Service]\nExecStart=/bin/true\n")?;
        let drop_in = folder.path().join(format!("{unit}.service.d"));
        fs::create_dir(&drop_in)?;
        let text = match unit {
            KUBELET => for_kubelet(folder.path(), text)?,
            _ => text.to_owned(),
        };
        fs::write(drop_in.join(Format::Systemd.about().file), text)?;
    }
    Ok(folder)
}

/// What the manager knows of a unit. In test mode it refuses to be root.
fn dump(folder: &Path, unit: &str) -> Result<String> {
    let finished = Program::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/lib/systemd/systemd"])
        .args(["--test", "--system", &format!("--unit={unit}.service")])
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.display()))
        .env("HOME", folder)
        .run_within(3 * PATIENCE)?
        .succeeded()?;
    let text = finished.stdout + &finished.stderr;
    let begin = text.find(&format!("-> Unit {unit}.service:\n"));
    let begin = begin.with_context(|| format!("no {unit} in\n{text}"))?;
    let rest = &text[begin + 2..];
    Ok(rest[..rest.find("-> ").unwrap_or(rest.len())].to_owned())
}
