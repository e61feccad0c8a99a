"""Reads Bicep with pycep-parser, and says what deployment template it stands for.

Only what our exports are made of: parameters, variables, resources with `parent`, literals and plain symbols.
Everything else is refused, so that nothing passes unseen.
"""

import re

from answer import Refusal, answer
from pycep import BicepParser
from pycep.models import BicepElement
from pycep.transformer import BicepToJson

PARSER = BicepParser(cache=False)
ESCAPE = re.compile(r"\\(u\{[0-9a-fA-F]+\}|.)", re.DOTALL)
ESCAPED = {"\\": "\\", "'": "'", "n": "\n", "r": "\r", "t": "\t", "$": "$"}


def template(text):
    # What `PARSER.parse` does, but for a check that takes quotes in comments for strings.
    bicep = BicepToJson(add_line_numbers=False).transform(PARSER.lark_parser.parse(text))
    unknown = set(bicep) - {"globals", "metadata", "parameters", "variables", "resources"}
    if unknown:
        raise Refusal(f"{unknown} is not among what is compiled here")
    return Template(bicep).compile()


class Template:
    def __init__(self, bicep):
        self.bicep = bicep
        self.parameters = bicep.get("parameters", {})
        self.variables = bicep.get("variables", {})
        self.resources = bicep.get("resources", {})

    def compile(self):
        resources = [
            self.resource(resource)
            for resource in self.resources.values()
            if not resource["existing"]
        ]
        return {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "metadata": {
                name: self.value(one["value"]) for name, one in self.bicep.get("metadata", {}).items()
            },
            "parameters": {name: self.parameter(one) for name, one in self.parameters.items()},
            "variables": {name: self.value(one["value"]) for name, one in self.variables.items()},
            "resources": resources,
        }

    def parameter(self, parameter):
        compiled = {"type": str(parameter["type"])}
        for decorator in parameter["decorators"]:
            if decorator["type"] != "description":
                raise Refusal(f"`@{decorator['type']}` is not among what is compiled here")
            compiled["metadata"] = {"description": self.value(decorator["argument"])}
        if parameter["default"] is not None:
            compiled["defaultValue"] = self.value(parameter["default"])
        return compiled

    def resource(self, resource):
        config = dict(resource["config"])
        compiled = {"type": resource["type"], "apiVersion": resource["api_version"]}
        name, ancestor = self.value(config.pop("name")), config
        segments = [name]
        while "parent" in ancestor:
            ancestor = self.resources[ancestor["parent"]]["config"]
            segments.insert(0, self.value(ancestor["name"]))
        config.pop("parent", None)
        compiled["name"] = name if len(segments) == 1 else joined(segments)
        depends_on = config.pop("dependsOn", [])
        if any(symbol not in self.resources for symbol in depends_on):
            raise Refusal(f"{depends_on} are not all declared")
        if depends_on:
            compiled["dependsOn"] = [str(symbol) for symbol in depends_on]
        return compiled | {key: self.value(value) for key, value in config.items()}

    def value(self, value):
        if isinstance(value, BicepElement):
            return self.symbol(str(value))
        if isinstance(value, str):
            return string(value)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            if "operator" in value or "function" in value:
                raise Refusal(f"{value} is not among what is compiled here")
            return {key: self.value(one) for key, one in value.items()}
        return value

    def symbol(self, name):
        if name in self.parameters:
            return f"[parameters('{name}')]"
        if name in self.variables:
            return f"[variables('{name}')]"
        raise Refusal(f"`{name}` is not declared")


def joined(segments):
    """The name of a child: those of its parents in front."""
    quoted = [one.replace("'", "''") for one in segments]
    arguments = [
        one[1:-1] if one.startswith("[") else f"'{quote}'" for one, quote in zip(segments, quoted)
    ]
    places = "/".join(f"{{{number}}}" for number in range(len(segments)))
    return f"[format('{places}', {', '.join(arguments)})]"


def string(raw):
    """What a quoted string says; as a template says it, where a bracket in front begins an expression."""
    if "${" in raw.replace("\\$", ""):
        raise Refusal(f"`{raw}` is interpolated")
    text = ESCAPE.sub(unescape, raw)
    return "[" + text if text.startswith("[") else text


def unescape(match):
    escape = match[1]
    if escape.startswith("u{"):
        return chr(int(escape[2:-1], 16))
    if escape not in ESCAPED:
        raise Refusal(f"`\\{escape}` is no escape")
    return ESCAPED[escape]


answer(template)
