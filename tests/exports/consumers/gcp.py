"""Holds a firewall policy (`gcp.py policy`) or a URL list (`gcp.py list`) to Google's client libraries, strictly.

They know fields and types. Actions, protocols, names, addresses and lengths are strings to them, and are looked at
here, by what the services' pages say.
"""

import ipaddress
import json
import re
import sys

from answer import answer, require

HOST = re.compile(r"([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)+[a-z0-9-]+")
NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def policy(text):
    from google.cloud import compute_v1

    found = compute_v1.FirewallPolicy.from_json(text, ignore_unknown_fields=False)
    require(NAME.fullmatch(found.name), f"no name: {found.name}")
    require(len(found.description) <= 2048, "a long description")
    priorities = [rule.priority for rule in found.rules]
    require(priorities and priorities == sorted(set(priorities)), "the priorities")
    for rule in found.rules:
        require(rule.direction == "EGRESS" and rule.action == "allow", "another action")
        require(len(rule.description) <= 2048, "a long description")
        match = rule.match
        for block in match.src_ip_ranges:
            ipaddress.ip_network(block)
        require(NAME.fullmatch(rule.rule_name), f"no name: {rule.rule_name}")
        require(0 < len(match.dest_fqdns) <= 100, "100 names a rule, and one at least")
        require(all(HOST.fullmatch(host) for host in match.dest_fqdns), f"no name: {match.dest_fqdns}")
        require([layer.ip_protocol for layer in match.layer4_configs] == ["tcp"], "another protocol")
        ports = match.layer4_configs[0].ports
        require(ports and all(0 < int(port) < 65536 for port in ports), "no port")


def url_list(text):
    from google.cloud import network_security_v1

    found = network_security_v1.UrlList.from_json(text, ignore_unknown_fields=False)
    require(re.fullmatch(r"projects/[^/]+/locations/[^/]+/urlLists/[a-z]([a-z0-9-]{0,61}[a-z0-9])?", found.name), found.name)
    require(found.values and all(HOST.fullmatch(host) for host in found.values), f"no name: {found.values}")
    require(found.values == json.loads(text)["values"], "another list")


answer({"policy": policy, "list": url_list}[sys.argv[1]])
