//! Decides what someone gets who puts an AKS cluster behind the proxy: the cluster's setting in each of its spellings,
//! the list for the proxy itself, and what to do with them in which order.

use std::fmt::Write as _;
use std::net::IpAddr;

use ringfence_config::registry::Region;
use ringfence_config::{Allowlist, Issue};

use crate::export::{self, Ca, Error, Export, Format, Options, ProxyUrl, Setting};

/// What is to be known of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Where its nodes and pods reach the proxy.
    pub proxy: ProxyUrl,
    /// Whom they trust, if the proxy has certificates of its own.
    pub ca: Option<Ca>,
    /// Regions that its registries will have.
    pub future_regions: Vec<Region>,
}

/// Files that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kit {
    /// The files, of one folder.
    pub files: Vec<File>,
    /// What whoever installs it should know, beyond what the files say.
    pub warnings: Vec<String>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name in the folder.
    pub name: &'static str,
    /// Its text, which ends with a newline.
    pub text: String,
    /// Whether it is there to be run or to be read.
    pub purpose: Purpose,
}

/// What a file is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be read.
    Data,
    /// To be run.
    Program,
}

/// Writes the kit for `cluster`, byte for byte the same for the same list.
pub fn render(allowlist: &Allowlist, issue: Issue, cluster: &Cluster) -> Result<Kit, Error> {
    let mut files = Vec::new();
    let mut warnings = Vec::new();
    let mut direct = String::new();
    for format in FORMATS {
        let export = export(format, allowlist, issue, cluster)?;
        // What is said of the variable is said of the cluster's setting, too, in a cluster's words.
        let said = if format == Format::NoProxy { Vec::new() } else { export.warnings };
        for warning in said {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        if format == Format::NoProxy {
            direct.clone_from(&export.text);
        }
        files.push(File { name: file_of(format), text: export.text, purpose: Purpose::Data });
    }
    files.push(File { name: "apply.sh", text: APPLY.to_owned(), purpose: Purpose::Program });
    let direct: Vec<&str> = direct.trim_ascii_end().split_terminator(',').collect();
    let text = readme(allowlist, issue, cluster, &direct);
    files.push(File { name: "README.md", text, purpose: Purpose::Data });
    Ok(Kit { files, warnings })
}

/// What `format` is called here: the list is the one that whoever asked for the kit keeps.
fn file_of(format: Format) -> &'static str {
    if format == Format::Toml { "allowlist.toml" } else { format.about().file }
}

/// Each format is told what it takes, and refuses the rest.
fn export(
    format: Format,
    allowlist: &Allowlist,
    issue: Issue,
    cluster: &Cluster,
) -> Result<Export, Error> {
    let mut options = Options::default();
    for setting in format.about().takes {
        match setting {
            Setting::Proxy => options.proxy = Some(cluster.proxy.clone()),
            Setting::Ca => options.ca.clone_from(&cluster.ca),
            Setting::FutureRegion => options.future_regions.clone_from(&cluster.future_regions),
            Setting::Client
            | Setting::Listen
            | Setting::Resolver
            | Setting::Namespace
            | Setting::PinnedOnly => {}
        }
    }
    export::render(format, allowlist, issue, &options)
}

fn readme(allowlist: &Allowlist, issue: Issue, cluster: &Cluster, direct: &[&str]) -> String {
    let proxied = allowlist.entries().iter().map(|entry| entry.host.as_str());
    let proxied: Vec<&str> = proxied.filter(|host| !direct.contains(host)).collect();
    let hash = allowlist.hash();
    let issue = if issue.is_empty() { String::new() } else { format!(" ({issue})") };
    let mut text = format!("# An AKS cluster behind {}\n\n", cluster.proxy);
    let _ = writeln!(text, "Written by `allowlist-gen aks-kit` from the list {hash}{issue}.\n");
    text.push_str(if direct.is_empty() { FILES_ALL_PROXIED } else { FILES });
    let _ = writeln!(text, "{FILES_OF_CLUSTER}");
    if !direct.is_empty() {
        list(&mut text, "Directly, as their registries are behind Private Link", direct);
    }
    list(&mut text, "Through the proxy", &proxied);
    text.push_str("## Steps\n\n");
    let start = START.replace("LISTEN", &listen(&cluster.proxy));
    let pull = if direct.is_empty() { PULL_PROXIED } else { PULL };
    let first = (!direct.is_empty()).then_some(RESOLVE);
    let rest = [MORE, start.as_str(), SET, RESTART, pull, CLOSE];
    for (number, step) in (1..).zip(first.into_iter().chain(rest)) {
        let _ = write!(text, "{number}. {step}");
    }
    if cluster.ca.is_some() {
        text.push_str(TRUST);
    }
    text.push_str(BACK);
    text.push_str(if direct.is_empty() { LATER_PROXIED } else { LATER });
    text
}

/// Where the proxy listens, if clients reach it without anything in between.
fn listen(proxy: &ProxyUrl) -> String {
    match proxy.host().parse::<IpAddr>() {
        Ok(_) => proxy.authority(),
        Err(_) => format!("0.0.0.0:{}", proxy.port()),
    }
}

fn list(text: &mut String, title: &str, hosts: &[&str]) {
    let _ = writeln!(text, "{title}:\n");
    if hosts.is_empty() {
        let _ = writeln!(text, "- none");
    }
    for host in hosts {
        let _ = writeln!(text, "- `{host}`");
    }
    text.push('\n');
}

const FORMATS: [Format; 6] = [
    Format::Toml,
    Format::NoProxy,
    Format::Aks,
    Format::AksArm,
    Format::AksBicep,
    Format::AksTerraform,
];

const FILES: &str = "\
| file | for |
|---|---|
| `allowlist.toml` | ringfence: every host, also those that go directly, for clients that don't know the exceptions |
| `no-proxy.txt` | other clients in the same network: the value of `NO_PROXY` |
";

const FILES_ALL_PROXIED: &str = "\
| file | for |
|---|---|
| `allowlist.toml` | ringfence: every host |
| `no-proxy.txt` | nobody yet: it is an empty line, as no registry is behind Private Link |
";

const FILES_OF_CLUSTER: &str = "\
| `aks-http-proxy.json`, `apply.sh` | the cluster, with az |
| `aks-http-proxy.bicep` | the cluster, with Bicep |
| `aks-http-proxy.parameters.json` | the cluster, with an ARM template |
| `aks-http-proxy.tf` | the cluster, with Terraform |
";

const RESOLVE: &str = "\
See that the cluster's network resolves every name of the first list to a private address: link the private zone
   of the registries to it. A name that isn't in the zone yet goes to the public front end, past the proxy.
";

const MORE: &str = "\
Give ringfence what the cluster needs besides its registries, in a list of its own, `aks.toml`: AKS has a page of
   its hosts, <https://learn.microsoft.com/azure/aks/outbound-rules-control-egress>. Without them nodes don't come up.
   It begins like this, and goes on with an `[[entry]]` for each host:

   ```toml
   schema = 1
   [[entry]]
   host = \"mcr.microsoft.com\"
   role = \"other\"
   why = \"AKS: images of the cluster's own pods\"
   ```

";

const START: &str = "\
Start the proxy where the cluster reaches it. It must know the cluster by its addresses, as AKS takes no user and
   no password; as here, it serves whoever reaches it. A `[[client]]` with `address`, in a file for `--config`, narrows
   that.

   ```sh
   ringfence check --allowlist allowlist.toml --allowlist aks.toml && \\
     ringfence run --allowlist allowlist.toml --allowlist aks.toml --listen LISTEN
   ```

";

const SET: &str = "\
Give the cluster its setting, in one of these ways. Each reimages all node pools: choose the hour.

   ```sh
   ./apply.sh RESOURCE-GROUP CLUSTER
   ```

   With Bicep, ARM and Terraform, the cluster's own file has to take the setting. How is said at the top of the Bicep
   file, in the description of ARM's parameter, and at the end of the Terraform file.

   A new cluster gets it from the start, with the other arguments of `az aks create` that it needs:

   ```sh
   az aks create --resource-group RESOURCE-GROUP --name CLUSTER --http-proxy-config aks-http-proxy.json
   ```

";

const RESTART: &str = "Start the pods anew. They get the variables only then.\n";

const PULL: &str = "\
Pull from each registry, and look into the proxy's log: hosts of the first list don't appear there, others do.
";

const PULL_PROXIED: &str =
    "Pull from each registry, and look into the proxy's log: all hosts appear there.\n";

const CLOSE: &str = "\
Close all other ways out of the network: nodes and pods may ignore a proxy.
";

const TRUST: &str = "
The setting holds the certificates that nodes are to trust. Pods have to be given them by other means if their images
don't trust them.
";

const BACK: &str = "
## The way back

Open the other ways out first. With azure-cli 2.85 or later:

```sh
az aks update --resource-group RESOURCE-GROUP --name CLUSTER --disable-http-proxy
```

This reimages all node pools, too, and pods have to be started anew. AKS remembers the setting: `--enable-http-proxy`
puts it back.
";

const LATER: &str = "
## When the list changes

Make the kit anew, in a new folder, and compare. A host that goes through the proxy is a new `allowlist.toml` and nothing
else. A host that goes directly changes the cluster's setting, and that reimages all node pools again: regions that are
planned are better named from the start, with `--future-region`.
";

const LATER_PROXIED: &str = "
## When the list changes

Make the kit anew, in a new folder, and compare. A host that goes through the proxy is a new `allowlist.toml` and nothing
else. A registry that moves behind Private Link changes the cluster's setting, and that reimages all node pools again.
";

const APPLY: &str = "\
#!/bin/sh
# Gives a cluster its proxy: apply.sh RESOURCE-GROUP CLUSTER
#
# This reimages all node pools. README.md says what has to be in place before.
set -eu
if [ $# -ne 2 ]; then
  echo \"usage: $0 RESOURCE-GROUP CLUSTER\" >&2
  exit 2
fi
cd -- \"$(dirname -- \"$0\")\"
exec az aks update --resource-group \"$1\" --name \"$2\" --http-proxy-config aks-http-proxy.json
";
