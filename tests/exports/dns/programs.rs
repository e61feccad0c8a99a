//! Resolvers that ask the server behind for everything that they aren't told, and readers of zone files.

use std::process::Command;

use anyhow::Result;
use test_support::{Program, Running};

use super::lab::{BEHIND, HERE, Lab};
use crate::consumer::{self, Verdict};

/// BIND with `option` and `rest` in its configuration, once it has said `ready`.
pub(super) fn bind(lab: &Lab, option: &str, rest: &str, ready: &str) -> Result<Running> {
    let folder = lab.folder().display();
    let configuration = format!(
        "options {{\n\
         directory \"{folder}\"; pid-file none; session-keyfile none; lock-file none;\n\
         listen-on {{ {HERE}; }}; listen-on-v6 {{ none; }}; recursion yes;\n\
         forwarders {{ {BEHIND}; }}; forward only; dnssec-validation no;\n\
         {option}\n\
         }};\n\
         controls {{ }};\n\
         {rest}\n"
    );
    let file = lab.file("named.conf", &configuration)?;
    lab.start(Program::new("named").args(["-g", "-n", "1", "-c"]).arg(file), ready)
}

/// Unbound with `option` for the server and `rest` in its configuration.
pub(super) fn unbound(lab: &Lab, option: &str, rest: &str) -> Result<Running> {
    let configuration = format!(
        "server:\n\
         {option}\n\
         directory: \"{}\"\n\
         chroot: \"\"\n\
         username: \"\"\n\
         pidfile: \"\"\n\
         use-syslog: no\n\
         verbosity: 1\n\
         interface: {HERE}\n\
         do-not-query-localhost: no\n\
         remote-control:\n\
         control-enable: no\n\
         forward-zone:\n\
         name: \".\"\n\
         forward-addr: {BEHIND}\n\
         {rest}",
        lab.folder().display()
    );
    let file = lab.file("unbound.conf", &configuration)?;
    lab.start(Program::new("unbound").args(["-d", "-p", "-c"]).arg(file), "start of service")
}

/// The `PowerDNS` Recursor with a configuration in Lua.
pub(super) fn powerdns(lab: &Lab, lua: &str) -> Result<Running> {
    let (folder, lua) = (lab.folder().display(), lab.file("recursor.lua", lua)?);
    let program = Program::new("pdns_recursor")
        .args([format!("--config-dir={folder}"), format!("--socket-dir={folder}")])
        .arg(format!("--lua-config-file={}", lua.display()))
        .args([format!("--local-address={HERE}"), format!("--forward-zones-recurse=.={BEHIND}")])
        .args(["--daemon=no", "--write-pid=no", "--threads=1", "--dnssec=off"])
        .args(["--dont-query=", "--security-poll-suffix="]);
    lab.start(program, "Enabled multiplexer")
}

/// dnsmasq with a configuration.
pub(super) fn dnsmasq(lab: &Lab, configuration: &str) -> Result<Running> {
    let file = lab.file("dnsmasq.conf", configuration)?;
    let program = Program::new("dnsmasq")
        .arg(format!("--conf-file={}", file.display()))
        .args(["--keep-in-foreground", "--user=root", "--pid-file", "--no-hosts", "--no-resolv"])
        .args(["--log-facility=-", "--bind-interfaces"])
        .args([format!("--listen-address={HERE}"), format!("--server={BEHIND}")]);
    lab.start(program, "started, version")
}

/// BIND's opinion of a zone of that name.
pub(super) fn named_checkzone(zone: &str) -> impl Fn(&str) -> Verdict {
    check_file(["named-checkzone", "-D", zone])
}

/// Knot's opinion of a zone of that name.
pub(super) fn kzonecheck(zone: &str) -> impl Fn(&str) -> Verdict {
    check_file(["kzonecheck", "-o", zone])
}

/// The opinion of a program, whose last argument is a file.
fn check_file([program, argument, zone]: [&str; 3]) -> impl Fn(&str) -> Verdict {
    move |text| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("a file");
        consumer::run(Command::new(program).args([argument, zone]).arg(file.path()))
    }
}
