//! Bicep, read with pycep-parser: what deployment template it stands for.

use serde_json::{Value, json};

use crate::arm;
use crate::checker::Checker;
use crate::consumer::Verdict;

/// A parser that is running.
pub(crate) struct Bicep(Checker);

impl Bicep {
    /// Starts it; `None` if it isn't installed.
    pub(crate) fn start() -> Option<Self> {
        Checker::start("py", "bicep.py", &[]).map(Self)
    }

    /// The deployment template that `text` stands for.
    pub(crate) fn compile(&mut self, text: &str) -> Result<Value, String> {
        self.0.ask(&json!(text))
    }

    /// Holds what it stands for to Azure's schemas.
    pub(crate) fn check(&mut self, text: &str) -> Verdict {
        arm::template(&self.compile(text)?)
    }

    /// The parser's version.
    pub(crate) fn version(&self) -> String {
        self.0.version("pycep-parser")
    }
}

#[test]
fn bicep_is_the_template_it_stands_for() {
    let Some(mut bicep) = Bicep::start() else { return };
    let text = "\
// 'a' comment
param policyName string
@description('Whose traffic it is')
param clients array = ['10.10.0.0/16']

resource policy 'Microsoft.Network/firewallPolicies@2024-05-01' existing = {
  name: policyName
}

resource group 'Microsoft.Network/firewallPolicies/ruleCollectionGroups@2024-05-01' = {
  parent: policy
  name: 'it\\'s'
  properties: {
    priority: 500
    ruleCollections: []
  }
}
";
    assert_eq!(bicep.check(text), Ok(()));
    let compiled = bicep.compile(text).expect("Bicep");
    assert_eq!(
        compiled["resources"][0]["name"],
        "[format('{0}/{1}', parameters('policyName'), 'it''s')]"
    );
    assert_eq!(compiled["parameters"]["clients"]["defaultValue"], json!(["10.10.0.0/16"]));
    for (from, to) in [
        ("priority: 500", "priority 500"),
        ("'it\\'s'", "\"its\""),
        ("existing = {", "existing {"),
        ("name: policyName", "name: policy_name"),
        ("priority: 500", "priorty: 500"),
        ("priority: 500", "priority: 50"),
        ("'it\\'s'", "'${policyName}'"),
    ] {
        let mutated = text.replacen(from, to, 1);
        assert_ne!(text, mutated, "{from}");
        assert!(bicep.check(&mutated).is_err(), "{to}");
    }
}
