//! The catalogue, as people read it.

use std::fmt;

use super::catalogue::{Code, Severity};

/// A few lines for each code, for a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Overview;

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for code in Code::ALL {
            let rule = code.rule();
            writeln!(f, "{code}  ({})", rule.severity)?;
            writeln!(f, "  what  {}", rule.title)?;
            writeln!(f, "  why   {}", rule.why)?;
            writeln!(f, "  see   {}", rule.source)?;
        }
        Ok(())
    }
}

/// `docs/findings.md`.
#[derive(Debug, Clone, Copy)]
pub struct Page;

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INTRODUCTION)?;
        for severity in Severity::ALL {
            let codes = || Code::ALL.iter().filter(|code| code.severity() == severity);
            writeln!(f, "\n## {}s ({})\n", capital(severity.name()), codes().count())?;
            writeln!(f, "| code | what | why it matters | source |\n|---|---|---|---|")?;
            for code in codes() {
                let rule = code.rule();
                let page = rule.source.rsplit('/').find(|part| !part.is_empty());
                let page = page.unwrap_or(rule.source);
                let (title, why, source) = (rule.title, rule.why, rule.source);
                writeln!(f, "| `{code}` | {title} | {why} | [{page}]({source}) |")?;
            }
        }
        Ok(())
    }
}

fn capital(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

const INTRODUCTION: &str = "\
# Findings

What `allowlist-gen findings` can tell of a registry. Codes are public interface; so are the severities, which decide the exit code:

- *error*: something doesn't work, or no exact rules can be given.
- *warning*: it works, and is open wider than it has to be, breaks with the next change, or couldn't be looked at.
- *note*: worth knowing; many keep it so on purpose.

The exit code is 1 if there is anything as grave as `--fail-on` says, `warning` unless told otherwise: notes describe how many registries are set up by
default, and would fail every run. `--ignore CODE` leaves a code out; how many findings that were is told nevertheless.
`generate` tells those that concern the hosts of its list, and `no-metadata` and `data-endpoints-assumed` are told by it alone.

A setting that the input doesn't have, that two files contradict each other about, or whose value this program doesn't know is unknown. No finding needs
one that is unknown, and the report lists them: their absence is no clean bill. Each kind of input adds to what is known:

| input | tells |
|---|---|
| `az acr show`, `az acr list` | settings, network rules, connections |
| `az acr replication list` | the state of replicas, and whether the global name leads to them |
| `az acr private-endpoint-connection list` | connections, and what Azure asks to be done about them |
| `az network private-endpoint show`, `az network nic show` | addresses, how they were chosen, and in which subnets they are |
| `az network vnet subnet show` | how much room there is for the next region |
| `az network private-dns record-set a list` | which records are missing, or left over |
| `az acr show-usage` | how many private endpoints there may be; it doesn't say of which registry, so it counts beside a single one |
| `az acr connected-registry list` | connected registries |

Words in capitals in a command (`CIDR`, `PREFIX`, `WHO`, `ID`) are to be chosen; everything else is filled in. A registry's subscription is named where its id is known.

`--format json` has all of it (`\"schema\": 1`). `--format sarif` is SARIF 2.1.0 for code scanners: the resource is the logical location; where the input was a
file, the line of the setting or of the registry is the physical one; fingerprints stay the same as long as the finding does.

The tables are generated from `allowlist-gen/src/findings/catalogue.rs`; a test keeps them so.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_catalogue_says() {
        expect_test::expect_file!["../../../docs/findings.md"].assert_eq(&Page.to_string());
    }
}
