"""Says what an AKS cluster's proxy would be, or why it wouldn't: aks.py FORMAT SCHEMAS TYPES

FORMAT is `aks-bicep` or `aks-terraform`; SCHEMAS the folder of ARM's schemas; TYPES the file of types that is made from
the Terraform provider's schema. The answer has the keys that ARM has for it.
"""

import json
import re
import sys
from pathlib import Path

import hcl2
import jsonschema
import pycep
from answer import answer, require
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

FORMAT, SCHEMAS, TYPES = sys.argv[1:]


def read(text):
    config = {"aks-bicep": bicep, "aks-terraform": terraform}[FORMAT](text)
    validate(config, Path(SCHEMAS))
    return config


def bicep(text):
    variables = pycep.BicepParser().parse(text=text)["variables"]
    (name, variable), = variables.items()
    require(name == "httpProxyConfig", "one variable")
    require(variable["decorators"] == [{"type": "export"}], "which is exported")
    return variable["value"]


def terraform(text):
    """The values of `locals`, put where the block at the end of the file wants them."""
    options = hcl2.SerializationOptions(strip_string_quotes=True)
    load = lambda text: hcl2.loads(text, serialization_options=options)
    block = text[text.rindex("# http_proxy_config {"):].replace("\n# ", "\n").removeprefix("# ")
    cluster = load('resource "azurerm_kubernetes_cluster" "aks" {\n' + block + "}\n")
    block = one(one(one(cluster["resource"])["azurerm_kubernetes_cluster"])["aks"])["http_proxy_config"]
    values = one(load(text)["locals"])["aks_http_proxy"]
    known = interface(Path(TYPES).read_text())
    config = {}
    for argument, source in one(block).items():
        if argument.startswith("__"):
            continue
        prefix = "${local.aks_http_proxy."
        require(source.startswith(prefix) and source.endswith("}"), f"{argument} is a local value")
        require(argument in known, f"{argument} is an argument of the provider's")
        value = values.pop(source[len(prefix):-1])
        name, kind = known[argument]
        require(value is None or isinstance(value, list if kind == "string[]" else str), f"{argument} is {kind}")
        if value is not None:
            config[name] = value
    require(not [name for name in values if not name.startswith("__")], "every value is used")
    return config


def interface(types):
    """The arguments of the block: {"no_proxy": ("noProxy", "string[]")}"""
    body = types.split("export interface KubernetesClusterHttpProxyConfig {")[1].split("\n}")[0]
    found = re.findall(r"#(\w+) KubernetesCluster#\1\}\n\s*\*/\n\s*readonly (\w+)\?: (.+);", body)
    return {argument: (name, kind) for argument, name, kind in found}


def one(value):
    if not isinstance(value, list):
        return value
    require(len(value) == 1, "one of them")
    return value[0]


def validate(config, schemas):
    """By ARM's schema, closed: a key that it doesn't know is a mistake of ours."""
    schema = json.loads((schemas / "Microsoft.ContainerService-httpProxyConfig-2026-05-01.json").read_text())
    definition = schema["definitions"]["ManagedClusterHttpProxyConfig"]
    definition["additionalProperties"] = False
    definition["required"] = ["httpProxy", "httpsProxy", "noProxy"]
    common = json.loads((schemas / "common-definitions.json").read_text())
    url = "https://schema.management.azure.com/schemas/common/definitions.json"
    registry = Registry().with_resource(url, Resource.from_contents(common, default_specification=DRAFT4))
    jsonschema.Draft4Validator(definition, registry=registry).validate(config)


answer(read)
