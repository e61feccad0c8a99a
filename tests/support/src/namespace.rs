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
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::require::PATH;

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
            let mut present = FORWARDING.iter().filter(|switch| Path::new(switch).exists());
            present.try_for_each(|switch| std::fs::write(switch, "0").context(*switch))
        })??;
        Ok(namespace)
    }

    /// Joins the two with a cable. Each end is an interface's name and its address with the prefix.
    pub fn connect(&self, near: [&str; 2], far: &Self, end: [&str; 2]) -> Result<()> {
        let (far_name, peer) = (far.name(), end[0]);
        self.ip(&[
            "link", "add", near[0], "type", "veth", "peer", "name", peer, "netns", far_name,
        ])?;
        for (namespace, [interface, address]) in [(self, near), (far, end)] {
            namespace.ip(&["address", "add", address, "dev", interface])?;
            namespace.ip(&["link", "set", interface, "up"])?;
        }
        Ok(())
    }

    /// Runs `ip` on this namespace.
    pub fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", self.name()], arguments].concat()).map(drop)
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
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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
    let entries = std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        if maker(&name).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
            delete(&name);
        }
    }
}

fn maker(name: &str) -> Option<Pid> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    Pid::from_raw(pid.parse().ok()?)
}

/// Best effort: this runs when things are dropped, and the next run looks for what is left.
fn delete(name: &str) {
    // What a test starts, it ends. This is for a grandchild that outlived its parent.
    let pids = ip(&["netns", "pids", name]).unwrap_or_default();
    for pid in pids.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = ip(&["netns", "delete", name]);
}

fn ip(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("ip");
    let output = command.args(arguments).env("PATH", PATH).output().context("run `ip`")?;
    ensure!(
        output.status.success(),
        "`ip {}`: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

const NAMESPACES: &str = "/run/netns";
const PREFIX: &str = "ringfence-";
const FORWARDING: [&str; 2] =
    ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];
