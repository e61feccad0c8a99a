"""Lets az send a cluster's proxy to a cloud that isn't there, and says what it sent: aks_az.py FORMAT FILE…

Each file's answer is a line of JSON on standard output: `{"config": …}`, which all commands sent alike, or
`{"refused": "…"}`.
"""

import io
import json
import os
import sys
import tempfile

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
os.environ.update(
    AZURE_CONFIG_DIR=tempfile.mkdtemp(),
    AZURE_CORE_COLLECT_TELEMETRY="no",
    AZURE_CORE_ONLY_SHOW_ERRORS="yes",
    AZURE_EXTENSION_USE_DYNAMIC_INSTALL="no",
)
user = {"name": "somebody@example.com", "type": "user"}
subscription = {
    "id": SUBSCRIPTION, "name": "tests", "state": "Enabled", "isDefault": True, "user": user, "tenantId": SUBSCRIPTION,
    "homeTenantId": SUBSCRIPTION, "environmentName": "AzureCloud", "managedByTenants": [],
}
with open(os.path.join(os.environ["AZURE_CONFIG_DIR"], "azureProfile.json"), "w") as file:
    json.dump({"installationId": SUBSCRIPTION, "subscriptions": [subscription]}, file)

import azure.cli.core._profile as profile
import requests
from azure.cli.core import get_default_cli
from azure.core.credentials import AccessToken, AccessTokenInfo


def main(kind, *files):
    for file in files:
        try:
            sent = [config_of(command) for command in commands(kind, file)]
            if any(config != sent[0] for config in sent):
                raise ValueError(f"not the same: {sent}")
            answer = {"config": sent[0]}
        except ValueError as error:
            answer = {"refused": str(error)}
        print(json.dumps(answer))


def commands(kind, file):
    if kind == "aks-arm":
        deploy = ["deployment", "group", "create", "--no-prompt", "--no-wait", "--template-file", template()]
        return [deploy + ["--parameters", f"@{file}"]]
    create = ["aks", "create", "--location", "eastus", "--no-ssh-key", "--no-wait", "--name", "aks"]
    update = ["aks", "update", "--no-wait", "--name", "aks"]
    return [command + ["--http-proxy-config", file] for command in (create, update)]


def config_of(command):
    Cloud.has_cluster = "update" in command
    Cloud.bodies = []
    try:
        code = get_default_cli().invoke([*command, "--resource-group", "rg"], out_file=io.StringIO())
    except SystemExit as exit:
        code = exit.code
    if code != 0 or not Cloud.bodies:
        raise ValueError(f"{' '.join(command)}: exit code {code}, {len(Cloud.bodies)} requests")
    properties = Cloud.bodies[-1]["properties"]
    if "template" in properties:
        return properties["parameters"]["httpProxyConfig"]["value"]
    return properties["httpProxyConfig"]


def template():
    """A cluster that takes the parameter, as the format's notes say."""
    path = os.path.join(os.environ["AZURE_CONFIG_DIR"], "cluster.json")
    cluster = {
        "type": "Microsoft.ContainerService/managedClusters", "apiVersion": "2026-05-01", "name": "aks",
        "location": "eastus", "properties": {"httpProxyConfig": "[parameters('httpProxyConfig')]"},
    }
    with open(path, "w") as file:
        json.dump({
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "parameters": {"httpProxyConfig": {"type": "object"}},
            "resources": [cluster],
        }, file)
    return path


class Cloud:
    """Knows one resource group, and one cluster when there is one to update."""

    has_cluster = False
    bodies = []

    def send(session, request, **_):
        if "management.azure.com" not in request.url:
            raise requests.exceptions.ConnectionError("there is no cloud")
        body = request.body.decode() if isinstance(request.body, bytes) else request.body
        # az streams a template without quotes around its own key.
        body = body and json.loads(body.replace(", template:", ', "template":', 1))
        if body:
            Cloud.bodies.append(body)
        answer = Cloud.answer(request.method, request.url.split("?")[0].lower(), body)
        response = requests.Response()
        response.request, response.url = request, request.url
        response.status_code = 404 if answer is None else 200
        response.headers["Content-Type"] = "application/json"
        response._content = json.dumps(answer or {}).encode()
        response.raw = io.BytesIO(response._content)
        return response

    def answer(method, path, body):
        if method != "GET":
            return body or {}
        if path.endswith("/resourcegroups/rg"):
            return {"location": "eastus", "name": "rg"}
        return CLUSTER if Cloud.has_cluster and "/managedclusters/" in path else None


CLUSTER = {
    "id": f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/providers/Microsoft.ContainerService/managedClusters/aks",
    "name": "aks",
    "location": "eastus",
    "type": "Microsoft.ContainerService/ManagedClusters",
    "identity": {"type": "SystemAssigned", "principalId": SUBSCRIPTION, "tenantId": SUBSCRIPTION},
    "properties": {
        "provisioningState": "Succeeded",
        "agentPoolProfiles": [{"name": "nodepool1", "count": 1, "mode": "System"}],
        "networkProfile": {"loadBalancerSku": "standard", "outboundType": "loadBalancer"},
        "servicePrincipalProfile": {"clientId": "msi"},
        "identityProfile": {"kubeletidentity": {"clientId": SUBSCRIPTION, "objectId": SUBSCRIPTION, "resourceId": "x"}},
    },
}


class Credential:
    def get_token(self, *_, **__):
        return AccessToken("none", 4102444800)

    def get_token_info(self, *_, **__):
        return AccessTokenInfo("none", 4102444800)


profile.Profile.get_login_credentials = lambda self, *_, **__: (Credential(), SUBSCRIPTION, SUBSCRIPTION)
profile.Profile.get_raw_token = lambda self, *_, **__: (("Bearer", "none", {}), SUBSCRIPTION, SUBSCRIPTION)
requests.Session.send = Cloud.send
main(*sys.argv[1:])
