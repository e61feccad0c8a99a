//! A replica is added while the proxy runs: refused before, pulled from after, never a restart.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::Instant;

use anyhow::{Result, ensure};
use test_support::{PATIENCE, Ringfence};

use crate::contoso::{
    Contoso, EASTUS_ENTRY, LOGIN_ENTRY, WESTUS, WESTUS_ENTRY, allowlist, refused, start, tunnelled,
};

/// L06.
#[test]
fn a_list_renamed_over_the_old_one_is_noticed() -> Result<()> {
    let Some(contoso) = Contoso::build(WESTUS, &["curl"])? else {
        return Ok(());
    };
    let list = contoso.network.write("allowlist.toml", &without_westus())?;
    let proxy = start(&contoso.network, &contoso.dns, &list)?;
    check_refused(&contoso, &proxy)?;

    let new = contoso.network.write("allowlist.new", &with_westus())?;
    fs::rename(new, list)?;

    check_pulled(&contoso, &proxy)
}

/// L06.
#[test]
fn a_list_written_in_place_is_read_on_sighup() -> Result<()> {
    let Some(contoso) = Contoso::build(WESTUS, &["curl"])? else {
        return Ok(());
    };
    let list = contoso.network.write("allowlist.toml", &without_westus())?;
    let proxy = start(&contoso.network, &contoso.dns, &list)?;
    check_refused(&contoso, &proxy)?;

    // As long as its writer has not closed it, nothing but the signal says that the file is whole.
    let mut open = fs::File::create(list)?;
    open.write_all(with_westus().as_bytes())?;
    proxy.reload()?;

    check_pulled(&contoso, &proxy)?;
    drop(open);
    Ok(())
}

/// L06. Kubernetes mounts a `ConfigMap` as `allowlist.toml` → `..data/allowlist.toml`, `..data` → a directory
/// with the time in its name, and renames a new `..data` over the old one.
#[test]
fn a_config_map_that_changes_is_noticed() -> Result<()> {
    let Some(contoso) = Contoso::build(WESTUS, &["curl"])? else {
        return Ok(());
    };
    let mount = contoso.network.path("mount");
    for (version, list) in [("..2025_1", without_westus()), ("..2025_2", with_westus())] {
        fs::create_dir_all(mount.join(version))?;
        fs::write(mount.join(version).join("allowlist.toml"), list)?;
    }
    symlink("..2025_1", mount.join("..data"))?;
    symlink("..data/allowlist.toml", mount.join("allowlist.toml"))?;
    let proxy = start(&contoso.network, &contoso.dns, &mount.join("allowlist.toml"))?;
    check_refused(&contoso, &proxy)?;

    symlink("..2025_2", mount.join("..data_tmp"))?;
    fs::rename(mount.join("..data_tmp"), mount.join("..data"))?;
    fs::remove_dir_all(mount.join("..2025_1"))?;

    check_pulled(&contoso, &proxy)
}

/// The pull's redirect leads to the replica, which isn't on the list.
fn check_refused(contoso: &Contoso, proxy: &Ringfence) -> Result<()> {
    contoso.pull(proxy, ":v1", "refused")?.failed_saying("not_in_policy")?;
    proxy.logged(refused(WESTUS, "not_in_policy"))?;
    assert!(!contoso.dns.questions()?.contains(WESTUS));
    assert!(contoso.westus.log().is_empty());
    Ok(())
}

/// The pull works, once the proxy has had the time to see its new list.
fn check_pulled(contoso: &Contoso, proxy: &Ringfence) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let url = format!("https://{WESTUS}/");
    let reachable = || {
        let curl = contoso.network.client("curl", proxy).args(["--silent", &url]);
        anyhow::Ok(curl.run()?.status.success())
    };
    while !reachable()? {
        ensure!(Instant::now() < deadline, "the proxy has not taken up the new list");
    }
    contoso.pull(proxy, ":v1", "copy")?.succeeded()?;
    contoso.check_copy("copy")?;
    proxy.logged(tunnelled(WESTUS))?;
    Ok(())
}

fn without_westus() -> String {
    allowlist(&[LOGIN_ENTRY, EASTUS_ENTRY])
}

fn with_westus() -> String {
    allowlist(&[LOGIN_ENTRY, EASTUS_ENTRY, WESTUS_ENTRY])
}
