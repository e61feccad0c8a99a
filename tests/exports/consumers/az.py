"""Runs scripts with Azure's command line in them, and says what it would send.

The account is made up, and the requests are recorded instead of sent: nothing leaves the machine. What they make is
remembered until the script ends, so that later requests find it.

A question is `{"script": text}`, with `files` beside it, by name, `env`, and `state`: what is there already, by path.
Bash runs the script in a folder that has the files, with an `az` that hands its arguments over to this process, where
azure-cli takes them. The answer is `{"code", "said", "requests", "state"}`.

A question `{"commands": [text]}` asks whether azure-cli takes these commands, without running them; the answer is how many.
"""

import contextlib
import copy
import io
import json
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile
import time

from answer import Refusal, answer

# Before the modules of `az` are loaded: they read it at once.
FOLDER = tempfile.TemporaryDirectory(prefix="az-")
os.environ.update(
    AZURE_CONFIG_DIR=FOLDER.name,
    AZURE_CORE_COLLECT_TELEMETRY="no",
    AZURE_CORE_ONLY_SHOW_ERRORS="yes",
    AZURE_EXTENSION_USE_DYNAMIC_INSTALL="no",
)
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
with open(os.path.join(FOLDER.name, "azureProfile.json"), "w") as profile_file:
    account = {
        "id": SUBSCRIPTION,
        "name": "made up",
        "state": "Enabled",
        "isDefault": True,
        "user": {"name": "nobody@corp.example", "type": "user"},
        "tenantId": SUBSCRIPTION,
        "homeTenantId": SUBSCRIPTION,
        "environmentName": "AzureCloud",
        "managedByTenants": [],
    }
    json.dump({"installationId": "made-up", "subscriptions": [account]}, profile_file)

import requests
from azure.cli.core import _profile, get_default_cli
from azure.cli.core.commands import AzCliCommandInvoker
from azure.core.credentials import AccessToken, AccessTokenInfo

NEVER = 4102444800


class Credential:
    def get_token(self, *_arguments, **_options):
        return AccessToken("made-up", NEVER)

    def get_token_info(self, *_arguments, **_options):
        return AccessTokenInfo("made-up", NEVER)


_profile.Profile.get_login_credentials = lambda self, *_a, **_k: (Credential(), SUBSCRIPTION, "made-up")
_profile.Profile.get_raw_token = lambda self, *_a, **_k: (("Bearer", "made-up", {}), SUBSCRIPTION, "made-up")

PATIENCE = 100
SENT, STATE = [], {}


def send(_session, request, **_options):
    """Records a request, and answers as the resource manager would if all is well."""
    if not request.url.startswith("https://management.azure.com/"):
        raise requests.exceptions.ConnectionError(f"nothing is sent to {request.url}")
    body = json.loads(text(request.body)) if request.body else None
    path = request.url.removeprefix("https://management.azure.com").split("?")[0]
    SENT.append({"method": request.method, "path": path, "body": body})
    status, said = answer_to(request.method, path, body)
    response = requests.Response()
    response.request, response.url, response.status_code = request, request.url, status
    response.headers["Content-Type"] = "application/json"
    response.raw = io.BytesIO(json.dumps(said).encode())
    return response


def answer_to(method, path, body):
    if method == "PUT":
        STATE[path] = body | {"id": path, "name": path.rsplit("/", 1)[1]}
    if method == "DELETE":
        return (200, {}) if STATE.pop(path, None) else (204, {})
    if path.lower().rsplit("/", 2)[1] == "resourcegroups":
        return 200, {"location": "eastus", "name": "group"}
    if method == "GET":
        return (200, whole(path)) if path in STATE else (404, {"error": {"code": "NotFound"}})
    return 200, STATE.get(path, body or {})


def whole(path):
    """A resource with those that are part of it."""
    resource = copy.deepcopy(STATE[path])
    for name, part in STATE.items():
        if name.startswith(path + "/"):
            kind = name.removeprefix(path + "/").split("/")[0]
            resource["properties"].setdefault(kind, []).append(part)
    return resource


def text(body):
    """The body of a request. `az` sends a template as its file has it, under a key without quotes."""
    body = body.decode() if isinstance(body, bytes) else body
    return body.replace(", template:", ', "template":', 1)


requests.Session.send = send

AZ = """\
#!{python} -IS
import json, socket, sys
with socket.socket(socket.AF_UNIX) as to:
    to.connect({address!r})
    to.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    answer = json.loads(to.makefile().readline())
sys.stdout.write(answer["said"])
sys.stderr.write(answer["complained"])
sys.exit(answer["code"])
"""


class Taken(BaseException):
    """What ends a command where it would begin to do something. No `Exception`: those `az` would catch."""


def taken(_invoker, *_arguments):
    raise Taken


def take(command):
    """Has azure-cli read a command, with all that it checks before it does anything."""
    program, *arguments = shlex.split(command)
    if program != "az":
        raise Refusal(f"not az: {command}")
    does = AzCliCommandInvoker._run_jobs_serially
    AzCliCommandInvoker._run_jobs_serially = taken
    complained = io.StringIO()
    try:
        with contextlib.redirect_stderr(complained), contextlib.redirect_stdout(complained):
            get_default_cli().invoke(arguments, out_file=complained)
    except Taken:
        return
    except SystemExit:
        pass
    finally:
        AzCliCommandInvoker._run_jobs_serially = does
    raise Refusal(f"{command}\n{complained.getvalue()[-2000:]}")


def run(question):
    if "commands" in question:
        for command in question["commands"]:
            take(command)
        return len(question["commands"])
    SENT.clear()
    STATE.clear()
    STATE.update(question.get("state", {}))
    with tempfile.TemporaryDirectory(prefix="az-script-") as folder, socket.socket(socket.AF_UNIX) as listener:
        folder = pathlib.Path(folder)
        address = str(folder / "socket")
        listener.bind(address)
        listener.listen()
        listener.settimeout(0.05)
        az = folder / "bin" / "az"
        az.parent.mkdir()
        az.write_text(AZ.format(python=sys.executable, address=address))
        az.chmod(0o755)
        work = folder / "work"
        work.mkdir()
        for name, content in question.get("files", {}).items():
            (work / name).write_text(content)
        (work / "script").write_text(question["script"])
        environment = {"PATH": f"{az.parent}:/usr/bin:/bin", "LANG": "C.UTF-8"} | question.get("env", {})
        code, said = script(listener, work, environment)
        left = sorted(set(os.listdir(work)) - set(question.get("files", {})) - {"script"})
        if left:
            raise Refusal(f"the script left {left} behind")
    return {"code": code, "said": said, "requests": list(SENT), "state": dict(STATE)}


def script(listener, work, environment):
    """Runs the script, and each `az` of it; one at a time, as Bash does."""
    with tempfile.TemporaryFile() as output:
        bash = subprocess.Popen(
            ["/bin/bash", "script"],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + PATIENCE
        try:
            while bash.poll() is None:
                if time.monotonic() > deadline:
                    raise Refusal("the script doesn't end")
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    with connection, connection.makefile("rw") as stream:
                        stream.write(json.dumps(az(json.loads(stream.readline()), work)))
        finally:
            bash.kill()
            bash.wait()
        output.seek(0)
        return bash.returncode, output.read().decode()


def az(arguments, work):
    """One command of azure-cli, in this process."""
    said, complained = io.StringIO(), io.StringIO()
    here = os.getcwd()
    os.chdir(work)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(complained):
            code = get_default_cli().invoke(arguments, out_file=said)
    except SystemExit as end:
        code = end.code
    finally:
        os.chdir(here)
    return {"code": code or 0, "said": said.getvalue(), "complained": complained.getvalue()[-2000:]}


answer(run)
