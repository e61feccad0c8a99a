"""Holds a request for CreateRuleGroup to botocore's model of it.

Botocore checks names, types and what is required; the enumerations, patterns and lengths that are in the same model
are looked at here, and so are the capacity and what stands in a list of domains.
"""

import ipaddress
import json
import re

import botocore.session
from botocore.validate import ParamValidator

from answer import answer, require

MODEL = botocore.session.get_session().get_service_model("network-firewall")
SHAPE = MODEL.operation_model("CreateRuleGroup").input_shape


def check(text):
    request = json.loads(text)
    report = ParamValidator().validate(request, SHAPE)
    require(not report.has_errors(), report.generate_report())
    walk(request, SHAPE, "")
    source = request["RuleGroup"]["RulesSource"]
    rules = source.get("RulesString", "").splitlines()
    domains = source.get("RulesSourceList", {}).get("Targets", [])
    require(bool(rules) != bool(domains), "one source, and not an empty one")
    require(max(len(rules), len(domains) + 1) <= request["Capacity"] <= 30_000, "the capacity")
    require(all(len(rule) <= 8_192 for rule in rules), "a rule is too long")
    for domain in domains:
        require(re.fullmatch(r"([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)+[a-z0-9-]+", domain), f"no exact name: {domain}")
    for blocks in request["RuleGroup"].get("RuleVariables", {}).get("IPSets", {}).values():
        for block in blocks["Definition"]:
            ipaddress.ip_network(block)


def walk(value, shape, path):
    bounds, length = shape.metadata, value if shape.type_name == "integer" else len(value) if hasattr(value, "__len__") else 0
    require(length >= bounds.get("min", length), f"{path} is too short")
    require(length <= bounds.get("max", length), f"{path} is too long")
    if shape.type_name == "string":
        require(not shape.enum or value in shape.enum, f"{path} can't be {value}")
        require(re.search(bounds.get("pattern", ""), value), f"{path} doesn't match {bounds.get('pattern')}")
    elif shape.type_name == "structure":
        for name, inner in value.items():
            require(name in shape.members, f"no {path}/{name}")
            walk(inner, shape.members[name], f"{path}/{name}")
    elif shape.type_name == "list":
        for inner in value:
            walk(inner, shape.member, path)
    elif shape.type_name == "map":
        for name, inner in value.items():
            walk(name, shape.key, path)
            walk(inner, shape.value, f"{path}/{name}")


answer(check)
