//! Decides in which formats a list can be written, and what holds for all of them.
//!
//! ```text
//! Allowlist ─▶ Sheet::new ─▶ FORMAT::render ─▶ text
//!              (all it says,   (says it)
//!               or an error)
//! ```
//!
//! An export holds every entry or fails: it never drops one, and never widens one. What a format can say
//! stands in its [`About`], and `Sheet::new` refuses what it can't say, so that no format has to.
//! Each format has a file of its own, in the folder of those like it.

#![allow(clippy::unnecessary_wraps, reason = "every format has the same signature")]

mod about;
mod address;
pub(crate) mod azure;
mod client;
mod cluster;
pub(crate) mod dns;
mod firewall;
mod options;
mod plain;
mod proxy;
pub(crate) mod quote;
mod sheet;
pub(crate) mod text;

use std::borrow::Cow;

use ringfence_config::{Allowlist, Issue};

pub use self::about::{About, Kind, Overview, Page, Scope};
pub use self::options::{Ca, CaError, Options, ProxyUrl, ProxyUrlError, Setting, Unpinned};
use self::sheet::Sheet;

/// Makes [`Format`] of two lines per format: what `--help` says of it; its variant, its name, and the module that
/// has its `ABOUT` and its `render`.
macro_rules! formats {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal, $family:ident::$module:ident;)+) => {
        /// A format that a list can be written in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
        pub enum Format {
            $(
                $(#[doc = $doc])+
                #[cfg_attr(feature = "cli", value(name = $name))]
                $variant,
            )+
        }

        impl Format {
            /// Every format, those for one sort of target together.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the command line, in file names and in messages.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What there is to know about it.
            pub fn about(self) -> &'static About {
                match self {
                    $(Self::$variant => &$family::$module::ABOUT,)+
                }
            }

            /// What it is, in a line.
            pub fn summary(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+
                }
            }

            fn render(self, sheet: &Sheet<'_>) -> Result<String, Error> {
                match self {
                    $(Self::$variant => $family::$module::render(sheet),)+
                }
            }
        }
    };
}

formats! {
    /// The document that the proxy enforces
    Toml, "toml", plain::toml;
    /// One host per line, all of them on port 443
    Text, "text", plain::text;
    /// One `host:port` per line
    HostPort, "host-port", plain::host_port;
    /// Every key of every entry, for programs
    Json, "json", plain::json;
    /// A row for each host and port, for spreadsheets
    Csv, "csv", plain::csv;
    /// The forward proxy squid, configured in full
    Squid, "squid", proxy::squid;
    /// Envoy as a forward proxy for CONNECT, configured in full
    Envoy, "envoy", proxy::envoy;
    /// Envoy as a transparent proxy by server name (SNI), configured in full
    EnvoySni, "envoy-sni", proxy::envoy_sni;
    /// HAProxy as a transparent proxy by server name (SNI), configured in full
    Haproxy, "haproxy", proxy::haproxy;
    /// nginx as a transparent proxy by server name (SNI), configured in full
    Nginx, "nginx", proxy::nginx;
    /// The forward proxy tinyproxy: the file of its filter
    Tinyproxy, "tinyproxy", proxy::tinyproxy;
    /// The forward proxy privoxy: an actions file
    Privoxy, "privoxy", proxy::privoxy;
    /// The forward proxy smokescreen: its ACL in YAML
    Smokescreen, "smokescreen", proxy::smokescreen;
    /// The SOCKS server dante: its rules
    Dante, "dante", proxy::dante;
    /// Azure Firewall: a rule collection group, as a deployment template
    AzureFirewall, "azure-firewall", azure::firewall;
    /// Azure Firewall: a rule collection group, in Bicep
    AzureFirewallBicep, "azure-firewall-bicep", azure::firewall_bicep;
    /// Azure Firewall: a rule collection group, in Terraform
    AzureFirewallTerraform, "azure-firewall-terraform", azure::firewall_terraform;
    /// A network security group's rules for private endpoints, by azure-cli
    AzureNsg, "azure-nsg", azure::nsg;
    /// Records of private endpoints in Azure's private DNS zones, by azure-cli
    AzurePrivateDns, "azure-private-dns", azure::private_dns;
    /// Records of private endpoints in Azure's private DNS zones, in Bicep
    AzurePrivateDnsBicep, "azure-private-dns-bicep", azure::private_dns_bicep;
    /// Records of private endpoints in Azure's private DNS zones, in Terraform
    AzurePrivateDnsTerraform, "azure-private-dns-terraform", azure::private_dns_terraform;
    /// Azure DNS security policy: no other registries are looked up, as a deployment template
    AzureDnsPolicy, "azure-dns-policy", azure::dns_policy;
    /// A URL list that Palo Alto firewalls fetch
    PaloAltoEdl, "palo-alto-edl", firewall::palo_alto_edl;
    /// Set commands for Palo Alto firewalls: URL categories and rules
    PaloAlto, "palo-alto", firewall::palo_alto;
    /// CLI commands for FortiGate: addresses, groups and policies
    Fortigate, "fortigate", firewall::fortigate;
    /// Suricata rules that pass TLS to exactly these names
    Suricata, "suricata", firewall::suricata;
    /// A rule group of Suricata rules for AWS Network Firewall
    AwsNetworkFirewall, "aws-network-firewall", firewall::aws_network_firewall;
    /// A rule group of domains for AWS Network Firewall, which denies all other TLS
    AwsNetworkFirewallList, "aws-network-firewall-list", firewall::aws_network_firewall_list;
    /// A network firewall policy of Google Cloud
    GcpFirewall, "gcp-firewall", firewall::gcp_firewall;
    /// A URL list for Google Cloud's Secure Web Proxy
    GcpUrlList, "gcp-url-list", firewall::gcp_url_list;
    /// A PowerShell script for Windows Firewall
    WindowsFirewall, "windows-firewall", firewall::windows;
    /// A GitHub Actions workflow whose runner blocks the rest
    HardenRunner, "harden-runner", firewall::harden_runner;
    /// A table of nftables that holds clients to the list
    Nftables, "nftables", address::nftables;
    /// Sets of addresses and ports, for rules of your own
    Ipset, "ipset", address::ipset;
    /// Chains of iptables and ip6tables that hold clients to the list
    Iptables, "iptables", address::iptables;
    /// A policy of firewalld that holds clients to the list
    Firewalld, "firewalld", address::firewalld;
    /// A Response Policy Zone, with which a resolver knows no registry but the listed ones
    Rpz, "rpz", dns::rpz;
    /// Lines of a hosts file, for hosts behind private endpoints
    Hosts, "hosts", dns::hosts;
    /// The zone `privatelink.azurecr.io`, or that of another cloud, for BIND and Knot DNS
    Zone, "zone", dns::zone;
    /// Answers of dnsmasq, for hosts behind private endpoints
    Dnsmasq, "dnsmasq", dns::dnsmasq;
    /// Answers of Unbound, for hosts behind private endpoints
    Unbound, "unbound", dns::unbound;
    /// Cilium's policy for pods, by name as DNS resolves it
    Cilium, "cilium", cluster::cilium;
    /// Cilium's policy for pods, by name and server name (SNI)
    CiliumSni, "cilium-sni", cluster::cilium_sni;
    /// Cilium's policy for nodes, which pull the images, by private address
    CiliumNode, "cilium-node", cluster::cilium_node;
    /// Kubernetes' own `NetworkPolicy`, by private address
    NetworkPolicy, "network-policy", cluster::network_policy;
    /// Kubernetes' `ClusterNetworkPolicy` (v1alpha2), by domain name
    ClusterNetworkPolicy, "cluster-network-policy", cluster::cluster_network_policy;
    /// Calico's policy and sets, by private address
    Calico, "calico", cluster::calico;
    /// Antrea's `ClusterNetworkPolicy`, by domain name
    Antrea, "antrea", cluster::antrea;
    /// The `EgressFirewall` of OVN-Kubernetes, by DNS name
    Ovn, "ovn", cluster::ovn;
    /// Istio's `ServiceEntry`, by server name (SNI)
    Istio, "istio", cluster::istio;
    /// GKE's `FQDNNetworkPolicy`, by domain name
    Gke, "gke", cluster::gke;
    /// The file for `az aks` with `--http-proxy-config`
    Aks, "aks", client::aks;
    /// Parameters for the ARM template of an AKS cluster
    AksArm, "aks-arm", client::aks_arm;
    /// A Bicep file that the one of an AKS cluster imports
    AksBicep, "aks-bicep", client::aks_bicep;
    /// Terraform values for the proxy of an AKS cluster
    AksTerraform, "aks-terraform", client::aks_terraform;
    /// The value of `NO_PROXY`: registries behind Private Link
    NoProxy, "no-proxy", client::no_proxy;
    /// A file of proxy variables for shells, containers and services
    NoProxyEnv, "no-proxy-env", client::no_proxy_env;
    /// A drop-in for containerd, Docker and the kubelet
    Systemd, "systemd", client::systemd;
    /// Docker's client: the proxy of containers and builds
    Docker, "docker", client::docker;
    /// podman's containers.conf: the proxy of podman and its containers
    Podman, "podman", client::podman;
    /// Java's system properties for a proxy
    Java, "java", client::java;
    /// A proxy auto-configuration file (PAC), which takes the listed hosts to a proxy
    Pac, "pac", proxy::pac;
    /// podman's and skopeo's registries.conf: on Azure, the listed registries only
    RegistriesConf, "registries-conf", client::registries_conf;
    /// podman's and skopeo's policy.json: images of the listed registries only
    PolicyJson, "policy-json", client::policy_json;
}

/// A list in some format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The file's text: whole lines.
    pub text: String,
    /// What whoever installs it should know, beyond what the file says of itself.
    pub warnings: Vec<String>,
}

/// Why a list can't be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The format has no way to say it.
    #[error("`{host}` can't be written as {format}: {why}")]
    Unrepresentable {
        /// The entry.
        host: String,
        /// The format.
        format: &'static str,
        /// What the format lacks.
        why: Cow<'static, str>,
    },
    /// More than the target takes.
    #[error("{found} {what} are more than {format} takes, which is {limit}")]
    TooMany {
        /// The format.
        format: &'static str,
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The format can't do without a setting.
    #[error(
        "{format} needs `{flag}`, {purpose}, as in `{flag} {example}`",
        flag = .setting.flag(), purpose = .setting.purpose(), example = .setting.example()
    )]
    Needs {
        /// The format.
        format: &'static str,
        /// The setting.
        setting: Setting,
    },
    /// A setting that the format has no place for.
    #[error("`{setting}` means nothing to {format}, which takes {takes}", setting = .setting.flag())]
    NotTaken {
        /// The format.
        format: &'static str,
        /// The setting.
        setting: Setting,
        /// What it takes.
        takes: String,
    },
    /// A setting with a value that the target would refuse.
    #[error("`{setting}` won't do for {format}: {why}", setting = .setting.flag())]
    Unsuitable {
        /// The format.
        format: &'static str,
        /// The setting.
        setting: Setting,
        /// What is wrong.
        why: Cow<'static, str>,
    },
    /// There is nothing to write: an empty rule would mean something else to the target.
    #[error("{format} would have no entry: {why}")]
    Empty {
        /// The format.
        format: &'static str,
        /// Why nothing is left.
        why: &'static str,
    },
}

/// Writes a list that was derived from metadata, as the proxy reads it and as it is checked for changes later.
pub fn derived(allowlist: &Allowlist, issue: Issue) -> Export {
    Export { text: plain::toml::derived(allowlist, issue), warnings: Vec::new() }
}

/// Writes this issue of `allowlist`, byte for byte the same for the same entries and options.
///
/// ```
/// use allowlist_gen::export::{self, Format, Options};
/// use ringfence_config::{Allowlist, Entry, Issue, Role};
///
/// let host = "contoso.azurecr.io".parse().unwrap();
/// let list = Allowlist::new([Entry::new(host, Role::Login("contoso".parse().unwrap()))]).unwrap();
/// let export = export::render(Format::Text, &list, Issue::default(), &Options::default()).unwrap();
/// assert_eq!(export.text, "contoso.azurecr.io\n");
/// ```
pub fn render(
    format: Format,
    allowlist: &Allowlist,
    issue: Issue,
    options: &Options,
) -> Result<Export, Error> {
    let sheet = Sheet::new(format, allowlist, issue, options)?;
    let text = format.render(&sheet)?;
    Ok(Export { text, warnings: sheet.warnings() })
}
