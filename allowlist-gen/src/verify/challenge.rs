//! Who gives tokens, as `/v2/` says it (RFC 9110 §11.6.1, <https://distribution.github.io/distribution/spec/auth/token/>).
//! A registry in Azure is its own token server:
//! <https://learn.microsoft.com/azure/container-registry/container-registry-authentication>.

use hyper::Uri;
use hyper::header::{HeaderMap, WWW_AUTHENTICATE};
use ringfence_config::endpoint::{Endpoint, Family};
use ringfence_config::{Hostname, Port};

use super::outcome::Outcome;
use super::report::Finding;

/// Where tokens come from, and for whom: the registry itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The path and query of the token server, on the registry's host.
    realm: String,
    service: Hostname,
}

impl Challenge {
    /// Reads the challenge that `host` sent, and checks that it keeps clients' passwords there.
    pub(crate) fn read(headers: &HeaderMap, host: &Hostname, port: Port) -> Result<Self, Finding> {
        let malformed = || Finding::from(Outcome::ChallengeMalformed);
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        let mut challenges = values.filter_map(|value| parameters(value.to_str().ok()?));
        // Clients differ in which of several they follow.
        let (Some(parameters), None) = (challenges.next(), challenges.next()) else {
            return Err(malformed());
        };
        let of = |name: &str| {
            let mut found = parameters.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            match (found.next(), found.next()) {
                (Some((_, value)), None) => Some(value.as_str()),
                _ => None,
            }
        };
        let (Some(realm), Some(service)) = (of("realm"), of("service")) else {
            return Err(malformed());
        };
        let uri: Uri = realm.parse().map_err(|_| malformed().naming(realm))?;
        let Some(authority) = uri.authority() else {
            return Err(malformed().naming(realm));
        };
        let elsewhere = |outcome| Err(Finding::from(outcome).naming(authority.host()));
        if uri.scheme_str() != Some("https") {
            return elsewhere(Outcome::RealmInsecure);
        }
        let has_user = authority.as_str().contains('@');
        let same_host = authority.host().parse().is_ok_and(|named: Hostname| named == *host);
        // As it is written: what is no number (`:`, `:x`, `:99999`) is read as no port by some.
        let same_port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => port == Port::HTTPS,
            Some(written) => written == format!(":{port}"),
            None => false,
        };
        if has_user || !same_host || !same_port {
            return elsewhere(Outcome::RealmElsewhere);
        }
        let Some(service) = service.parse().ok().filter(|named| is_service_of(host, named)) else {
            return Err(Finding::from(Outcome::ServiceElsewhere).naming(service));
        };
        let realm = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { realm, service })
    }

    /// The path and query of a question for a token, for `scope` if there is one.
    pub(crate) fn question(&self, scope: Option<&str>) -> String {
        let sign = if self.realm.contains('?') { '&' } else { '?' };
        let scope = scope.map(|scope| format!("&scope={scope}")).unwrap_or_default();
        format!("{}{sign}service={}{scope}", self.realm, self.service)
    }
}

/// A regional login server may ask for tokens of the whole registry; nothing is published about that.
fn is_service_of(host: &Hostname, service: &Hostname) -> bool {
    let global = || {
        let endpoint: Endpoint = host.as_str().parse().ok()?;
        Some(endpoint.login_server().endpoint(Family::Login).host())
    };
    service == host || global().is_some_and(|global| global == *service)
}

/// The parameters of a Bearer challenge: tokens or quoted strings (RFC 9110 §5.6.4), with commas between them.
fn parameters(value: &str) -> Option<Vec<(String, String)>> {
    let (scheme, mut rest) = value.trim_start().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(parameters);
        }
        let (name, after) = rest.split_once('=')?;
        let is_token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = after.find([' ', '\t', ',']).unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        };
        parameters.push((name.to_owned(), value));
        rest = after;
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => text.push(characters.next()?.1),
            _ => text.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Parameters that are written as they should be are read as they are meant; nothing panics.
        #[test]
        fn quoted_parameters_are_read_back(
            pairs in prop::collection::vec(("[a-z_]{1,8}", any::<String>()), 0..5),
            noise: String,
        ) {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let written: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", quote(value))).collect();
            prop_assert_eq!(parameters(&format!("Bearer {}", written.join(","))), Some(pairs));
            let _ = parameters(&noise);
            let _ = parameters(&format!("Bearer {noise}"));
        }
    }

    fn read(values: &[&str]) -> Result<Challenge, Outcome> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).expect("a value"));
        }
        let host = "contoso.azurecr.io".parse().expect("a host");
        Challenge::read(&headers, &host, Port::HTTPS).map_err(|finding| finding.outcome)
    }

    #[test]
    fn passwords_stay_with_the_registry() {
        let service = r#",service="contoso.azurecr.io""#;
        let realm = |url: &str| format!("Bearer realm=\"{url}\"{service}");
        let rows = [
            (realm("https://contoso.azurecr.io/oauth2/token"), None),
            (realm("https://Contoso.azurecr.io:443/oauth2/token"), None),
            (
                "bearer  Service=contoso.azurecr.io, realm=\"https:\\//contoso.azurecr.io/t\" , \
                 error=\"invalid_token\""
                    .to_owned(),
                None,
            ),
            (realm("http://contoso.azurecr.io/oauth2/token"), Some(Outcome::RealmInsecure)),
            (realm("https://evil.example/oauth2/token"), Some(Outcome::RealmElsewhere)),
            (realm("https://contoso.azurecr.io.evil.example/"), Some(Outcome::RealmElsewhere)),
            (realm("https://contoso.azurecr.io@evil.example/"), Some(Outcome::RealmElsewhere)),
            (realm("https://u@contoso.azurecr.io/"), Some(Outcome::RealmElsewhere)),
            (realm("https://contoso.azurecr.io:8443/"), Some(Outcome::RealmElsewhere)),
            (realm("https://contoso.azurecr.io:/oauth2/token"), Some(Outcome::RealmElsewhere)),
            (realm("https://contoso.azurecr.io:x/oauth2/token"), Some(Outcome::RealmElsewhere)),
            (realm("https://contoso.azurecr.io:65979/token"), Some(Outcome::RealmElsewhere)),
            (realm("https://contoso.azurecr.io:0443/token"), Some(Outcome::RealmElsewhere)),
            (realm("https://fabrikam.azurecr.io/oauth2/token"), Some(Outcome::RealmElsewhere)),
            (realm("/oauth2/token"), Some(Outcome::ChallengeMalformed)),
            (realm("https:// evil"), Some(Outcome::ChallengeMalformed)),
            (
                "Bearer realm=\"https://contoso.azurecr.io/\",service=\"fabrikam.azurecr.io\""
                    .to_owned(),
                Some(Outcome::ServiceElsewhere),
            ),
            (
                "Bearer realm=\"https://contoso.azurecr.io/\"".to_owned(),
                Some(Outcome::ChallengeMalformed),
            ),
            // Two realms: clients differ in which they take.
            (
                format!(
                    "Bearer realm=\"https://contoso.azurecr.io/\",realm=\"https://evil.example/\"{service}"
                ),
                Some(Outcome::ChallengeMalformed),
            ),
            ("Basic realm=\"contoso\"".to_owned(), Some(Outcome::ChallengeMalformed)),
            ("Bearer".to_owned(), Some(Outcome::ChallengeMalformed)),
            ("Bearer realm=\"https://contoso".to_owned(), Some(Outcome::ChallengeMalformed)),
            ("Bearer realm".to_owned(), Some(Outcome::ChallengeMalformed)),
        ];
        for (value, expected) in rows {
            assert_eq!(read(&[&value]).err(), expected, "{value}");
        }
        let good = realm("https://contoso.azurecr.io/oauth2/token");
        assert_eq!(read(&[]).err(), Some(Outcome::ChallengeMalformed));
        assert_eq!(read(&[&good, &good]).err(), Some(Outcome::ChallengeMalformed));
        // A second way to log in takes nothing away.
        assert_eq!(read(&["Basic realm=\"contoso\"", &good]).err(), None);
    }

    #[test]
    fn a_regional_login_server_is_of_its_registry() {
        let regional = "contoso.eastus.geo.azurecr.io".parse().expect("a host");
        for (service, expected) in [
            ("contoso.eastus.geo.azurecr.io", true),
            ("contoso.azurecr.io", true),
            ("fabrikam.azurecr.io", false),
            ("contoso.westus.geo.azurecr.io", false),
            ("contoso.azurecr.us", false),
        ] {
            let service = service.parse().expect("a host");
            assert_eq!(is_service_of(&regional, &service), expected, "{service}");
        }
    }

    #[test]
    fn questions_for_tokens_name_the_service_and_the_scope() {
        let header = r#"Bearer realm="https://contoso.azurecr.io/oauth2/token",service="contoso.azurecr.io""#;
        let challenge = read(&[header]).expect("a challenge");
        assert_eq!(challenge.question(None), "/oauth2/token?service=contoso.azurecr.io");
        assert_eq!(
            challenge.question(Some("repository:team/app:pull")),
            "/oauth2/token?service=contoso.azurecr.io&scope=repository:team/app:pull"
        );
    }
}
