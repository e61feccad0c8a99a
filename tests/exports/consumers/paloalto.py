"""Holds set commands to what pan-os-python writes for the same objects, and their values to PAN-OS's limits.

The SDK knows each object's leaves, and which of them hold one value and which hold many; it lets every value pass.
Names, lengths, references and URL entries are therefore looked at here.
"""

import ipaddress
import re
import shlex
import xml.etree.ElementTree as ET
from typing import NamedTuple

from panos.objects import CustomUrlCategory, ServiceObject
from panos.policies import SecurityRule

from answer import answer, require

# Where an object stands, what it is in the SDK, and how long its name may be.
KINDS = {
    ("service",): (ServiceObject, 63),
    ("profiles", "custom-url-category"): (CustomUrlCategory, 31),
    ("rulebase", "security", "rules"): (SecurityRule, 63),
}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._-]*")
URL = re.compile(r"([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)+[a-z0-9-]+/")


def check(text):
    objects = {}
    for line in text.splitlines():
        require(len(line) <= 1024 + 100, "a line that the terminal would cut")
        words = shlex.split(line)
        require(words[0] == "set", f"no command: {line}")
        kind = next((kind for kind in KINDS if tuple(words[1 : 1 + len(kind)]) == kind), None)
        require(kind, f"no such path: {line}")
        name, *leaf = words[1 + len(kind) :]
        objects.setdefault((kind, name), []).append(leaf)
    require(objects, "nothing is set")
    made = {key: build(*key, leaves) for key, leaves in objects.items()}
    for (kind, _), entry in made.items():
        if kind[-1] == "rules":
            rule(entry, made)


def build(kind, name, lines):
    """The object of these lines, if the SDK writes the same XML for it."""
    of, longest = KINDS[kind]
    require(NAME.fullmatch(name) and len(name) <= longest, f"no name: {name}")
    known = leaves(of)
    ours, values = ET.Element("entry", name=name), {}
    for *path, value in lines:
        leaf = next((leaf for leaf in known if leaf.path == path), None)
        require(leaf, f"no such leaf: {' '.join(path)}")
        require(not leaf.choices or value in leaf.choices, f"{leaf.param} can't be {value}")
        element = ours
        for step in path:
            found = element.find(step)
            element = found if found is not None else ET.SubElement(element, step)
        if leaf.holds == "member":
            values.setdefault(leaf.param, []).append(value)
            ET.SubElement(element, "member").text = value
        else:
            require(leaf.param not in values, f"{leaf.param} has one value")
            values[leaf.param] = value == "yes" if leaf.holds == "yesno" else value
            element.text = value
    theirs = flat(ET.fromstring(of(name, **values).element_str()))
    for path, value in flat(ours):
        require((path, value) in theirs, f"{' '.join(path)} {value} isn't what the SDK writes")
    return ours


class Leaf(NamedTuple):
    """A parameter of the SDK: where it stands in the XML, what it holds, and which values there are."""

    param: str
    path: list
    holds: str
    choices: list


def leaves(of):
    """The leaves of a kind of object, as they are in the newest version that the SDK knows."""
    found = []
    for param in of("x")._params:
        newest = max(param._VersioningSupport__profiles, key=lambda profile: profile[0])[1]
        if newest.get("path"):
            path = newest["path"].replace("{protocol}", "tcp").split("/")
            holds = newest.get("vartype", "one")
            choices = ["yes", "no"] if holds == "yesno" else CHOICES.get(param.name, [])
            found.append(Leaf(param.name, path, holds, choices))
    return found


# The SDK takes any.
CHOICES = {"action": ["allow", "deny", "drop", "reset-client", "reset-server", "reset-both"], "type": ["URL List"]}


def flat(element, path=()):
    path += (element.tag,)
    if not len(element):
        return [(path, element.text)]
    return [leaf for child in element for leaf in flat(child, path)]


def rule(entry, made):
    """Everything that a rule has to have, and that what it refers to is set before."""
    def one(leaf):
        return [member.text for member in entry.findall(f"{leaf}/member")]

    for leaf in ["from", "to", "source", "destination", "application", "service", "category"]:
        require(one(leaf), f"a rule without {leaf}")
    require(entry.findtext("action") == "allow", "a rule that doesn't allow")
    require(one("destination") == ["any"] and one("application") == ["ssl"], "another rule")
    for source in one("source"):
        require(source == "any" or ipaddress.ip_network(source), "no source")
    for category in one("category"):
        of = made.get((("profiles", "custom-url-category"), category))
        require(of is not None, f"no category {category}")
        require(of.findtext("type") == "URL List", "another type")
        require(len(of.findtext("description")) <= 255, "a description is too long")
        entries = [member.text for member in of.findall("list/member")]
        require(entries, "an empty category")
        for url in entries:
            require(URL.fullmatch(url) and len(url) <= 255, f"no entry for one name: {url}")
    for service in one("service"):
        of = made.get((("service",), service))
        require(of is not None, f"no service {service}")
        for port in of.findtext("protocol/tcp/port").split(","):
            require(0 < int(port) < 65536, f"no port: {port}")
    require(len(entry.findtext("description")) <= 1024, "a description is too long")


answer(check)
