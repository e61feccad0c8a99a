"""Reads a list in a plain format with what Python brings, strictly, and prints `host port` lines.

plain.py FORMAT < FILE
"""

import csv
import ipaddress
import json
import re
import sys
import tomllib

HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+", re.ASCII)


def main():
    text = sys.stdin.buffer.read().decode("utf-8")
    if not text.endswith("\n") or "\r" in text:
        raise ValueError("lines end with a line feed, the last one too")
    for host, port in READERS[sys.argv[1]](text):
        if not HOST.fullmatch(host):
            raise ValueError(f"{host!r} is no host")
        print(host, int(port))


def text(text):
    return [(line, 443) for line in lines(text)]


def host_port(text):
    return [line.split(":") for line in lines(text)]


def lines(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


def from_csv(text):
    for row in csv.DictReader(text.splitlines(), strict=True):
        if None in row or list(row) != ["host", "port", "registry", "region", "purpose", "private_ip", "why", "presets"]:
            raise ValueError(f"other columns: {row}")
        for address in row["private_ip"].split():
            ipaddress.ip_network(address)
        yield row["host"], row["port"]


def from_json(text):
    return entries(json.loads(text)["entries"])


def from_toml(text):
    return entries(tomllib.loads(text)["entry"])


def entries(entries):
    for entry in entries:
        for address in entry.get("addresses", []):
            ipaddress.ip_network(address)
        for port in entry.get("ports", [443]):
            yield entry.get("storage_account") or entry["host"], port


READERS = {"text": text, "host-port": host_port, "csv": from_csv, "json": from_json, "toml": from_toml}

main()
