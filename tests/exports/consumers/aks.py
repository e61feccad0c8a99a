"""Says what an AKS cluster's proxy would be, or why it wouldn't: aks.py FORMAT SCHEMAS TYPES FILE…

FORMAT is `aks`, `aks-arm`, `aks-bicep` or `aks-terraform`; SCHEMAS the folder of ARM's schemas; TYPES the file of types
that is made from the Terraform provider's schema. Each file's answer is a line of JSON on standard output:
`{"config": …}`, with the keys that ARM has for it, or `{"refused": "…"}`.
"""

import json
import re
import sys
from pathlib import Path

import hcl2
import jsonschema
import pycep
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4


def main(kind, schemas, types, *files):
    readers = {"aks": aks, "aks-arm": arm, "aks-bicep": bicep, "aks-terraform": lambda text: terraform(text, types)}
    for file in files:
        try:
            config = readers[kind](Path(file).read_text())
            validate(config, Path(schemas))
            answer = {"config": config}
        except Exception as error:
            answer = {"refused": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer))


def aks(text):
    return json.loads(text)


def arm(text):
    document = json.loads(text)
    expect(set(document) == {"$schema", "contentVersion", "parameters"}, "keys of a file of parameters")
    expect(document["$schema"].endswith("/2019-04-01/deploymentParameters.json#"), "its schema")
    (name, parameter), = document["parameters"].items()
    expect(name == "httpProxyConfig" and set(parameter) <= {"value", "metadata"}, "one parameter")
    return parameter["value"]


def bicep(text):
    variables = pycep.BicepParser().parse(text=text)["variables"]
    (name, variable), = variables.items()
    expect(name == "httpProxyConfig", "one variable")
    expect(variable["decorators"] == [{"type": "export"}], "which is exported")
    return variable["value"]


def terraform(text, types):
    """The values of `locals`, put where the block at the end of the file wants them."""
    options = hcl2.SerializationOptions(strip_string_quotes=True)
    load = lambda text: hcl2.loads(text, serialization_options=options)
    block = text[text.rindex("# http_proxy_config {"):].replace("\n# ", "\n").removeprefix("# ")
    cluster = load('resource "azurerm_kubernetes_cluster" "aks" {\n' + block + "}\n")
    block = one(one(one(cluster["resource"])["azurerm_kubernetes_cluster"])["aks"])["http_proxy_config"]
    values = one(load(text)["locals"])["aks_http_proxy"]
    known = interface(Path(types).read_text())
    config = {}
    for argument, source in one(block).items():
        if argument.startswith("__"):
            continue
        prefix = "${local.aks_http_proxy."
        expect(source.startswith(prefix) and source.endswith("}"), f"{argument} is a local value")
        expect(argument in known, f"{argument} is an argument of the provider's")
        value = values.pop(source[len(prefix):-1])
        name, kind = known[argument]
        expect(value is None or isinstance(value, list if kind == "string[]" else str), f"{argument} is {kind}")
        if value is not None:
            config[name] = value
    expect(not [name for name in values if not name.startswith("__")], "every value is used")
    return config


def interface(types):
    """The arguments of the block: {"no_proxy": ("noProxy", "string[]")}"""
    body = types.split("export interface KubernetesClusterHttpProxyConfig {")[1].split("\n}")[0]
    found = re.findall(r"#(\w+) KubernetesCluster#\1\}\n\s*\*/\n\s*readonly (\w+)\?: (.+);", body)
    return {argument: (name, kind) for argument, name, kind in found}


def one(value):
    if not isinstance(value, list):
        return value
    expect(len(value) == 1, "one of them")
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


def expect(condition, what):
    if not condition:
        raise ValueError(f"not so: {what}")


main(*sys.argv[1:])
