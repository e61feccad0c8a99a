//! One network namespace of our own, and how a thread works inside it.
//!
//! `ip` makes, wires and deletes namespaces. To act inside one, a thread of ours enters it: sockets
//! and child processes belong to the namespace of the thread that made them, wherever they are used
//! later. So no wrapper program stands between a test and the process it must signal.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace; the last clone deletes it and ends whatever still runs in it.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    name: String,
}

impl Namespace {
    /// A new, empty namespace with its loopback up. The label is for people.
    pub fn create(label: &str) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        delete_orphans();
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}-{label}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self(Arc::new(Owned { name }));
        namespace.ip(&["link", "set", "lo", "up"])?;
        // A new namespace may inherit forwarding from a host that runs containers.
        namespace.enter(|| {
            for switch in FORWARDING
                .into_iter()
                .filter(|switch| Path::new(switch).exists())
            {
                std::fs::write(switch, "0").with_context(|| format!("write {switch}"))?;
            }
            anyhow::Ok(())
        })??;
        Ok(namespace)
    }

    /// Joins the two with a cable: an interface in each, named and addressed as given.
    pub fn connect(
        &self,
        near: (&str, &str),
        far: &Self,
        (name, cidr): (&str, &str),
    ) -> Result<()> {
        let link = [
            "link", "add", near.0, "type", "veth", "peer", "name", name, "netns",
        ];
        self.ip(&[&link[..], &[far.name()]].concat())?;
        for (namespace, (name, cidr)) in [(self, near), (far, (name, cidr))] {
            namespace.ip(&["address", "add", cidr, "dev", name])?;
            namespace.ip(&["link", "set", name, "up"])?;
        }
        Ok(())
    }

    /// Runs `ip` on this namespace.
    pub fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", self.name()], arguments].concat())
    }

    /// Runs `action` on a thread inside the namespace. What it opens or starts stays there.
    pub fn enter<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T> {
        let path = Path::new(NAMESPACES).join(self.name());
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(action())
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn name(&self) -> &str {
        &self.0.name
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

/// Ends what a killed test run has left behind: namespaces named after a process that is gone.
fn delete_orphans() {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else {
        return;
    };
    for name in entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
    {
        let maker = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if let Some(maker) = maker.and_then(|pid| Pid::from_raw(pid.parse().ok()?))
            && test_kill_process(maker) == Err(rustix::io::Errno::SRCH)
        {
            delete(&name);
        }
    }
}

fn delete(name: &str) {
    // Best effort, for a grandchild that outlived its parent: what a test started, it has ended.
    if let Ok(output) = Command::new("ip").args(["netns", "pids", name]).output() {
        let pids = String::from_utf8_lossy(&output.stdout);
        for pid in pids
            .split_whitespace()
            .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = ip(&["netns", "delete", name]);
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("run `ip`")?;
    ensure!(
        output.status.success(),
        "`ip {}`: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

const NAMESPACES: &str = "/run/netns";
const PREFIX: &str = "ringfence-";
const FORWARDING: [&str; 2] = [
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/forwarding",
];
