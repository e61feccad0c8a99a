//! What can be told, and how each consumer is read, as people read it.

use std::fmt;

use super::finding::Kind;
use super::rule::Consumer;

/// `docs/lint.md`.
#[derive(Debug, Clone, Copy)]
pub struct Page;

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INTRODUCTION)?;
        writeln!(f, "## Codes\n\n| code | severity | a rule lets through |\n|---|---|---|")?;
        for kind in Kind::ALL {
            writeln!(
                f,
                "| `{}` | {} | {} |",
                kind.code(),
                kind.severity().name(),
                kind.describe()
            )?;
        }
        writeln!(f, "\n## How each consumer reads its rules")?;
        for consumer in Consumer::ALL {
            let Semantics { reads, sources, unjudged } = semantics(consumer);
            writeln!(f, "\n### {}\n\n{reads}\n\n*Not judged:* {unjudged}", consumer.name())?;
            let sources: Vec<String> = sources.iter().map(|source| format!("<{source}>")).collect();
            if !sources.is_empty() {
                writeln!(f, "\n*From* {}", sources.join(", "))?;
            }
        }
        f.write_str(JSON)
    }
}

struct Semantics {
    reads: &'static str,
    /// What is told as `unjudged` or `address`, and what isn't looked at.
    unjudged: &'static str,
    sources: &'static [&'static str],
}

fn semantics(consumer: Consumer) -> Semantics {
    match consumer {
        Consumer::Squid => Semantics {
            reads: "An `http_access` line is an AND, the first that matches decides, and where none does, the opposite of the last \
                one. `dstdomain foo` is that name, `.foo` also every name below it; `dstdom_regex` fits anywhere in the name. \
                Every method and every port that an ACL tells apart is tried. What an ACL asks beside names (who, when) may be so \
                or not: an allowing line lets through what is possible, a denying one takes away what is sure. Comments and \
                continued lines are read as squid reads them.",
            unjudged: "`${…}`, expressions that squid's library reads differently, lines below `if`, lines without an ACL, `dst`, \
                files that weren't given. `url_regex` and external ACLs count as conditions that may hold.",
            sources: &[
                "http://www.squid-cache.org/Doc/config/http_access/",
                "http://www.squid-cache.org/Doc/config/acl/",
            ],
        },
        Consumer::AzureFirewall => Semantics {
            reads: "In an application rule `*` is anything at all: `*contoso.com` is also `evilcontoso.com`. A network rule's FQDN is \
                that name alone, `*` as an address every name, a service tag the names of everybody's share of the service. \
                Network rules come before application rules, then priorities decide. A denial takes away what it surely covers: \
                clients, protocols, ports and place in the order. The same from Terraform (`--as terraform`).",
            unjudged: "`[…]` expressions, Terraform's variables, functions, `dynamic` blocks and modules, loops (`copy`), parameters \
                that hold names, FQDN tags, web categories, IP groups, most service tags. Parent policies in other files aren't \
                joined.",
            sources: &[
                "https://learn.microsoft.com/azure/firewall/rule-processing",
                "https://learn.microsoft.com/azure/firewall/firewall-faq",
                "https://learn.microsoft.com/azure/virtual-network/service-tags-overview",
            ],
        },
        Consumer::Cilium => Semantics {
            reads: "`matchName` is one name. In `matchPattern`, `*` is any characters but a dot, also none; `**.` at the beginning one \
                label or more; stars alone are every name. The entities `world` and `all`, and ports without a destination, are \
                every name. An `egressDeny` of `world`, `all` or of both `0.0.0.0/0` and `::/0`, without ports, takes everything away.",
            unjudged: "groups, public blocks (`address`), policies of other kinds in the same file. Other denials are left out: what \
                they deny is told nevertheless.",
            sources: &[
                "https://docs.cilium.io/en/stable/security/policy/language/#dns-based",
                "https://github.com/cilium/cilium/blob/main/pkg/fqdn/matchpattern/matchpattern.go",
                "https://docs.cilium.io/en/stable/security/policy/language/#deny-policies",
            ],
        },
        Consumer::Smokescreen => Semantics {
            reads: "`foo` is that name alone, `*.foo` every name below it, and there is no other wildcard. A service's own domains \
                pass first, then the global denials and allowances; the actions `report` and `open` let everything through.",
            unjudged: "what smokescreen doesn't load.",
            sources: &[
                "https://github.com/stripe/smokescreen/blob/master/pkg/smokescreen/acl/v1/acl.go",
            ],
        },
        Consumer::Envoy => Semantics {
            reads: "In a virtual host's `domains`, a `*` at either end is one character or more, dots among them; the port is part of \
                what is compared. An exact domain comes first, then the longest `*foo`, then the longest `foo*`, then `*`. In \
                `server_names`, `*.foo` is every name below foo. Both spellings of keys are read.",
            unjudged: "`rds`, `vhds` and scoped routes, chains without server names beside an `ORIGINAL_DST` cluster. RBAC filters are \
                not looked at: what they stop is told nevertheless.",
            sources: &[
                "https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto#config-route-v3-virtualhost",
                "https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/listener/v3/listener_components.proto#config-listener-v3-filterchainmatch",
            ],
        },
        Consumer::AwsNetworkFirewall => Semantics {
            reads: "`.foo` is foo and every name below it, `foo` that name alone. A list that denies lets all other names through.",
            unjudged: "Suricata rules, rules of addresses, intrinsic functions.",
            sources: &[
                "https://docs.aws.amazon.com/network-firewall/latest/APIReference/API_RulesSourceList.html",
            ],
        },
        Consumer::NoProxy => Semantics {
            reads: "What an entry takes past the proxy was measured for ten clients, and read in the source of .NET; a finding names \
                the clients. Commas, `|` and white space separate for all of them. `NO_PROXY` in assignments, `noProxy` and \
                `no_proxy` in documents, and containers' variables are read.",
            unjudged: "shell variables and expressions. Addresses and blocks are no names.",
            sources: &[
                "https://github.com/dotnet/runtime/blob/main/src/libraries/System.Net.Http/src/System/Net/Http/SocketsHttpHandler/HttpEnvironmentProxy.cs",
            ],
        },
        Consumer::List => Semantics {
            reads: "Nobody says who reads it, so it is read in the widest way: `*` is anything at all, `.foo` is foo and every name \
                below it.",
            unjudged: "what is no name, no pattern and no address.",
            sources: &[],
        },
    }
}

const INTRODUCTION: &str = "\
# What `lint` tells

`allowlist-gen lint` reads rules as their own consumer does, and names a host that each lets through and nobody meant. A name is told only if the rule's
language holds it and the tables that guard allowlists place it in that family. What can't be judged is told, too, as `unjudged`: a text that isn't a name, a
file that wasn't given, an expression. A file without any rule that is known is an error (exit code 2), never clean.

Up to 16 names that a rule lets through count as written out, and each is judged by itself; what has more is a pattern.

";

const JSON: &str = "
## JSON

`--format json` has all of it: `schema` (1), `rules` (how many were looked at) and `findings`, sorted by file, line and path. Each has `code`, `severity`, `file`,
`line` (YAML and texts) or `path` (JSON), `consumer`, `rule` as it is written, `reads` (what the consumer makes of it, or why nothing can be said), `reached` (a list of `code` and
`host`, the witnesses), `clients` (of `no-proxy`), `instead` (hosts of the list that the rule lets through; null without `--list`) and `help`.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_code_says() {
        expect_test::expect_file!["../../../docs/lint.md"].assert_eq(&Page.to_string());
    }
}
