//! The lists that are exported here, and what the exports are told beside them.

use std::path::PathBuf;

use allowlist_gen::DataEndpoints;
use allowlist_gen::export::{self, Ca, Error, Export, Format, Options, Setting, Unpinned};
use ringfence_config::document::{self, Document};
use ringfence_config::snippet::Source;
use ringfence_config::{Allowlist, Issue};

/// A list, and what it is called here.
pub(crate) struct List {
    pub(crate) name: &'static str,
    pub(crate) allowlist: Allowlist,
    pub(crate) issue: Issue,
}

/// All lists: four that were written here, and what metadata says of three registries.
pub(crate) fn all() -> Vec<List> {
    vec![
        contoso(),
        written("hostile"),
        written("ports"),
        written("presets"),
        derived("private-geo", &["constructed/private-geo/network-nic-show.json"]),
        derived("gov", &["constructed/acr-show.gov.json"]),
        derived("dnl-geo", &["constructed/acr-show.dnl-data-and-geo.json"]),
    ]
}

/// The list that is probed: `contoso` behind a private endpoint (eastus, westeurope), `fabrikam` public (westus2).
pub(crate) fn contoso() -> List {
    written("contoso")
}

/// A list in `tests/exports/lists`.
pub(crate) fn written(name: &'static str) -> List {
    let path = tests().join(format!("exports/lists/{name}.toml"));
    let text = std::fs::read_to_string(&path).expect("a list");
    let document = Document::parse(name, &text).expect(name);
    let issue = document.issue();
    List { name, allowlist: document::merge(&[document]).expect(name), issue }
}

/// The lists of every metadata fixture that makes one, with what its data endpoints will be.
pub(crate) fn of_every_fixture() -> Vec<List> {
    let root = tests().join("fixtures/azure");
    let mut lists = Vec::new();
    for folder in ["arm-recorded", "arm-spec", "az-cli", "constructed", "constructed/private-geo"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let source = Source { name: path.display().to_string(), text };
            if let Ok(generated) = allowlist_gen::generate(&[source], DataEndpoints::AssumedOn) {
                let (allowlist, issue) = (generated.allowlist, Issue::default());
                lists.push(List { name: "a fixture", allowlist, issue });
            }
        }
    }
    assert!(lists.len() > 20, "only {} fixtures make a list", lists.len());
    lists
}

fn derived(name: &'static str, fixtures: &[&str]) -> List {
    let read = |fixture: &&str| Source {
        name: (*fixture).to_owned(),
        text: std::fs::read_to_string(tests().join("fixtures/azure").join(fixture)).expect(fixture),
    };
    let sources: Vec<Source> = fixtures.iter().map(read).collect();
    let generated = allowlist_gen::generate(&sources, DataEndpoints::AsReported).expect(name);
    List { name, allowlist: generated.allowlist, issue: Issue::default() }
}

impl List {
    /// The list in `format`, which is told an example of everything it takes; hosts without private addresses are
    /// left out where they must be.
    pub(crate) fn export(&self, format: Format) -> Result<Export, Error> {
        let mut options = options(format);
        // A host there is IPv6 alone, as must be a client that reaches it.
        if self.name == "ports" && GO_BY_FAMILY.contains(&format) {
            options.clients.push("fd00:10::/64".parse().expect("a block"));
        }
        export::render(format, &self.allowlist, self.issue, &options)
    }

    /// The exact hosts.
    pub(crate) fn hosts(&self) -> Vec<String> {
        self.allowlist.entries().iter().map(|entry| entry.host.as_str().to_owned()).collect()
    }
}

/// Formats whose rules join clients to addresses.
const GO_BY_FAMILY: [Format; 5] = [
    Format::Suricata,
    Format::AwsNetworkFirewall,
    Format::Nftables,
    Format::Iptables,
    Format::Firewalld,
];

/// An example of everything that `format` takes.
pub(crate) fn options(format: Format) -> Options {
    let mut options = Options::default();
    for setting in format.about().takes {
        match setting {
            Setting::Client => options.clients = vec!["10.10.0.0/16".parse().expect("a block")],
            Setting::Listen => options.listen = Some("127.0.0.1:3128".parse().expect("an address")),
            Setting::Resolver => {
                options.resolver = Some("10.20.0.53:53".parse().expect("an address"));
            }
            Setting::Proxy => {
                options.proxy = Some("http://proxy.corp.example:3128".parse().expect("a URL"));
            }
            Setting::Ca => options.ca = Some(ca()),
            Setting::Namespace => options.namespace = Some("builds".parse().expect("a label")),
            Setting::FutureRegion => options.future_regions = Vec::new(),
            Setting::PinnedOnly => options.unpinned = Unpinned::LeftOut,
        }
    }
    options
}

/// A certificate whose key nobody has.
fn ca() -> Ca {
    let pem = std::fs::read_to_string(tests().join("exports/lists/proxy-ca.pem")).expect("a file");
    pem.parse().expect("a certificate")
}

/// The folder of all tests.
pub(crate) fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests")
}
