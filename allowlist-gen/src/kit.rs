//! Decides what someone gets who puts an AKS cluster behind the proxy: the cluster's setting in each of its spellings,
//! the list for the proxy itself, and what to do with them in which order.

use std::fmt::Write as _;

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
        for warning in export.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        if format == Format::NoProxy {
            direct.clone_from(&export.text);
        }
        files.push(File { name: format.about().file, text: export.text, purpose: Purpose::Data });
    }
    files.push(File { name: "apply.sh", text: APPLY.to_owned(), purpose: Purpose::Program });
    let direct: Vec<&str> = direct.trim_ascii_end().split_terminator(',').collect();
    let text = readme(allowlist, cluster, &direct);
    files.push(File { name: "README.md", text, purpose: Purpose::Data });
    Ok(Kit { files, warnings })
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

fn readme(allowlist: &Allowlist, cluster: &Cluster, direct: &[&str]) -> String {
    let proxied = allowlist.entries().iter().map(|entry| entry.host.as_str());
    let proxied: Vec<&str> = proxied.filter(|host| !direct.contains(host)).collect();
    let hash = allowlist.hash();
    let mut text = format!("# An AKS cluster behind {}\n\n", cluster.proxy);
    let _ = writeln!(text, "Written by `allowlist-gen aks-kit` from the list {hash}.\n");
    let _ = writeln!(text, "{FILES}");
    list(&mut text, "Directly, as their registries are behind Private Link", direct);
    list(&mut text, "Through the proxy", &proxied);
    text.push_str(STEPS);
    if cluster.ca.is_some() {
        text.push_str(TRUST);
    }
    text.push_str(LATER);
    text
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
| `aks-http-proxy.json`, `apply.sh` | the cluster, with az |
| `aks-http-proxy.bicep` | the cluster, with Bicep |
| `aks-http-proxy.parameters.json` | the cluster, with an ARM template |
| `aks-http-proxy.tf` | the cluster, with Terraform |
";

const STEPS: &str = "\
## Steps

1. See that the cluster's network resolves every name of the first list to a private address: link the private zone
   of the registries to it. A name that isn't in the zone yet goes to the public front end, past the proxy.
2. Give ringfence what the cluster needs besides its registries, in a list of its own: AKS has a page of its hosts,
   <https://learn.microsoft.com/azure/aks/outbound-rules-control-egress>. Without them nodes don't come up.
3. Start the proxy. It must know the cluster by its addresses, as AKS takes no user and no password.

   ```sh
   ringfence check --allowlist allowlist.toml
   ```

4. Give the cluster its setting, in one of these ways. Each reimages all node pools: choose the hour.

   ```sh
   ./apply.sh RESOURCE-GROUP CLUSTER
   ```

   Bicep, ARM and Terraform: what the cluster's own file has to say stands at the top of each file, or with ARM in the
   description of the parameter.
5. Start the pods anew. They get the variables only then.
6. Pull from each registry, and look into the proxy's log: hosts of the first list don't appear there, others do.
7. Close all other ways out of the network: nodes and pods may ignore a proxy.
";

const TRUST: &str = "
The setting holds the certificates that nodes are to trust. Pods have to be given them by other means if their images
don't trust them.
";

const LATER: &str = "
## When the list changes

Make the kit anew, in a new folder, and compare. A host that goes through the proxy is a new `allowlist.toml` and nothing
else. A host that goes directly changes the cluster's setting, and that reimages all node pools again: regions that are
planned are better named from the start, with `--future-region`.
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
