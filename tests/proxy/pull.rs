//! Images pulled and pushed with skopeo by a client whose only way out is the proxy.

use std::collections::BTreeSet;

use anyhow::Result;
use test_support::{Dns, Network, Recorder, address};

use crate::contoso::{
    Contoso, EASTUS, EASTUS_ENTRY, LOGIN, LOGIN_ENTRY, STRANGER, refused, start, tunnelled,
};

#[test]
fn a_pull_by_tag_and_one_by_digest_arrive_whole() -> Result<()> {
    let Some(contoso) = Contoso::build(EASTUS, &[])? else {
        return Ok(());
    };
    let proxy = contoso.proxy(&[LOGIN_ENTRY, EASTUS_ENTRY])?;

    contoso.pull(&proxy, ":v1", "by-tag")?.succeeded()?;
    contoso.check_copy("by-tag")?;
    let digest = format!("@{}", contoso.image.manifest());
    contoso.pull(&proxy, &digest, "by-digest")?.succeeded()?;
    contoso.check_copy("by-digest")?;

    proxy.logged(tunnelled(LOGIN))?;
    let size = contoso.image.blob(contoso.image.largest())?.len();
    proxy.logged(|line| {
        tunnelled(EASTUS)(line) && line["received"].as_u64() > u64::try_from(size).ok()
    })?;
    let blob = contoso.image.largest().replace("sha256:", "");
    let served = contoso.eastus.log();
    assert!(served.iter().any(|line| line.contains(&blob)), "{served:?}");

    let expected = |line: &_| tunnelled(LOGIN)(line) || tunnelled(EASTUS)(line);
    assert!(proxy.log()?.iter().all(expected), "{:?}", proxy.log()?);
    let listed = BTreeSet::from([LOGIN, EASTUS].map(str::to_owned));
    assert_eq!(contoso.dns.questions()?, listed);
    Ok(())
}

#[test]
fn a_push_goes_through_the_login_server() -> Result<()> {
    let Some(contoso) = Contoso::build_empty(EASTUS, &[])? else {
        return Ok(());
    };
    let proxy = contoso.proxy(&[LOGIN_ENTRY, EASTUS_ENTRY])?;

    let (image, target) = (&contoso.image, format!("docker://{LOGIN}/app:v1"));
    let skopeo = contoso.network.client("skopeo", &proxy);
    let skopeo = skopeo.args(["--insecure-policy", "copy", &image.reference(), &target]);
    skopeo.run()?.succeeded()?;

    let stored = contoso.registry.blob(image.largest())?;
    let same = stored == image.blob(image.largest())?;
    assert!(same, "the layer has changed on its way");
    proxy.logged(|line| {
        tunnelled(LOGIN)(line) && line["sent"].as_u64() > u64::try_from(stored.len()).ok()
    })?;
    Ok(())
}

#[test]
fn a_redirect_to_storage_ends_there_and_says_why() -> Result<()> {
    let Some(contoso) = Contoso::build(STRANGER, &[])? else {
        return Ok(());
    };
    let proxy = contoso.proxy(&[LOGIN_ENTRY, EASTUS_ENTRY])?;

    let pull = contoso.pull(&proxy, ":v1", "copy")?;
    pull.failed_saying("storage_forbidden")?;

    proxy.logged(tunnelled(LOGIN))?;
    proxy.logged(refused(STRANGER, "storage_forbidden"))?;
    contoso.check_stranger_untouched()
}

#[test]
fn the_proxy_is_the_only_way_out() -> Result<()> {
    let Some(contoso) = Contoso::build_empty(EASTUS, &["curl"])? else {
        return Ok(());
    };
    let network = &contoso.network;
    let resolve = format!("{LOGIN}:443:{}", address::LOGIN);
    let url = format!("https://{LOGIN}/v2/");
    let direct_from = |namespace| {
        let curl = network.unproxied("curl", namespace).args(["--connect-timeout", "2"]);
        curl.args(["--silent", "--show-error", "--resolve", &resolve, &url]).run()
    };

    direct_from(&network.gate)?.succeeded()?;
    direct_from(&network.client)?.failed()?;
    // Nor when the client takes the gate for a router.
    let route = ["route", "add", "default", "via", address::GATE];
    network.client.ip(&route)?;
    direct_from(&network.client)?.failed()?;

    let proxy = contoso.proxy(&[LOGIN_ENTRY])?;
    let curl = network.client("curl", &proxy);
    curl.args(["--silent", "--fail", &url]).run()?.succeeded()?;
    Ok(())
}

#[test]
fn a_private_endpoint_is_reached_by_the_host_it_is_pinned_to_and_no_other() -> Result<()> {
    let Some(network) = Network::open(&["curl"])? else {
        return Ok(());
    };
    let other = "fabrikam.azurecr.io";
    let endpoint = Recorder::start(&network, LOGIN, address::PRIVATE)?;
    let hosts = [LOGIN, other].map(|host| (host, address::PRIVATE));
    let dns = Dns::start(&network, &hosts)?;
    let list = network.write("allowlist.toml", PRIVATE_LIST)?;
    let proxy = start(&network, &dns, &list)?;
    let get = |host| {
        let url = format!("https://{host}/");
        let curl = network.client("curl", &proxy);
        curl.args(["--silent", "--verbose", &url]).run()
    };

    get(LOGIN)?.succeeded()?;
    let before = endpoint.received()?;
    assert!(before.data > 0);
    proxy.logged(|line| {
        let address = line["address"].as_str().unwrap_or_default();
        tunnelled(LOGIN)(line) && address.starts_with(address::PRIVATE)
    })?;

    get(other)?.failed_saying("address_forbidden")?;
    assert_eq!(endpoint.received()?, before);
    proxy.logged(refused(other, "address_forbidden"))?;
    Ok(())
}

const PRIVATE_LIST: &str = r#"
schema = 1

[[entry]]
host = "contoso.azurecr.io"
role = "login"
registry = "contoso"
addresses = ["10.20.0.6"]

[[entry]]
host = "fabrikam.azurecr.io"
role = "login"
registry = "fabrikam"
"#;
