"""Holds CLI commands to the schema of FortiOS in Fortinet's Ansible modules: keys, values, and versions they are for.

Arguments: the folder of the modules. The schema has no lengths and no references: both are looked at here, by the
`tree` of FortiOS (https://docs.fortinet.com/document/fortigate/7.0.11/administration-guide/651640).
"""

import ast
import ipaddress
import re
import shlex
import sys

from answer import answer, require

MODULES = {
    "firewall address": "address",
    "firewall addrgrp": "addrgrp",
    "firewall service custom": "service_custom",
    "firewall policy": "policy",
}
# Longest values, and what there is in the beginning.
LENGTHS = {"name": 79, "fqdn": 255, "comment": 255, "comments": 1023}
FROM_THE_START = {"all", "any", "always"}
REFERENCES = {"member", "srcaddr", "dstaddr", "service", "srcintf", "dstintf", "schedule"}
# Versions whose keys and values must all be known: those that Fortinet supports.
VERSIONS = [(7, 0, 0), (7, 2, 0), (7, 4, 0), (7, 6, 0)]


def schema(folder, module):
    tree = ast.parse(open(f"{folder}/fortios_firewall_{module}.py").read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "versioned_schema":
            return ast.literal_eval(node.value)["children"]
    raise ValueError(f"{module} has no schema")


def check(text):
    table, key, seen, names = None, None, {}, set()
    for line in text.splitlines():
        # In double quotes, as the CLI reads them.
        words = shlex.split(line, comments=line.lstrip().startswith("#"))
        if not words:
            continue
        command, *rest = words
        if command == "config":
            require(table is None, f"{line} inside another table")
            table = " ".join(rest)
            require(table in MODULES, f"no table {table}")
        elif command == "edit":
            require(table and key is None and len(rest) == 1, line)
            key, seen = rest[0], {}
            limit = 4294967294 if table == "firewall policy" else None
            require(int(key) <= limit if limit else named(key, 79), f"no name: {key}")
        elif command == "set":
            require(key is not None and len(rest) >= 2, line)
            leaf, values = rest[0].replace("-", "_"), rest[1:]
            require(leaf not in seen, f"{leaf} is set twice")
            look_at(SCHEMAS[table].get(leaf), table, leaf, values)
            if leaf in REFERENCES:
                missing = set(values) - names - FROM_THE_START
                require(not missing, f"{leaf} refers to {missing}, which isn't there yet")
            seen[leaf] = values
        elif command == "next":
            require(key is not None and not rest, line)
            complete(table, seen)
            names.add(key)
            key = None
        elif command == "end":
            require(table and key is None and not rest, line)
            table = None
        else:
            raise ValueError(f"no command: {line}")
    require(table is None and names, "the end is missing")


def look_at(known, table, leaf, values):
    require(known, f"{table} has no {leaf}")
    require(valid(known), f"{leaf} is of other versions")
    if known["type"] != "list" and leaf != "subnet" and leaf != "tcp_portrange":
        require(len(values) == 1, f"{leaf} has one value")
    for value in values:
        options = known.get("options")
        if options:
            option = next((one for one in options if one["value"] == value), None)
            require(option and valid(option), f"{leaf} can't be {value}")
        longest = 35 if (table, leaf) == ("firewall policy", "name") else LENGTHS.get(leaf, 79)
        require(len(value) <= longest, f"{leaf} is too long: {value}")
        require(not re.search("[<>\"'?]", value), f"{leaf} has what FortiOS refuses: {value}")
    if leaf == "subnet":
        ipaddress.ip_network("/".join(values))
    if leaf == "fqdn":
        require(re.fullmatch(r"([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)+[a-z0-9-]+", values[0]), f"no name: {values[0]}")
    if leaf == "tcp_portrange":
        require(all(0 < int(port) < 65536 for port in values), "no port")


def valid(known):
    ranges = known.get("v_range") or [["v6.0.0", ""]]

    def parse(version):
        return tuple(int(part) for part in version.lstrip("v").split("."))

    def within(version):
        return any(parse(a) <= version and (not b or version <= parse(b)) for a, b in ranges)

    return all(within(version) for version in VERSIONS)


def complete(table, seen):
    """What an object has to have, or it would mean something else."""
    needed = {
        "firewall address": {"type"} | ({"fqdn"} if seen.get("type") == ["fqdn"] else {"subnet"}),
        "firewall addrgrp": {"member"},
        "firewall service custom": {"tcp_portrange"},
        "firewall policy": {"name", "srcintf", "dstintf", "srcaddr", "dstaddr", "service", "schedule", "action"},
    }[table]
    require(needed <= set(seen), f"{table} without {needed - set(seen)}")
    require(len(seen.get("member", [])) <= 300, "too many members")


def named(name, longest):
    return len(name) <= longest and re.fullmatch(r"[A-Za-z0-9._-]+", name)


SCHEMAS = {table: schema(sys.argv[1], module) for table, module in MODULES.items()}
answer(check)
