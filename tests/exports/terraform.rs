//! Terraform, read with python-hcl2 and held to the argument types of the azurerm provider.

use serde_json::{Value, json};

use crate::checker::Checker;
use crate::consumer;

/// A parser that is running, with the types of the provider.
pub(crate) struct Terraform(Checker);

impl Terraform {
    /// Starts it; `None` if it isn't installed.
    pub(crate) fn start() -> Option<Self> {
        let types = consumer::installed("terraform")?;
        Checker::start("py", "terraform.py", &[types.as_os_str()]).map(Self)
    }

    /// The resources of `text`, by `kind.name`, if the provider takes their arguments.
    pub(crate) fn resources(&mut self, text: &str) -> Result<Value, String> {
        self.0.ask(&json!(text))
    }

    /// The parser's version.
    pub(crate) fn version(&self) -> String {
        self.0.version("python-hcl2")
    }
}

#[test]
fn arguments_are_those_of_the_provider() {
    let Some(mut terraform) = Terraform::start() else { return };
    let text = r#"
# A comment: ${this} is none of anyone's business
variable "policy" {
  type = string
}

resource "azurerm_firewall_policy_rule_collection_group" "acr" {
  name               = "acr"
  firewall_policy_id = var.policy
  priority           = 500

  application_rule_collection {
    name     = "acr"
    priority = 500
    action   = "Allow"

    rule {
      name              = "acr-contoso"
      destination_fqdns = ["contoso.azurecr.io"]

      protocols {
        type = "Https"
        port = 443
      }
    }
  }
}
"#;
    let resources = terraform.resources(text).expect("Terraform");
    let group = &resources["azurerm_firewall_policy_rule_collection_group.acr"];
    let rule = &group["application_rule_collection"][0]["rule"][0];
    assert_eq!(rule["destination_fqdns"], json!(["contoso.azurecr.io"]));
    for (from, to) in [
        ("destination_fqdns", "target_fqdns"),
        ("port = 443", "port = \"443\""),
        ("name              = \"acr-contoso\"", ""),
        ("var.policy", "var.polity"),
        ("\"acr-contoso\"", "\"${acr}\""),
        ("[\"contoso.azurecr.io\"]", "\"contoso.azurecr.io\""),
        ("azurerm_firewall_policy_rule", "azurerm_firewall_policy_rules"),
        ("protocols {", "protocols = {"),
        ("resource \"", "resource "),
    ] {
        let mutated = text.replacen(from, to, 1);
        assert_ne!(text, mutated, "{from}");
        assert!(terraform.resources(&mutated).is_err(), "{to}");
    }
}
