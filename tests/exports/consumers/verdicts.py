"""Answers in one process for many texts: a JSON string per line comes in, and `null` or what is wrong goes out."""

import json
import sys


def serve(check):
    for line in sys.stdin:
        try:
            check(json.loads(line))
            verdict = None
        except Exception as error:  # Whatever a consumer throws at a text, it refuses it.
            verdict = f"{type(error).__name__}: {error}"
        print(json.dumps(verdict), flush=True)


def require(condition, said):
    if not condition:
        raise ValueError(said)
