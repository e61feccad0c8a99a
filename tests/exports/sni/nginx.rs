//! Debian's nginx with its stream module.

use std::path::Path;
use std::process::Command;

use allowlist_gen::export::Format;
use anyhow::{Context, Result};
use serde_json::Value;
use test_support::{Program, require_program, skip};

use super::probes;
use super::world::{PUBLIC, World};
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
    let text = in_folder(&World::export(Format::Nginx)?, world.path("").as_path());
    let file = world.write("nginx.conf", &text)?;
    let directives = format!("daemon off; pid {};", world.path("nginx.pid").display());
    let nginx = Program::new("nginx").args(["-e", "stderr", "-g", &directives, "-c"]).arg(file);
    let running = world.start(nginx)?;
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
