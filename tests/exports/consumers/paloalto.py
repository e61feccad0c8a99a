"""Holds set commands to what pan-os-python writes for the same objects, and their values to PAN-OS's limits.

The SDK knows each object's leaves, and which of them hold one value and which hold many; it lets every value pass.
Names, lengths, references and URL entries are therefore looked at here.
"""

import ipaddress
import re
import shlex
import xml.etree.ElementTree as ET

from panos.objects import CustomUrlCategory, ServiceObject
from panos.policies import SecurityRule

from verdicts import require, serve

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


def build(kind, name, leaves):
    """The object that the SDK makes of these leaves, if it writes the same XML as the commands would."""
    of, longest = KINDS[kind]
    require(NAME.fullmatch(name) and len(name) <= longest, f"no name: {name}")
    ours = ET.Element("entry", name=name)
    known = {param.name: known_leaf(param) for param in of("x")._params}
    values = {}
    for leaf in leaves:
        param, value = find(known, leaf)
        if known[param][1] == "member":
            values.setdefault(param, []).append(value)
        else:
            require(param not in values, f"{param} has one value")
            values[param] = {"yes": True, "no": False}[value] if known[param][1] == "yesno" else value
        element = ours
        for step in leaf[:-1]:
            element = element.find(step) if element.find(step) is not None else ET.SubElement(element, step)
        if known[param][1] == "member":
            element = ET.SubElement(element, "member")
        element.text = value
        for choice in [known[param][2]] if known[param][2] else []:
            require(value in choice, f"{param} can't be {value}")
    if kind == ("service",):
        values["protocol"] = leaves[0][1]
    theirs = ET.fromstring(of(name, **values).element_str())
    for path, expected in flat(ours):
        require((path, expected) in flat(theirs), f"{'/'.join(path)} {expected} isn't what the SDK writes")
    return ours


def known_leaf(param):
    profile = max(param._VersioningSupport__profiles, key=lambda one: one[0])[1]
    return profile.get("path"), profile.get("vartype"), CHOICES.get(param.name) or profile.get("values")


# The SDK has these for some of the parameters, and no others.
CHOICES = {"action": ["allow", "deny", "drop", "reset-client", "reset-server", "reset-both"], "type": ["URL List", "Category Match", "universal"]}


def find(known, leaf):
    path = "/".join(leaf[:-1])
    for param, (known_path, _, _) in known.items():
        if known_path and path == known_path.replace("{protocol}", "tcp"):
            return param, leaf[-1]
    raise ValueError(f"no such leaf: {path}")


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
    require(one("destination") == ["any"] and set(one("application")) <= {"ssl", "web-browsing"}, "another rule")
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


serve(check)
