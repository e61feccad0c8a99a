"""Reads Terraform with python-hcl2, and holds resources to the argument types of the provider.

The types are those of the provider's bindings for TypeScript: `terraform.py FOLDER`, which has a folder for each kind of
resource. A resource of another kind is refused.
"""

import pathlib
import re
import sys

import hcl2
from answer import Refusal, answer

FOLDER = pathlib.Path(sys.argv[1])
INTERFACE = re.compile(r"export interface (\w+)(?: extends [\w.]+)? \{\n(.*?)\n\}", re.DOTALL)
MEMBER = re.compile(r"/\*\*(.*?)\*/\s*readonly \w+(\??): ([^;]+);", re.DOTALL)
ANCHOR = re.compile(r"\{@link \S+#(\w+) ")
META = {"count", "depends_on", "for_each", "lifecycle", "provider"}


def check(text):
    """The resources of the text, if all is well: `{"kind.name": arguments}`."""
    document = hcl2.loads(text)
    unknown = set(document) - {"variable", "resource", "import", "locals", "output", "__comments__"}
    if unknown:
        raise Refusal(f"{unknown} is not among what is checked here")
    declared = {
        name: variable(name, block)
        for named in document.get("variable", [])
        for name, block in plain(named).items()
    }
    resources = {}
    for kinds in document.get("resource", []):
        for kind, named in plain(kinds).items():
            for name, block in named.items():
                config = interfaces(kind)
                block_of(config[0], config[1], block, f"{kind}.{name}", declared)
                resources[f"{kind}.{name}"] = block
    for block in document.get("import", []):
        imported(plain(block), resources)
    return resources


def imported(block, resources):
    """An `import` brings in what is declared, by its id."""
    if set(block) != {"to", "id"} or isinstance(block["id"], Expression):
        raise Refusal(f"import: {block} is not `to` and `id`")
    match = re.fullmatch(r"\$\{(\w+\.[\w-]+)\}", block["to"])
    if not isinstance(block["to"], Expression) or not match or match[1] not in resources:
        raise Refusal(f"import: {block['to']} is not declared")


def variable(name, block):
    known = {"type", "description", "default", "nullable", "sensitive", "validation", "ephemeral"}
    if not set(block) <= known | {"type"}:
        raise Refusal(f"variable.{name}: {set(block) - known}")
    return block


def plain(value):
    """Without python-hcl2's marks: a quoted string is the string, anything else an `Expression`."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        pairs = ((key.strip('"'), plain(one)) for key, one in value.items())
        return {key: one for key, one in pairs if not key.startswith("__")}
    if isinstance(value, str):
        return unquote(value) if value.startswith('"') else Expression(value)
    return value


class Expression(str):
    """Something that is no literal: `${var.name}`."""


def unquote(quoted):
    """What a quoted string says. Templates in it would run, so there may be none."""
    inner = quoted[1:-1]
    if re.search(r"(?<!\$)\$\{|(?<!%)%\{", inner):
        raise Refusal(f"{quoted} is interpolated")
    inner = inner.replace("$${", "${").replace("%%{", "%{")
    return re.sub(r'\\(["\\nrt])', lambda match: {"n": "\n", "r": "\r", "t": "\t"}.get(match[1], match[1]), inner)


def interfaces(kind):
    """The interface of a kind of resource, and all that it refers to."""
    folder = FOLDER / kind.removeprefix("azurerm_").replace("_", "-")
    if not kind.startswith("azurerm_") or not folder.is_dir():
        raise Refusal(f"`{kind}` is no resource that is known here")
    text = (folder / "index.d.ts").read_text()
    found = {name: members(body) for name, body in INTERFACE.findall(text)}
    root = next(name for name in found if name.endswith("Config"))
    return root, found


def members(body):
    return {
        ANCHOR.search(comment)[1]: (kind.removesuffix(" | cdktf.IResolvable"), optional == "?")
        for comment, optional, kind in MEMBER.findall(body)
    }


def block_of(interface, found, block, path, declared):
    """Holds a block to an interface: each argument known and of its type, none missing."""
    arguments = found[interface]
    unknown = set(block) - set(arguments) - META
    if unknown:
        raise Refusal(f"{path}: no argument is called {sorted(unknown)}")
    for name, (kind, optional) in arguments.items():
        if name in block:
            value_of(kind, found, block[name], f"{path}.{name}", declared)
        elif not optional:
            raise Refusal(f"{path}: {name} is missing")


def value_of(kind, found, value, path, declared):
    if isinstance(value, Expression):
        return expression(value, path, declared)
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise Refusal(f"{path}: {value!r} is no list")
        for one in value:
            value_of(kind[:-2], found, one, path, declared)
    elif kind in found:
        # A single block is a list of one to python-hcl2.
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, dict):
                raise Refusal(f"{path}: {one!r} is no block")
            block_of(kind, found, one, path, declared)
    elif not isinstance(value, TYPES[kind]) or (kind == "number" and isinstance(value, bool)):
        raise Refusal(f"{path}: {value!r} is no {kind}")


TYPES = {"string": str, "number": (int, float), "boolean": bool}


def expression(value, path, declared):
    match = re.fullmatch(r"\$\{var\.(\w+)\}", value)
    if not match or match[1] not in declared:
        raise Refusal(f"{path}: {value} is no variable that is declared")


answer(check)
