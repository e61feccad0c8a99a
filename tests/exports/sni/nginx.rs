//! Debian's nginx with its stream module.

use std::path::Path;
use std::process::Command;

use allowlist_gen::export::Format;
use anyhow::{Context, Result};
use serde_json::Value;
use test_support::{Program, Running, require_program, skip};

use super::world::{PUBLIC, World};
use super::{probes, widened};
use crate::consumer::{self, Mutation, Verdict};
use crate::matrix;

#[test]
fn nginx_accepts_its_configuration_and_obeys() -> Result<()> {
    if !require_program("nginx") || !has_stream() {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Nginx,
        &[
            Mutation { from: "ssl_preread on", to: "ssl_preread yes" },
            Mutation { from: "resolver_timeout 5s", to: "resolver_timeout soon" },
            Mutation { from: "proxy_pass $upstream", to: "proxy_pass $upstrean" },
            Mutation { from: "\"\" $listed", to: "\"\" $allowed" },
            Mutation { from: "deny all;", to: "deny everyone;" },
        ],
        check,
    );
    let Some(world) = World::open(&["nginx"], PUBLIC)? else { return Ok(()) };
    let running = start(&world, &World::export(Format::Nginx)?)?;
    let asked = probes::ask_names(&world)?;
    let version = consumer::debian_version("nginx");
    matrix::record(Format::Nginx, "nginx", &version, judgement.with_probes(asked));

    // It writes each line before it closes the connection to the client.
    drop(running);
    let log = std::fs::read_to_string(world.path("allowlist.log"))?;
    let lines: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for (name, status) in [
        ("contoso.azurecr.io", 200),
        ("evil.azurecr.io", 500),
        ("exfil.blob.core.windows.net", 500),
        ("\"};contoso.azurecr.io\n", 500),
    ] {
        let found = lines.iter().any(|line| line["sni"] == name && line["status"] == status);
        assert!(found, "{name}: {status} in\n{log}");
    }
    lines.iter().find(|line| line["status"] == 403).context("the stranger has a line")?;
    Ok(())
}

#[test]
fn nginx_lets_no_storage_pass_when_its_file_is_widened() -> Result<()> {
    if !has_stream() {
        return Ok(());
    }
    let Some(world) = World::open(&["nginx"], PUBLIC)? else { return Ok(()) };
    let line = "mine.blob.core.windows.net mine.blob.core.windows.net:443;";
    let _running = start(&world, &widened::export(Format::Nginx, &[line])?)?;
    probes::ask_widened(&world)
}

#[test]
fn nginx_takes_a_long_list() -> Result<()> {
    if require_program("nginx") && has_stream() {
        check(&widened::long(Format::Nginx)?).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

fn start(world: &World, text: &str) -> Result<Running> {
    let file = world.write("nginx.conf", &in_folder(text, &world.path("")))?;
    let directives = format!("daemon off; pid {};", world.path("nginx.pid").display());
    let nginx = Program::new("nginx").args(["-e", "stderr", "-g", &directives, "-c"]).arg(file);
    world.start(nginx)
}

fn check(text: &str) -> Verdict {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, in_folder(text, folder.path())).expect("a file");
    let pid = format!("pid {};", folder.path().join("nginx.pid").display());
    consumer::run(Command::new("nginx").args(["-e", "stderr", "-t", "-g", &pid, "-c"]).arg(file))
}

/// The same, but with its log in `folder` rather than in the system's.
fn in_folder(text: &str, folder: &Path) -> String {
    text.replace(
        "/var/log/nginx/",
        &format!("{}/", folder.display().to_string().trim_end_matches('/')),
    )
}

/// Debian has it in a package of its own.
fn has_stream() -> bool {
    Path::new("/etc/nginx/modules-enabled/50-mod-stream.conf").exists()
        || skip("`libnginx-mod-stream` is not installed")
}
