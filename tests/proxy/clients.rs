//! The clients that people have: what is allowed works in each, what isn't says why in each, and
//! nothing that any of them sends reaches a stranger.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;
use test_support::{Dns, Network, Received, Recorder, address, skip};

use crate::contoso::{
    Contoso, EASTUS, EASTUS_ENTRY, LOGIN, LOGIN_ENTRY, STRANGER, allowlist, refused, start,
    tunnelled,
};

/// It shows the reason phrase only to those who ask for details.
#[test]
fn curl() -> Result<()> {
    works(
        "curl --silent --verbose --fail --location --output OUT URL",
        "curl --silent --verbose --fail --output OUT --upload-file FILE URL",
    )
}

#[test]
fn curl_with_a_form() -> Result<()> {
    works(
        "curl --silent --verbose --fail --location --output OUT URL",
        "curl --silent --verbose --fail --output OUT --data-binary @FILE URL",
    )
}

#[test]
fn wget() -> Result<()> {
    works(
        "wget --tries=1 --ca-certificate=CA --output-document OUT URL",
        "wget --tries=1 --ca-certificate=CA --output-document OUT --post-file FILE URL",
    )
}

#[test]
fn python_urllib() -> Result<()> {
    works("python3 SCRIPTS/fetch.py URL OUT", "python3 SCRIPTS/fetch.py URL OUT FILE")
}

#[test]
fn python_http_client() -> Result<()> {
    works("python3 SCRIPTS/tunnel.py URL OUT", "python3 SCRIPTS/tunnel.py URL OUT FILE")
}

#[test]
fn node() -> Result<()> {
    works("node SCRIPTS/fetch.mjs URL OUT", "node SCRIPTS/fetch.mjs URL OUT FILE")
}

#[test]
fn go() -> Result<()> {
    works("go run SCRIPTS/fetch.go URL OUT", "go run SCRIPTS/fetch.go URL OUT FILE")
}

#[test]
fn podman() -> Result<()> {
    let Some(contoso) = Contoso::build(EASTUS, &["podman"])? else {
        return Ok(());
    };
    let network = &contoso.network;
    let proxy = contoso.proxy(&[LOGIN_ENTRY, EASTUS_ENTRY])?;
    let (root, run) = (network.path("podman"), network.path("podman-run"));
    let podman = |command: &[&str]| {
        let podman = network.client("podman", &proxy).args(["--storage-driver", "vfs"]);
        podman.arg("--root").arg(&root).arg("--runroot").arg(&run).args(command).run()
    };
    let probe = podman(&["info"])?;
    if !probe.status.success() {
        skip(&format!("podman doesn't run here: {probe}"));
        return Ok(());
    }

    podman(&["pull", &format!("{LOGIN}/app:v1")])?.succeeded()?;
    podman(&["image", "exists", &format!("{LOGIN}/app:v1")])?.succeeded()?;
    podman(&["pull", &format!("{OTHER}/app:v1")])?.failed_saying("not_in_policy")?;

    proxy.logged(tunnelled(EASTUS))?;
    proxy.logged(refused(OTHER, "not_in_policy"))?;
    Ok(())
}

/// A permitted host in the CONNECT, another one in the TLS handshake behind it.
#[test]
fn the_name_inside_must_be_the_name_outside() -> Result<()> {
    let Some(network) = Network::open(&["curl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let dns = Dns::start(&network, &[(LOGIN, address::LOGIN)])?;
    let list = network.write("allowlist.toml", &allowlist(&[LOGIN_ENTRY]))?;
    let proxy = start(&network, &dns, &list)?;
    let upload = |host: &str| {
        let curl = network.client("curl", &proxy).args(["--silent", "--data", "secret"]);
        let connect = format!("{host}:443:{LOGIN}:443");
        curl.args(["--connect-to", &connect, &format!("https://{host}/")]).run()
    };

    upload(STRANGER)?.failed()?;
    assert_eq!(origin.received()?.bytes, 0);
    proxy.logged(|line| refused(LOGIN, "sni_mismatch")(line) && line["sni"] == STRANGER)?;

    upload(LOGIN)?.succeeded()?;
    assert!(origin.received()?.data > 0);
    Ok(())
}

/// Without this, "the stranger has received nothing" could mean that it can't.
#[test]
fn the_stranger_would_have_taken_it() -> Result<()> {
    let Some(network) = Network::open(&["curl"])? else {
        return Ok(());
    };
    let stranger = Recorder::start(&network, STRANGER, address::STRANGER)?;
    let resolve = format!("{STRANGER}:443:{}", address::STRANGER);
    let curl = network.unproxied("curl", &network.gate).args(["--resolve", &resolve]);
    let url = format!("https://{STRANGER}/");
    curl.args(["--silent", "--data", "secret", &url]).run()?.succeeded()?;

    let received = stranger.received()?;
    assert_eq!(received.connections, 1);
    assert!(received.data > "secret".len());
    Ok(())
}

/// Has a client fetch an answer and a blob, then a host that isn't on the list, then send a secret to
/// somebody's storage. The two say how it is told to, word by word; words in capitals stand for ours.
fn works(fetch: &str, upload: &str) -> Result<()> {
    let program = fetch.split(' ').next().unwrap_or_default();
    let Some(contoso) = Contoso::build(EASTUS, &[program])? else {
        return Ok(());
    };
    let network = &contoso.network;
    let proxy = contoso.proxy(&[LOGIN_ENTRY, EASTUS_ENTRY])?;
    let secret = network.write("secret", &"secret".repeat(100_000))?;
    let (out, authority) = (network.path("out"), network.authority_file());
    let run = |command: &str, url: &str| {
        let ours = [
            ("SCRIPTS", SCRIPTS.to_owned()),
            ("URL", url.to_owned()),
            ("OUT", out.display().to_string()),
            ("FILE", secret.display().to_string()),
            ("CA", authority.display().to_string()),
        ];
        let words = command.split(' ').skip(1).map(|word| {
            let named = ours.iter().find(|(name, _)| word.contains(name));
            named.map_or(word.into(), |(name, value)| word.replacen(name, value, 1))
        });
        network.client(program, &proxy).args(words).run()
    };

    run(fetch, &format!("https://{LOGIN}/v2/"))?.succeeded()?;
    assert_eq!(fs::read_to_string(&out)?, "{}");

    let layer = contoso.image.largest();
    run(fetch, &format!("https://{LOGIN}/v2/app/blobs/{layer}"))?.succeeded()?;
    let same = fs::read(&out)? == contoso.image.blob(layer)?;
    assert!(same, "the layer has changed on its way");
    proxy.logged(tunnelled(EASTUS))?;

    run(fetch, &format!("https://{OTHER}/v2/"))?.failed_saying("not_in_policy")?;
    proxy.logged(refused(OTHER, "not_in_policy"))?;

    run(upload, &format!("https://{STRANGER}/c/secret"))?.failed_saying("storage_forbidden")?;
    proxy.logged(refused(STRANGER, "storage_forbidden"))?;

    assert_eq!(contoso.stranger.received()?, Received::default());
    let listed = BTreeSet::from([LOGIN, EASTUS].map(str::to_owned));
    assert_eq!(contoso.dns.questions()?, listed);
    Ok(())
}

/// A registry of somebody else.
const OTHER: &str = "fabrikam.azurecr.io";

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/proxy/clients");
