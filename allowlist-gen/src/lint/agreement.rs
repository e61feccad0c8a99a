//! Each consumer's language against a matcher that was written apart from it, and tries everything.

use proptest::prelude::*;
use ringfence_config::Hostname;
use ringfence_config::snippet::Source;

use super::{Format, format};

/// Whether some rule of `text` lets `host` through.
fn passes(written_in: Format, text: String, host: &str) -> bool {
    let source = Source { name: "rules".to_owned(), text };
    let reading = format::read(&[source], Some(written_in)).expect("rules");
    assert!(reading.doubts.is_empty(), "{:?}", reading.doubts);
    let host: Hostname = host.parse().expect("a host");
    reading.rules.iter().any(|rule| rule.reach.holds(&host).expect("it is small"))
}

/// Each star takes at least so many of the characters that it takes, and every split is tried.
fn glob(pattern: &[u8], host: &[u8], takes: fn(u8) -> bool, least: usize) -> bool {
    match (pattern, host) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (least..=host.len()).any(|n| {
            host[..n].iter().all(|byte| takes(*byte)) && glob(rest, &host[n..], takes, least)
        }),
        ([p, pattern @ ..], [h, host @ ..]) => p == h && glob(pattern, host, takes, least),
        _ => false,
    }
}

/// The matcher of "The Practice of Programming": characters, `.`, `*`, `^` and `$`.
fn regex(expression: &[u8], text: &[u8]) -> bool {
    match expression {
        [b'^', rest @ ..] => regex_here(rest, text),
        _ => (0..=text.len()).any(|start| regex_here(expression, &text[start..])),
    }
}

fn regex_here(expression: &[u8], text: &[u8]) -> bool {
    match expression {
        [] => true,
        [b'$'] => text.is_empty(),
        [c, b'*', rest @ ..] => (0..=text.len()).any(|n| {
            text[..n].iter().all(|byte| *c == b'.' || byte == c) && regex_here(rest, &text[n..])
        }),
        [c, rest @ ..] => {
            text.first().is_some_and(|byte| *c == b'.' || byte == c) && regex_here(rest, &text[1..])
        }
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|left| left.len() > 1 && left.ends_with('.'))
}

fn host() -> impl Strategy<Value = String> {
    r"[ab]{1,2}(\.[ab]{1,2}){1,3}"
}

proptest! {
    #[test]
    fn squid(domain in host(), dot in any::<bool>(), host in host()) {
        let value = if dot { format!(".{domain}") } else { domain.clone() };
        let text = format!("acl a dstdomain {value}\nhttp_access allow a\nhttp_access deny all\n");
        let expected = host == domain || (dot && is_below(&host, &domain));
        prop_assert_eq!(passes(Format::Squid, text, &host), expected);
    }

    #[test]
    fn squid_s_expressions(expression in r"\^?([ab.]\*?){1,5}\$?", host in host()) {
        let text = format!("acl a dstdom_regex {expression}\nhttp_access allow a\nhttp_access deny all\n");
        let expected = regex(expression.as_bytes(), host.as_bytes());
        prop_assert_eq!(passes(Format::Squid, text, &host), expected);
    }

    #[test]
    fn azure_firewall(pattern in r"[ab*]{1,3}(\.[ab*]{1,2}){1,3}", host in host()) {
        let text = format!(r#"{{"ruleCollections": [{{"action": {{"type": "Allow"}}, "rules": [{{"targetFqdns": ["{pattern}"]}}]}}]}}"#);
        let expected = glob(pattern.as_bytes(), host.as_bytes(), |_| true, 0);
        prop_assert_eq!(passes(Format::AzureFirewall, text, &host), expected);
    }

    #[test]
    fn cilium(pattern in r"(\*\*|[ab*]{1,3})(\.[ab*]{1,2}){1,3}", host in host()) {
        let text = format!("kind: CiliumNetworkPolicy\nspec:\n  egress:\n  - toFQDNs:\n    - matchPattern: '{pattern}'\n");
        let rest = pattern.trim_start_matches('*');
        let expected = if pattern.len() >= rest.len() + 2 && rest.starts_with('.') {
            let starts = host.match_indices('.').map(|(at, _)| at);
            starts.into_iter().any(|at| glob(rest.as_bytes(), &host.as_bytes()[at..], |byte| byte != b'.', 0))
        } else {
            glob(pattern.as_bytes(), host.as_bytes(), |byte| byte != b'.', 0)
        };
        prop_assert_eq!(passes(Format::Cilium, text, &host), expected);
    }

    #[test]
    fn envoy(domain in host(), end in 0..3, host in host()) {
        let pattern = match end {
            0 => domain.clone(),
            1 => format!("*{domain}"),
            _ => format!("{domain}*"),
        };
        let text = format!("virtual_hosts:\n- domains: ['{pattern}']\n  routes: [{{route: {{cluster: x}}}}]\n");
        let expected = glob(pattern.as_bytes(), host.as_bytes(), |_| true, 1);
        prop_assert_eq!(passes(Format::Envoy, text, &host), expected);
    }

    #[test]
    fn envoy_s_server_names(domain in host(), wild in any::<bool>(), host in host()) {
        let name = if wild { format!("*.{domain}") } else { domain.clone() };
        let text = format!("filter_chains:\n- filter_chain_match: {{server_names: ['{name}']}}\n");
        let expected = if wild { is_below(&host, &domain) } else { host == domain };
        prop_assert_eq!(passes(Format::Envoy, text, &host), expected);
    }

    #[test]
    fn smokescreen(domain in host(), wild in any::<bool>(), host in host()) {
        let name = if wild { format!("*.{domain}") } else { domain.clone() };
        let text = format!("version: v1\nservices: []\ndefault:\n  action: enforce\n  allowed_domains: ['{name}']\n");
        let expected = if wild { is_below(&host, &domain) } else { host == domain };
        prop_assert_eq!(passes(Format::Smokescreen, text, &host), expected);
    }

    #[test]
    fn aws_network_firewall(domain in host(), wild in any::<bool>(), denies in any::<bool>(), host in host()) {
        let name = if wild { format!(".{domain}") } else { domain.clone() };
        let kind = if denies { "DENYLIST" } else { "ALLOWLIST" };
        let text = format!(r#"{{"GeneratedRulesType": "{kind}", "Targets": ["{name}"]}}"#);
        let is_listed = host == domain || (wild && is_below(&host, &domain));
        prop_assert_eq!(passes(Format::AwsNetworkFirewall, text, &host), is_listed != denies);
    }

    /// What the widest of the clients takes an entry for.
    #[test]
    fn no_proxy(domain in host(), form in 0..7, host in host()) {
        let at_or_below = host == domain || is_below(&host, &domain);
        let (entry, expected) = match form {
            0 => (domain.clone(), at_or_below),
            1 => (format!(".{domain}"), at_or_below),
            2 => (format!("*.{domain}"), is_below(&host, &domain)),
            3 => (format!("*{domain}"), host.ends_with(&domain)),
            4 => (format!("{domain}:443"), at_or_below),
            5 => (format!("{domain}."), at_or_below),
            _ => (format!("{domain}*"), host.starts_with(&domain)),
        };
        prop_assert_eq!(passes(Format::NoProxy, format!("NO_PROXY={entry}\n"), &host), expected);
    }

    #[test]
    fn list(pattern in r"[ab*]{1,3}(\.[ab*]{1,2}){1,3}", dot in any::<bool>(), host in host()) {
        prop_assume!(!dot || !pattern.contains('*'));
        let item = if dot { format!(".{pattern}") } else { pattern.clone() };
        let expected = glob(pattern.as_bytes(), host.as_bytes(), |_| true, 0) || (dot && is_below(&host, &pattern));
        prop_assert_eq!(passes(Format::List, format!("{item}\n"), &host), expected);
    }
}
