"""Reads Kubernetes objects in YAML. On stdin: a JSON list of texts.

read      prints the documents of each text, as PyYAML reads them.
validate  prints what kubernetes-validate says against those objects whose schemas Kubernetes has: an empty list if
          all is well.
"""

import json
import sys

import kubernetes_validate
import yaml


def read(text):
    return list(yaml.safe_load_all(text))


def complaints(text):
    version = kubernetes_validate.latest_version()
    judged = 0
    for document in read(text):
        try:
            kubernetes_validate.validate(document, version, strict=True)
            judged += 1
        except kubernetes_validate.SchemaNotFoundError:
            pass  # an object of somebody's own kind
        except kubernetes_validate.ValidationError as error:
            judged += 1
            yield error.message
    if judged == 0:
        yield "no object of Kubernetes' own kinds"


texts = json.load(sys.stdin)
if sys.argv[1] == "read":
    answer = [read(text) for text in texts]
else:
    answer = [complaint for text in texts for complaint in complaints(text)]
json.dump(answer, sys.stdout)
