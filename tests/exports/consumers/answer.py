"""Answers questions line by line: JSON in, `{"ok": ...}` or `{"error": "..."}` out."""

import json
import sys


class Refusal(Exception):
    """What is wrong with what was asked about."""


def require(condition, said):
    if not condition:
        raise Refusal(said)


def answer(check):
    """Asks `check` about each line; whatever it raises is why the line is refused."""
    for line in sys.stdin:
        try:
            reply = {"ok": check(json.loads(line))}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)
