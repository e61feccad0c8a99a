//! The API server's part: the schemas of custom resources with their rules in CEL, and what it asks of every object's metadata.

use std::collections::BTreeMap;
use std::fs;

use allowlist_gen::export::Format;
use ipnet::IpNet;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::consumer::{self, Mutation, Verdict};
use crate::lists;
use crate::matrix;

use super::cel::Rules;
use super::yaml;

/// A schema in `tests/fixtures/schemas/k8s`.
struct Crd {
    api_version: &'static str,
    kind: &'static str,
    file: &'static str,
}

/// Where schemas came from, as in `tests/fixtures/schemas/SOURCES.md`.
struct Origin {
    format: Format,
    consumer: &'static str,
    version: &'static str,
    crds: &'static [Crd],
}

/// Puts `format` through the schemas of its kinds, and records that.
pub(super) fn judge_and_record(format: Format, mutations: &[Mutation]) {
    let origin = Origin::of(format).expect("an origin");
    // The row names what the test has read.
    let sources = fs::read_to_string(lists::tests().join("fixtures/schemas/SOURCES.md"));
    let commit = origin.version.split(' ').nth(1).expect("a commit");
    assert!(sources.expect("a file").contains(commit), "{commit} isn't in SOURCES.md");
    let validators = origin.validators();
    let judgement =
        consumer::judge(format, mutations, |text| judge_all(&validators, &yaml::documents(text)?));
    matrix::record(format, origin.consumer, origin.version, judgement);
}

/// What the schemas say of `objects`, which `format` wrote.
pub(super) fn accepts(format: Format, objects: &[Value]) -> Verdict {
    let validators = Origin::of(format).map(Origin::validators).unwrap_or_default();
    judge_all(&validators, objects)
}

type Validators = BTreeMap<(&'static str, &'static str), Validator>;

fn judge_all(validators: &Validators, objects: &[Value]) -> Verdict {
    objects.iter().try_for_each(|object| judge(validators, object))
}

fn judge(validators: &Validators, object: &Value) -> Verdict {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let key = (text("apiVersion"), text("kind"));
    if key == ("networking.k8s.io/v1", "NetworkPolicy") {
        // Kubernetes' own, which another test puts through kubernetes-validate.
        return Ok(());
    }
    let validator = validators.iter().find(|(known, _)| **known == key);
    let (_, validator) = validator.ok_or_else(|| format!("no schema of {key:?}"))?;
    let errors: Vec<String> = validator
        .iter_errors(object)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

impl Origin {
    /// That of Kubernetes' own objects isn't here.
    fn of(format: Format) -> Option<&'static Self> {
        ORIGINS.iter().find(|origin| origin.format == format)
    }

    fn validators(&self) -> Validators {
        self.crds.iter().map(|crd| ((crd.api_version, crd.kind), crd.validator())).collect()
    }
}

impl Crd {
    fn validator(&self) -> Validator {
        let path = lists::tests().join("fixtures/schemas/k8s").join(self.file);
        let text = fs::read_to_string(&path).expect("a schema");
        // JSON is YAML.
        let document: Value = serde_saphyr::from_str(&text).expect("YAML");
        let mut schema = match document["spec"]["versions"].as_array() {
            None => document,
            Some(versions) => {
                let version = self.api_version.split('/').nth(1).expect("group and version");
                let version = versions.iter().find(|known| known["name"] == version);
                let version = version.expect("the CRD has the version that we write");
                assert_eq!(version["served"], true, "{}", self.file);
                version["schema"]["openAPIV3Schema"].clone()
            }
        };
        close(&mut schema);
        // What the CRD says of metadata only narrows what the core says.
        let mut own = schema["properties"]["metadata"].take();
        own.as_object_mut().map(|own| own.remove("additionalProperties"));
        let own = if own.is_null() { json!(true) } else { own };
        schema["properties"]["metadata"] = json!({ "allOf": [own, core_metadata()] });
        schema["properties"]["apiVersion"] = json!({ "const": self.api_version });
        schema["properties"]["kind"] = json!({ "const": self.kind });
        schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
        jsonschema::options()
            .should_validate_formats(true)
            .with_keyword("x-kubernetes-validations", |_, rules, _| Ok(Box::new(Rules::new(rules))))
            .with_format("cidr", |text| text.parse::<IpNet>().is_ok())
            .with_format("int32", |_| true)
            .with_format("float", |_| true)
            .build(&schema)
            .expect("a schema")
    }
}

/// Refuses unknown fields wherever fields are listed, as `kubectl` has the server do. Below `oneOf` and the like they
/// are only mentioned.
fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    for (key, value) in object.iter_mut() {
        match key.as_str() {
            "properties" => properties(value).for_each(close),
            "items" | "additionalProperties" => close(value),
            _ => {}
        }
    }
    if object.contains_key("properties") && !object.contains_key("additionalProperties") {
        object.insert("additionalProperties".into(), json!(false));
    }
}

fn properties(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().into_iter().flat_map(Map::values_mut)
}

/// Names are DNS subdomains, namespaces DNS labels, label values at most 63 characters:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>,
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
fn core_metadata() -> Value {
    let label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "maxLength": 253, "pattern": format!("^{label}(\\.{label})*$") },
            "namespace": { "type": "string", "maxLength": 63, "pattern": format!("^{label}$") },
            "labels": {
                "type": "object",
                "additionalProperties": {
                    "type": "string",
                    "maxLength": 63,
                    "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
                },
            },
            "annotations": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    })
}

const CATALOG: &str = "CRDs-catalog 7b1e26ef";

static ORIGINS: [Origin; 9] = [
    Origin {
        format: Format::Cilium,
        consumer: "CRD schema of CiliumNetworkPolicy",
        version: CATALOG,
        crds: &[CILIUM],
    },
    Origin {
        format: Format::CiliumSni,
        consumer: "CRD schema of CiliumNetworkPolicy",
        version: CATALOG,
        crds: &[CILIUM],
    },
    Origin {
        format: Format::CiliumNode,
        consumer: "CRD schema of CiliumClusterwideNetworkPolicy",
        version: CATALOG,
        crds: &[Crd {
            api_version: "cilium.io/v2",
            kind: "CiliumClusterwideNetworkPolicy",
            file: "cilium.io_ciliumclusterwidenetworkpolicy_v2.json",
        }],
    },
    Origin {
        format: Format::ClusterNetworkPolicy,
        consumer: "CRD schema and CEL rules of ClusterNetworkPolicy (experimental)",
        version: "network-policy-api 0eec1b0e",
        crds: &[Crd {
            api_version: "policy.networking.k8s.io/v1alpha2",
            kind: "ClusterNetworkPolicy",
            file: "policy.networking.k8s.io_clusternetworkpolicies.experimental.crd.yaml",
        }],
    },
    Origin {
        format: Format::Calico,
        consumer: "CRD schemas of GlobalNetworkSet and GlobalNetworkPolicy",
        version: CATALOG,
        crds: &[
            Crd {
                api_version: "projectcalico.org/v3",
                kind: "GlobalNetworkSet",
                file: "projectcalico.org_globalnetworkset_v3.json",
            },
            Crd {
                api_version: "projectcalico.org/v3",
                kind: "GlobalNetworkPolicy",
                file: "projectcalico.org_globalnetworkpolicy_v3.json",
            },
        ],
    },
    Origin {
        format: Format::Antrea,
        consumer: "CRD schema of Antrea's ClusterNetworkPolicy",
        version: "antrea fc70f2bb",
        crds: &[Crd {
            api_version: "crd.antrea.io/v1beta1",
            kind: "ClusterNetworkPolicy",
            file: "crd.antrea.io_clusternetworkpolicy.crd.yaml",
        }],
    },
    Origin {
        format: Format::Ovn,
        consumer: "CRD schema of EgressFirewall",
        version: "ovn-kubernetes 8871cd9c",
        crds: &[Crd {
            api_version: "k8s.ovn.org/v1",
            kind: "EgressFirewall",
            file: "k8s.ovn.org_egressfirewalls.crd.yaml",
        }],
    },
    Origin {
        format: Format::Istio,
        consumer: "CRD schemas and CEL rules of ServiceEntry and Sidecar",
        version: CATALOG,
        crds: &[
            Crd {
                api_version: "networking.istio.io/v1",
                kind: "ServiceEntry",
                file: "networking.istio.io_serviceentry_v1.json",
            },
            Crd {
                api_version: "networking.istio.io/v1",
                kind: "Sidecar",
                file: "networking.istio.io_sidecar_v1.json",
            },
        ],
    },
    Origin {
        format: Format::Gke,
        consumer: "CRD schema of FQDNNetworkPolicy",
        version: CATALOG,
        crds: &[Crd {
            api_version: "networking.gke.io/v1alpha1",
            kind: "FQDNNetworkPolicy",
            file: "networking.gke.io_fqdnnetworkpolicy_v1alpha1.json",
        }],
    },
];

const CILIUM: Crd = Crd {
    api_version: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    file: "cilium.io_ciliumnetworkpolicy_v2.json",
};
