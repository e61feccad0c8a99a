//! Smokescreen: there is no package of it that a test could run, so its rules are written down here.
//!
//! They are those of `pkg/smokescreen/acl/v1` in <https://github.com/stripe/smokescreen>, and stricter in one thing:
//! smokescreen passes over a key that it doesn't know, and here there are none.

use allowlist_gen::export::Format;
use ringfence_config::Hostname;
use serde::Deserialize;

use crate::consumer::{self, Mutation};
use crate::lists;
use crate::lookalikes;
use crate::matrix;

#[test]
fn the_acl_is_one_that_smokescreen_documents() {
    let judgement = consumer::judge(
        Format::Smokescreen,
        &[
            Mutation { from: "version: v1", to: "version: v2" },
            Mutation { from: "services: []\n", to: "" },
            Mutation { from: "enforce", to: "report" },
            Mutation { from: "allowed_domains", to: "allowed_domain" },
            Mutation { from: "- contoso.azurecr.io", to: "- '*.azurecr.io'" },
            Mutation { from: "- contoso.azurecr.io", to: "- contoso.azurecr.io:443" },
            Mutation { from: "- contoso.azurecr.io", to: "- Contoso.azurecr.io" },
        ],
        |text| read(text).map(drop),
    );
    let text = lists::contoso().export(Format::Smokescreen).expect("an export").text;
    assert_eq!(read(&text), Ok(lookalikes::LISTED.map(str::to_owned).to_vec()));
    matrix::record(Format::Smokescreen, "rules of ours: nothing to run", "–", judgement);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acl {
    version: String,
    services: Vec<Rule>,
    default: Rule,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    project: String,
    action: String,
    allowed_domains: Vec<String>,
}

/// The hosts that everybody may reach; an error if the file isn't what it should be.
fn read(text: &str) -> Result<Vec<String>, String> {
    let acl: Acl = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let Rule { project, action, allowed_domains } = acl.default;
    if acl.version != "v1" || !acl.services.is_empty() || project.is_empty() || action != "enforce"
    {
        return Err(format!("{}, {project}, {action}", acl.version));
    }
    // As it is written, and nothing that would stand for more than itself.
    for domain in &allowed_domains {
        let host: Hostname = domain.parse().map_err(|error| format!("{domain}: {error}"))?;
        if host.as_str() != domain {
            return Err(format!("{domain} is spelled otherwise than {host}"));
        }
    }
    Ok(allowed_domains)
}
