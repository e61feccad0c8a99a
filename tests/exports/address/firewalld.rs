//! Debian's firewalld: its own check, and the daemon on a bus of its own.

use std::fs;
use std::path::Path;
use std::time::Instant;

use allowlist_gen::export::Format;
use anyhow::{Result, ensure};
use test_support::{Namespace, PATIENCE, Program, Running, require};

use super::gateway::{From, Gateway};
use crate::consumer::{self, Mutation};
use crate::matrix;

#[test]
fn firewalld_holds_clients_to_the_list() -> Result<()> {
    if !require(&["ip", "firewalld", "firewall-cmd", "firewall-offline-cmd", "dbus-daemon"]) {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Firewalld,
        &[
            Mutation { from: "10.20.0.6", to: "10.20.0.600" },
            Mutation { from: "<accept/>", to: "<acept/>" },
            Mutation { from: "target=\"CONTINUE\"", to: "target=\"CONTINU\"" },
            Mutation { from: "protocol=\"tcp\"", to: "protocol=\"tpc\"" },
            Mutation { from: "</policy>", to: "" },
        ],
        |text| check(text).map_err(|error| error.to_string()),
    );
    let probes = probe()?;
    let version = consumer::debian_version("firewalld");
    matrix::record(Format::Firewalld, "firewalld", &version, judgement.with_probes(probes));
    Ok(())
}

fn check(text: &str) -> Result<()> {
    let directory = tempfile::TempDir::with_prefix("ringfence-")?;
    configure(directory.path())?;
    fs::write(directory.path().join(POLICY), text)?;
    offline(directory.path())
}

/// What `firewall-offline-cmd` says to the configuration in `directory`. Of a rule that it takes no notice of, it only
/// warns.
fn offline(directory: &Path) -> Result<()> {
    let config = format!("--system-config={}", directory.display());
    let check = Program::new("firewall-offline-cmd").args([&config, "--check-config"]);
    let said = check.run()?.succeeded()?;
    ensure!(!said.stderr.contains("WARNING") && !said.stdout.contains("WARNING"), "{said}");
    Ok(())
}

fn probe() -> Result<usize> {
    let gateway = Gateway::build(Format::Firewalld)?;
    let config = gateway.directory().join("firewalld");
    fs::create_dir(&config)?;
    configure(&config)?;
    let daemon = Daemon::start(&gateway.gate, &config)?;
    gateway.lets_everything_pass(From::Client)?;
    let open = gateway.open()?;

    let apply = Format::Firewalld.about().apply.replace("/etc/firewalld", "firewalld");
    let bus = format!("export DBUS_SYSTEM_BUS_ADDRESS={}", daemon.bus);
    gateway.run(&format!("{bus}\n{apply}"))?;
    let probes = gateway.holds_to_the_list(From::Client)? + gateway.leaves_others_alone()?;
    ensure!(open.carries()?, "firewalld lets go on what was open before");
    Ok(probes + 1)
}

/// A configuration in which everything passes.
fn configure(directory: &Path) -> Result<()> {
    for folder in ["helpers", "icmptypes", "ipsets", "policies", "services", "zones"] {
        fs::create_dir(directory.join(folder))?;
    }
    fs::write(directory.join("firewalld.conf"), "DefaultZone=trusted\nFirewallBackend=nftables\n")?;
    Ok(())
}

/// firewalld in a namespace, and the bus that it is asked on.
struct Daemon {
    bus: String,
    _firewalld: Running,
    _dbus: Running,
}

impl Daemon {
    fn start(place: &Namespace, config: &Path) -> Result<Self> {
        let bus = format!("unix:path={}", config.join("bus").display());
        let dbus = Program::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address"])
            .arg(format!("--address={bus}"))
            .start()?;
        dbus.stdout.wait_for_line(|line| line.starts_with(&bus))?;
        let firewalld = Program::new("firewalld")
            .args(["--nofork", "--nopid", "--log-target", "console", "--system-config"])
            .arg(config)
            .inside(place)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &bus)
            .start()?;
        // It has a name on the bus before it is ready, and answers when it is.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = Program::new("firewall-cmd").arg("--state").inside(place);
            let state = state.env("DBUS_SYSTEM_BUS_ADDRESS", &bus).run()?;
            if state.status.success() {
                return Ok(Self { bus, _firewalld: firewalld, _dbus: dbus });
            }
            ensure!(Instant::now() < deadline, "{state}\n{}", firewalld.stderr.text());
        }
    }
}

const POLICY: &str = "policies/acr-allow.xml";
