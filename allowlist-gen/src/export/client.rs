//! Settings of clients: which hosts they reach directly and which through a proxy, and whose images they take.
//!
//! Clients read exceptions from the proxy in different ways. One spelling means the same to all of them: the exact
//! name in lower case, without a dot, a star, a port or a block of addresses around it, and commas between the names.

pub(super) mod aks;
pub(super) mod aks_arm;
pub(super) mod aks_bicep;
pub(super) mod aks_terraform;
pub(super) mod docker;
pub(super) mod java;
pub(super) mod no_proxy;
pub(super) mod no_proxy_env;
pub(super) mod podman;
pub(super) mod policy_json;
pub(super) mod registries_conf;
pub(super) mod systemd;

use ringfence_config::endpoint::Endpoint;
use ringfence_config::{Entry, Port};

use super::sheet::{Host, Sheet};
use super::{Error, Format, ProxyUrl, Setting};

/// The hosts that are reached directly, as the value of `NO_PROXY`.
fn no_proxy(sheet: &Sheet<'_>) -> Result<String, Error> {
    let value = direct(sheet, ",");
    sheet.at_most(MAX_VALUE, "bytes of NO_PROXY", value.len())?;
    Ok(value)
}

/// The hosts that are reached directly.
fn direct(sheet: &Sheet<'_>, separator: &str) -> String {
    let names: Vec<&str> = sheet.hosts.iter().map(|host| host.name.as_str()).collect();
    names.join(separator)
}

/// The variables that clients look for, in both spellings: curl takes `http_proxy` in small letters only, and some
/// programs know only the capitals. Their values have nothing that a shell, a unit or an environment file would
/// expand: neither a host's name nor a proxy's URL can hold a space, a quote, `$` or `%`.
fn variables(sheet: &Sheet<'_>) -> Result<Vec<String>, Error> {
    let (proxy, no_proxy) = (proxy(sheet)?.to_string(), no_proxy(sheet)?);
    let capitals = [("HTTPS_PROXY", &proxy), ("HTTP_PROXY", &proxy), ("NO_PROXY", &no_proxy)];
    let small = capitals.map(|(name, value)| format!("{}={value}", name.to_ascii_lowercase()));
    let capitals = capitals.map(|(name, value)| format!("{name}={value}"));
    Ok(capitals.into_iter().chain(small).collect())
}

fn proxy<'a>(sheet: &Sheet<'a>) -> Result<&'a ProxyUrl, Error> {
    let needs = Error::Needs { format: sheet.format().name(), setting: Setting::Proxy };
    sheet.options.proxy.as_ref().ok_or(needs)
}

/// The proxy, for clients that can't speak TLS to it.
fn plain_proxy<'a>(sheet: &Sheet<'a>, why: &'static str) -> Result<&'a ProxyUrl, Error> {
    let proxy = proxy(sheet)?;
    if proxy.is_tls() { Err(sheet.unsuitable(Setting::Proxy, why)) } else { Ok(proxy) }
}

/// The names by which images of `host` are known: a port other than 443 is part of them.
fn registries(host: &Host<'_>) -> Vec<String> {
    let name = |port: Port| {
        if port == Port::HTTPS { host.name.to_string() } else { format!("{}:{port}", host.name) }
    };
    host.ports.iter().map(name).collect()
}

/// What whoever sets exceptions from the proxy should know.
pub(super) fn warnings(sheet: &Sheet<'_>) -> Vec<String> {
    let mut warnings = strangers(sheet);
    if sheet.hosts.is_empty() {
        let nothing =
            "no registry on the list is reached through Private Link, so nothing goes directly";
        warnings.push(nothing.to_owned());
        return warnings;
    }
    if is_aks(sheet.format()) && sheet.options.future_regions.is_empty() {
        warnings.push(
            "a replica in another region will add a host here, and each change reimages every node pool: name \
             planned regions now, with `--future-region`"
                .to_owned(),
        );
    }
    warnings.extend(size(sheet));
    warnings
}

/// What a long value means for those who get it. Java reads it from a file, and has no variable.
fn size(sheet: &Sheet<'_>) -> Option<String> {
    let length = direct(sheet, ",").len();
    if length <= MAX_LINE || sheet.format() == Format::Java {
        return None;
    }
    let rest = if is_aks(sheet.format()) {
        "each container of each pod has it twice in its environment, in capitals and in small letters, and so has the \
         pod's object in the cluster"
            .to_owned()
    } else {
        let beyond = if length > MAX_WINDOWS {
            format!("a variable on Windows holds {MAX_WINDOWS} characters")
        } else {
            format!("a line of cmd.exe, which could set it, has {MAX_LINE} characters at most")
        };
        format!(
            "each process that is given it has it twice in its environment, in capitals and in small letters; {beyond}"
        )
    };
    Some(format!("NO_PROXY has {length} bytes: {rest}"))
}

fn is_aks(format: Format) -> bool {
    matches!(format, Format::Aks | Format::AksArm | Format::AksBicep | Format::AksTerraform)
}

/// Hosts that look as if they were behind Private Link, but of which nobody knows whose they are.
fn strangers(sheet: &Sheet<'_>) -> Vec<String> {
    let entries = sheet.allowlist.entries().iter();
    // By what the host is, as the exceptions themselves: a registry's may be written as `other`.
    let is_registrys = |entry: &&Entry| entry.host.as_str().parse::<Endpoint>().is_ok();
    let strangers =
        entries.filter(|entry| !entry.addresses.is_empty()).filter(|entry| !is_registrys(entry));
    let warning = |entry: &Entry| {
        let host = &entry.host;
        format!(
            "`{host}` has private addresses and belongs to no registry: it goes through the proxy"
        )
    };
    strangers.map(warning).collect()
}

const TAKES: &[Setting] = &[Setting::Proxy, Setting::FutureRegion];
const NEEDS: &[Setting] = &[Setting::Proxy];

const NOTE_PRIVATE: &str = "Exactly the hosts of registries behind Private Link go directly, and their names must \
                            resolve to private addresses where the client is. Left out on purpose: all other \
                            hosts of the list, which are those of registries without a private address, and \
                            hand-written ones. They go through the proxy, or it would enforce nothing.";
const NOTE_BELOW: &str = "Go, curl, wget, Python and Node's fetch take an exception for all names below it, too. \
                          There are none below a registry's hosts.";
const NOTE_LOOPBACK: &str = "The machine itself isn't excepted, which Go does unasked; others may need \
                             `localhost,127.0.0.1` in front.";

/// A string of an environment has at most 32 pages (`MAX_ARG_STRLEN`), with `NO_PROXY=` and the zero at its end:
/// <https://man7.org/linux/man-pages/man2/execve.2.html>.
const MAX_VALUE: usize = 32 * 4096 - "NO_PROXY=".len() - 1;
const LIMITS: &str =
    "131 062 bytes of NO_PROXY, which is what Linux takes in one variable (execve(2))";

/// The smallest limit that the value meets anywhere:
/// <https://learn.microsoft.com/troubleshoot/windows-client/shell-experience/command-line-string-limitation>
const MAX_LINE: usize = 8_191;

/// <https://learn.microsoft.com/windows/win32/api/processenv/nf-processenv-setenvironmentvariablew>
const MAX_WINDOWS: usize = 32_767;

#[cfg(test)]
mod tests {
    use ringfence_config::address::Pin;
    use ringfence_config::endpoint::{Cloud, Family, LoginServer};
    use ringfence_config::{Allowlist, Issue, Role};

    use super::*;
    use crate::export::{self, Options};

    #[test]
    fn two_thousand_hosts_fit_and_more_than_a_variable_holds_is_an_error() {
        let (few, many) = (private_registries(1000), private_registries(3000));
        let (one_thousand, small) = (private_registries(500), private_registries(100));
        for &format in Format::ALL {
            if format.about().scope != export::Scope::PrivateLink {
                continue;
            }
            let said = |list| export(format, list).expect("they fit").warnings.join("\n");
            if format == Format::Java {
                assert!(!said(&many).contains("NO_PROXY"), "{}", said(&many));
                continue;
            }
            let (large, larger) = (said(&one_thousand), said(&few));
            assert!(larger.contains("NO_PROXY has 59999 bytes"), "{larger}");
            assert!(
                large.contains("NO_PROXY has 29999 bytes") && large.contains("twice"),
                "{large}"
            );
            let is_of_pods = format.name().starts_with("aks");
            assert_eq!(large.contains("each pod"), is_of_pods, "{large}");
            assert_eq!(large.contains("8191"), !is_of_pods, "{large}");
            assert_eq!(larger.contains("32767"), !is_of_pods, "{larger}");
            assert!(!said(&small).contains("bytes"), "{}", said(&small));
            let error = export_error(format, &many);
            assert!(
                matches!(error, Error::TooMany { limit: 131_062, .. }),
                "{}: {error}",
                format.name()
            );
        }
    }

    #[test]
    fn a_proxy_in_tls_is_for_those_who_can() {
        let list = private_registries(1);
        for (format, can) in [
            (Format::NoProxyEnv, true),
            (Format::Systemd, true),
            (Format::Java, false),
            (Format::Aks, false),
            (Format::AksArm, false),
            (Format::AksBicep, false),
            (Format::AksTerraform, false),
        ] {
            let options = Options {
                proxy: Some("https://proxy.example:3128".parse().expect("a URL")),
                ..Options::default()
            };
            let result = export::render(format, &list, Issue::default(), &options);
            assert_eq!(result.is_ok(), can, "{}: {result:?}", format.name());
        }
    }

    #[test]
    fn a_cluster_has_no_proxy_on_its_own_loopback() {
        let list = private_registries(1);
        for (url, is_taken) in [
            ("http://127.0.0.1:3128", false),
            ("http://127.9.9.9:3128", false),
            ("http://localhost:3128", false),
            ("http://proxy.localhost:3128", false),
            ("http://[::1]:3128", false),
            ("http://[::ffff:127.0.0.1]:3128", false),
            ("http://0.0.0.0:3128", false),
            ("http://[::]:3128", false),
            ("http://10.10.0.4:3128", true),
            ("http://[fd00::4]:3128", true),
            ("http://localhost.corp.example:3128", true),
        ] {
            let proxy = Some(url.parse().expect("a URL"));
            let options = Options { proxy, ..Options::default() };
            for format in [Format::Aks, Format::AksArm, Format::AksBicep, Format::AksTerraform] {
                let result = export::render(format, &list, Issue::default(), &options);
                assert_eq!(result.is_ok(), is_taken, "{url}: {result:?}");
                if let Err(error) = result {
                    let why = "nodes and pods can't reach the proxy at a loopback address";
                    assert!(error.to_string().ends_with(why), "{error}");
                }
            }
            export::render(Format::NoProxyEnv, &list, Issue::default(), &options)
                .expect("a client may have a proxy of its own");
        }
    }

    #[test]
    fn what_goes_through_the_proxy_against_expectation_is_said() {
        let warnings = |entry: Entry| {
            let list = Allowlist::new([entry]).expect("a list");
            export(Format::NoProxy, &list).expect("a line").warnings.join("\n")
        };
        let login = Role::Login("contoso".parse().expect("a label"));
        let public = Entry::new("contoso.azurecr.io".parse().expect("a host"), login);
        assert!(warnings(public).contains("nothing goes directly"));
        let mut stranger = Entry::new("images.example".parse().expect("a host"), Role::Other);
        stranger.addresses = vec!["10.20.0.4".parse().expect("an address")];
        stranger.why = Some("a test".to_owned());
        assert!(warnings(stranger).contains("`images.example` has private addresses"));
    }

    #[test]
    fn future_regions_are_in_it_and_end_the_warning() {
        let list = private_registries(1);
        let mut options = options(Format::Aks);
        options.future_regions = vec!["northeurope".parse().expect("a region")];
        let export =
            export::render(Format::Aks, &list, Issue::default(), &options).expect("a list");
        assert!(export.text.contains("\"registry0000.northeurope.data.azurecr.io\""));
        let said = export.warnings.join("\n");
        assert!(said.contains("no private address for it") && !said.contains("reimages"), "{said}");
    }

    fn private_registries(count: usize) -> Allowlist {
        let pin: Pin = "10.20.0.4".parse().expect("an address");
        let entries = (0..count).flat_map(|number| {
            let label = format!("registry{number:04}").parse().expect("a label");
            let registry = LoginServer::new(&label, Cloud::Public).expect("a login server");
            let region = "eastus".parse().expect("a region");
            [Family::Login, Family::Data(region)].map(|family| {
                let endpoint = registry.endpoint(family);
                let mut entry = Entry::new(endpoint.host(), Role::from(&endpoint));
                entry.addresses = vec![pin];
                entry
            })
        });
        Allowlist::new(entries).expect("a list")
    }

    fn options(format: Format) -> Options {
        let mut options = Options::default();
        if format.about().takes.contains(&Setting::Proxy) {
            options.proxy = Some("http://proxy.example:3128".parse().expect("a URL"));
        }
        options
    }

    fn export(format: Format, list: &Allowlist) -> Result<export::Export, Error> {
        export::render(format, list, Issue::default(), &options(format))
    }

    fn export_error(format: Format, list: &Allowlist) -> Error {
        export(format, list).expect_err("6 000 hosts don't fit")
    }
}
