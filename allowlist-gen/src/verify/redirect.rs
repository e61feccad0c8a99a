//! The 307 guard: where a registry may send for a blob. Only to its own data endpoint, by https, on port 443, and only
//! if the list has it. The signed URL's query is a key to the blob, and is shown to nobody.
//! <https://learn.microsoft.com/azure/container-registry/container-registry-dedicated-data-endpoints>

use std::fmt;

use hyper::Uri;
use ringfence_config::endpoint::{Endpoint, Family, LoginServer};
use ringfence_config::{Allowlist, Entry, Hostname, Port, guard};

use super::outcome::Outcome;
use super::report::Finding;

/// A URL that may be followed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Redirect<'a> {
    /// The data endpoint.
    pub(crate) host: Hostname,
    /// Its entry on the list.
    pub(crate) entry: &'a Entry,
    /// Path and query, with the signature.
    pub(crate) path: String,
}

impl fmt::Debug for Redirect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redirect(https://{}/…)", self.host)
    }
}

/// Judges the `Location` that `registry` sent.
pub(crate) fn judge<'a>(
    location: &str,
    registry: &LoginServer,
    list: &'a Allowlist,
) -> Result<Redirect<'a>, Finding> {
    let malformed = || Finding::from(Outcome::RedirectMalformed);
    let uri: Uri = location.parse().map_err(|_| malformed())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(malformed());
    };
    let refuse = |outcome| Err(Finding::from(outcome).naming(authority.host()));
    if scheme != "https" {
        return refuse(Outcome::RedirectInsecure);
    }
    if authority.as_str().contains('@') {
        return refuse(Outcome::RedirectUserinfo);
    }
    // What stands behind the host and is no number is no port either.
    let port = authority.as_str().strip_prefix(authority.host());
    if !matches!(port, Some("" | ":443")) {
        return refuse(Outcome::RedirectPort);
    }
    let Ok(host) = authority.host().parse::<Hostname>() else {
        return refuse(Outcome::RedirectElsewhere);
    };
    if guard::is_storage(&host) {
        return refuse(Outcome::RedirectToStorage);
    }
    match host.as_str().parse::<Endpoint>() {
        Ok(endpoint) if endpoint.login_server() != registry => {
            return refuse(Outcome::RedirectToOtherRegistry);
        }
        Ok(endpoint) if matches!(endpoint.family(), Family::Data(_)) => {}
        Ok(_) | Err(_) => return refuse(Outcome::RedirectElsewhere),
    }
    let mut entries = list.entries().iter();
    let admits = |entry: &&Entry| entry.host.matches(&host) && entry.ports.contains(Port::HTTPS);
    let Some(entry) = entries.find(admits) else {
        return refuse(Outcome::RedirectUnlisted);
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok(Redirect { host, entry, path })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::Url;
    use ringfence_config::Role;

    use super::*;

    fn list() -> Allowlist {
        let entry = |host: &str| {
            let endpoint: Endpoint = host.parse().expect(host);
            Entry::new(endpoint.host(), Role::from(&endpoint))
        };
        let hosts = [LOGIN, DATA, "fabrikam.eastus.data.azurecr.io"];
        Allowlist::new(hosts.map(entry)).expect("a list")
    }

    const LOGIN: &str = "contoso.azurecr.io";
    const DATA: &str = "contoso.eastus.data.azurecr.io";

    /// What URLs are made of, and what readers disagree about.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(DATA.to_owned()),
            Just("https://".to_owned()),
            Just("evil.example".to_owned()),
            "[a-zA-Z0-9@:/?#\\\\.%\\[\\] \\t-]{0,3}",
            any::<char>().prop_map(String::from),
        ]
    }

    proptest! {
        /// Whatever is followed, a browser's reader would go to the same place: the registry's own data endpoint.
        #[test]
        fn two_readers_agree_on_what_is_followed(pieces in prop::collection::vec(piece(), 0..6)) {
            let contoso = LOGIN.parse().expect("a login server");
            for location in [pieces.concat(), format!("https://{DATA}{}", pieces.concat())] {
                let list = list();
                if let Ok(redirect) = judge(&location, &contoso, &list) {
                    let url: Url = location.parse().expect("a URL");
                    prop_assert_eq!(url.scheme(), "https");
                    prop_assert_eq!(url.host_str(), Some(DATA));
                    prop_assert_eq!(url.port_or_known_default(), Some(443));
                    prop_assert_eq!((url.username(), url.password()), ("", None));
                    prop_assert_eq!(redirect.host.as_str(), DATA);
                }
            }
        }
    }

    #[test]
    fn blobs_stay_on_the_registrys_own_listed_data_endpoint() {
        let list = list();
        let contoso: LoginServer = LOGIN.parse().expect("a login server");
        let rows = [
            ("https://contoso.eastus.data.azurecr.io/b?sig=secret", None),
            ("https://Contoso.eastus.data.azurecr.io:443/b?sig=secret", None),
            ("/b?sig=secret", Some(Outcome::RedirectMalformed)),
            ("", Some(Outcome::RedirectMalformed)),
            ("https:///b", Some(Outcome::RedirectMalformed)),
            ("//contoso.eastus.data.azurecr.io/b", Some(Outcome::RedirectMalformed)),
            (
                "https://contoso.eastus.data.azurecr.io\\@evil.example/",
                Some(Outcome::RedirectMalformed),
            ),
            ("http://contoso.eastus.data.azurecr.io/b?sig=secret", Some(Outcome::RedirectInsecure)),
            ("https://u:p@contoso.eastus.data.azurecr.io/b", Some(Outcome::RedirectUserinfo)),
            (
                "https://contoso.eastus.data.azurecr.io@evil.example/b",
                Some(Outcome::RedirectUserinfo),
            ),
            ("https://contoso.eastus.data.azurecr.io:8443/b", Some(Outcome::RedirectPort)),
            ("https://contoso.eastus.data.azurecr.io:0443/b", Some(Outcome::RedirectPort)),
            ("https://contoso.eastus.data.azurecr.io:/b", Some(Outcome::RedirectPort)),
            (
                "https://eusmanaged70.blob.core.windows.net/b?sig=secret",
                Some(Outcome::RedirectToStorage),
            ),
            ("https://fabrikam.eastus.data.azurecr.io/b", Some(Outcome::RedirectToOtherRegistry)),
            ("https://contoso.eastus.data.azurecr.us/b", Some(Outcome::RedirectToOtherRegistry)),
            ("https://contoso.azurecr.io/b", Some(Outcome::RedirectElsewhere)),
            ("https://evil.example/b", Some(Outcome::RedirectElsewhere)),
            ("https://contoso.eastus.data.azurecr.io./b", Some(Outcome::RedirectElsewhere)),
            ("https://10.0.0.1/b", Some(Outcome::RedirectElsewhere)),
            ("https://[::1]/b", Some(Outcome::RedirectElsewhere)),
            ("https://azurecr.io/b", Some(Outcome::RedirectElsewhere)),
            ("https://contoso.westus.data.azurecr.io/b", Some(Outcome::RedirectUnlisted)),
        ];
        for (location, expected) in rows {
            let judged = judge(location, &contoso, &list);
            let shown = format!("{judged:?}");
            assert!(!shown.contains("secret"), "{shown}");
            assert_eq!(judged.err().map(|finding| finding.outcome), expected, "{location}");
        }
    }
}
